"""The page of a rule, in Markdown: what `docs/rules/` holds and `validate --explain` prints."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from reconciler.diagnostics import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.diagnostics import Rule

_WIDTH = 110


def rule_page(rule: Rule, bad: str | None = None, good: str | None = None) -> str:
    """Return the page of one rule.

    Args:
        rule: the rule.
        bad: a file that breaks it.
        good: the same file as it should be.
    """
    about = (rule.explanation, f"{_kind(rule)}. {_how_to_silence(rule)}")
    parts = [
        f"# {rule.code}: {rule.title}",
        *(textwrap.fill(text, _WIDTH, break_on_hyphens=False) for text in about),
    ]
    if bad:
        parts += ["Not accepted:" if rule.severity is Severity.ERROR else "Worth a second look:", _yaml(bad)]
    if good:
        parts += ["Instead:", _yaml(good)]
    return "\n\n".join(parts) + "\n"


def rule_index(rules: Iterable[Rule]) -> str:
    """Return the page that lists all rules."""
    rows = [f"| [{rule.code}]({rule.code}.md) | {rule.title} | {_kind(rule).lower()} |" for rule in rules]
    head = [
        "# Rules",
        "",
        "What manifests and configuration are held to. `reconciler validate --explain CODE` prints a page.",
        "[Validation](../reference/validation.md#ignoring-a-rule) describes how to select or ignore a rule.",
        (
            "These pages are made from the code: "
            "`UPDATE_GOLDEN=1 ./script/test tests/unit/report/diagnostics/test_rule_page.py`."
        ),
        "",
        "| code | rule | |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _kind(rule: Rule) -> str:
    """Return how severe a rule is, and whether it has to be selected."""
    return str(rule.severity).capitalize() + ("" if rule.default else ", off by default")


def _how_to_silence(rule: Rule) -> str:
    """Return how a rule is ignored, in a sentence."""
    if not rule.ignorable:
        return "It may not be ignored."
    return (
        f"`# reconciler: ignore[{rule.code}] why` at the end of its line ignores it there, "
        f"`rules: {{ignore: [{rule.code}]}}` in the configuration everywhere."
    )


def _yaml(text: str) -> str:
    """Return an example."""
    return f"```yaml\n{text.rstrip()}\n```"
