"""Odd entries of other people's in the listing, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine

ODD = (
    {"id": 17, "url": "https://other.example.com/?token=hunter2", "events": None},
    {"id": None, "url": "https://nameless.example.com/hunter2", "events": ["run.failed"]},
    "nothing",
)


@pytest.mark.parametrize("args", [["plan"], ["apply", "--yes"], ["drift"], ["status"], ["export"]])
def test_every_command_works_beside_odd_entries(command: CommandLine, args: list[str]) -> None:
    """`events: null`, an integer id and worse: a warning names them, without their secrets."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    command.zof.behavior = replace(command.zof.behavior, extra_entries=ODD)
    result = command(*args)
    assert result.exit_code == 0, result.stderr
    assert "endpoint 17, of which `events` is not a list" in result.stderr
    assert "an entry at nameless.example.com" in result.stderr
    assert "hunter2" not in result.stderr


def test_an_odd_entry_that_is_ours_stops_everything(command: CommandLine) -> None:
    """The entry of a recorded endpoint cannot be read: exit 1, id and webhook are named, nothing is done."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    (endpoint,) = command.zof.console.list()
    odd = ({"id": endpoint.id, "url": endpoint.url, "events": None},)
    # Only the odd entry is listed: the endpoint itself counts as not listed yet.
    command.zof.behavior = replace(command.zof.behavior, extra_entries=odd, listing_lag_seconds=3600)
    for args in (["plan"], ["apply", "--yes"], ["drift"]):
        result = command(*args)
        assert result.exit_code == 1
        assert (
            f"endpoint {endpoint.id}, of which `events` is not a list, is in the ledger of ci"
            in result.stderr
        )
    assert command.zof.console.list() == (endpoint,)


def test_nothing_is_created_where_an_odd_entry_is(command: CommandLine) -> None:
    """An unreadable endpoint at the URL of a new manifest is a conflict: exit 5, and no second endpoint."""
    command.write("ci")
    odd = ({"id": 17, "url": "https://hooks.example.com/ci", "events": None},)
    command.zof.behavior = replace(command.zof.behavior, extra_entries=odd)
    result = command("apply", "--yes")
    assert result.exit_code == 5
    assert "17" in result.stdout
    assert command.zof.console.list() == ()
