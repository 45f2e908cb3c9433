"""Colours, and files that are written in one piece."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.output import wants_color, write_file
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from pathlib import Path


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
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    environ: dict[str, str], no_color: bool, painted: bool
) -> None:
    """NO_COLOR (not empty), TERM=dumb and --no-color switch colours off; FORCE_COLOR switches them on."""
    assert wants_color(_Tty(), environ, no_color=no_color) is painted
    forced = painted and "FORCE_COLOR" in environ
    assert wants_color(io.StringIO(), environ, no_color=no_color) is forced


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


def test_a_pipe_whose_reader_has_left_is_no_error(tmp_path: Path) -> None:
    """`--output >(head -1)` ends as `| head -1` does."""
    reading, writing = os.pipe()
    os.close(reading)
    write_file(f"/dev/fd/{writing}", "text")
    os.close(writing)
    with pytest.raises(ReconcilerError, match=r"cannot write .*No such file or directory"):
        write_file(str(tmp_path / "absent/file"), "text")
