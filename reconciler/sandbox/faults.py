"""Faults of the embedded Zof API on demand: what goes wrong, with which requests, and how often."""

from __future__ import annotations

import threading
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct, field
from msgspec.structs import asdict, force_setattr, replace

from reconciler.errors import InvalidInput
from reconciler.sandbox.behavior import is_count, is_number

if TYPE_CHECKING:
    from collections.abc import Mapping


class FaultKind(StrEnum):
    """What goes wrong."""

    CLOSE = "close"
    """The connection is closed without an answer."""
    STATUS = "status"
    """An error answer, for example 500, 503, 429, 401 or 403."""
    HANG = "hang"
    """The server waits, then carries the request out (even if the client has left), or answers."""
    MALFORMED = "malformed"
    """A 200 whose body is no JSON although its header says so."""
    HTML = "html"
    """A 200 with a web page, as a proxy or a sign-in wall sends it."""
    REDIRECT = "redirect"
    """A 302 to another host."""
    TRUNCATED = "truncated"
    """The true answer, cut off in the middle of its body."""
    DATA_NOT_LIST = "data_not_list"
    """A listing whose `data` is an object."""
    NO_CURSOR = "no_cursor"
    """A listing that has more, and does not say where."""
    REPEATED_CURSOR = "repeated_cursor"
    """A listing that has more at the cursor it was just asked for (skip the first page: it has none)."""
    REPEATED_ID = "repeated_id"
    """A listing that names its first endpoint twice."""


_OF_THE_TRUE_ANSWER = frozenset(
    {
        FaultKind.TRUNCATED,
        FaultKind.DATA_NOT_LIST,
        FaultKind.NO_CURSOR,
        FaultKind.REPEATED_CURSOR,
        FaultKind.REPEATED_ID,
    }
)
_ERRORS = range(400, 600)


class Fault(Struct, frozen=True):
    """One thing that goes wrong, before or after the request was carried out.

    Raises:
        InvalidInput: a part makes no sense.
    """

    kind: FaultKind
    after_commit: bool = False
    """Whether the request was carried out. Faults of the true answer's shape always come after."""
    status: int = 500
    """The status of `FaultKind.STATUS`."""
    body: str | None = None
    """The body of a status, as it is; None for the API's usual error object."""
    seconds: float = 0.0
    """How long `FaultKind.HANG` takes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers beyond the usual ones, for example `Retry-After`."""

    def __post_init__(self) -> None:
        if self.kind not in list(FaultKind):
            raise InvalidInput(f"a fault's kind is one of {', '.join(FaultKind)}")
        force_setattr(self, "kind", FaultKind(self.kind))
        force_setattr(self, "after_commit", bool(self.after_commit) or self.kind in _OF_THE_TRUE_ANSWER)
        if not is_count(self.status) or self.status not in _ERRORS:
            raise InvalidInput("a fault's status is a whole number from 400 to 599")
        if not is_number(self.seconds):
            raise InvalidInput("a fault's seconds are a number, 0 or more")
        if not (self.body is None or isinstance(self.body, str)):
            raise InvalidInput("a fault's body is a text")
        if not isinstance(self.headers, dict) or not all(
            isinstance(part, str) and part.isascii() and part.isprintable()
            for pair in self.headers.items()
            for part in pair
        ):
            raise InvalidInput("a fault's headers are an object of printable ASCII texts")


class FaultRule(Struct):
    """Which requests a fault strikes: `times` of those that match, after letting `skip` of them pass.

    Raises:
        InvalidInput: a part makes no sense.
    """

    method: str
    """The HTTP method, or `*` for any."""
    path: str
    """The path as a shell pattern, for example `/v1/webhooks/*/test`."""
    fault: Fault
    times: int | None = 1
    """None: always."""
    skip: int = 0

    def __post_init__(self) -> None:
        if not all(isinstance(part, str) for part in (self.method, self.path)):
            raise InvalidInput("a fault's method and path are texts")
        if not (self.times is None or is_count(self.times, 1)) or not is_count(self.skip):
            raise InvalidInput(
                "a fault strikes 1 or more `times` (or null) and lets 0 or more requests `skip` it"
            )

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON object of `method`, `path`, `times`, `skip` and the parts of the fault.

        Raises:
            InvalidInput: no object, an unknown part, or a value that makes no sense.
        """
        if not isinstance(value, dict) or "kind" not in value:
            raise InvalidInput("a fault is a JSON object with a `kind`")
        of_fault = set(Fault.__struct_fields__)
        of_rule = {"method", "path", "times", "skip"}
        for name in value:
            if name not in of_fault | of_rule:
                raise InvalidInput(
                    f"a fault has no `{name}`", hint=f"its parts are {', '.join(sorted(of_fault | of_rule))}"
                )
        rule = {name: part for name, part in value.items() if name in of_rule}
        fault = Fault(**{name: part for name, part in value.items() if name in of_fault})
        return cls(**{"method": "*", "path": "*", **rule}, fault=fault)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `from_json` reads."""
        rule = {"method": self.method, "path": self.path, "times": self.times, "skip": self.skip}
        return rule | asdict(self.fault)

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is one of those that this rule names."""
        return self.method in {"*", method} and fnmatchcase(path, self.path)


class Faults:
    """The rules that are in force, in the order in which they were given. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        """Put `rule` behind the others."""
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Forget every rule."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> tuple[FaultRule, ...]:
        """Return copies of the rules that still have something to do."""
        with self._lock:
            return tuple(replace(rule) for rule in self._rules)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that strikes this request, if one does, and count it."""
        with self._lock:
            for rule in self._rules:
                if not rule.matches(method, path):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                    if not rule.times:
                        self._rules.remove(rule)
                return rule.fault
        return None
