"""Evaluate policies in a process of their own, which the operating system ends if one exceeds its limits."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
from functools import cache
from typing import Any, NamedTuple

from reconciler.child_processes import child_environment
from reconciler.manifest.lint.policy_worker import LIMITS, NO_MEMORY, Limits

_PROGRAM = """
import sys
limits, sys.path[:] = sys.argv[1:4], sys.argv[4:]
from reconciler.manifest.lint.policy_worker import main
main(*limits)
"""
_LONGEST_ANSWER = 64 * 1024**2


# Libraries that get no memory, or whose stack is full, end the process; so may the system.
_OUT_OF_MEMORY = {NO_MEMORY, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGKILL}


class Job(NamedTuple):
    """A policy's JSON Schema, and the schemas of its caps."""

    policy: dict[str, Any]
    caps: list[Any]


class OverBudget(Exception):
    """The evaluation takes too long or too much memory; the text says which, in words that follow "needs"."""


class PolicyProcess:
    """The process: started when a policy is sent, and again after one that it did not survive.

    It evaluates the policy that was sent last.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        """Start nothing yet."""
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._current: Job | None = None

    def compile(self, job: Job) -> dict[str, Any]:
        """Compile a policy; return nothing, or why it cannot be used: `message`, `hint` and `path`.

        Raises:
            OverBudget: that takes too long or too much memory.
        """
        self._current = job
        return self._ask({"policy": job.policy, "caps": job.caps})

    def evaluate(self, job: Job, manifest: Any) -> dict[str, Any]:
        """Return how a manifest breaks a policy, `problems`, and which caps count it, `caps`.

        Raises:
            OverBudget: that takes too long or too much memory.
        """
        if self._current is not job:
            self.compile(job)
        return self._ask({"manifest": manifest})

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            # It may be at work: an interrupt does not reach it.
            self._process.kill()
            _end(self._process)
        self._process = self._current = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None:
            process = self._process = _start(self._limits)
            atexit.register(self.close)
        assert process.stdin is not None, "it is a pipe"  # noqa: S101 - an invariant
        assert process.stdout is not None, "it is a pipe"  # noqa: S101 - as above
        line = b""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline(_LONGEST_ANSWER)
        if line.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._process = self._current = None
        code = _end(process)
        if code == -signal.SIGPROF:
            raise OverBudget("too much time")
        if line or code in _OUT_OF_MEMORY:
            raise OverBudget(f"more than {self._limits.memory // 1024**2} MiB of memory")
        raise RuntimeError(f"the process for policies ended with {code}")


def _start(limits: Limits) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # Isolated from the current folder, but with the libraries that this process has.
        [sys.executable, "-I", "-c", _PROGRAM, *map(str, limits), *filter(None, sys.path)],
        env=child_environment(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    """Close the process's pipes, end it, and return its exit code."""
    for stream in (process.stdin, process.stdout):
        # What was not written yet has no reader.
        with contextlib.suppress(BrokenPipeError):
            stream.close()  # type: ignore[union-attr] # both are pipes
    return process.wait()


@cache
def policy_process() -> PolicyProcess:
    """Return the process that all policies share."""
    return PolicyProcess()
