r"""JSON with `\ud83d\ude00`, as `json.dumps` writes it."""

from __future__ import annotations

import json

import pytest

from reconciler.manifest.yaml.errors import YamlRefused
from reconciler.manifest.yaml.parsing import parse


@pytest.mark.parametrize(
    "value",
    [
        {"a": "😀", "😀 key": ["x", {"y": "𐀀\U0010ffff😀😀"}]},
        {"a": "\\😀", "b": "\\\\ud83d\\ude00", "c": "\\ud83d 😀"},
    ],
)
def test_json_means_what_it_says(value: object) -> None:
    """Each pair is the character that it stands for; a backslash that is text stays text."""
    (document,) = parse(json.dumps(value).encode())
    assert document.value == value


def test_positions_are_those_of_the_file() -> None:
    """What comes after a pair on its line is where it is written."""
    text = json.dumps({"a": "😀", "b": 1})
    (document,) = parse(text.encode())
    assert document.span(("b",)).column == text.index("1") + 1


@pytest.mark.parametrize(
    "text",
    [
        r'{"a": "\ud83d"}',
        r'{"a": "\ude00\ud83d"}',
        r'{"a": "\\ud83d\ude00"}',
        r'{"a": "\ud83d\ude00 \ue000"}',
        '{"a": "\\ud83d\\ude00 \ue7ff"}',
        'a: "\\ud83d\\ude00"',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Half a pair, a pair outside of JSON, and a private character that could be taken for a half."""
    with pytest.raises(YamlRefused):
        list(parse(text.encode()))


def test_another_text_of_yaml_keeps_its_backslashes() -> None:
    """Outside of JSON they may mean themselves."""
    (document,) = parse(rb"a: '\ud83d\ude00'")
    assert document.value == {"a": r"\ud83d\ude00"}
