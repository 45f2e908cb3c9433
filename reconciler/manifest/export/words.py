"""Did you mean …?"""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Longer words are no misspellings, and the comparison's cost grows with the square of their length.
_LONGEST = 64


def suggestion(word: str, known: Sequence[str]) -> str | None:
    """Return the known word that `word` most likely was meant to be, whatever its case; None without one."""
    by_lower = {name.lower(): name for name in known}
    similar = difflib.get_close_matches(word[:_LONGEST].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[similar[0]] if similar else None


def foreign(text: str) -> str:
    """Return the first letter of `text` that is not ASCII, in words for a sentence; nothing without one.

    Some look like those that were meant, or like nothing at all.
    """
    letter = next((char for char in text if not char.isascii()), None)
    if letter is None:
        return ""
    return f" (it holds U+{ord(letter):04X}, {unicodedata.name(letter, 'a letter without a name')})"
