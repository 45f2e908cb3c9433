"""Take an unmanaged endpoint over: as a plan, so that it is shown, asked about and resumed like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.errors import DocumentUnreadable, GuardRefused, InvalidInput
from reconciler.ledger.projection import document_from_projection
from reconciler.model import OddEndpoint
from reconciler.plan.changes import receivers_of, steps_of, warnings_of
from reconciler.plan.plan import Action, Cause, Change, Shape
from reconciler.plan.protocol.adopt import FINISH_FIRST, objection
from reconciler.plan.protocol.steps import CreateEndpoint
from reconciler.ports import VersionState
from reconciler.texts import did_you_mean
from reconciler.urls import normalize_url
from reconciler.usecases.plan import Planned, plan, restricted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.ledger.document import Document
    from reconciler.model import Endpoint, Webhook
    from reconciler.plan.protocol.state import Adoption
    from reconciler.ports import Metadata
    from reconciler.session import Session


def plan_adoption(session: Session, wanted: Adoption) -> Planned:
    """Return the plan of making one live endpoint a webhook's own. Writes nothing.

    Unlike other plans it reads documents: the webhook's own, and those whose metadata lags behind.

    Raises:
        InvalidInput: no manifest has that name.
        GuardRefused: the endpoint must not be taken over as things are; the message says why.
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
    """
    webhook = next((each for each in session.desired if each.name == wanted.name), None)
    if webhook is None:
        raise InvalidInput(
            f"no manifest for {wanted.name}",
            hint=did_you_mean(
                [wanted.name],
                (each.name for each in session.desired),
                "write one that says what is live: `reconciler export` makes it from the endpoint",
            ),
        )
    planned = plan(session)
    claims = _claims(session, planned.metadata, wanted.name)
    endpoint = planned.comparison.live.get(wanted.endpoint_id)
    if isinstance(endpoint, OddEndpoint):
        raise GuardRefused(
            f"{endpoint}, cannot be taken over", hint="correct it in the console, or remove it there"
        )
    if endpoint is not None:
        _refuse_claimed(claims, endpoint)
    document = _document_of(session, planned.metadata.get(wanted.name), wanted.name)
    if failed := objection(webhook, document, planned.comparison.live, wanted):
        raise GuardRefused(failed.message, hint=failed.hint)
    chosen = restricted(planned, (_change(session, planned, webhook, document, wanted),))
    others = tuple(each for each in chosen.plan.unmanaged if each.id != wanted.endpoint_id)
    return replace(
        chosen,
        plan=replace(chosen.plan, unmanaged=others),
        names=frozenset({wanted.name}),
        adoption=wanted,
    )


def _change(
    session: Session, planned: Planned, webhook: Webhook, document: Document | None, wanted: Adoption
) -> Change:
    live = planned.comparison.live
    endpoint = live.get(wanted.endpoint_id)
    assert endpoint is not None, "an endpoint that is not live is refused"  # noqa: S101 - an invariant
    metadata = planned.metadata.get(webhook.name)
    now = session.clock.now()
    steps = steps_of(
        session.organization, webhook.name, webhook, metadata, live, now, session.run, wanted, document
    )
    is_replaced = any(isinstance(step, CreateEndpoint) for step in steps)
    known = "its secret is handed in" if wanted.secret is not None else "nobody knows its secret"
    change = Change(
        name=webhook.name,
        action=Action.ROTATE if is_replaced else Action.UPDATE,
        reason=f"endpoint {endpoint.id} is taken over, {known}",
        cause=Cause.ROTATION if is_replaced else Cause.MANIFEST,
        before=Shape(mask_unreviewed(endpoint.url, webhook.url), endpoint.events),
        after=Shape(webhook.url, webhook.events),
        source=webhook.location,
        endpoint_id=endpoint.id,
        policy=webhook.deletion_policy.value,
        steps=tuple(step.description for step in steps),
        owner=webhook.owner,
        api_requests=sum(step.api_requests for step in steps),
        version=metadata.version if metadata is not None else 0,
        is_adoption=True,
    )
    warnings = warnings_of(change, webhook)
    if is_replaced and not webhook.overlap:
        at_once = "the old endpoint is deleted immediately: receivers must read the new secret right then"
        warnings = (*warnings, f"{at_once} (secret.overlap gives them time)")
    receivers = receivers_of(change, webhook, session.place, now)
    return replace(change, warnings=warnings, receivers=receivers)


# --- who owns it already ------------------------------------------------------------------------------------


class _Claims(Struct):
    """The endpoints and URLs that other webhooks' ledgers record."""

    owners: dict[str, str] = field(default_factory=dict)
    """Names by endpoint id."""
    intents: dict[str, str] = field(default_factory=dict)
    """The names of interrupted creations, by normalised URL: they may have created the endpoint."""


def _claims(session: Session, metadata: Mapping[str, Metadata], name: str) -> _Claims:
    claims = _Claims()
    for other, entry in metadata.items():
        if other == name:
            continue
        projection = entry.projection
        if projection is not None:
            claims.owners |= dict.fromkeys(projection.recorded_ids, other)
        if entry.state is VersionState.LIVE and not entry.is_settled:
            try:
                document = session.store.read(other).document
            except DocumentUnreadable:
                continue
            if document is not None:
                claims.owners |= dict.fromkeys(document.ledger.recorded_ids, other)
                if pending := document.ledger.pending:
                    claims.intents[normalize_url(pending.url)] = other
    return claims


def _refuse_claimed(claims: _Claims, endpoint: Endpoint) -> None:
    """Refuse an endpoint that is another webhook's, or may be.

    Raises:
        GuardRefused: it is; the message says whose.
    """
    if owner := claims.owners.get(endpoint.id):
        raise GuardRefused(
            f"endpoint {endpoint.id} is in the ledger of {owner}",
            hint=f"it belongs to one webhook: name its manifest {owner}, or let {owner} go first",
        )
    if creator := claims.intents.get(endpoint.normalized_url):
        raise GuardRefused(
            f"endpoint {endpoint.id} may have been created by an interrupted change of {creator}",
            hint=FINISH_FIRST,
        )


def _document_of(session: Session, metadata: Metadata | None, name: str) -> Document | None:
    """Return what is known of the webhook's own document; None where there is none, or it was removed."""
    if metadata is None or metadata.state is VersionState.ABSENT:
        return None
    projection = metadata.projection
    if metadata.state is VersionState.LIVE:
        return session.store.read(name).document
    if metadata.is_removed:
        return None
    if metadata.state is VersionState.DELETED:
        raise GuardRefused(
            f"the document of {name} was deleted in Vault and can be undeleted",
            hint="run `reconciler apply` first, which undeletes it; then adopt, if that is still needed",
        )
    return document_from_projection(projection) if projection is not None else None
