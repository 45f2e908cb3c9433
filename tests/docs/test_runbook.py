"""The runbook names every state, in the order of reports, and only messages that the code has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from reconciler.plan.drift import DriftKind

ROOT = Path(__file__).resolve().parents[2]
STATES, MESSAGES = (
    re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)
    for part in (ROOT / "docs/howto/runbook.md").read_text(encoding="utf-8").split("## By message")
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Give every text of the code, with `…` for each value in it."""
    return [
        text
        for path in (ROOT / "reconciler").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (text := _text(node))
    ]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_state_has_a_row() -> None:
    """The worst comes first, as in reports."""
    assert [kind.value for kind in DriftKind] == STATES


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_a_real_one(message: str, texts: list[str]) -> None:
    """A message of the page is a part of a text of the code, word for word."""
    assert any(message.removesuffix("…").rstrip() in text for text in texts)
