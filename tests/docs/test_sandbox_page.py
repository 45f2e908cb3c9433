"""The page about the sandbox's controls: it describes all of them, and its examples work."""

from __future__ import annotations

import json
import re
import shlex

import httpx
import pytest
from msgspec.structs import fields

from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.faults import FaultKind, FaultRule
from reconciler.sandbox.sending import Sending
from reconciler.sandbox.zof_server import ZofServer
from tests.fixtures.pages import Page

PAGE = Page("docs/reference/sandbox").text
EXAMPLES = re.findall(r"^\$ (curl .+)$", PAGE, re.MULTILINE)


def test_the_page_describes_every_setting_and_fault() -> None:
    """Each field of the settings and of a fault, each kind of fault, and each control is on it."""
    described = set(re.findall(r"`(/?[a-z_{}/]+)`", PAGE))
    names = {field.name for kind in (Behavior, FaultRule, Sending) for field in fields(kind)}
    assert names <= described, names - described
    assert {kind.value for kind in FaultKind} <= described
    assert {
        "/behavior",
        "/faults",
        "/endpoints",
        "/endpoints/{id}",
        "/keys",
        "/requests",
        "/deliveries",
    } <= described


def test_the_page_shows_the_real_defaults() -> None:
    """The default in the table is the default in the code."""
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| `([^`]*)` \|", PAGE.split("## Faults")[0], re.MULTILINE))
    for name, value in Behavior().to_json().items():
        number = f"{value:g}" if isinstance(value, float) else ""
        assert rows[name] in {str(value), json.dumps(value), number}, name


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_work(example: str) -> None:
    """Each request on the page succeeds."""
    with ZofServer(controls=True) as zof:
        made = zof.console.create("https://hooks.example.com/made", ["run.failed"])
        words = shlex.split(example.replace("$SANDBOX", f"{zof.origin}/_sandbox").replace("$ID", made.id))
        url = next(word for word in words if word.startswith("http"))
        body = words[words.index("--json") + 1] if "--json" in words else None
        method = words[words.index("-X") + 1] if "-X" in words else "POST"
        answer = httpx.request(
            method, url, content=body, headers={"Content-Type": "application/json"}, trust_env=False
        )
        assert answer.is_success, answer.text
