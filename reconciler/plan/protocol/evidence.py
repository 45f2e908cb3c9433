"""When the request of an intent may have been carried out: the evidence by which a leftover is recognised.

A window is written with the intent, before its request is sent, and ends at the latest possible moment. Once
the request has ended, the windows of its tries replace it. A run that is killed leaves the first one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.model import SendingWindow
from reconciler.retry import LONGEST_OPERATION

if TYPE_CHECKING:
    from reconciler.ledger.ledger import Pending
    from reconciler.plan.protocol.state import State
    from reconciler.ports import Created

LONGEST_SENDING = timedelta(seconds=LONGEST_OPERATION)
"""After this time, the request of a run that was killed is no longer under way."""
ANNOUNCED_FOR = timedelta(seconds=30)
"""So long after its announcement a request may be sent: the rest of its window is for the request itself."""


def announced_window(s: State) -> SendingWindow:
    """Return the window of a request that is about to be sent: it ends at the latest possible moment."""
    return SendingWindow(s.api_time, s.api_time + LONGEST_SENDING)


def windows_of(pending: Pending) -> tuple[SendingWindow, ...]:
    """Return when the request may have been carried out, by the ledger."""
    if pending.windows is None:
        # An older version sent it, right after it had written the intent.
        return (SendingWindow(pending.written_at, pending.written_at + LONGEST_SENDING),)
    return pending.windows


def _opened(s: State, pending: Pending) -> SendingWindow | None:
    """Return the window that this run has opened for its own request, while the ledger has it."""
    key, window = s.progress.opened or (None, None)
    return window if key == pending.idempotency_key and window in windows_of(pending) else None


def evidence_of(
    s: State, pending: Pending, windows: tuple[SendingWindow, ...] = ()
) -> tuple[SendingWindow, ...]:
    """Return when the request may have been carried out, now that this run's own request has ended.

    `windows` are those of that request; the one that was opened for it is no longer needed.
    """
    known = list(windows_of(pending))
    if (opened := _opened(s, pending)) is not None:
        known.remove(opened)
    return (*known, *windows)


def is_recorded(s: State, pending: Pending) -> bool:
    """Whether the ledger says how this run's own request ended."""
    return _opened(s, pending) is None


def until_now(s: State, pending: Pending, made: Created) -> tuple[SendingWindow, ...]:
    """Return when this run's request was under way, until it created an endpoint that is useless."""
    opened = _opened(s, pending)
    began = s.api_time if opened is None else opened.began
    return (*made.windows, SendingWindow(began, max(began, s.api_time)))


def is_announced(s: State, pending: Pending) -> bool:
    """Whether the ledger says that this run is about to send the request, and has said so just now."""
    opened = _opened(s, pending)
    return opened is not None and timedelta(0) <= s.api_time - opened.began <= ANNOUNCED_FOR
