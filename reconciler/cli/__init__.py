"""The command line: the only place that builds real objects and knows exit codes."""

from __future__ import annotations

import gc
import os
import sys

_YOUNG_OBJECTS = 500_000
"""How many new objects make Python look for cycles: nearly all live to the end, so its 700 are too few.

A request leaves some 45 in cycles, so an `apply` of hours still has its own collected.
"""


def main() -> None:
    """Run the program and end the process with an exit code of `errors.ExitCode`."""
    _open_standard_streams()
    if sys.argv[1:] == ["--version"]:
        # Answered before click is imported: scripts ask for it often.
        from reconciler import __version__  # noqa: PLC0415 (lazy on purpose)

        try:
            sys.stdout.write(f"reconciler {__version__}\n")
            sys.stdout.flush()
        except OSError:
            pass  # click reports it
        else:
            return
    gc.set_threshold(_YOUNG_OBJECTS)
    # httpx imports its own command line where it can, and with it rich and pygments: a tenth of our start.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from reconciler.cli.app import reconciler  # noqa: PLC0415 (lazy on purpose)

    try:
        reconciler.main(prog_name="reconciler")
    finally:
        # Python ends with a search for cycles in all that there is: a sixth of a small plan's time.
        gc.freeze()


def _open_standard_streams() -> None:
    """Open each of stdin, stdout and stderr that is closed: else a connection would take its number.

    Python has no stream object for one that is closed. Reading finds the end; writing to stdout fails, which
    is reported; what is written to stderr goes nowhere.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        # A locale without our characters shows escapes; it does not end the run.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
