"""What others wrote becomes part of a message on one line, cut and without secrets."""

from __future__ import annotations

import pytest

from reconciler.credentials.foreign import foreign_id, foreign_text
from reconciler.credentials.known import KNOWN
from reconciler.model import Secret

KEY = "zof_live_aB3dE7hI1kLm9nOp5qRs8tUv"
UNKNOWN = "Zy9xW5vU3tSr7qPo1nMl2kJi8hGf6e"


@pytest.fixture(autouse=True)
def _key_of_the_run() -> None:
    KNOWN.clear()
    KNOWN.add(Secret(KEY))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" two\r\n lines ", "two lines"),
        ("No webhook we_000001: see https://docs.example.com/errors", None),
        ("the url must be https, not 'http://hooks.example.com/zof'", None),
        (f"bad key {KEY}", "bad key ***"),
        (f"bad key {KEY[:4]}\u200b{KEY[4:]}", "bad key ***"),
        ("bad key " + " ".join(KEY), "bad key ***"),
        (f"another run's whsec_{UNKNOWN}!", "another run's ***"),
        (f"WHSEC_{UNKNOWN.upper()}", "***"),
        ("w h s e c _ a B 3 d E 7 h I 1 k", "***"),
        (f"a token ({UNKNOWN})", "a token (***)"),
        ("at https://ada:hunter2@x.example.com/in", "at https://***@x.example.com/in"),
        ("at https://hooks.slack.com/services/a/b/c", "at https://hooks.slack.com/***"),
        ("xy " * 400, None),
        (None, ""),
        (7, ""),
        ([], ""),
    ],
)
def test_foreign_texts_are_masked_and_put_on_one_line(text: object, shown: str | None) -> None:
    """The run's secrets, unknown ones of a known shape, random texts and credentials in URLs are masked."""
    expected = str(text).strip() if shown is None else shown
    assert foreign_text(text) == (expected if len(expected) <= 300 else expected[:299] + "…")


def test_an_identifier_may_be_random() -> None:
    """Support needs the id of a request; a secret in its place is masked."""
    assert foreign_id(f"req_{UNKNOWN}") == f"req_{UNKNOWN}"
    assert foreign_id(KEY) == foreign_id(f"whsec_{UNKNOWN}") == "***"
    assert len(foreign_id("é" * 1000)) == 128


@pytest.mark.parametrize("unit", ["a", "A1", "://", "a@", "%41", "&#", "https://a/", "w ", "\\u00"])
def test_long_texts_take_little_time(unit: str) -> None:
    """A server may send megabytes: only their beginning is read."""
    assert len(foreign_text(unit * 1_000_000)) <= 300
