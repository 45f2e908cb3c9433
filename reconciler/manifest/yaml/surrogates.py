r"""Pairs of surrogates in JSON, such as `\ud83d\ude00` for 😀: JSON is written so, and libyaml refuses them.

In a file that is JSON, each half is replaced with an escape of the same length for a private character, so
that all positions stay; after parsing, the two private characters become the one that is meant.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from yaml.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from yaml.nodes import Node

# Behind an even number of backslashes, so that the next one begins an escape.
_PAIR = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})", re.ASCII
)
_HIGH, _LOW, _PLANE = 0xD800, 0xDC00, 0x10000
# Where the halves are kept: U+E000 to U+E3FF and U+E400 to U+E7FF.
_PRIVATE_HIGH, _PRIVATE_LOW = 0xE000, 0xE400
_PRIVATE = re.compile(rb"\xee[\x80-\x9f]|\\u[eE][0-7]")
_PRIVATE_PAIR = re.compile("([\ue000-\ue3ff])([\ue400-\ue7ff])")


def hide_pairs(data: bytes) -> bytes:
    """Return JSON with escapes that libyaml reads; anything else, and JSON without pairs, as it is."""
    if b"\\u" not in data or not _PAIR.search(data) or _PRIVATE.search(data) or not _is_json(data):
        return data
    return _PAIR.sub(_hidden, data)


def restore_pairs(root: Node) -> None:
    """Put the characters that are meant into the texts of nodes."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ScalarNode):
            node.value = _PRIVATE_PAIR.sub(_restored, node.value)
        elif isinstance(node, MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            waiting += node.value


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _hidden(pair: re.Match[bytes]) -> bytes:
    high = int(pair[2], 16) - _HIGH + _PRIVATE_HIGH
    low = int(pair[3], 16) - _LOW + _PRIVATE_LOW
    return pair[1] + rf"\u{high:04x}\u{low:04x}".encode()


def _restored(pair: re.Match[str]) -> str:
    return chr(_PLANE + ((ord(pair[1]) - _PRIVATE_HIGH) << 10) + ord(pair[2]) - _PRIVATE_LOW)
