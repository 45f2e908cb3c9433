"""The program of the process that evaluates policies: a few lines of a policy can need hours, or all memory.

It gets one JSON value a line and answers each with one line; `policy_process` starts it and sends them. It
has no credentials, and the operating system ends it when it exceeds its limits.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.manifest.schema import Schema, SchemaUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

NO_MEMORY = 3
"""The exit code of a process that gets no more memory."""


class Limits(NamedTuple):
    """What the evaluation of one policy may take."""

    memory: int
    """Bytes of address space."""
    seconds: float
    """CPU time for compiling it and for the first manifests."""
    seconds_each: float
    """Additional CPU time for each manifest."""


LIMITS = Limits(512 * 1024**2, 5.0, 0.01)


class Compiled:
    """A policy and its caps, compiled."""

    def __init__(self, policy: dict[str, Any], caps: list[Any]) -> None:
        """Compile a policy.

        Args:
            policy: its JSON Schema.
            caps: the schema of each cap, which may refer to the policy's definitions.

        Raises:
            SchemaUnusable: one of them is not a usable schema; the path leads to it from the policy.
        """
        self._schema = Schema(policy)
        self._caps = [self._cap(policy, number, where) for number, where in enumerate(caps)]

    @staticmethod
    def _cap(policy: dict[str, Any], number: int, where: Any) -> Schema:
        try:
            return Schema({"$defs": policy.get("$defs", {}), "allOf": [where]})
        except SchemaUnusable as unusable:
            # The first two steps lead into our `allOf`.
            raise unusable.at(("x-caps", number, "where", *unusable.path[2:])) from None

    def evaluate(self, manifest: Any) -> dict[str, Any]:
        """Return how a manifest breaks the policy, and the numbers of the caps that it counts for."""
        problems = [] if self._schema.accepts(manifest) else self._schema.explain(manifest)
        return {
            "problems": [[each.message, each.path, each.hint, each.at_key] for each in problems],
            "caps": [number for number, cap in enumerate(self._caps) if cap.accepts(manifest)],
        }


def answers(
    requests: Iterable[str], limits: Limits, allow: Callable[[float], object]
) -> Iterator[dict[str, Any]]:
    """Yield the answer to each request: a policy to compile, or a manifest for the policy before it.

    `allow` is called with the seconds of CPU time that the next answer may take.
    """
    compiled: Compiled | None = None
    until = 0.0
    for line in requests:
        request = json.loads(line)
        if "policy" in request:
            until = _cpu_time() + limits.seconds
            allow(limits.seconds)
            try:
                compiled = Compiled(request["policy"], request["caps"])
            except SchemaUnusable as unusable:
                yield {"message": unusable.message, "hint": unusable.hint, "path": unusable.path}
            else:
                yield {}
        elif compiled is not None:
            until += limits.seconds_each
            allow(max(limits.seconds_each, until - _cpu_time()))
            yield compiled.evaluate(request["manifest"])


def _cpu_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(memory: str, seconds: str, seconds_each: str) -> None:
    """Answer the requests on stdin until it ends, within the limits that the arguments name."""
    limits = Limits(int(memory), float(seconds), float(seconds_each))
    # Not every system can limit the address space.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Ctrl-C is for the process that asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def allow(seconds: float) -> None:
        # SIGPROF ends the process, whatever library is at work.
        signal.setitimer(signal.ITIMER_PROF, seconds)

    try:
        for answer in answers(sys.stdin, limits, allow):
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    except MemoryError:
        os._exit(NO_MEMORY)
