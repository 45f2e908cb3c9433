"""Divide the organizations into stable parts, one for each job of a pipeline."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class Shard(NamedTuple):
    """The `number`-th part `of` so many. A name alone decides its part: a new organization moves no other."""

    number: int
    """From 1."""
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that `text` names.

        Raises:
            ValueError: it is not `I/N` with 1 ≤ I ≤ N.
        """
        found = _FORM.fullmatch(text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise ValueError(text)
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, organization: str) -> bool:
        """Whether an organization is in this part."""
        return shard_of(organization, self.of) == self


def shard_of(organization: str, count: int) -> Shard:
    """Return which of `count` parts an organization is in."""
    digest = hashlib.sha256(organization.encode()).digest()
    return Shard(int.from_bytes(digest[:8]) % count + 1, count)
