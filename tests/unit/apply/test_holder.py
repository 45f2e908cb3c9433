"""Who holds the lock: which run may take it over, and whether a process is still the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.apply.holder import Holder, LockState, is_alive, lock_state
from reconciler.model import Run
from tests.fakes.clock import START
from tests.fixtures.holders import ADA, GRACE, SAME_HOST, always, held_by, nowhere

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("fields", "alive", "state"),
    [
        (None, always, LockState.FREE),
        ({}, always, LockState.FREE),
        (held_by(GRACE), always, LockState.HELD),
        (held_by(GRACE), nowhere, LockState.HELD),
        (held_by(ADA), nowhere, LockState.OURS),
        (held_by(GRACE, expires="2026-01-01T00:00:00Z"), always, LockState.EXPIRED),
        (held_by(GRACE, expires=START.isoformat()), always, LockState.EXPIRED),
        (held_by(GRACE, expires="soon"), always, LockState.EXPIRED),
        (held_by(GRACE, expires="2026-11-02T00:00:00"), always, LockState.EXPIRED),
        ({"holder": "somebody"}, always, LockState.EXPIRED),
        (held_by(GRACE, **SAME_HOST), always, LockState.HELD),
        (held_by(GRACE, **SAME_HOST), nowhere, LockState.DEAD),
        (held_by(GRACE, **SAME_HOST, pid="x"), nowhere, LockState.HELD),
        (held_by(GRACE, **SAME_HOST, pid="9" * 5_000), nowhere, LockState.HELD),
        (held_by(GRACE, **SAME_HOST, pid="\u00b2"), nowhere, LockState.HELD),
        (held_by(GRACE, **SAME_HOST, process_start=""), nowhere, LockState.HELD),
        (held_by(GRACE, host=ADA.host), nowhere, LockState.HELD),
        (held_by(GRACE, boot_id=ADA.boot_id), nowhere, LockState.HELD),
    ],
)
def test_who_may_take_the_lock(
    fields: dict[str, str] | None, alive: Callable[[int, str], bool], state: LockState
) -> None:
    """A lock is taken over when it is free, ours, expired, or of a dead process of this very boot."""
    assert lock_state(fields, ADA, START, alive) is state


def test_unknown_boots_are_never_the_same() -> None:
    """Where no boot can be told from another, no process is declared dead."""
    unknown = replace(ADA, boot_id="")
    assert lock_state(held_by(GRACE, host=ADA.host, boot_id=""), unknown, START, nowhere) is LockState.HELD


class TestThisProcess:
    """What the kernel reports."""

    def test_this_process_is_alive(self) -> None:
        """A holder made here is found alive, but not under another start time."""
        here = Holder.here(Run("ada", None, "https://ci.example.com/1"))
        assert (here.name, here.pid, here.run_url) == ("ada", os.getpid(), "https://ci.example.com/1")
        assert here.boot_id
        assert is_alive(here.pid, here.process_start)
        assert not is_alive(here.pid, here.process_start + "0")

    def test_each_run_is_another_holder(self) -> None:
        """Two runs in one process do not take each other for themselves."""
        assert Holder.here(Run()).id != Holder.here(Run()).id

    def test_a_killed_process_is_dead_before_and_after_it_is_reaped(self) -> None:
        """A process that was killed counts as dead even while its parent has not looked."""
        with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
            start = stat_start(process.pid)
            assert is_alive(process.pid, start)
            process.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert not is_alive(process.pid, start)
        assert not is_alive(process.pid, start)

    def test_without_proc_less_is_known(self, tmp_path: Path) -> None:
        """On a system without /proc the holder has neither boot nor start time, and still a name."""
        here = Holder.here(Run(), proc=tmp_path)
        assert (here.name, here.boot_id, here.process_start) == ("unknown", "", "")

    @pytest.mark.parametrize("text", ["", "1 (x) R 1 2", "garbage"])
    def test_a_strange_stat_file_is_no_process(self, tmp_path: Path, text: str) -> None:
        """A file that says too little counts as no process."""
        (tmp_path / str(os.getpid())).mkdir()
        (tmp_path / str(os.getpid()) / "stat").write_text(text)
        assert Holder.here(Run(), proc=tmp_path).process_start == ""

    def test_parentheses_in_a_name_do_not_shift_the_fields(self, tmp_path: Path) -> None:
        """The start time is found after a program name that holds spaces and parentheses."""
        (tmp_path / str(os.getpid())).mkdir()
        numbers = " ".join(str(number) for number in range(4, 30))
        (tmp_path / str(os.getpid()) / "stat").write_text(f"7 (a) b (c d) S {numbers}")
        assert Holder.here(Run(), proc=tmp_path).process_start == "22"


def stat_start(pid: int) -> str:
    """Return the start time of `pid`, read as proc(5) says."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[19]
