"""The archive of a reviewed plan, which anybody who may run a workflow can have written."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ReconcilerError
from reconciler.github.review import unpack
from tests.fixtures.bombs import zip_bomb

MB = 1 << 20


def _archive(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return archive.getvalue()


GOOD = _archive(**{"plan.json": b"{}" * 50, "é.txt": b"x"})


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (zip_bomb(40 * MB, zipfile.ZIP_DEFLATED), "has more than 32 MB"),
        (zip_bomb(40 * MB, zipfile.ZIP_DEFLATED, claimed=100), "is damaged"),
        (zip_bomb(40 * MB, zipfile.ZIP_BZIP2, claimed=100), "is damaged"),
        (zip_bomb(40 * MB, zipfile.ZIP_BZIP2), "is damaged"),
        (zip_bomb(40 * MB, zipfile.ZIP_LZMA, claimed=100), "is damaged"),
    ],
    ids=["deflate", "deflate, false size", "bzip2, false size", "bzip2", "lzma, false size"],
)
def test_a_bomb_is_unpacked_as_far_as_a_plan_may_go(archive: bytes, words: str) -> None:
    """What counts is what it really unpacks to; the sizes in the archive are anybody's."""
    assert len(archive) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ReconcilerError, match=words):
            unpack(archive)
        assert tracemalloc.get_traced_memory()[1] < 80 * MB
    finally:
        tracemalloc.stop()


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(GOOD)) | st.just(len(GOOD)),
)
def test_any_archive_is_read_or_damaged(changes: list[tuple[int, int]], end: int) -> None:
    """No archive makes the reader fail in another way."""
    archive = bytearray(GOOD)
    for place, value in changes:
        archive[place] = value
    with contextlib.suppress(ReconcilerError):
        unpack(bytes(archive[:end]))


def test_a_plan_is_unpacked() -> None:
    """Whatever else is in the archive."""
    assert unpack(GOOD) == b"{}" * 50
