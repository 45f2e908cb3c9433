"""Decide what one webhook needs: the table that a plan shows and that the step function follows.

It reads the public part of the ledger (`Projection`) alone, so a plan needs no secret. A plan passes the
projection that the metadata holds; the step function passes that of the document it has just read.
"""

from __future__ import annotations

import shlex
from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.model import DeletionPolicy
from reconciler.plan.plan import Action, Cause
from reconciler.ports import VersionState

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from reconciler.ledger.projection import Projection
    from reconciler.model import Endpoint, Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.ports import Metadata


class Branch(Enum):
    """The part of the protocol that carries a decision out."""

    BEGIN = auto()
    """Create an endpoint; it replaces the current one, if there is one."""
    TAKE_BACK = auto()
    """Own a released endpoint again."""
    VERIFY = auto()
    """Send a test delivery."""
    KEEP = auto()
    """Record the manifest's policy, and clean up what is due."""
    SPELLING = auto()
    """Record whether a difference is the API's spelling."""
    LEAVE = auto()
    """The endpoint is disabled: a person must decide. Until then its predecessors stay."""
    RELEASE = auto()
    """Leave the endpoint live and stop managing it."""
    REMOVE = auto()
    """Delete the endpoints and the secret."""
    REFUSE = auto()
    """The webhook is protected."""


class Decision(Struct, frozen=True):
    """What a webhook needs, and why."""

    branch: Branch
    action: Action | None = None
    """None: nothing is due."""
    reason: str = ""
    cause: Cause = Cause.MANIFEST
    problem: str | None = None
    """The conflict that blocks it."""
    hint: str | None = None


EITHER_WAY = ": an interrupted creation may have left it, or a person may have created it"
REMOVE = "remove it in Admin Center > Developer > Webhooks and run `reconciler apply` again"
# Shared, so that a plan allocates nothing for an unchanged webhook.
_UNCHANGED = Decision(Branch.KEEP)
_RELEASED = Decision(Branch.RELEASE)
_REMOVING = Decision(Branch.REMOVE)


def decide_by_metadata(
    webhook: Webhook | None, metadata: Metadata | None, live: LiveIndex, now: datetime
) -> Decision:
    """Return the decision for a plan, which does not read the document. Arguments are as for `decide`."""
    if metadata is None:
        return decide(webhook, None, VersionState.ABSENT, live, now)
    if metadata.is_interrupted:
        what = "the first creation" if metadata.projection is None else "the last change"
        reason = f"{what} was interrupted, or somebody else wrote the document"
        return _resume(Branch.REMOVE if webhook is None else Branch.KEEP, reason)
    return decide(webhook, metadata.projection, metadata.state, live, now)


def decide(
    webhook: Webhook | None,
    projection: Projection | None,
    state: VersionState,
    live: LiveIndex,
    now: datetime,
    *,
    explained: Collection[str] = (),
) -> Decision:
    """Return what the manifest, the ledger's public part and the live endpoints ask for.

    Args:
        webhook: the manifest; None where there is none.
        projection: the ledger's public part; None without a document.
        state: the state of the document's newest version.
        live: the live endpoints.
        now: the current time (aware).
        explained: endpoints that abandoned attempts of this webhook created: they are not conflicts.

    The first row that applies counts. An endpoint is *as asked* if it has the manifest's URL and events, or
    what the API made of exactly these.

    | manifest | ledger | endpoint, secret, time | action, cause | branch |
    |---|---|---|---|---|
    | no | no document, or removed | - | - | remove |
    | yes | no document, or removed | - | create, manifest | begin |
    | any | removed, and its secret is still live | - | resume, interrupted | remove |
    | no | released | next step due | resume, rotation | release |
    | no | released | - | - | release |
    | no | removing | next step due | resume, rotation | remove |
    | no | removing | nothing to wait for | resume, interrupted | remove |
    | no | removing | - | - | remove |
    | no | no endpoint | - | update, manifest | remove |
    | no | policy Retain | - | release, manifest | release |
    | no | policy Protect | - | delete, manifest | refuse |
    | no | policy Delete | - | delete, manifest | remove |
    | yes | removing | - | resume, interrupted | remove |
    | yes | released | gone | create, manifest | begin |
    | yes | released | live | update, manifest | take back |
    | yes | no endpoint | - | create, manifest | begin |
    | changed | any | not as asked | replace, manifest | begin |
    | same | any | not as asked | replace, drift | begin |
    | yes | any | secret missing or destroyed | replace, drift | begin |
    | yes | any | secret older than `createdAfter` | rotate, rotation | begin |
    | yes | any | secret deleted | update, drift | keep |
    | yes | another policy | disabled | update, manifest | leave |
    | yes | any | disabled | none, drift | leave |
    | yes | any | not verified, and a test is wanted | resume, interrupted | verify |
    | yes | any | not verified, and a test is wanted since then | resume, manifest | verify |
    | yes | another policy | - | update, manifest | keep |
    | yes | any | next step due | resume, rotation | keep |
    | yes | a spelling is suspected | shown in it, or as asked | update, manifest | spelling |
    | yes | any | - | - | keep |
    """
    is_removed = projection is not None and projection.state == "deleted"
    if projection is None or state is VersionState.ABSENT or (is_removed and state is not VersionState.LIVE):
        if webhook is None:
            return _REMOVING
        return _begin(Action.CREATE, "the manifest is new", Cause.MANIFEST, webhook, None, live, explained)
    if is_removed:
        return _resume(Branch.REMOVE, "the removal was interrupted")
    if webhook is None:
        return _without_manifest(projection, now)
    if projection.state == "removing":
        return _resume(Branch.REMOVE, "the removal must be finished first")
    if projection.state == "released":
        return _returned(webhook, projection, live, explained)
    endpoint = live.get(projection.endpoint_id) if projection.endpoint_id is not None else None
    if needed := _needed(webhook, projection, state, endpoint, now):
        return _begin(*needed, webhook, projection, live, explained)
    return _as_asked(webhook, projection, state, endpoint, now)


