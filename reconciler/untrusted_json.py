"""Read JSON from outside without letting a few bytes become many objects."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

MOST_BYTES = 16 * 1024 * 1024
MOST_VALUES = 500_000
"""Values need up to a hundred times the memory of their text."""
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([,\[{])', re.DOTALL)


class TooMuchJson(ValueError):
    """The text has more values than anything that is expected."""


def load_json(data: bytes | bytearray) -> Any:
    """Return the value in a JSON text.

    Raises:
        TooMuchJson: it is too long or has too many values.
        ValueError: it is not JSON, or nested too deeply. The cause may quote the text.
    """
    if len(data) > MOST_BYTES or _has_many_values(data):
        raise TooMuchJson
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _has_many_values(data: bytes | bytearray) -> bool:
    if sum(map(data.count, (b",", b"[", b"{"))) <= MOST_VALUES:
        return False
    # Commas in long texts are not values, but few documents have so many.
    marks = (found for found in _MARK.finditer(data) if found[1])
    return next(itertools.islice(marks, MOST_VALUES, None), None) is not None
