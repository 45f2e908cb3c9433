"""The packaged schemas: where they are looked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from reconciler.schemas import find_schema

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_folder_that_has_it_wins(tmp_path: Path) -> None:
    """A file in the package counts before the one beside it; a folder without it is passed over."""
    package, checkout = tmp_path / "_schemas", tmp_path / "schemas"
    package.mkdir()
    checkout.mkdir()
    (checkout / "a.json").touch()
    assert find_schema("a.json", (package, checkout)) == checkout / "a.json"
    (package / "a.json").touch()
    assert find_schema("a.json", (package, checkout)) == package / "a.json"


def test_a_missing_schema_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """An installation without the file is told with the file's name and every folder."""
    folders = (tmp_path / "one", tmp_path / "two")
    words = re.escape(f"a.json is missing from the installation; looked in {folders[0]} and {folders[1]}")
    with pytest.raises(FileNotFoundError, match=words):
        find_schema("a.json", folders)
