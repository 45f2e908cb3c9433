"""The settings of the embedded Zof API, read from JSON."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.errors import InvalidInput
from reconciler.sandbox.behavior import Behavior


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate_limit", -1),
        ("rate_limit", True),
        ("rate_window", 0),
        ("rate_window", float("nan")),
        ("secret_field", "password"),
        ("secret_field", ["secret"]),
        ("max_page_size", 0),
        ("deliver_to", "https://hooks.example.com/"),
        ("deliver_to", "http://127.0.0.1:port/"),
        ("deliver_to", "http://[::1/"),
        ("deliver_to", {"hooks.example.com": "file:///etc/passwd"}),
        ("sunset", "now\r\nX-Evil: 1"),
        ("extra_event_types", ["a", 1]),
        ("honour_client_secret", "yes"),
        ("cap_status", 400),
        ("listing_spelling", "upside_down"),
    ],
)
def test_an_invalid_setting_is_refused(name: str, value: Any) -> None:
    """The error names the setting."""
    with pytest.raises(InvalidInput, match=name):
        Behavior.from_json({name: value})


def test_an_unknown_setting_is_refused() -> None:
    """The error names the unknown field, and its hint lists the known ones."""
    with pytest.raises(InvalidInput, match="rate_limits") as refused:
        Behavior.from_json({"rate_limits": 1})
    assert "rate_limit, rate_window" in (refused.value.hint or "")
    assert "secret_field (secret | signing_secret)" in (refused.value.hint or "")


def test_settings_survive_json() -> None:
    """What `to_json` returns is read back as the same settings."""
    changed = Behavior(rate_limit=7, extra_event_types=("run.paused",), extra_fields={"livemode": False})
    assert Behavior.from_json(changed.to_json()) == changed


def test_deliveries_never_leave_this_machine() -> None:
    """A receiver on another machine is refused in Python as well as in JSON."""
    with pytest.raises(InvalidInput, match="loopback"):
        replace(Behavior(), deliver_to="https://hooks.example.com/")
