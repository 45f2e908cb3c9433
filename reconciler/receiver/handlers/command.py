"""Run a command for each event, without a shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.receiver.handing import HandlingFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.receiver.event import Event

_STDERR = 2
_CREDENTIALS = re.compile(
    r"VAULT_(?:TOKEN|ROLE_ID|SECRET_ID)|ZOF_[A-Z0-9_]+|RECONCILER_(?:INBOX|NOTIFY_[A-Z0-9_]+)"
)
"""The configuration may name the variable of an API key, `ZOF_…`, and that of notifications."""


class RunCommand:
    """Runs a program with the event's body on its standard input; exit code 0 accepts the event."""

    def __init__(
        self, command: str, *, timeout: float = 30.0, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Run nothing yet.

        Args:
            command: the program and its arguments, quoted as in a shell. No shell interprets it, and nothing
                of an event becomes an argument.
            timeout: the program is killed after so many seconds.
            environ: its environment, apart from the receiver's own credentials.

        Raises:
            UsageError: the program does not exist.
        """
        try:
            self._arguments = shlex.split(command)
        except ValueError:
            self._arguments = []
        if not self._arguments:
            raise UsageError(
                "--exec is not a command", hint="quote it as for a shell: --exec './page.sh --team a'"
            )
        if shutil.which(self._arguments[0]) is None:
            raise UsageError(
                f"--exec: program {self._arguments[0]} not found",
                hint="name one that exists and is executable",
            )
        self._timeout = timeout
        self._environ = {name: value for name, value in environ.items() if not _CREDENTIALS.fullmatch(name)}

    def __call__(self, event: Event) -> None:
        """Run the command.

        Raises:
            HandlingFailed: it did not start, did not end in time, or did not exit with 0.
        """
        environ = {
            **self._environ,
            "ZOF_WEBHOOK": event.webhook,
            "ZOF_EVENT_ID": event.id,
            "ZOF_EVENT_TYPE": event.type,
            "ZOF_SIGNATURE": event.signature,
        }
        try:
            # Its output goes to stderr: stdout is for results of our own.
            done = subprocess.run(
                self._arguments,
                input=event.body,
                env=environ,
                stdout=_STDERR,
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HandlingFailed(f"the command did not end within {self._timeout:g} s") from None
        except OSError as error:
            raise HandlingFailed(f"the command did not start: {error.strerror}") from None
        if done.returncode:
            how = (
                f"exited with {done.returncode}"
                if done.returncode > 0
                else f"died of signal {-done.returncode}"
            )
            raise HandlingFailed(f"the command {how}")
