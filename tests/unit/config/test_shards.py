"""Shards: stable parts of the organizations."""

from __future__ import annotations

from collections import Counter

import pytest

from reconciler.config.shards import Shard, shard_of


def test_the_parts_are_disjoint_complete_stable_and_about_equal() -> None:
    """The name alone decides: a new organization moves no other. Another version decides the same."""
    names = [f"org-{number}" for number in range(10_000)]
    sizes = Counter(shard_of(name, 256) for name in names)
    assert sum(sizes.values()) == len(names)
    assert set(sizes) == {Shard(number, 256) for number in range(1, 257)}
    assert max(sizes.values()) <= 2 * len(names) / 256
    for name in names[:50]:
        holders = [number for number in range(1, 9) if Shard(number, 8).has(name)]
        assert holders == [shard_of(name, 8).number]
    assert [shard_of(name, 8).number for name in ("acme-prod", "acme-staging", "globex")] == RECORDED


RECORDED = [3, 3, 8]


@pytest.mark.parametrize("text", ["1/1", "3/8", "256/256"])
def test_a_shard_is_written_as_it_is_read(text: str) -> None:
    """`I/N`, from 1."""
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "a/b", "1/2/3", "-1/4", "1/4\n", "\u00b2/4"])
def test_anything_else_is_refused(text: str) -> None:
    """Also the number 0, which an index that begins at 0 would need."""
    with pytest.raises(ValueError, match=r"\A"):
        Shard.parse(text)
