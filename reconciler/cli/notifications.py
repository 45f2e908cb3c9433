"""Notify people by chat or mail of drift and failed applies. Off unless configured."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING

from reconciler.cli.output import write_note
from reconciler.credentials.known import KNOWN
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from reconciler.config.settings import NotificationSettings
    from reconciler.model import Run

_ONE_AT_A_TIME = threading.Lock()
"""Organizations that are processed at a time are notified of one after another: warnings are global."""
_BODY_LIMIT = 3_500
"""Characters that the smaller services accept."""


def notify(settings: NotificationSettings, run: Run, occasion: str, title: str, text: str) -> None:
    """Send a notification if `occasion` (`drift` or `failure`) is configured. A failure is only a warning.

    Args:
        settings: who is notified of what.
        run: the run, whose page is linked.
        occasion: what the notification is about.
        title: one line.
        text: the command's output, escaped by a renderer and without secrets.
    """
    if occasion not in settings.on:
        return
    addresses = os.environ.get(settings.urls_env, "").split()
    if not addresses:
        write_note(f"warning: nobody is notified: {settings.urls_env} is not set")
        return
    try:
        import apprise  # noqa: PLC0415 (an optional dependency)
    except ImportError:
        write_note(
            "warning: nobody is notified: Apprise is not installed (pip install 'webhook-reconciler[notify]')"
        )
        return
    # Its log quotes addresses, which hold tokens.
    logging.getLogger("apprise").disabled = True
    body = _cut(KNOWN.mask(text)) + (f"\n{run.url}" if run.url else "")
    for number, address in enumerate(addresses, start=1):
        messenger = apprise.Apprise()
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            # Deprecations inside the library do not concern its users.
            warnings.simplefilter("ignore")
            known = messenger.add(address)
            sent = known and messenger.notify(body=body, title=KNOWN.mask(visible(title)), body_format="text")
        if not sent:
            # The addresses are secrets: a warning names their position only.
            why = (
                "the service did not accept the notification"
                if known
                else "Apprise does not know this address"
            )
            write_note(f"warning: address {number} of {len(addresses)} in {settings.urls_env}: {why}")


def _cut(text: str) -> str:
    """Return as many whole lines as a notification can hold."""
    if len(text) <= _BODY_LIMIT:
        return text.rstrip()
    kept = text[:_BODY_LIMIT].rpartition("\n")[0]
    left_out = text.count("\n") - kept.count("\n")
    return f"{kept}\n… and {left_out:,} more lines"