def _as_asked(
    webhook: Webhook, projection: Projection, state: VersionState, endpoint: Endpoint | None, now: datetime
) -> Decision:
    """Decide for a webhook whose endpoint is as asked."""
    is_disabled = endpoint is not None and not endpoint.enabled
    if state is VersionState.DELETED:
        reason = "the secret was deleted in Vault and will be undeleted"
        return Decision(Branch.KEEP, Action.UPDATE, reason, Cause.DRIFT)
    if not is_disabled and projection.verified_at is None and webhook.test:
        if projection.state == "unverified":
            return _resume(Branch.VERIFY, "no test delivery has been accepted yet")
        return Decision(Branch.VERIFY, Action.RESUME, "the manifest asks for a test delivery now")
    if projection.deletion_policy is not webhook.deletion_policy:
        # Before what is due: a cleanup alone must not record what nobody has applied yet.
        reason = f"deletionPolicy: {projection.deletion_policy} becomes {webhook.deletion_policy}"
        return Decision(Branch.LEAVE if is_disabled else Branch.KEEP, Action.UPDATE, reason)
    if not is_disabled and projection.next_due is not None and projection.next_due <= now:
        return _cleanup(Branch.KEEP, _due(projection))
    if is_disabled:
        reason = f"endpoint {projection.endpoint_id} is disabled: it receives no events"
        return Decision(Branch.LEAVE, Action.NONE, reason, Cause.DRIFT)
    if projection.suspected_digest is not None and endpoint is not None:
        return Decision(Branch.SPELLING, Action.UPDATE, _spelled(webhook, projection, endpoint))
    return _UNCHANGED


def _spelled(webhook: Webhook, projection: Projection, endpoint: Endpoint) -> str:
    """Return what is recorded about a suspected spelling."""
    if endpoint.digest != projection.suspected_digest or endpoint.serves(webhook):
        return "the endpoint is listed as asked: the difference before was not the API's spelling"
    return (
        f"the API lists endpoint {endpoint.id} in its own spelling, as it did with the one that was replaced "
        "for that: it is recorded, and not drift"
    )


def _resume(branch: Branch, reason: str) -> Decision:
    return Decision(branch, Action.RESUME, reason, Cause.INTERRUPTED)


def _cleanup(branch: Branch, reason: str) -> Decision:
    """Return the decision for what a review approved with an earlier change, and whose time has come."""
    return Decision(branch, Action.RESUME, reason, Cause.ROTATION)


def _begin(
    action: Action,
    reason: str,
    cause: Cause,
    webhook: Webhook,
    projection: Projection | None,
    live: LiveIndex,
    explained: Collection[str],
) -> Decision:
    current_id, owned = (projection.endpoint_id, projection.owned_ids) if projection else (None, ())
    at_url = live.at(webhook.normalized_url) if projection and projection.abandoned else ()
    # What the attempts asked for is not in the metadata: mostly, it is what the manifest asks for.
    ambiguous = [e.id for e in at_url if e.events == webhook.events and not live.is_recorded(e.id)]
    found = conflict(webhook, current_id, owned, live, explained, ambiguous=ambiguous)
    problem, hint = found or (None, None)
    return Decision(Branch.BEGIN, action, reason, cause, problem, hint)


def _without_manifest(projection: Projection, now: datetime) -> Decision:
    due = projection.next_due
    if projection.state == "released":
        if due is None or due > now:
            return _RELEASED
        return _cleanup(Branch.RELEASE, "the replaced secret has expired and will be dropped")
    if projection.state == "removing":
        if due is None:
            return _resume(Branch.REMOVE, "the removal must be finished")
        return _REMOVING if due > now else _cleanup(Branch.REMOVE, "the removal can be finished now")
    if projection.endpoint_id is None:
        return Decision(Branch.REMOVE, Action.UPDATE, "the manifest is gone, and there is no endpoint")
    match projection.deletion_policy:
        case DeletionPolicy.RETAIN:
            return Decision(Branch.RELEASE, Action.RELEASE, "the manifest is gone, and its policy is Retain")
        case DeletionPolicy.PROTECT:
            return Decision(Branch.REFUSE, Action.DELETE, "the manifest is gone")
        case DeletionPolicy.DELETE:
            return Decision(Branch.REMOVE, Action.DELETE, "the manifest is gone")


