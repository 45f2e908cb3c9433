"""What is true of a change that an error ended: what exists, what is stored, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import TokenRefused
from reconciler.plan.outcome import ChangeOutcome, Result
from reconciler.plan.plan import Action
from reconciler.plan.protocol.steps import Done, Failed, Failure, SoftDelete, Wait

if TYPE_CHECKING:
    from reconciler.apply.executor import ChangeInProgress
    from reconciler.errors import ReconcilerError
    from reconciler.plan.plan import Change
    from reconciler.plan.protocol.steps import Step

_AGAIN = "run `reconciler apply` again"


def ended_by(
    error: ReconcilerError,
    change: Change,
    ongoing: ChangeInProgress | None,
    step_after_record: Step | None,
) -> ChangeOutcome:
    """Return the outcome of a change that `error` ended.

    Args:
        error: what one of its steps, or the read before the first, raised.
        change: the change.
        ongoing: how far it came; None if it could not begin.
        step_after_record: where writing the metadata failed, the step that would have followed.
    """
    # Without a valid token, the same command would fail again.
    again = error.hint if isinstance(error, TokenRefused) and error.hint else _AGAIN
    document = ongoing.stored.document if ongoing else None
    current = document.ledger.current if document else None
    endpoint_id = current.endpoint_id if current else None
    if ongoing is None:
        return ChangeOutcome(change, Result.FAILED, endpoint_id, error.message, error.hint or _AGAIN)
    unrecorded = f"the metadata that plans read could not be written: {error.message}"
    match step_after_record:
        case Done() | Wait() | SoftDelete():
            done = f"endpoint {endpoint_id} and its secret are stored in Vault; " if endpoint_id else ""
            return ChangeOutcome(
                change,
                Result.UNRECORDED,
                endpoint_id,
                done + unrecorded,
                f"{again}: it writes the record and creates nothing",
            )
        case Failed(message=message, hint=hint, failure=failure):
            result = Result.UNVERIFIED if failure is Failure.UNVERIFIED else Result.FAILED
            return ChangeOutcome(change, result, endpoint_id, f"{message}; {unrecorded}", hint)
        case _:
            pass
    made = ongoing.progress.made
    if made is None or made.endpoint.id in ongoing.progress.deleted:
        return ChangeOutcome(change, Result.FAILED, endpoint_id, error.message, error.hint or _AGAIN)
    if made.endpoint.id != endpoint_id:
        detail = f"endpoint {made.endpoint.id} was created, and its secret is not stored yet: {error.message}"
        return ChangeOutcome(
            change, Result.FAILED, made.endpoint.id, detail, f"{again}: it continues with the same endpoint"
        )
    result = Result.UNRECORDED if change.action is Action.CREATE else Result.FAILED
    detail = (
        f"endpoint {endpoint_id} was created and its secret is stored; then a step failed: {error.message}"
    )
    return ChangeOutcome(change, result, endpoint_id, detail, f"{again}: it finishes the change")
