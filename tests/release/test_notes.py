"""The release notes are a section of the changelog."""

from __future__ import annotations

import pytest

from script.release.notes import section

CHANGELOG = """# Changelog

## Unreleased

## 1.10.0 - 2027-02-01

- Ten.

### Fixed
- A.

## 1.1.0 - 2027-01-01
- One.
"""


def test_a_version_has_its_section() -> None:
    """Up to the next version, with its own headings."""
    assert section(CHANGELOG, "1.10.0") == "- Ten.\n\n### Fixed\n- A.\n"
    assert section(CHANGELOG, "1.1.0") == "- One.\n"


@pytest.mark.parametrize("version", ["1.1", "Unreleased", "1x1.0", "2.0.0"])
def test_a_release_without_notes_is_an_error(version: str) -> None:
    """A version that the changelog does not have, or has nothing about, is not released."""
    with pytest.raises(ValueError, match=r"CHANGELOG\.md has no section"):
        section(CHANGELOG, version)
