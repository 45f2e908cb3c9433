"""Call Python functions by event type."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.receiver.event import Event

    Function = Callable[[Event], object]

_F = TypeVar("_F", bound="Function")


class Functions:
    """Functions for event types. Other types are accepted and nothing is done with them.

    handlers = Functions()

    @handlers.on("release.gate_blocked")
    def page(event):
        ...
    """

    def __init__(self) -> None:
        self._functions: dict[str, list[Function]] = {}

    def on(self, *types: str) -> Callable[[_F], _F]:
        """Call the decorated function for events of these types; `*` is for every type."""

        def register(function: _F) -> _F:
            for each in types:
                self._functions.setdefault(each, []).append(function)
            return function

        return register

    def __call__(self, event: Event) -> None:
        """Call the functions for the event's type. If one raises, all are called again later."""
        for function in (*self._functions.get(event.type, ()), *self._functions.get("*", ())):
            function(event)
