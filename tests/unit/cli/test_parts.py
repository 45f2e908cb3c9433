"""The small parts of the command line: output, attribution, interrupts."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconciler.cli.attribution import current_run, sources_url
from reconciler.cli.interrupt import stop_on_signal
from reconciler.cli.output import wants_color, write_file
from reconciler.errors import ReconcilerError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "no_color", "painted"),
    [
        ({}, False, True),
        ({"NO_COLOR": ""}, False, True),
        ({"NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    environ: dict[str, str], no_color: bool, painted: bool
) -> None:
    """NO_COLOR (not empty), TERM=dumb and --no-color switch colours off; so does not being a terminal."""
    assert wants_color(_Tty(), environ, no_color=no_color) is painted
    assert not wants_color(io.StringIO(), environ, no_color=no_color)


def test_a_file_is_replaced_in_one_piece(tmp_path: Path) -> None:
    """A result file has the whole text, the permissions of any new file, and no leftovers beside it."""
    target = tmp_path / "plan.json"
    target.write_text("old", encoding="utf-8")
    write_file(str(target), "néw\n")
    fresh = tmp_path / "fresh"
    fresh.touch()
    assert target.read_bytes() == "néw\n".encode()
    assert target.stat().st_mode == fresh.stat().st_mode
    assert {each.name for each in tmp_path.iterdir()} == {"plan.json", "fresh"}


@pytest.mark.parametrize("name", ["absent/plan.json", "folder", "nul\0name"])
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, name: str) -> None:
    """An absent folder, a folder in the file's place, or no path at all: an error, and no leftovers."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReconcilerError, match="cannot write"):
        write_file(str(tmp_path / name), "text")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_a_run_in_github_actions_is_attributed_by_its_variables() -> None:
    """Actor, commit and the run's page come from the variables that GitHub Actions sets."""
    run = current_run(
        {
            "GITHUB_ACTOR": "octocat",
            "GITHUB_SHA": COMMIT,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "acme/hooks",
            "GITHUB_RUN_ID": "42",
            "USER": "runner",
        }
    )
    assert (run.actor, run.commit) == ("octocat", COMMIT)
    assert run.url == "https://github.com/acme/hooks/actions/runs/42"


def test_a_folder_in_github_actions_has_an_address() -> None:
    """Inside the checkout a folder is a page of the repository at this commit; anywhere else it is none."""
    environ = {
        "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/hooks", "GITHUB_SHA": COMMIT,
        "GITHUB_WORKSPACE": "/hooks/hooks",
    }  # fmt: skip
    root = f"https://github.com/acme/hooks/blob/{COMMIT}"
    assert sources_url(environ, Path("/hooks/hooks")) == root
    assert sources_url(environ, Path("/hooks/hooks/a b/c")) == f"{root}/a%20b/c"
    assert sources_url(environ, Path("/hooks/other")) is None
    for missing in environ:
        assert sources_url({k: v for k, v in environ.items() if k != missing}, Path("/hooks/hooks")) is None


def test_a_run_by_hand_is_attributed_to_the_user_or_to_whom_they_name() -> None:
    """`--actor` counts most, then the user's name; a page needs all of its parts."""
    assert current_run({"USER": "ada", "GITHUB_SHA": "x"}).actor == "ada"
    assert current_run({"LOGNAME": "ada", "GITHUB_SHA": "x"}).actor == "ada"
    assert current_run({"USER": "ada", "GITHUB_ACTOR": "x", "GITHUB_SHA": "x"}, "grace").actor == "grace"
    assert current_run({"GITHUB_SHA": "x", "GITHUB_RUN_ID": "42"}).url is None


def test_the_commit_comes_from_git_where_there_is_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout the commit is HEAD; outside, or without git, it is unknown."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    repository = tmp_path / "checkout"
    repository.mkdir()
    monkeypatch.chdir(repository)
    assert current_run({}).commit is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert current_run({}).commit == head
    assert current_run({}).actor == "a", "who wrote it, where nobody else is known"
    assert current_run({"GITHUB_SHA": head, "USER": "ada"}).actor == "ada"
    assert current_run({"GITHUB_SHA": "4" * 40}).actor is None
    assert current_run({"GITHUB_SHA": "--help"}).actor is None
    monkeypatch.setenv("PATH", "")
    assert current_run({}).commit is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop(number: signal.Signals) -> None:
    """The first signal sets the event and ends nothing; afterwards the former handlers are back."""
    before = signal.getsignal(number)
    stop = threading.Event()
    with stop_on_signal(stop, "stopping"):
        os.kill(os.getpid(), number)
        assert stop.wait(5)
    assert signal.getsignal(number) is before


def test_a_second_signal_stops_at_once() -> None:
    """The second signal ends the process with the shell's code for it, without another word."""
    program = (
        "import os, signal, threading\n"
        "from reconciler.cli.interrupt import stop_on_signal\n"
        "with stop_on_signal(threading.Event(), 'stopping'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 143
    assert done.stdout == ""
    assert done.stderr == "\nstopping\n"
