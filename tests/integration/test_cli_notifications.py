"""Notifications: whoever is configured hears of drift and of failed applies, over a real HTTP server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.mailbox import TOKEN, Mailbox
from tests.fixtures.web import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.command import CommandLine


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Give a mailbox."""
    with Mailbox() as server:
        yield server


@pytest.fixture
def notified(command: CommandLine, mailbox: Mailbox) -> CommandLine:
    """Give a command line whose configuration notifies the mailbox."""
    organization = command.environment["ZOF_ORGANIZATION"]
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\n"
        f"organizations: [{{name: {organization}}}]\nnotifications: {{urlsEnv: RECONCILER_NOTIFY_TEAM}}\n"
    )
    command.environment["RECONCILER_NOTIFY_TEAM"] = mailbox.address
    command.write("alpha")
    assert command("apply", "--yes").exit_code == 0
    assert mailbox.received == [], "what went well is no news"
    return command


def test_drift_is_told(notified: CommandLine, mailbox: Mailbox) -> None:
    """The message says what was found and where it can be read about; without drift there is none."""
    assert notified("drift").exit_code == 0
    assert mailbox.received == []
    endpoint_id, _ = notified.live["https://hooks.example.com/alpha"]
    notified.zof.console.delete(endpoint_id)
    run = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"}
    assert notified("drift", **run).exit_code == 2
    (message,) = mailbox.received
    assert message["title"].startswith("Drift in ")
    assert message["title"].endswith(": 1 webhook")
    assert f"endpoint {endpoint_id} is gone" in message["message"]
    assert message["message"].endswith("https://github.com/a/b/actions/runs/7")
    assert notified("drift", "--format", "html", "--output", "drift.html").exit_code == 2
    assert len(mailbox.received) == 2


def test_a_failed_apply_is_told(notified: CommandLine, mailbox: Mailbox) -> None:
    """An apply that is unfinished, refused or broken off is told, with its next command and no secret."""
    notified.zof.behavior = Behavior(test_result="fail", rate_limit=1_000_000)
    notified.write("beta")
    assert notified("apply", "--yes").exit_code == 5
    notified.zof.behavior = Behavior(rate_limit=1_000_000)
    for path in (notified.folder / "manifests").iterdir():
        path.unlink()
    assert notified("apply", "--yes").exit_code == 4
    assert notified("apply", "--yes", ZOF_API_KEY="wrong").exit_code == 1
    titles = [
        message["title"].partition(notified.environment["ZOF_ORGANIZATION"])[2]
        for message in mailbox.received
    ]
    assert titles == [" is not finished", " was refused", " failed"]
    told = json.dumps(mailbox.received)
    assert "guards: {approve: [sha256:" in told
    assert not any(each.reveal() in told for each in notified.zof.signing_secrets().values())


def test_an_address_that_takes_nothing_is_a_warning(notified: CommandLine, mailbox: Mailbox) -> None:
    """The exit code is drift's own, and the address, which holds a token, is told by its number."""
    mailbox.reply = Answer(500)
    endpoint_id, _ = notified.live["https://hooks.example.com/alpha"]
    notified.zof.console.delete(endpoint_id)
    result = notified("drift", RECONCILER_NOTIFY_TEAM=f"nonsense://{TOKEN} {mailbox.address}")
    assert result.exit_code == 2
    assert "address 1 of 2 in RECONCILER_NOTIFY_TEAM: Apprise does not know this address" in result.stderr
    assert (
        "address 2 of 2 in RECONCILER_NOTIFY_TEAM: the service did not accept the notification"
        in result.stderr
    )
    assert TOKEN not in result.output
    unset = notified("drift", RECONCILER_NOTIFY_TEAM=None)
    assert "nobody is notified: RECONCILER_NOTIFY_TEAM is not set" in unset.stderr


def test_only_what_is_asked_for_is_told(notified: CommandLine, mailbox: Mailbox) -> None:
    """`on` chooses; a long report is cut between two lines."""
    file = notified.folder / "reconciler.yaml"
    file.write_text(
        file.read_text().replace(
            "{urlsEnv: RECONCILER_NOTIFY_TEAM}", "{urlsEnv: RECONCILER_NOTIFY_TEAM, on: [failure]}"
        )
    )
    for number in range(40):
        notified.write(f"hook-{number:02}")
    notified.zof.behavior = Behavior(test_result="fail", rate_limit=1_000_000)
    assert notified("apply", "--yes").exit_code == 5
    (message,) = mailbox.received
    assert len(message["message"]) < 4_000
    assert "more lines" in message["message"]
    notified.zof.console.delete(notified.live["https://hooks.example.com/alpha"][0])
    assert notified("drift").exit_code == 2
    assert len(mailbox.received) == 1
