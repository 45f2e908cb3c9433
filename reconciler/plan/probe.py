"""What a probe has observed of the API, and what follows where the protocol assumes something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.ports import (
    Created,
    Deleted,
    Delivered,
    NotDelivered,
    Refused,
    Unanswered,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model import Endpoint, Secret
    from reconciler.ports import CreateAnswer, DeleteAnswer, TestAnswer

_FIELDS = {"id", "url", "events", "created", "status", "enabled", "description"}
_ACCEPTED = 202
_CONFLICT = 409
UNSUPPORTED = frozenset({405, 501})
"""The statuses of an API that cannot delete."""
_BY_HAND = "remove endpoints in Admin Center > Developer > Webhooks; until then they stay live"


class Finding(Struct, frozen=True):
    """One aspect of the API where its documentation is silent."""

    aspect: str
    observed: str
    as_assumed: bool | None
    """Whether it is what the protocol assumes; None: it was not observed, or nothing is assumed."""
    consequence: str | None = None
    """What follows from a difference."""


class Leftover(Struct, frozen=True):
    """An endpoint of a probe that may still be live."""

    endpoint_id: str | None
    """None where no response has named it."""
    reason: str
    hint: str


class ProbeReport(Struct, frozen=True):
    """What a probe found, and whether it left anything."""

    url: str
    findings: tuple[Finding, ...]
    removed: tuple[str, ...] = ()
    """The endpoints of an interrupted probe that this run has deleted."""
    left: tuple[Leftover, ...] = ()
    failure: str | None = None
    """Why the probe ended early."""
    hint: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything was observed and nothing is left."""
        return self.failure is None and not self.left


class Observations(Struct):
    """What one probe has seen so far; None: not observed."""

    url: str
    events: tuple[str, ...]
    secret: Secret
    created: CreateAnswer | None = None
    listed: Endpoint | None = None
    lag: float | None = None
    """Seconds from the creation until the endpoint was listed."""
    longest_lag: float | None = None
    """How long a listing was waited for that did not show it."""
    fields: tuple[str, ...] = ()
    """The fields of the listed endpoints."""
    replayed: CreateAnswer | None = None
    tested: TestAnswer | None = None
    duplicate: CreateAnswer | None = None
    deleted: DeleteAnswer | None = None
    delete_status: int | None = None
    gone_after: float | None = None
    """Seconds from the deletion until the endpoint was not listed any more."""
    longest_presence: float | None = None
    """How long a listing was waited for that still showed it."""
    rate_limit_headers: tuple[str, ...] = ()


def findings(seen: Observations) -> tuple[Finding, ...]:
    """Return what was observed, in the order of the requests, with the consequences of each difference."""
    return tuple(_findings(seen))


def _findings(seen: Observations) -> Iterator[Finding]:
    if seen.created is None:
        return
    yield _creation(seen.created)
    if isinstance(seen.created, Created):
        yield _client_secret(seen.created, seen.secret)
        yield from _listing(seen)
        if seen.replayed is not None:
            yield _idempotency_key(seen.created, seen.replayed)
        if seen.tested is not None:
            yield _test(seen.tested)
        if seen.duplicate is not None:
            yield _duplicate(seen.created, seen.duplicate)
        if seen.deleted is not None:
            yield from _deletion(seen, seen.deleted)
    yield _rate_limit(seen.rate_limit_headers)


def _creation(created: CreateAnswer) -> Finding:
    if isinstance(created, Created):
        return Finding("creation", f"endpoint {created.endpoint.id} was created", as_assumed=True)
    consequence = "`apply` will meet the same answer: the API's message says why"
    return Finding("creation", _refusal(created), as_assumed=False, consequence=consequence)


def _refusal(answer: Refused | Unanswered) -> str:
    return f"refused: {answer}" if isinstance(answer, Refused) else f"no usable response: {answer}"


def _client_secret(created: Created, proposed: Secret) -> Finding:
    aspect = "client secret"
    if created.secret is None:
        return Finding(
            aspect,
            "the response shows no signing secret",
            as_assumed=False,
            consequence="no webhook can be created: `apply` deletes an endpoint whose secret is unknown",
        )
    if created.secret == proposed:
        return Finding(aspect, "honoured: the endpoint has the secret that was sent", as_assumed=True)
    return Finding(
        aspect,
        "not honoured: the API returned a secret of its own",
        as_assumed=False,
        consequence="`apply` stores the returned secret; deliveries before that cannot be verified",
    )


def _listing(seen: Observations) -> Iterator[Finding]:
    aspect = "listing lag"
    if seen.lag is None:
        if seen.longest_lag is not None:
            yield Finding(
                aspect,
                f"not listed within {seen.longest_lag:.0f} s",
                as_assumed=False,
                consequence="a plan right after an apply may report new endpoints as missing",
            )
        return
    if seen.lag < 1:
        yield Finding(aspect, "listed immediately", as_assumed=True)
    else:
        yield Finding(
            aspect,
            f"listed after {seen.lag:.0f} s",
            as_assumed=False,
            consequence="a plan right after an apply may not see what the apply has created",
        )
    if seen.listed is not None:
        yield _spelling(
            "URL", seen.url, mask_unreviewed(seen.listed.url, seen.url), same=seen.listed.url == seen.url
        )
        same = seen.listed.events == seen.events
        yield _spelling("events", ", ".join(seen.events), ", ".join(seen.listed.events), same=same)
        yield _fields(seen)
        yield _created(seen.listed)