def _returned(
    webhook: Webhook, projection: Projection, live: LiveIndex, explained: Collection[str]
) -> Decision:
    """Decide for a released webhook whose manifest came back."""
    reason, endpoint = "the manifest came back", live.get(projection.endpoint_id or "")
    if endpoint is None:
        return _begin(Action.CREATE, reason, Cause.MANIFEST, webhook, projection, live, explained)
    if endpoint.serves(webhook):
        return Decision(Branch.TAKE_BACK, Action.UPDATE, reason)
    return Decision(
        Branch.TAKE_BACK,
        Action.UPDATE,
        reason,
        problem=f"endpoint {endpoint.id}, released earlier, has another URL or other events",
        hint="to take it back, give the manifest its URL and events; otherwise remove the endpoint",
    )


def _needed(
    webhook: Webhook, projection: Projection, state: VersionState, endpoint: Endpoint | None, now: datetime
) -> tuple[Action, str, Cause] | None:
    """Return why a new endpoint is needed; None: the current one is as asked, and has its secret."""
    if projection.endpoint_id is None:
        return Action.CREATE, "the manifest is new", Cause.MANIFEST
    if endpoint is None or not (endpoint.serves(webhook) or _is_as_made(endpoint, webhook, projection)):
        if webhook.digest != projection.digest:
            return Action.REPLACE, "the manifest was changed", Cause.MANIFEST
        what = "is gone" if endpoint is None else "was changed outside"
        return Action.REPLACE, f"endpoint {projection.endpoint_id} {what}", Cause.DRIFT
    created_at = projection.secret_created_at
    if created_at is None or state is VersionState.DESTROYED:
        return Action.REPLACE, "the signing secret is missing in Vault", Cause.DRIFT
    if webhook.created_after is not None and created_at < webhook.created_after <= now:
        return Action.ROTATE, _rotation_reason(webhook, webhook.created_after), Cause.ROTATION
    return None


def _rotation_reason(webhook: Webhook, created_after: datetime) -> str:
    if webhook.rotate:
        return f"`reconciler rotate{' --now' if webhook.revoke else ''}` replaces the signing secret"
    return f"the signing secret is older than {created_after.isoformat()}"


def _is_as_made(endpoint: Endpoint, webhook: Webhook, projection: Projection) -> bool:
    """Whether the endpoint still is what the API made of exactly this manifest.

    An API may write a URL or the events in its own way: what has not changed since is not drift. Nor is what
    it lists for an endpoint that replaced one for the same difference.
    """
    made = projection.live_digest or projection.digest
    return webhook.digest == projection.digest and endpoint.digest in {
        made,
        projection.spelled_digest,
        projection.suspected_digest,
    }


def _due(projection: Projection) -> str:
    if projection.previous_ids:
        return "overlap ended; the old endpoint will be deleted"
    if projection.abandoned:
        return "cleanup after an abandoned attempt is due"
    return "the replaced secret has expired and will be dropped"


def conflict(
    webhook: Webhook,
    current_id: str | None,
    owned: Collection[str],
    live: LiveIndex,
    explained: Collection[str],
    *,
    ambiguous: Collection[str] = (),
) -> tuple[str, str] | None:
    """Return what is wrong and what to do if an unmanaged endpoint has the URL of a new one; else None.

    Where an endpoint of this webhook already serves that URL, an unmanaged one beside it does not matter.

    Args:
        webhook: the manifest.
        current_id: the webhook's current endpoint, if it has one.
        owned: the webhook's own endpoints.
        live: the live endpoints.
        explained: endpoints that abandoned attempts of this webhook created: the sweep deletes them.
        ambiguous: endpoints that such attempts may have created, without evidence: a person may have.
    """
    neighbours = live.at(webhook.normalized_url)
    if any(endpoint.id in owned for endpoint in neighbours):
        return None
    for endpoint in neighbours:
        if live.is_owned(endpoint.id) or endpoint.id in explained:
            continue
        url = mask_unreviewed(endpoint.url, webhook.url)
        problem = f"endpoint {endpoint.id} is live at {url} and not in the ledger"
        if endpoint.id in ambiguous:
            problem += EITHER_WAY
        if current_id is not None and live.get(current_id) is not None:
            # Adopting another endpoint would give up the one that this webhook has.
            return problem, f"choose another URL, or remove it: {webhook.name} has an endpoint already"
        otherwise = REMOVE if endpoint.id in ambiguous else "choose another URL"
        return problem, f"{take_over(webhook.name, endpoint)}, or {otherwise}"
    return None


def take_over(name: str, endpoint: Endpoint) -> str:
    """Return how to make an unmanaged endpoint a webhook's own."""
    command = f"reconciler adopt {name} --id {shlex.quote(endpoint.id)} --rotate"
    return f"take it over with `{command}` (`--secret-stdin` instead of `--rotate` keeps its secret)"
