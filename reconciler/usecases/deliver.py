"""Send test deliveries and report the results. Nothing is recorded: only `apply` verifies a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.apply.executor import MAX_SILENCE
from reconciler.errors import ApiError, InvalidInput
from reconciler.plan.outcome import DeliveryOutcome, DeliveryResult
from reconciler.plan.protocol.state import refuses_key
from reconciler.ports import Delivered, NotDelivered, Refused, Unanswered
from reconciler.texts import did_you_mean
from reconciler.usecases.plan import read_metadata

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterator

    from reconciler.ledger.projection import Projection
    from reconciler.ports import TestAnswer
    from reconciler.session import Session

WRONG_SECRET_HINT = (
    "let it read the webhook's document in Vault (for `reconciler receive`: check --secrets, the prefix, and"
    " the log for `secrets not read`), then run `reconciler test {name}`"
)
"""What to do about a receiver that refuses a signature; with the webhook's `name`."""
_TESTED = {"active", "unverified"}
"""The states of a webhook that has an endpoint of its own."""


def deliver_tests(
    session: Session,
    names: Collection[str],
    stop: threading.Event,
    is_ours: Callable[[str], bool] = lambda _url: False,
) -> tuple[DeliveryOutcome, ...]:
    """Send a test delivery to the endpoint of each of `names` (none: of all webhooks), by name.

    Ends early when `stop` is set, or when the API has fallen silent: what is left is not attempted.
    `is_ours` says whether `reconciler receive` answers at a URL; asked only about those that answered 401.

    Raises:
        InvalidInput: one of `names` has no endpoint in the ledger; nothing was sent.
        ApiError: the API refuses the key.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    chosen = webhooks_with_endpoint(session, names)
    session.reporter.planned(len(chosen))
    return tuple(_deliver(session, chosen, stop, is_ours))


def webhooks_with_endpoint(session: Session, names: Collection[str]) -> dict[str, Projection]:
    """Return the webhooks of `names` (none: all) that have an endpoint, by name.

    Raises:
        InvalidInput: one of `names` has none.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    having = {
        name: entry.projection
        for name, entry in read_metadata(session).items()
        if entry.projection is not None
        and entry.projection.state in _TESTED
        and entry.projection.endpoint_id is not None
    }
    if unknown := sorted(set(names) - having.keys()):
        raise InvalidInput(
            f"no endpoint to test for {', '.join(unknown)}",
            hint=did_you_mean(
                unknown,
                having,
                "`reconciler status` lists the webhooks; `reconciler apply` creates what is missing",
            ),
        )
    return {name: having[name] for name in sorted(names or having)}


def _deliver(
    session: Session, chosen: dict[str, Projection], stop: threading.Event, is_ours: Callable[[str], bool]
) -> Iterator[DeliveryOutcome]:
    silence = 0
    for name, projection in chosen.items():
        endpoint_id = projection.endpoint_id or ""
        if stop.is_set() or silence >= MAX_SILENCE:
            yield DeliveryOutcome(name, endpoint_id, projection.url, DeliveryResult.NOT_ATTEMPTED)
            continue
        session.reporter.step(name, "send a test delivery", 1)
        answer = session.api.test(endpoint_id)
        silence = silence + 1 if isinstance(answer, Unanswered) else 0
        delivery = _judge(name, projection, answer, is_ours)
        ok = delivery.result is DeliveryResult.DELIVERED
        session.reporter.finished(name, "test", ok=ok, detail=delivery.detail)
        yield delivery


def _judge(
    name: str, projection: Projection, answer: TestAnswer, is_ours: Callable[[str], bool]
) -> DeliveryOutcome:
    """Return what an answer means.

    Raises:
        ApiError: the API refuses the key, and so will refuse the rest.
    """
    endpoint_id, url = projection.endpoint_id or "", projection.url
    match answer:
        case Delivered(request_id=request_id):
            return DeliveryOutcome(name, endpoint_id, url, DeliveryResult.DELIVERED, request_id=request_id)
        case NotDelivered(reason=reason, request_id=request_id, status=401):
            receiver = "`reconciler receive`" if is_ours(url or "") else "the receiver"
            detail = f"{reason}: {receiver} has another signing secret than the API"
            hint = WRONG_SECRET_HINT.format(name=name)
            return DeliveryOutcome(name, endpoint_id, url, DeliveryResult.FAILED, detail, hint, request_id)
        case NotDelivered(reason=reason, request_id=request_id):
            hint = "repair the receiver: it must answer 2xx within 10 seconds"
            return DeliveryOutcome(name, endpoint_id, url, DeliveryResult.FAILED, reason, hint, request_id)
        case Refused() if refuses_key(answer):
            raise ApiError(
                f"the API refused the key: {answer}", hint="check the API key", status=answer.status
            )
        case Refused(status=404):
            detail = f"endpoint {endpoint_id} is not live"
            hint = "`reconciler drift` shows what happened, `reconciler apply` creates a new one"
            return DeliveryOutcome(
                name, endpoint_id, url, DeliveryResult.FAILED, detail, hint, answer.request_id
            )
        case Refused() | Unanswered():
            hint = f"run `reconciler test {name}` again"
            return DeliveryOutcome(
                name, endpoint_id, url, DeliveryResult.FAILED, str(answer), hint, answer.request_id
            )
