"""Make an unmanaged endpoint a webhook's own: one write, then the ordinary protocol continues.

If the secret is known, the endpoint is tested. If not, it is an endpoint whose secret is missing, which
the protocol replaces: the new one is created, stored and tested before the adopted one is deleted. So a run
that is killed after the write is resumed like any other, and before it nothing has happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.ledger.ledger import Current, Previous
from reconciler.plan.protocol.create import blank
from reconciler.plan.protocol.state import Adoption, State, declared, write
from reconciler.plan.protocol.steps import Failed, ListAgain, Step

if TYPE_CHECKING:
    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Ledger
    from reconciler.model import Endpoint, Webhook
    from reconciler.plan.live import LiveIndex

ADOPTED = "adopted"
"""The source of a secret that a person provided, and of an unknown one that must be replaced."""
FINISH_FIRST = "run `reconciler apply` first, which finishes it; then adopt, if that is still needed"


def adopt(s: State, document: Document | None, webhook: Webhook, adoption: Adoption) -> Step | None:
    """Return the write that makes the endpoint ours, or why it is refused; None once it is done."""
    if document is not None and _is_done(document, adoption):
        return None
    if not s.listing_current:
        return ListAgain()
    if failed := objection(webhook, document, s.live, adoption):
        return failed
    endpoint = s.live.get(adoption.endpoint_id)
    assert endpoint is not None, "an endpoint that is not live is refused"  # noqa: S101 - an invariant
    return write(s, _taken_over(s, document or blank(s), webhook, endpoint, adoption), "adopt the endpoint")


def _is_done(document: Document, adoption: Adoption) -> bool:
    ledger = document.ledger
    is_current = _current_id(ledger) == adoption.endpoint_id and not ledger.released
    is_as_asked = is_current and document.signing_secret == adoption.secret
    return is_as_asked or _is_replaced(ledger, adoption.endpoint_id)


def _is_replaced(ledger: Ledger, endpoint_id: str) -> bool:
    return any(previous.endpoint_id == endpoint_id for previous in ledger.previous)


def objection(
    webhook: Webhook, document: Document | None, live: LiveIndex, adoption: Adoption
) -> Failed | None:
    """Return why `webhook` must not adopt the endpoint; None if it may."""
    endpoint_id, name = adoption.endpoint_id, adoption.name
    if document is not None and (failed := _occupied(document.ledger, live, adoption)):
        return failed
    endpoint = live.get(endpoint_id)
    if endpoint is None:
        return Failed(
            f"endpoint {endpoint_id} is not live",
            hint="`reconciler status` lists the endpoints; check whose API key this is",
        )
    if document is not None and endpoint_id in document.ledger.owned_ids:
        if failed := _owned(document, adoption):
            return failed
    elif live.is_recorded(endpoint_id):
        return Failed(
            f"endpoint {endpoint_id} is in another webhook's ledger",
            hint="`reconciler status` shows which: an endpoint belongs to one webhook",
        )
    if not endpoint.serves(webhook):
        return Failed(
            f"{name} and endpoint {endpoint_id} differ: {_differences(webhook, endpoint)}",
            hint=f"copy the live URL and events into {webhook.location}, adopt, and change them afterwards",
        )
    return None


def _occupied(ledger: Ledger, live: LiveIndex, adoption: Adoption) -> Failed | None:
    """Return why the webhook's own ledger forbids it."""
    name = adoption.name
    if ledger.pending is not None:
        return Failed(f"a new endpoint of {name} is being created", hint=FINISH_FIRST)
    if ledger.removing:
        return Failed(f"{name} is being removed", hint=FINISH_FIRST)
    if _is_replaced(ledger, adoption.endpoint_id):
        return Failed(
            f"{name} has already replaced endpoint {adoption.endpoint_id}",
            hint="there is nothing to adopt; `reconciler plan` shows what is pending",
        )
    current = _current_id(ledger)
    if ledger.released and current == adoption.endpoint_id:
        return Failed(
            f"{name} released endpoint {current} earlier, and its secret is still in Vault",
            hint="`reconciler apply` takes it back; there is nothing to adopt",
        )
    if current is not None and current != adoption.endpoint_id and live.get(current) is not None:
        return Failed(
            f"{name} already has endpoint {current}, and it is live",
            hint=f"adopt {adoption.endpoint_id} under another name, or remove it",
        )
    return None


def _owned(document: Document, adoption: Adoption) -> Failed | None:
    """Return why there is nothing to adopt; None where the secret may still be provided."""
    current = document.ledger.current
    if document.signing_secret is None:
        # Lost in Vault, or adopted with `--rotate` and not replaced yet.
        return None
    if current and current.source == ADOPTED and current.verified_at is None and adoption.secret is not None:
        # Nothing has shown that the secret that was provided before is right.
        return None
    return Failed(
        f"{adoption.name} already owns endpoint {adoption.endpoint_id}",
        hint=f"its secret is in Vault; `reconciler rotate {adoption.name}` replaces it",
    )


def _differences(webhook: Webhook, endpoint: Endpoint) -> str:
    """Return how the manifest and the live endpoint differ."""
    found = []
    if endpoint.normalized_url != webhook.normalized_url:
        live_url = mask_unreviewed(endpoint.url, webhook.url)
        found.append(f"the URL is {live_url}, the manifest says {webhook.url}")
    if surplus := sorted(set(endpoint.events) - set(webhook.events)):
        found.append(f"the manifest lacks {', '.join(surplus)}")
    if missing := sorted(set(webhook.events) - set(endpoint.events)):
        found.append(f"the endpoint lacks {', '.join(missing)}")
    return "; ".join(found)


def _taken_over(
    s: State, document: Document, webhook: Webhook, endpoint: Endpoint, adoption: Adoption
) -> Document:
    """Return the document with the endpoint as the current one."""
    ledger, secrets = document.ledger, dict(document.previous_secrets)
    generation = ledger.generation + 1
    current = Current(
        endpoint_id=endpoint.id,
        generation=generation,
        digest=webhook.digest,
        url=webhook.url,
        source=ADOPTED,
        live_digest=endpoint.digest,
        # All that is known of the secret's age is that it is not older than its endpoint.
        created_at=min(endpoint.created or s.now, s.now),
    )
    previous, old = ledger.previous, ledger.current
    if old is not None and old.endpoint_id != endpoint.id and not ledger.released:
        # It is gone; deliveries that it signed may still arrive.
        previous = (*previous, Previous(old.endpoint_id, old.generation, s.now, url=old.url))
        if document.signing_secret is not None:
            secrets[old.endpoint_id] = document.signing_secret
    ledger = replace(declared(s, ledger, webhook), generation=generation, current=current, previous=previous)
    return replace(document, ledger=ledger, signing_secret=adoption.secret, previous_secrets=secrets)


def _current_id(ledger: Ledger) -> str | None:
    return ledger.current.endpoint_id if ledger.current is not None else None
