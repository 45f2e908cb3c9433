"""The lock: how it is taken, waited for, kept and given back."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.apply.holder import LEASE, Holder, LockState, lock_state
from reconciler.apply.lock import Lock
from reconciler.errors import LockHeld, StoreError
from tests.fakes.clock import START, FakeClock
from tests.fakes.store import LOCK, FakeStore
from tests.fixtures.holders import ADA, GRACE, SAME_HOST, always, held_by, nowhere
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = 3600.0


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock in the test's hand."""
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> FakeStore:
    """Give an empty store."""
    return FakeStore(clock)


def lock(
    store: FakeStore,
    clock: FakeClock,
    holder: Holder = ADA,
    *,
    timeout: float = 60.0,
    renewal: float = NEVER,
    warn: Callable[[str], None] = lambda _message: None,
    waiting: Callable[[float, str], None] = lambda _seconds, _reason: None,
    alive: Callable[[int, str], bool] = always,
) -> Lock:
    """Return a lock that does not renew itself in the time of a test."""
    return Lock(
        store, clock, holder, timeout=timeout, renewal=renewal, warn=warn, waiting=waiting, alive=alive
    )


class TestTaking:
    """Acquire."""

    def test_a_free_lock_is_taken_at_once(self, store: FakeStore, clock: FakeClock) -> None:
        """The document names the holder, and its lease ends 30 seconds on."""
        with lock(store, clock):
            fields = store.fields(LOCK)
            assert (fields["holder"], fields["host"], fields["pid"]) == ("ada", "build-1", "100")
            assert fields["run_url"] == "https://ci.example.com/1"
            assert fields["expires"] == (START + timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
        assert clock.now() == START

    def test_nobody_waited_for_a_free_lock(self, store: FakeStore, clock: FakeClock) -> None:
        """Acquire returns whether this run had to wait."""
        ours = lock(store, clock)
        assert ours.acquire() is False
        ours.release()

    def test_a_held_lock_is_refused_after_the_timeout(self, store: FakeStore, clock: FakeClock) -> None:
        """The refusal names holder, host, since when, the run, and what to do; the lock stays as it was."""
        with lock(store, clock):
            before = store.fields(LOCK)
            with pytest.raises(LockHeld, match="ada on build-1 since 2026-11-") as refused:
                lock(store, clock, GRACE, timeout=20).acquire()
            assert store.fields(LOCK) == before
        assert "https://ci.example.com/1" in refused.value.message
        assert "--lock-timeout" in (refused.value.hint or "")
        assert timedelta(seconds=20) <= clock.now() - START < timedelta(seconds=22)

    def test_without_patience_a_held_lock_is_refused_at_once(
        self, store: FakeStore, clock: FakeClock
    ) -> None:
        """A timeout of zero asks once."""
        store.write_lock(held_by(GRACE), cas=0)
        with pytest.raises(LockHeld):
            lock(store, clock, timeout=0).acquire()
        assert clock.now() == START

    def test_a_freed_lock_is_taken_while_waiting(self, store: FakeStore, clock: FakeClock) -> None:
        """Who waits gets the lock soon after the holder frees it, and knows that it had to wait."""
        first = lock(store, clock)
        first.acquire()

        def free_later(operation: str, _name: str) -> None:
            if operation == "read_lock" and clock.now() >= START + timedelta(seconds=5):
                store.before = lambda _operation, _name: None
                first.release()

        store.before = free_later
        second = lock(store, clock, GRACE)
        assert second.acquire() is True
        assert store.fields(LOCK)["holder"] == "grace"
        assert clock.now() < START + timedelta(seconds=8)
        second.release()

    def test_a_wait_names_each_run_that_holds_the_lock(self, store: FakeStore, clock: FakeClock) -> None:
        """Once for each holder, with the longest wait, who it is and since when; then that the wait ended."""
        first, other = lock(store, clock), lock(store, clock, replace(ADA, id="3", name="linus"))
        first.acquire()
        waits: list[tuple[float, str]] = []

        def change_hands(operation: str, _name: str) -> None:
            passed = clock.now() - START
            if operation != "read_lock" or passed < timedelta(seconds=5):
                return
            if passed < timedelta(seconds=6):
                first.release()
                store.before = lambda _operation, _name: None
                other.acquire()
                store.before = change_hands
            elif passed >= timedelta(seconds=10):
                store.before = lambda _operation, _name: None
                other.release()

        store.before = change_hands
        last = lock(store, clock, GRACE, waiting=lambda seconds, reason: waits.append((seconds, reason)))
        assert last.acquire() is True
        last.release()
        (first_wait, by_ada), ended, (second_wait, by_other), ended_again = waits
        assert (first_wait, second_wait) == (60.0, 55.0)
        assert by_ada.startswith("another run holds the lock: ada on build-1 since 2026-11-")
        assert by_other.startswith("another run holds the lock: linus on build-1 since ")
        assert ended == ended_again == (0.0, "")

    def test_nothing_is_reported_without_a_wait(self, store: FakeStore, clock: FakeClock) -> None:
        """A free lock is taken and a held one refused without a word about waiting."""
        waits: list[float] = []
        first = lock(store, clock, waiting=lambda seconds, _reason: waits.append(seconds))
        second = lock(store, clock, GRACE, timeout=0, waiting=lambda seconds, _reason: waits.append(seconds))
        with first, pytest.raises(LockHeld):
            second.acquire()
        assert waits == []

    def test_an_expired_lease_is_taken_at_once(self, store: FakeStore, clock: FakeClock) -> None:
        """A holder that stopped renewing loses the lock when its lease has run out."""
        store.write_lock(held_by(GRACE), cas=0)
        clock.advance(seconds=31)
        with lock(store, clock):
            assert store.fields(LOCK)["holder"] == "ada"
        assert clock.now() == START + timedelta(seconds=31)

    def test_a_dead_process_loses_the_lock_at_once(self, store: FakeStore, clock: FakeClock) -> None:
        """A run that was killed on this host is not waited for."""
        store.write_lock(held_by(GRACE, **SAME_HOST), cas=0)
        with lock(store, clock, alive=nowhere):
            assert store.fields(LOCK)["holder"] == "ada"
        assert clock.now() == START

    def test_a_clock_that_is_ahead_does_not_hold_the_lock_for_ever(
        self, store: FakeStore, clock: FakeClock
    ) -> None:
        """A lease that is not renewed for its whole length has expired, whatever date it says."""
        store.write_lock(held_by(GRACE, expires="2099-01-01T00:00:00Z"), cas=0)
        with lock(store, clock):
            assert store.fields(LOCK)["holder"] == "ada"
        assert LEASE <= clock.now() - START <= LEASE + timedelta(seconds=2)

    def test_a_renewed_lease_is_respected(self, store: FakeStore, clock: FakeClock) -> None:
        """A holder that renews keeps the lock for longer than one lease."""
        first = lock(store, clock)
        first.acquire()

        def renew(operation: str, _name: str) -> None:
            if operation == "read_lock" and clock.now().second % 10 == 0:
                first.renew()

        store.before = renew
        with pytest.raises(LockHeld):
            lock(store, clock, GRACE, timeout=100).acquire()
        first.release()

    def test_the_slower_of_two_waits(self, store: FakeStore, clock: FakeClock) -> None:
        """Who sees the lock free and loses the check-and-set to another run does not hold it."""

        def be_faster(operation: str, _name: str) -> None:
            if operation == "write_lock":
                store.before = lambda _operation, _name: None
                store.write_lock(held_by(GRACE), cas=0)

        store.before = be_faster
        with pytest.raises(LockHeld, match="grace"):
            lock(store, clock, timeout=10).acquire()

    def test_hostile_fields_cannot_forge_lines(self, store: FakeStore, clock: FakeClock) -> None:
        """Line ends and escape sequences in a lock document do not reach the message."""
        store.write_lock(held_by(GRACE, holder="x\n::error::\x1b[31m", host="", run_url="a\rb"), cas=0)
        with pytest.raises(LockHeld) as refused:
            lock(store, clock, timeout=0).acquire()
        assert refused.value.message.isprintable()
        assert "unknown" in refused.value.message


class TestKeeping:
    """Renew."""

    def test_renewing_extends_the_lease(self, store: FakeStore, clock: FakeClock) -> None:
        """A renewed lease ends 30 seconds after the renewal, and still says since when."""
        with lock(store, clock) as ours:
            clock.advance(seconds=25)
            ours.renew()
            fields = store.fields(LOCK)
            assert lock_state(fields, GRACE, START + timedelta(seconds=54), always) is LockState.HELD
            assert lock_state(fields, GRACE, START + timedelta(seconds=55), always) is LockState.EXPIRED
            assert fields["since"] == START.isoformat().replace("+00:00", "Z")

    def test_a_thread_renews_the_lease(self, store: FakeStore, clock: FakeClock) -> None:
        """While the lock is held the lease is renewed without anybody asking, and not afterwards."""
        renewed = threading.Event()

        def count(operation: str, _name: str) -> None:
            if [name for name, _ in store.calls].count("write_lock") >= 3:
                renewed.set()

        store.after = count
        ours = lock(store, clock, renewal=0.001)
        ours.acquire()
        assert renewed.wait(PATIENCE)
        ours.release()
        assert store.fields(LOCK) == {}
        assert not [thread for thread in threading.enumerate() if thread.name == "lock renewal"]

    def test_losing_the_lock_is_one_warning(self, store: FakeStore, clock: FakeClock) -> None:
        """When another run has taken the lock the holder is warned, goes on, and leaves the lock alone."""
        warnings: list[str] = []
        with lock(store, clock, warn=warnings.append) as ours:
            clock.advance(seconds=40)
            with lock(store, clock, GRACE):
                ours.renew()
                ours.renew()
                assert ours.lost
                ours.release()
                assert store.fields(LOCK)["holder"] == "grace"
        assert warnings == ["another run has taken over the lock; this run continues"]

    def test_a_lock_that_was_removed_is_lost(self, store: FakeStore, clock: FakeClock) -> None:
        """Somebody who removes the lock document takes the lock away."""
        with lock(store, clock) as ours:
            store.forget(LOCK)
            ours.renew()
            assert ours.lost
        assert store.fields(LOCK) == {}

    def test_a_lost_answer_is_not_a_lost_lock(self, store: FakeStore, clock: FakeClock) -> None:
        """A renewal that was written but never answered leaves the lock ours."""

        def lose_answer(operation: str, _name: str) -> None:
            if operation == "write_lock":
                store.after = lambda _operation, _name: None
                raise StoreError("no answer")

        with lock(store, clock) as ours:
            store.after = lose_answer
            ours.renew()
            ours.renew()
            assert not ours.lost
            assert store.fields(LOCK)["holder"] == "ada"
        assert store.fields(LOCK) == {}

    def test_a_silent_store_is_asked_again(self, store: FakeStore, clock: FakeClock) -> None:
        """A renewal that fails is no loss; the next one may succeed."""

        def be_silent(operation: str, _name: str) -> None:
            raise StoreError("no answer")

        with lock(store, clock) as ours:
            store.before = be_silent
            ours.renew()
            store.before = lambda _operation, _name: None
            clock.advance(seconds=20)
            ours.renew()
            assert not ours.lost
            assert (
                lock_state(store.fields(LOCK), GRACE, START + timedelta(seconds=49), always) is LockState.HELD
            )


class TestGivingBack:
    """Release."""

    def test_a_released_lock_is_free(self, store: FakeStore, clock: FakeClock) -> None:
        """After the run the next one need not wait."""
        with lock(store, clock):
            pass
        assert store.read_lock()[1] is None
        with lock(store, clock, GRACE, timeout=0):
            assert store.fields(LOCK)["holder"] == "grace"

    def test_the_lock_is_released_when_the_run_fails(self, store: FakeStore, clock: FakeClock) -> None:
        """An exception inside frees the lock too."""
        with pytest.raises(RuntimeError), lock(store, clock):
            raise RuntimeError
        assert store.fields(LOCK) == {}

    def test_releasing_twice_is_once(self, store: FakeStore, clock: FakeClock) -> None:
        """A second release changes nothing, not even somebody else's lock."""
        ours = lock(store, clock)
        ours.acquire()
        ours.release()
        with lock(store, clock, GRACE):
            ours.release()
            assert store.fields(LOCK)["holder"] == "grace"

    def test_a_lock_lost_unnoticed_is_not_freed(self, store: FakeStore, clock: FakeClock) -> None:
        """Releasing what another run has taken meanwhile leaves it theirs, and says so."""
        ours = lock(store, clock)
        ours.acquire()
        clock.advance(seconds=40)
        with lock(store, clock, GRACE):
            ours.release()
            assert ours.lost
            assert store.fields(LOCK)["holder"] == "grace"

    def test_a_store_that_fails_at_the_end_is_a_warning(self, store: FakeStore, clock: FakeClock) -> None:
        """A lock that cannot be released is a warning, not an error: it expires by itself."""
        warnings: list[str] = []

        def be_silent(operation: str, _name: str) -> None:
            raise StoreError("Vault is not reachable")

        with lock(store, clock, warn=warnings.append):
            store.before = be_silent
        assert warnings == ["could not release the lock, which expires in 30 seconds: Vault is not reachable"]
