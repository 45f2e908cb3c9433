"""A move of ledgers to a moved API or a renamed organization: what it changes, and what became of it."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.plan.outcome import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.ledger.ledger import Ledger
    from reconciler.model import Organization, Run
    from reconciler.plan.guards import Refusal


class Part(StrEnum):
    """What of a document a move writes."""

    DOCUMENT = "document"
    """A new version of the document, and its metadata."""
    METADATA = "metadata"
    """The metadata alone: no version needs to be rewritten, or it was rewritten before."""


class DocumentMove(Struct, frozen=True):
    """One document that a move writes."""

    name: str
    part: Part
    endpoint_ids: tuple[str, ...] = ()
    """The endpoints that the ledger owns."""
    missing: tuple[str, ...] = ()
    """Those of them that the new API does not list."""
    note: str | None = None
    """What is special about it."""


class UnreadableDocument(Struct, frozen=True):
    """A document that a move leaves as it is, because it cannot be read."""

    name: str
    message: str
    hint: str | None = None


class Move(Struct, frozen=True):
    """A move, as it is previewed and confirmed."""

    origin: Organization
    target: Organization
    documents: tuple[DocumentMove, ...]
    """What is left to write, by name."""
    already_moved: int
    unreadable: tuple[UnreadableDocument, ...]
    refusals: tuple[Refusal, ...]
    versions: Mapping[str, int]
    """Every document's version when the preview was made."""


class DocumentOutcome(Struct, frozen=True):
    """What became of one document."""

    name: str
    result: Result
    detail: str | None = None
    """Why it was not moved."""
    hint: str | None = None


class MoveOutcome(Struct, frozen=True):
    """What a move did."""

    documents: tuple[DocumentOutcome, ...]

    def of(self, result: Result) -> tuple[DocumentOutcome, ...]:
        """Return the documents that ended with `result`."""
        return tuple(each for each in self.documents if each.result is result)

    @property
    def complete(self) -> bool:
        """Whether every document was moved."""
        return all(each.result is Result.DONE for each in self.documents)


def move_command(origin: Organization, target: Organization) -> str:
    """Return the command that moves the documents of `origin` to `target`."""
    words = ["reconciler", "move"]
    if origin.api_url != target.api_url:
        words += ["--from-api-url", origin.api_url]
    if origin.name != target.name:
        words += ["--from-organization", origin.name]
    return shlex.join([*words, "--organization", target.name])


def foreign_hint(origin: Organization, target: Organization) -> str:
    """Return what to do about a document of `origin` that a run for `target` has found."""
    hint = "check --organization, ZOF_API_URL and --vault-prefix"
    if origin.name == target.name:
        hint += f"; if the API has moved to {target.api_url}, run `{move_command(origin, target)}`"
    elif origin.api_url == target.api_url:
        hint += f"; if {origin.name} is now called {target.name}, run `{move_command(origin, target)}`"
    return hint


def moved(ledger: Ledger, target: Organization, nonce: str, run: Run) -> Ledger:
    """Return `ledger` as that of `target`.

    An intent's request must not be repeated at another API, where its key may be unknown, and the new version
    hides the intent's age. So it counts as stuck: the next apply looks for what the request created.
    """
    pending = ledger.pending
    return replace(
        ledger,
        organization=target.name,
        api_url=target.api_url,
        nonce=nonce,
        run=run,
        pending=replace(pending, stuck=True) if pending is not None else None,
    )
