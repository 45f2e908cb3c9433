"""The steps of a change: one check-and-set write of its document, or one API request, each."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.ledger.projection import Projection
    from reconciler.model import Secret


class Failure(StrEnum):
    """What a failed change means for the rest of the run."""

    CHANGE = "change"
    """Only this change: the others go on."""
    UNVERIFIED = "unverified"
    """The change is made, its test delivery failed."""
    RUN = "run"
    """Nothing else can work either (the key is refused): the rest is not attempted."""


class Failed(Struct, frozen=True):
    """The change cannot go on in this run. What is recorded is enough for a later run."""

    message: str
    hint: str | None = None
    failure: Failure = Failure.CHANGE

    description = "give up"
    api_requests = 0


class WriteDocument(Struct, frozen=True):
    """Write a new version of the document, if the newest is still `cas`."""

    document: Document
    cas: int
    description: str
    begins_attempt: bool = False
    announces: bool = False
    """The intent's request is about to be sent: its newest window begins."""
    then: Failed | None = None
    """The change fails once this is written."""

    api_requests = 0


class CreateEndpoint(Struct, frozen=True):
    """POST exactly this body under this idempotency key."""

    key: str
    body: Secret
    baseline_ids: frozenset[str] = frozenset()
    """The endpoints that were there before: an answer with one of them has made nothing."""

    description = "create the endpoint"
    api_requests = 1


class TestEndpoint(Struct, frozen=True):
    """Send a test delivery."""

    endpoint_id: str

    __test__ = False  # pytest collects classes by this prefix

    description = "send a test delivery"
    api_requests = 1


class DeleteEndpoint(Struct, frozen=True):
    """Delete an endpoint that is ours."""

    endpoint_id: str
    description: str = "delete the endpoint"

    api_requests = 1


class ListAgain(Struct, frozen=True):
    """The listing is older than the document: list again before concluding that an endpoint is gone."""

    description = "list the endpoints again"
    api_requests = 1


class WriteProjection(Struct, frozen=True):
    """Repeat the ledger's public part in the metadata."""

    projection: Projection

    description = "record the result in the metadata"
    api_requests = 0


class Undelete(Struct, frozen=True):
    """Bring back a version that was soft-deleted by hand."""

    version: int
    is_known: bool = True
    """Whether the metadata shows that it is ours. If not, what is not ours is deleted again."""

    description = "undelete the secret"
    api_requests = 0


class SoftDelete(Struct, frozen=True):
    """Delete the secret of a removed webhook so that it can still be undeleted."""

    version: int

    description = "delete the secret"
    api_requests = 0


class DestroyBefore(Struct, frozen=True):
    """Destroy every version before this one: they hold secrets whose time is over."""

    version: int

    description = "destroy the versions that hold expired secrets"
    api_requests = 0


class Wait(Struct, frozen=True):
    """Nothing more to do before `until`; a later run goes on."""

    until: datetime

    description = "wait for the overlap to end"
    api_requests = 0


class Hold(Struct, frozen=True):
    """An endpoint is to go whose URL another manifest wants: only once `name` serves it.

    The run comes back to this change when the others have had their turn.
    """

    name: str
    url: str

    description = "wait for the webhook that takes the URL over"
    api_requests = 0


class Done(Struct, frozen=True):
    """The webhook is as it should be, and recorded so."""

    description = "done"
    api_requests = 0


Step = (
    WriteDocument
    | CreateEndpoint
    | TestEndpoint
    | DeleteEndpoint
    | ListAgain
    | WriteProjection
    | Undelete
    | SoftDelete
    | DestroyBefore
    | Wait
    | Hold
    | Done
    | Failed
)
