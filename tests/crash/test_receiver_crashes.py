"""The receiver, killed at every step: an event that was answered with 200 reaches the handler.

The process gets SIGKILL before and after each statement, commit, answer and call of the handler. Then another
one starts on the same inbox, the sender repeats what was not answered with 200, and the handler's file is
compared with the answers.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.receiver.inbox.entry import State
from reconciler.receiver.inbox.inbox import RESERVED_SPACE, Inbox, InboxUnavailable
from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from tests.fixtures.examples import spread
from tests.fixtures.inbox import SECRET, event_body
from tests.fixtures.patience import PATIENCE
from tests.fixtures.receiver_process import WEBHOOK, ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.fixtures.postgresql import PostgresServer

EVENTS = [f"evt_{number}" for number in range(3)]


def send(url: str | None, event_ids: Iterable[str]) -> dict[str, int]:
    """Send events one after another until the receiver dies; return the answers."""
    answers: dict[str, int] = {}
    if url is None:
        return answers
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        for event_id in event_ids:
            body = event_body(event_id)
            headers = {SIGNATURE_HEADER: sign(body, SECRET)}
            try:
                answers[event_id] = http.post(f"/{WEBHOOK}", content=body, headers=headers).status_code
            except httpx.TransportError:
                break
    return answers


def accepted(answers: dict[str, int]) -> set[str]:
    """Return the events that were answered with 200."""
    return {event_id for event_id, status in answers.items() if status == 200}


def is_handed_on(inbox_url: str) -> bool:
    """Whether the inbox answers, and no event is pending."""
    try:
        with Inbox(inbox_url) as inbox:
            return not any(count.state is State.PENDING for count in inbox.counts())
    except InboxUnavailable:
        return False


def wait_until_handed_on(inbox_url: str) -> None:
    """Wait until no event is pending."""
    deadline = time.monotonic() + PATIENCE
    while not is_handed_on(inbox_url):
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Case:
    """One inbox, from its beginning to the end of all events."""

    def __init__(self, folder: Path, inbox: str) -> None:
        folder.mkdir()
        self.inbox = inbox
        self.file = folder / "handled"
        self.accepted: set[str] = set()

    def start(
        self,
        point: int | None = None,
        victim: int | None = None,
        space: int = 0,
        reserved: int = RESERVED_SPACE,
    ) -> ReceiverProcess:
        """Start a receiver."""
        return ReceiverProcess(
            self.inbox, self.file, point=point, victim=victim, space=space, reserved=reserved
        )

    def send(self, receiver: ReceiverProcess, event_ids: Iterable[str]) -> dict[str, int]:
        """Send events; remember which were accepted."""
        answers = send(receiver.url, event_ids)
        self.accepted |= accepted(answers)
        return answers

    def finish(self) -> int:
        """Start a receiver that lives, repeat what was not accepted, and wait for the handler.

        Returns how many moments it had.
        """
        receiver = self.start()
        missing = [event_id for event_id in EVENTS if event_id not in self.accepted]
        # The sender may also repeat what it knows to be accepted.
        answers = self.send(receiver, [*missing, EVENTS[0]])
        assert set(answers.values()) == {200}
        wait_until_handed_on(self.inbox)
        return receiver.end()

    @property
    def handled(self) -> Counter[str]:
        """How often each event reached the handler."""
        return Counter(self.file.read_text().split() if self.file.exists() else [])


def test_without_a_crash_each_event_is_handed_on_once(tmp_path: Path, inbox_url: str) -> None:
    """A calm run and a graceful stop, again and again: nothing twice."""
    case = Case(tmp_path / "calm", inbox_url)
    for event_id in EVENTS:
        receiver = case.start()
        case.send(receiver, [event_id, event_id])
        receiver.end()
    case.finish()
    assert case.handled == Counter(EVENTS)


def test_a_receiver_killed_at_every_step(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whatever step it dies at, no accepted event is lost, and one at most is handed on again."""
    calm = Case(tmp_path / "calm", f"sqlite:///{tmp_path}/calm.db")
    moments = calm.finish()
    assert moments > 15 * len(EVENTS), "fewer steps than three events need"
    killed = accepted_before = again = 0
    points = spread(moments, 7)
    for point in points:
        case = Case(tmp_path / f"{point}", f"sqlite:///{tmp_path}/{point}.db")
        receiver = case.start(point)
        case.send(receiver, EVENTS)
        killed += receiver.end() == -1
        accepted_before += len(case.accepted)
        case.finish()
        assert set(case.handled) == set(EVENTS), f"killed at moment {point} of {moments}: {case.handled}"
        twice = case.handled.total() - len(EVENTS)
        assert twice <= 1, f"killed at moment {point} of {moments}: {case.handled}"
        again += twice
    assert killed > len(points) // 2
    record_property("cases", len(points))
    record_property(
        "summary",
        f"receiver: killed {killed} times in {len(points)} cases; {accepted_before} events had been answered "
        f"with 200, 0 were lost, {again} were handed on again",
    )


