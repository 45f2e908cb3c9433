"""The checklist of `doctor` as text and JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.cli.checks import check_clock
from reconciler.report.checks import Check, checks_text, checks_value

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CHECKS = (
    Check("API key", ok=True, detail="accepted"),
    Check("Vault", ok=False, detail="no \x1b[31manswer", hint="look\nthere"),
    Check("clock", ok=None, detail="not checked"),
)


def test_a_checklist_is_aligned_and_escaped() -> None:
    """Each check is a line with its mark; hints stand below; nothing from outside steers the terminal."""
    assert checks_text("acme\x07", CHECKS) == (
        "acme\\x07\n"
        "  ✓ API key  accepted\n"
        "  ✗ Vault    no \\x1b[31manswer\n"
        "      hint: look\\nthere\n"
        "  ○ clock    not checked\n"
    )


def test_a_checklist_is_painted_where_asked() -> None:
    """In colour the marks and the organization's name are painted, and the words are the same."""
    text = checks_text("acme", CHECKS[:1], color=True)
    assert "\x1b[32m✓\x1b[0m API key" in text
    assert "\x1b[1macme\x1b[0m" in text


@pytest.mark.parametrize(("checks", "ok"), [(CHECKS[:1], True), (CHECKS[:2], False), (CHECKS[::2], False)])
def test_a_checklist_is_an_object(checks: tuple[Check, ...], ok: bool) -> None:
    """As JSON it is `ok` only if every check is; what could not be checked is null, and not well."""
    value = checks_value("acme", checks)
    assert (value["organization"], value["ok"]) == ("acme", ok)
    assert [each["ok"] for each in value["checks"]] == [check.ok for check in checks]
    assert value["checks"][0] == {"name": "API key", "ok": True, "detail": "accepted", "hint": None}


@pytest.mark.parametrize(
    ("server", "ok", "words"),
    [
        (None, True, "not compared: the API does not send its time"),
        (timedelta(0), True, "agrees with the API's"),
        (timedelta(seconds=-61), True, "agrees with the API's"),  # one second is the header's own doubt
        (timedelta(seconds=-63), False, "1 min 2 s ahead of the API's"),
        (timedelta(seconds=71), True, "agrees with the API's"),  # it was told up to ten seconds later
        (timedelta(seconds=73), False, "1 min 2 s behind the API's"),
        (timedelta(hours=2), False, "1 h 59 min behind the API's"),
    ],
)
def test_the_clock_is_compared_with_the_apis(server: timedelta | None, ok: bool, words: str) -> None:
    """More than a minute off is not well, either way; the time that the answer took is no skew."""
    told = None if server is None else NOW + server
    check = check_clock(told, NOW, NOW + timedelta(seconds=10))
    assert (check.ok, check.detail) == (ok, words)
    assert (check.hint is None) is ok


def test_a_long_wait_for_the_answer_is_no_skew() -> None:
    """An answer that came after minutes of waiting for the quota has a time between asking and receiving."""
    assert check_clock(NOW + timedelta(minutes=5), NOW, NOW + timedelta(minutes=5)).ok
