"""The checklist of `doctor` as text and JSON."""

from __future__ import annotations

import pytest

from reconciler.report.checks import Check, checks_text, checks_value

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
    first = {"name": "API key", "ok": True, "warning": False, "detail": "accepted", "hint": None}
    assert value["checks"][0] == first


def test_a_warning_passes_and_stands_out() -> None:
    """A check that passed with a warning has a mark and a hint of its own, and is well."""
    checks = (Check("Vault token", ok=True, detail="accepted", hint="use another", warning=True),)
    assert "  ! Vault token  accepted\n      hint: use another\n" in checks_text("acme", checks)
    value = checks_value("acme", checks)
    assert value["ok"] is True
    assert value["checks"][0]["warning"] is True
