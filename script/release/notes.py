"""Print the release notes of this version, its section of the changelog: `python -m script.release.notes`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from reconciler import __version__

_CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def section(changelog: str, version: str) -> str:
    """Return the text below a version's heading, such as `## 1.2.3 - 2027-01-31`.

    Raises:
        ValueError: the changelog has no such section, or nothing in it.
    """
    heading = rf"^## {re.escape(version)}(?: - \d{{4}}-\d\d-\d\d)?\n(.*?)(?=^## |\Z)"
    found = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ValueError(f"CHANGELOG.md has no section `## {version} - YYYY-MM-DD` with a text")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(section(_CHANGELOG.read_text(encoding="utf-8"), __version__))
    except ValueError as problem:
        sys.exit(str(problem))
