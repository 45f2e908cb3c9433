"""Run a command and write its time and its peak memory: `stopwatch.py REPORT COMMAND…`.

REPORT becomes a JSON object: `code` (the exit code), `seconds`, `cpu_seconds`, `megabytes` (`ru_maxrss`).
This is a separate and small program, because on Linux the peak of a command includes the memory of its parent
at the start: a large parent would hide the memory of each command.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the command and write the report."""
    report, *command = sys.argv[1:]
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    # macOS counts bytes, Linux kilobytes.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    result = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / unit,
    }
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 (pathlib would cost memory here)
        json.dump(result, file)


main()
