"""Which rules hold: those that are on by themselves or selected, without those that are ignored."""

from __future__ import annotations

from msgspec import Struct

from reconciler.manifest.export.words import suggestion
from reconciler.manifest.lint import rules


class Selection(Struct, frozen=True):
    """What the configuration says about rules, as codes."""

    select: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()

    def has(self, code: str) -> bool:
        """Return whether a rule is held to."""
        return code not in self.ignore and (rules.RULES[code].default or code in self.select)


def unknown_code_hint(code: str) -> str:
    """Return what a code that no rule has may have been meant to be."""
    similar = suggestion(code, tuple(rules.RULES))
    return f"did you mean `{similar}`?" if similar else "a code is `WH` and three digits, such as `WH033`"


def guarded_hint() -> str:
    """Return which rules may be ignored."""
    return "these may be ignored: " + ", ".join(rules.IGNORABLE)
