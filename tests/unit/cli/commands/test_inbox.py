"""`reconciler inbox`: what it lists, shows, retries and purges."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from reconciler.receiver.inbox.consumer import Attempt, Consumer
from reconciler.receiver.inbox.inbox import Inbox
from tests.fixtures.inbox import an_event

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


class Commands:
    """Runs `reconciler inbox` on an inbox with a dead, a delivered, a waiting and a new event."""

    def __init__(self, folder: Path) -> None:
        self._url = f"sqlite:///{folder}/inbox.db"
        with Inbox(self._url) as inbox:
            inbox.store(
                [an_event(each, received_at=1.7e9) for each in ("dead", "delivered", "waiting", "new")]
            )
            consumer = inbox.consumer("ci")
            consumer.acquire()
            consumer.give_up(_taken(consumer), "the URL answered 500", 1.7e9)
            consumer.succeed(_taken(consumer), 1.7e9)
            consumer.fail(_taken(consumer), "the URL answered 503", 1.7e9 + 60)
            consumer.release()

    def __call__(self, *args: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(reconciler, ["inbox", *args], env={"RECONCILER_INBOX": self._url})

    def states(self) -> dict[str, str]:
        """Return the events' states."""
        result = self("list", "--format", "json")
        return {each["id"]: each["state"] for each in json.loads(result.stdout)}


def _taken(consumer: Consumer) -> Attempt:
    attempt = consumer.take(0.0, ordered=False)
    assert isinstance(attempt, Attempt)
    return attempt


@pytest.fixture
def inbox(tmp_path: Path) -> Commands:
    """Give the commands."""
    return Commands(tmp_path)


def test_list(inbox: Commands) -> None:
    """A table of the events, with the reason of the last failure, and no content."""
    result = inbox("list")
    assert result.exit_code == 0
    assert result.stdout == (
        "RECEIVED (UTC)       WEBHOOK  EVENT          ID         STATE      ATTEMPTS  NEXT ATTEMPT (UTC)\n"
        "2023-11-14 22:13:20  ci       run.completed  dead       dead       1         -\n"
        "    the URL answered 500\n"
        "2023-11-14 22:13:20  ci       run.completed  delivered  delivered  1         -\n"
        "2023-11-14 22:13:20  ci       run.completed  waiting    pending    1         2023-11-14 22:14:20\n"
        "    the URL answered 503\n"
        "2023-11-14 22:13:20  ci       run.completed  new        pending    0         -\n"
        "\n"
        "4 events\n"
    )
    assert inbox("list", "--state", "dead", "--webhook", "other").stdout == "No events.\n"


def test_show(inbox: Commands) -> None:
    """Facts and content of one event, as text and as JSON; an unknown id is invalid input."""
    text = inbox("show", "dead").stdout
    assert "problem:      the URL answered 500\n" in text
    assert text.endswith('    "object": {\n      "id": "x"\n    }\n  }\n}\n')
    (value,) = json.loads(inbox("show", "waiting", "--format", "json").stdout)
    assert value["event"]["id"] == "waiting"
    assert value["next_attempt_at"] == "2023-11-14T22:14:20Z"
    result = inbox("show", "nothing")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no event nothing in the inbox" in result.stderr


def test_retry(inbox: Commands) -> None:
    """Dead letters become pending again, by id or all; what is delivered does not."""
    assert inbox("retry", "dead").stdout == "1 event will be handed on again.\n"
    assert inbox.states()["dead"] == "pending"
    assert inbox("retry", "delivered").exit_code == 3
    assert inbox("retry", "--all").stdout == "1 event will be handed on again.\n"
    assert inbox("retry", "--all").stdout == "0 events will be handed on again.\n"


def test_purge(inbox: Commands) -> None:
    """Delivered events, or dead letters, are deleted if they are old enough; pending ones never."""
    assert inbox("purge", "--all", "--older-than", "36500").stdout == "0 events deleted.\n"
    assert inbox("purge", "dead").stdout == "0 events deleted.\n"
    assert inbox("purge", "dead", "--state", "dead").stdout == "1 event deleted.\n"
    assert inbox("purge", "--all").stdout == "1 event deleted.\n"
    assert set(inbox.states()) == {"waiting", "new"}
    assert inbox("purge", "--all", "--state", "pending").exit_code == 64


@pytest.mark.parametrize("command", ["retry", "purge"])
def test_events_must_be_chosen(inbox: Commands, command: str) -> None:
    """Neither nothing nor both: somebody who forgets the ID does not change everything."""
    assert inbox(command).exit_code == 64
    assert inbox(command, "dead", "--all").exit_code == 64


def test_a_missing_inbox_is_reported(tmp_path: Path) -> None:
    """A place that cannot be opened is named, with what to check."""
    (tmp_path / "file").write_text("x")
    result = CliRunner().invoke(reconciler, ["inbox", "list", "--inbox", f"sqlite:///{tmp_path}/file/i.db"])
    assert result.exit_code == 1
    assert "cannot be used: SQLITE_" in result.stderr
    result = CliRunner().invoke(reconciler, ["inbox", "list", "--inbox", "redis://localhost"])
    assert result.exit_code == 64