def test_an_inbox_server_killed_at_every_step(
    tmp_path: Path, postgres: PostgresServer, record_property: Callable[[str, object], None]
) -> None:
    """Whatever step PostgreSQL dies at: 503 at worst, no accepted event is lost, the receiver recovers."""
    calm = Case(tmp_path / "calm", postgres.create_database())
    moments = calm.finish()
    points = spread(moments, 41, offset=20)
    for point in points:
        case = Case(tmp_path / f"{point}", postgres.create_database())
        receiver = case.start(point, victim=postgres.leader)
        answers = case.send(receiver, EVENTS)
        assert set(answers.values()) <= {200, 503}
        deadline = time.monotonic() + PATIENCE
        while case.accepted != set(EVENTS) or not is_handed_on(case.inbox):
            # It may die only when the handler is called.
            postgres.restart_after_kill()
            case.send(receiver, [event_id for event_id in EVENTS if event_id not in case.accepted])
            assert time.monotonic() < deadline
            time.sleep(0.02)
        postgres.restart_after_kill()
        receiver.end()
        case.finish()
        assert set(case.handled) == set(EVENTS), f"killed at moment {point} of {moments}: {case.handled}"
        assert case.handled.total() - len(EVENTS) <= 1, f"killed at moment {point}: {case.handled}"
    record_property("cases", len(points))


@pytest.mark.parametrize("space", [RESERVED_SPACE + 150_000, RESERVED_SPACE + 400_000])
def test_a_full_disk(tmp_path: Path, space: int, record_property: Callable[[str, object], None]) -> None:
    """When the disk is full, deliveries are answered with 503; what was accepted is handed on once."""
    case = Case(tmp_path / "full", f"sqlite:///{tmp_path}/full.db")
    receiver = case.start(space=space)
    answers = case.send(receiver, [f"evt_{number}" for number in range(60)])
    statuses = Counter(answers.values())
    receiver.end()
    assert set(statuses) == {200, 503}
    case.finish()
    assert set(case.handled) >= case.accepted
    assert set(case.handled.values()) == {1}
    record_property(
        "summary",
        f"receiver: disk full after {statuses[200]} events, {statuses[503]} refused with 503, "
        "0 lost, 0 handed on again",
    )


def test_a_disk_that_others_fill(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """If not even a result can be recorded, no accepted event is lost, and at most one is handed on again."""
    case = Case(tmp_path / "full", f"sqlite:///{tmp_path}/full.db")
    receiver = case.start(space=150_000, reserved=0)
    answers = case.send(receiver, [f"evt_{number}" for number in range(60)])
    statuses = Counter(answers.values())
    receiver.end()
    assert set(statuses) == {200, 503}
    case.finish()
    assert set(case.handled) >= case.accepted
    again = case.handled.total() - len(case.handled)
    assert again <= 1
    record_property(
        "summary",
        f"receiver: nothing could be written after {statuses[200]} events, 0 lost, {again} handed on again",
    )
