"""Read JSON from outside without letting a few bytes become many objects."""

from __future__ import annotations

import json
import re
from typing import Any

MOST_VALUES = 500_000
"""Values need up to a hundred times the memory of their text."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


def load_json(data: bytes | bytearray) -> Any:
    """Return the value in a JSON text.

    Raises:
        ValueError: it is not JSON, nested too deeply, or has too many values. The cause may quote the text.
    """
    # Commas in long texts are no values, but few documents have so many.
    if _marks(data) > MOST_VALUES and _marks(_STRING.sub(b"", data)) > MOST_VALUES:
        raise ValueError("too many values")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _marks(data: bytes | bytearray) -> int:
    return sum(map(data.count, (b",", b"[", b"{")))
