"""What the benchmark measures does what it says: a generated fleet, live and recorded, has nothing to do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.baselines import list_metadata, plan
from benchmarks.fleets import make_fleet
from benchmarks.measuring import Command, CommandFailed, in_turn, run_once
from benchmarks.servers import stand_ins

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plan_of_a_generated_fleet_finds_nothing_to_do(tmp_path: Path) -> None:
    """The stand-ins answer as the real servers do: two pages, one listing, and no change."""
    fleet = make_fleet(tmp_path, 101)
    with stand_ins(fleet) as servers:
        run_once(plan(fleet.folder, servers.environ))
        assert servers.api.take_count() == 2
        assert servers.vault.take_count() == 1
        run_once(list_metadata(fleet.folder, servers.environ))
        assert servers.vault.take_count() == 1


def test_a_plan_that_finds_something_to_do_is_not_measured(tmp_path: Path) -> None:
    """Its time would be compared with that of another job."""
    fleet = make_fleet(tmp_path, 3, per_file=1)
    with stand_ins(fleet) as servers:
        fleet.manifests.joinpath("000000.yaml").unlink()
        with pytest.raises(CommandFailed, match="ended with 2"):
            run_once(plan(fleet.folder, servers.environ))


def test_commands_take_turns_and_the_first_round_does_not_count(tmp_path: Path) -> None:
    """Each runs once more than it is counted."""
    commands = {
        name: Command((sys.executable, "-c", f"open('log', 'a').write('{name}')"), tmp_path) for name in "ab"
    }
    samples = in_turn(commands, 2)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "ababab"
    assert [len(sample.runs) for sample in samples.values()] == [2, 2]


def test_a_command_s_memory_is_its_own(tmp_path: Path) -> None:
    """However large the process is that measures it: this test's is larger than a bare Python."""
    ballast = bytearray(b"x") * 200_000_000
    run = run_once(Command((sys.executable, "-c", "pass"), tmp_path))
    assert len(ballast) / 1_000_000 > run.megabytes > 1


def test_a_failure_quotes_the_command_s_last_words(tmp_path: Path) -> None:
    """And its exit code."""
    with pytest.raises(CommandFailed, match=r"ended with 3: gone wrong"):
        run_once(
            Command(
                (sys.executable, "-c", "import sys; print('gone wrong', file=sys.stderr); sys.exit(3)"),
                tmp_path,
            )
        )
