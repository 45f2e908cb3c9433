"""The packaged JSON Schemas: the same files that editors and other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

SchemaName = Literal["manifest", "config", "plan"]

_FILES: dict[SchemaName, str] = {
    "manifest": "webhook.schema.json",
    "config": "config.schema.json",
    "plan": "plan.schema.json",
}
_PACKAGE = Path(__file__).resolve().parent
# A wheel holds them inside the package, a checkout (and an editable install) beside it.
_FOLDERS = (_PACKAGE / "_schemas", _PACKAGE.parent / "schemas")


def schema_text(name: SchemaName) -> str:
    """Return the text of one of our JSON Schemas (draft 2020-12).

    Args:
        name: `manifest`, `config` or `plan`.

    Raises:
        FileNotFoundError: the installation lacks the file.
    """
    return find_packaged(_FILES[name], _FOLDERS).read_text(encoding="utf-8")


def find_packaged(file_name: str, folders: tuple[Path, ...]) -> Path:
    """Return the first of `folders` that holds `file_name`, joined with it.

    Raises:
        FileNotFoundError: none does.
    """
    for folder in folders:
        path = folder / file_name
        if path.is_file():
            return path
    looked = " and ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"{file_name} is missing from the installation; looked in {looked}")
