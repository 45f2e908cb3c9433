"""Which rules are checked: the default and selected ones, without the ignored ones."""

from __future__ import annotations

from msgspec import Struct

from reconciler.manifest import rules
from reconciler.texts import suggestion


class Selection(Struct, frozen=True):
    """The configuration of rules, as codes."""

    select: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()

    def has(self, code: str) -> bool:
        """Return whether a rule is checked."""
        return code not in self.ignore and (rules.RULES[code].default or code in self.select)


def unknown_code_hint(code: str) -> str:
    """Return a hint for a code that no rule has."""
    similar = suggestion(code, tuple(rules.RULES))
    return f"did you mean `{similar}`?" if similar else "a code is `WH` and three digits, such as `WH033`"


def guarded_hint() -> str:
    """Return which rules may be ignored."""
    return "these may be ignored: " + ", ".join(rules.IGNORABLE)
