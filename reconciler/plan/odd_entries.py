"""Entries of the API's listing that cannot be read as endpoints: which may be ours, and which cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec import Struct

from reconciler.errors import ApiError
from reconciler.model import Endpoint, OddEntry
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.model import Webhook
    from reconciler.ports import Metadata

_NAMED = 5
"""How many entries a warning names."""


class Sorted(Struct, frozen=True):
    """A listing without entries that no decision depends on."""

    endpoints: Sequence[Endpoint]
    """With an `OddEndpoint` for each odd entry that has an id: it occupies its URL."""
    warning: str | None = None
    """What was skipped."""
    refusal: str | None = None
    """Why the listing must not be acted on: an entry may be ours."""


def sort_out(
    entries: Sequence[Endpoint | OddEntry], metadata: Mapping[str, Metadata], desired: Iterable[Webhook]
) -> Sorted:
    """Return the endpoints of a listing, and what to do about the entries that cannot be read.

    Args:
        entries: the complete listing.
        metadata: every document's.
        desired: the manifests.
    """
    odd = [entry for entry in entries if isinstance(entry, OddEntry)]
    if not odd:
        # Every plan of a large fleet comes here: nothing is copied.
        return Sorted(cast("Sequence[Endpoint]", entries))
    endpoints = [entry for entry in entries if isinstance(entry, Endpoint)]
    projections = [(name, m.projection) for name, m in metadata.items() if m.projection is not None]
    recorded = {endpoint_id: name for name, p in projections for endpoint_id in p.recorded_ids}
    urls = {normalize_url(p.url): name for name, p in projections if p.url and p.recorded_ids}
    urls |= {webhook.normalized_url: webhook.name for webhook in desired}
    listed = {endpoint.id for endpoint in endpoints} | {entry.id for entry in odd}
    unseen = [name for endpoint_id, name in recorded.items() if endpoint_id not in listed]
    for entry in odd:
        if refusal := _refusal(entry, recorded, urls, unseen):
            return Sorted(endpoints, refusal=refusal)
    return Sorted(as_endpoints(entries), warning=_warning(odd))


def as_endpoints(entries: Iterable[Endpoint | OddEntry]) -> list[Endpoint]:
    """Return the endpoints of a listing, with an `OddEndpoint` for each odd entry that has an id."""
    found = (entry.as_endpoint() if isinstance(entry, OddEntry) else entry for entry in entries)
    return [endpoint for endpoint in found if endpoint is not None]


def _refusal(
    entry: OddEntry, recorded: Mapping[str, str], urls: Mapping[str, str], unseen: Sequence[str]
) -> str | None:
    """Return why an entry may be ours; None: it is not, and at most occupies its URL."""
    if entry.id is not None:
        owner = recorded.get(entry.id)
        return f"{entry}, is in the ledger of {owner}" if owner else None
    if entry.url is None:
        return (
            f"{entry}, may be the endpoint of {unseen[0]}, which is not listed otherwise" if unseen else None
        )
    holder = urls.get(normalize_url(entry.url))
    return f"{entry}, has the URL of {holder}" if holder else None


def unreadable_entry(why: str) -> ApiError:
    """Return the error for a listing with an entry that may be ours."""
    return ApiError(
        f"the API's listing cannot be acted on: {why}",
        hint="nothing was changed; correct or remove the endpoint in the console, or ask the API's support",
    )


def _warning(odd: Sequence[OddEntry]) -> str:
    named = "; ".join(str(entry) for entry in odd[:_NAMED])
    more = f"; and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
    return f"the API's listing has entries that cannot be read, and none is managed: {named}{more}"
