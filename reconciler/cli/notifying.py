"""Tell people where they are, in chat or by mail, of drift and of failed applies: off unless configured."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.config.settings import NotificationSettings
    from reconciler.model import Run

_BODY_LIMIT = 3_500
"""Characters: what the smaller services take."""
_INSTALL = "pip install 'webhook-reconciler[notify]'"


class Notifier:
    """Sends to the addresses that the configuration names. What goes wrong is a warning, never a failure."""

    def __init__(
        self,
        settings: NotificationSettings,
        environ: Mapping[str, str],
        run: Run,
        warn: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._run = run
        self._warn = warn

    def tell(self, occasion: str, title: str, text: str) -> None:
        """Send a notification, if `occasion` (`drift` or `failure`) is one that is asked for.

        Args:
            occasion: what it is about.
            title: one line.
            text: what the command says; a renderer has escaped it, and it holds no secret.
        """
        if occasion not in self._settings.on:
            return
        addresses = self._environ.get(self._settings.urls_env, "").split()
        if not addresses:
            self._warn(f"nobody is notified: {self._settings.urls_env} is not set")
            return
        try:
            import apprise  # noqa: PLC0415 (an extra, which nobody pays for who does not use it)
        except ImportError:
            self._warn(f"nobody is notified: the library is missing ({_INSTALL})")
            return
        # Its log quotes addresses, which hold tokens.
        logging.getLogger("apprise").disabled = True
        body = _cut(text) + (f"\n{self._run.url}" if self._run.url else "")
        for number, address in enumerate(addresses, start=1):
            messenger = apprise.Apprise()
            with warnings.catch_warnings():
                # What the library does with old modules is no news to its users.
                warnings.simplefilter("ignore")
                known = messenger.add(address)
                taken = known and messenger.notify(body=body, title=visible(title), body_format="text")
            if not taken:
                # The addresses are secrets: they are told by their number.
                why = "took no notification" if known else "is none that Apprise knows"
                self._warn(f"address {number} of {len(addresses)} in {self._settings.urls_env} {why}")


def _cut(text: str) -> str:
    """Return as many whole lines as a notification has room for."""
    if len(text) <= _BODY_LIMIT:
        return text.rstrip()
    kept = text[:_BODY_LIMIT].rpartition("\n")[0]
    left_out = text.count("\n") - kept.count("\n")
    return f"{kept}\n… and {left_out:,} more lines"
