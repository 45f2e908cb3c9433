"""The pages of rules in Markdown, for `docs/rules/` and `validate --explain`."""

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
        bad: an example that breaks it.
        good: the corrected example.
    """
    about = (rule.explanation, f"{_kind(rule)}. {_how_to_silence(rule)}")
    parts = [
        f"# {rule.code}: {rule.title}",
        *(textwrap.fill(text, _WIDTH, break_on_hyphens=False) for text in about),
    ]
    if bad:
        parts += ["Not accepted:" if rule.severity is Severity.ERROR else "Warns:", _yaml(bad)]
    if good:
        parts += ["Instead:", _yaml(good)]
    return "\n\n".join(parts) + "\n"


def rule_index(rules: Iterable[Rule]) -> str:
    """Return the page that lists all rules."""
    rows = [f"| [{rule.code}]({rule.code}.md) | {rule.title} | {_kind(rule).lower()} |" for rule in rules]
    head = [
        "# Rules",
        "",
        "The rules for manifests and configuration. `reconciler validate --explain CODE` prints a page.",
        "[Validation](../reference/validation.md#ignoring-a-rule) describes how to select or ignore a rule.",
        (
            "These pages are generated: "
            "`UPDATE_GOLDEN=1 ./script/test tests/unit/report/diagnostics/test_markdown.py`."
        ),
        "",
        "| code | rule | |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _kind(rule: Rule) -> str:
    """Return the severity of a rule, and whether it is off by default."""
    return str(rule.severity).capitalize() + ("" if rule.default else ", off by default")


def _how_to_silence(rule: Rule) -> str:
    """Return how to ignore a rule, in one sentence."""
    if not rule.ignorable:
        return "It cannot be ignored."
    return (
        f"To ignore it on one line, end the line with `# reconciler: ignore[{rule.code}] why`; "
        f"to ignore it everywhere, set `rules: {{ignore: [{rule.code}]}}` in the configuration."
    )


def _yaml(text: str) -> str:
    """Return an example."""
    return f"```yaml\n{text.rstrip()}\n```"
