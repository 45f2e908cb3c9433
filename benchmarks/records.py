"""The answers of both servers for a fleet that is live and in the ledger, as the real servers send them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Current, Ledger
from reconciler.ledger.projection import project
from reconciler.model import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from reconciler.model import Webhook

ORGANIZATION = "default"
MOUNT, PREFIX = "secret", f"webhooks/{ORGANIZATION}"
LISTING_PATH = f"/v1/{MOUNT}/detailed-metadata/{PREFIX}"
PAGE = 100
_NOW = datetime.now(UTC)
_MOMENT = _NOW.isoformat().replace("+00:00", "Z")


def endpoint_ids(webhooks: Sequence[Webhook]) -> list[str]:
    """Return an endpoint id for each webhook."""
    return [f"we_{number:024x}" for number in range(len(webhooks))]


def render_pages(webhooks: Sequence[Webhook], ids: Sequence[str]) -> Iterator[bytes]:
    """Yield the pages of the API's listing; the cursor of page n is the number n."""
    data = [
        {"id": i, "url": w.url, "events": list(w.events), "status": "enabled", "created": _MOMENT}
        for w, i in zip(webhooks, ids, strict=True)
    ]
    for first in range(0, max(1, len(data)), PAGE):
        rest: dict[str, Any] = {"has_more": first + PAGE < len(data)}
        if rest["has_more"]:
            rest["next_cursor"] = str(first // PAGE + 1)
        yield json.dumps({"data": data[first : first + PAGE], **rest}, separators=(",", ":")).encode()


def make_documents(
    webhooks: Iterable[Webhook], ids: Iterable[str], api_url: str
) -> Iterator[tuple[str, Document]]:
    """Yield each webhook's name and its document after a finished `apply`."""
    for webhook, endpoint_id in zip(webhooks, ids, strict=True):
        current = Current(endpoint_id, 1, webhook.digest, webhook.url, "client", _NOW, _NOW)
        ledger = Ledger(ORGANIZATION, api_url, generation=1, current=current)
        yield webhook.name, Document(ledger, signing_secret=Secret("whsec_benchmark"))


def custom_metadata(document: Document) -> dict[str, str]:
    """Return the projection of the document's first version."""
    return project(document, 1, tested=True).to_metadata()


def render_listing(documents: Iterable[tuple[str, Document]]) -> bytes:
    """Return OpenBao's answer to a LIST of all metadata below the prefix."""
    details = {name: _describe(custom_metadata(document)) for name, document in documents}
    answer = {
        "request_id": "5bc723c0-b7ba-c967-a175-ab5fb1859ffd",
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": {"key_info": details, "keys": list(details)},
        "wrap_info": None,
        "warnings": None,
        "auth": None,
    }
    return json.dumps(answer, separators=(",", ":")).encode()


def _describe(custom: dict[str, str]) -> dict[str, Any]:
    return {
        "cas_required": True,
        "created_time": _MOMENT,
        "current_metadata_version": 1,
        "current_version": 1,
        "custom_metadata": custom,
        "delete_version_after": "0s",
        "max_versions": 0,
        "metadata_cas_required": False,
        "oldest_version": 0,
        "updated_time": _MOMENT,
        "versions": {"1": {"created_time": _MOMENT, "deletion_time": "", "destroyed": False}},
    }
