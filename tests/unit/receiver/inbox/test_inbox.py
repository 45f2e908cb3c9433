"""What the inbox stores, finds, retries and purges, on both engines."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import UsageError
from reconciler.receiver.inbox.entry import State
from reconciler.receiver.inbox.inbox import RESERVED_SPACE, Inbox, InboxUnavailable
from tests.fixtures.inbox import an_event

if TYPE_CHECKING:
    from pathlib import Path


def test_an_event_is_stored_once(inbox: Inbox) -> None:
    """The same id for the same webhook is stored once, in one batch or two; another webhook has its own."""
    first = an_event("evt_1")
    assert inbox.store([first, an_event("evt_2"), first]) == 2
    assert inbox.store([an_event("evt_2"), an_event("evt_1", webhook="other")]) == 1
    assert [(each.webhook, each.event_id) for each in inbox.find()] == [
        ("ci", "evt_1"),
        ("ci", "evt_2"),
        ("other", "evt_1"),
    ]


def test_an_event_is_stored_as_it_was_delivered(inbox: Inbox) -> None:
    """Body, signature, type and time come back byte for byte."""
    event = an_event("evt_ü")
    inbox.store([event])
    (entry,) = inbox.find()
    assert inbox.event(entry.seq) == event
    assert (entry.size, entry.state, entry.attempts) == (len(event.body), State.PENDING, 0)
    assert inbox.event(entry.seq + 1) is None


def test_the_last_megabytes_of_a_disk_are_kept_for_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is nearly full, a new event is refused, and the result of a stored one is recorded."""
    with Inbox(f"sqlite:///{tmp_path}/inbox.db") as inbox:
        inbox.store([an_event("a")])
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=RESERVED_SPACE - 1))
        with pytest.raises(InboxUnavailable, match="accepts no new event: less than 16 MB is left"):
            inbox.store([an_event("b")])
        consumer = inbox.consumer("ci")
        consumer.acquire()
        first = consumer.take(0.0, ordered=True)
        assert not isinstance(first, float)
        consumer.succeed(first, 1.0)
        consumer.release()
        assert [(each.event_id, each.state) for each in inbox.find()] == [("a", State.DELIVERED)]


def test_events_are_found_by_webhook_state_and_id(inbox: Inbox) -> None:
    """Conditions narrow the result, and a limit keeps the newest."""
    inbox.store([an_event(f"evt_{number}") for number in range(5)] + [an_event("evt_0", webhook="other")])
    assert [each.webhook for each in inbox.find(ids=["evt_0"])] == ["ci", "other"]
    assert [each.event_id for each in inbox.find(webhooks=["ci"], limit=2)] == ["evt_3", "evt_4"]
    assert inbox.find(states=[State.DEAD]) == []


def test_what_is_left_is_counted(inbox: Inbox) -> None:
    """Pending and dead events are counted by webhook, with the oldest; delivered ones are not."""
    inbox.store([an_event("a", received_at=5.0), an_event("b", received_at=7.0), an_event("c")])
    consumer = inbox.consumer("ci")
    consumer.acquire()
    first = consumer.take(0.0, ordered=True)
    assert not isinstance(first, float)
    consumer.succeed(first, 1.0)
    (count,) = inbox.counts()
    assert (count.webhook, count.state, count.events, count.oldest) == ("ci", State.PENDING, 2, 7.0)
    consumer.release()


def test_dead_events_are_retried_and_purged(inbox: Inbox) -> None:
    """A dead letter becomes pending again by its id; what ended long ago is deleted, pending events never."""
    inbox.store([an_event("a"), an_event("b")])
    consumer = inbox.consumer("ci")
    consumer.acquire()
    for _ in range(2):
        attempt = consumer.take(0.0, ordered=False)
        assert not isinstance(attempt, float)
        consumer.give_up(attempt, "the URL answered 500", 100.0)
    assert inbox.retry(ids=["b"]) == 1
    assert inbox.retry(ids=["b"]) == 0
    assert [(each.event_id, each.state, each.attempts) for each in inbox.find()] == [
        ("a", State.DEAD, 1),
        ("b", State.PENDING, 0),
    ]
    assert inbox.purge(State.DEAD, before=100.0) == 0
    assert inbox.purge(State.DEAD, before=101.0) == 1
    assert [each.event_id for each in inbox.find()] == ["b"]
    consumer.release()


def test_two_machines_create_the_inbox_together(inbox_url: str) -> None:
    """Processes that start for the first time at the same moment all find it usable."""
    barrier = threading.Barrier(4)
    problems: list[Exception] = []

    def begin() -> None:
        with_barrier = Inbox(inbox_url)
        barrier.wait()
        try:
            with with_barrier as opened:
                opened.store([an_event("evt_1")])
        except Exception as error:  # noqa: BLE001 (reported below)
            problems.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Inbox(inbox_url) as opened:
        assert len(opened.find()) == 1


def test_the_file_is_for_this_user_alone(tmp_path: Path) -> None:
    """The database contains events: nobody else may read it."""
    with Inbox(f"sqlite:///{tmp_path}/new/inbox.db") as opened:
        opened.store([an_event("evt_1")])
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o600}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "redis://localhost/0",
        "mysql://u:hunter2@h/d",
        "inbox.db",
        "",
        "foo://bar",
    ],
)
def test_other_engines_are_refused(url: str) -> None:
    """An inbox that would lose events, or is not supported, is refused, and no password is shown."""
    with pytest.raises(UsageError) as refused:
        Inbox(url)
    assert "hunter2" not in refused.value.message
    assert "sqlite:///PATH" in (refused.value.hint or "")


def test_the_place_has_no_password() -> None:
    """What is shown of the URL contains no password."""
    inbox = Inbox("postgresql://user:hunter2@db.example.com/hooks")
    assert inbox.place == "postgresql://user:***@db.example.com/hooks"


def test_an_unusable_file_is_reported(tmp_path: Path) -> None:
    """A file that is not a database, or a folder that cannot be created, is reported with its place."""
    (tmp_path / "file").write_text("x" * 10_000)
    for path in (tmp_path / "file", tmp_path / "file" / "inbox.db"):
        with pytest.raises(InboxUnavailable, match=r"cannot be used: SQLITE_\w+"):
            Inbox(f"sqlite:///{path}").open()
