"""The search for secrets goes through many small files at once, and judges each of them alone."""

from __future__ import annotations

import pytest

from reconciler.manifest.credentials import may_hold_secret
from reconciler.manifest.files import Unreadable
from reconciler.manifest.screening import screened

CLEAN = b"kind: Webhook\nmetadata:\n  name: ci\n"
SECRET = b"a: whsec_" + b"0aZ9" * 8 + b"\n"
MISSING = Unreadable("there is no such file")


@pytest.mark.parametrize("filler", [CLEAN, CLEAN * 4_000], ids=["small", "large"])
@pytest.mark.parametrize("at", range(4))
def test_each_file_is_judged_alone(at: int, filler: bytes) -> None:
    """A secret in one file makes no other suspicious, wherever it stands and however large they are."""
    files: list[tuple[str, bytes | Unreadable]] = [(f"{number}.yaml", filler) for number in range(4)]
    files[at] = (f"{at}.yaml", filler + SECRET)
    files.insert(2, ("missing.yaml", MISSING))
    found = list(screened(files))
    assert [(path, content) for path, content, _ in found] == files
    assert [path for path, _, may_leak in found if may_leak] == [f"{at}.yaml"]


def test_nothing_is_made_of_two_files() -> None:
    """The end of one file and the beginning of the next are no secret together."""
    halves = [b"password:", b"x7Kq-2Zp9!mN4v\n"]
    assert may_hold_secret(b"\n".join(halves))
    assert not any(may_leak for _, _, may_leak in screened([("a", halves[0]), ("b", halves[1])]))


def test_no_files_are_none() -> None:
    """Without files nothing comes."""
    assert list(screened([])) == []