def _spelling(what: str, sent: str, listed: str, *, same: bool) -> Finding:
    aspect = f"spelling of {what}"
    if same:
        return Finding(
            aspect, "listed as they were sent" if what == "events" else "listed as it was sent", True
        )
    return Finding(
        aspect,
        f"sent as {sent}, listed as {listed}",
        as_assumed=False,
        consequence="a webhook for which this makes a difference is replaced at most once; then the spelling "
        "is recorded",
    )


def _fields(seen: Observations) -> Finding:
    unknown = sorted(set(seen.fields) - _FIELDS)
    return Finding(
        "fields of the listing",
        ", ".join(seen.fields) or "unknown",
        as_assumed=None,
        consequence=f"not used: {', '.join(unknown)}" if unknown else None,
    )


def _created(listed: Endpoint) -> Finding:
    if listed.created is not None:
        return Finding("creation time", "listed with its time zone", as_assumed=True)
    return Finding(
        "creation time",
        "the listing has no usable `created`",
        as_assumed=False,
        consequence="a leftover of an interrupted creation cannot be distinguished from a person's endpoint: "
        "it is reported as a conflict and never deleted",
    )


def _idempotency_key(created: Created, replayed: CreateAnswer) -> Finding:
    aspect = "idempotency key"
    if not isinstance(replayed, Created):
        return Finding(
            aspect,
            f"a repeated request was {_refusal(replayed)}",
            as_assumed=False,
            consequence="after a lost response, the endpoint is found by its creation time and deleted",
        )
    if replayed.endpoint.id != created.endpoint.id:
        return Finding(
            aspect,
            f"not honoured: a repeated request created another endpoint ({replayed.endpoint.id})",
            as_assumed=False,
            consequence="after a lost response there may be two endpoints: the sweep finds one by its "
            "creation time and deletes it",
        )
    if replayed.secret is None:
        return Finding(
            aspect,
            "honoured, but the repeated response hides the secret",
            as_assumed=False,
            consequence="after a lost response, the endpoint is deleted and created again under another key",
        )
    if created.secret is not None and replayed.secret != created.secret:
        return Finding(
            aspect,
            "honoured, but the repeated response shows another secret",
            as_assumed=False,
            consequence="after a lost response, deliveries may not verify: run `reconciler rotate NAME`",
        )
    return Finding(aspect, "honoured: the same endpoint and secret are returned", as_assumed=True)


def _test(tested: TestAnswer) -> Finding:
    aspect = "test delivery"
    match tested:
        case Delivered():
            return Finding(aspect, "sent and accepted", as_assumed=True)
        case NotDelivered(reason=reason):
            return Finding(
                aspect,
                f"sent and not accepted: {reason}",
                as_assumed=None,
                consequence="a receiver does not know the probe's secret: nothing follows for webhooks",
            )
        case _:
            return Finding(
                aspect,
                _refusal(tested),
                as_assumed=False,
                consequence="new endpoints stay unverified: set `test: false` in the manifests",
            )


def _duplicate(created: Created, duplicate: CreateAnswer) -> Finding:
    aspect = "duplicate URL"
    if isinstance(duplicate, Created):
        if duplicate.endpoint.id != created.endpoint.id:
            return Finding(aspect, "accepted: two endpoints can have one URL", as_assumed=True)
        observed = "the existing endpoint is returned for another key"
    elif isinstance(duplicate, Refused) and duplicate.status != _CONFLICT:
        return Finding(
            aspect,
            _refusal(duplicate),
            as_assumed=False,
            consequence="a replacement needs a second endpoint for a moment: if this is a limit, set "
            "`allowEventGap: true` in the manifests",
        )
    else:
        observed = _refusal(duplicate)
    return Finding(
        aspect,
        observed,
        as_assumed=False,
        consequence="replacements and rotations need `allowEventGap: true`: events in between are lost",
    )


def _deletion(seen: Observations, deleted: DeleteAnswer) -> Iterator[Finding]:
    aspect = "answer to DELETE"
    if not isinstance(deleted, Deleted):
        is_unsupported = isinstance(deleted, Refused) and deleted.status in UNSUPPORTED
        observed = f"not supported: {deleted}" if is_unsupported else _refusal(deleted)
        yield Finding(aspect, observed, as_assumed=False, consequence=_BY_HAND)
        return
    status = seen.delete_status
    is_late = status == _ACCEPTED
    yield Finding(
        aspect,
        "deleted" if status is None else f"deleted, HTTP {status}",
        as_assumed=not is_late,
        consequence="the endpoint may receive events for a while after its deletion" if is_late else None,
    )
    aspect = "listing after DELETE"
    if seen.gone_after is None:
        if seen.longest_presence is not None:
            yield Finding(
                aspect,
                f"still listed after {seen.longest_presence:.0f} s",
                as_assumed=False,
                consequence="deleted endpoints are reported as unmanaged until the listing omits them",
            )
    elif seen.gone_after < 1:
        yield Finding(aspect, "omitted immediately", as_assumed=True)
    else:
        yield Finding(
            aspect,
            f"omitted after {seen.gone_after:.0f} s",
            as_assumed=False,
            consequence="until then, deleted endpoints are reported as unmanaged",
        )


def _rate_limit(headers: tuple[str, ...]) -> Finding:
    if headers:
        return Finding("rate-limit headers", ", ".join(headers), as_assumed=True)
    return Finding(
        "rate-limit headers",
        "none",
        as_assumed=False,
        consequence="only a 429 shows the quota: set `api.requestsPerMinute` in reconciler.yaml",
    )
