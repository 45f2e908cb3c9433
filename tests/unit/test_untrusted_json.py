"""JSON from outside: what is read, and what is too much."""

from __future__ import annotations

import json

import pytest

from reconciler.untrusted_json import MOST_BYTES, MOST_VALUES, TooMuchJson, load_json


@pytest.mark.parametrize(
    "value",
    [{"a": [1, None, "x"]}, [0] * MOST_VALUES, ["," * (MOST_VALUES + 9)], {r"\"[{,": "," * MOST_VALUES}],
    ids=["small", "many values", "commas in a text", "marks in texts"],
)
def test_what_is_read(value: object) -> None:
    """As many values as any page has, and texts of any content."""
    assert load_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"0," * MOST_VALUES + b"0]",
        b"[" + b"[]," * MOST_VALUES + b"0]",
        b"[" + b'{"":0},' * MOST_VALUES + b"0]",
        b'["' + b"," * MOST_VALUES + b'",' + b"0," * MOST_VALUES + b"0]",
        b"[" * (MOST_VALUES + 1),
        b" " * (MOST_BYTES + 1),
    ],
    ids=["numbers", "lists", "objects", "after a text", "deep", "long"],
)
def test_what_is_too_much(data: bytes) -> None:
    """It is refused before it is decoded."""
    with pytest.raises(TooMuchJson):
        load_json(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[" * 100_000, b"\xff", b'"\xed\xa0\x80"', b"1" * 5_000, json.dumps("x").encode("utf-16")],
)
def test_what_is_not_json(data: bytes) -> None:
    """Each is one kind of error."""
    with pytest.raises(ValueError):
        load_json(data)


def test_a_byte_order_mark_is_skipped() -> None:
    """Some gateways write one."""
    assert load_json(b"\xef\xbb\xbf{}") == {}
