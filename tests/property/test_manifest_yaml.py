"""Laws of loading: the fast way reads what libyaml reads, and no input gets past the limits or raises."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.manifest.yaml.errors import YamlRefused
from reconciler.manifest.yaml.parsing import parse, parse_with_libyaml
from reconciler.manifest.yaml.plain import parse_plain

if TYPE_CHECKING:
    from reconciler.manifest.yaml.parsing import YamlDocument

PIECES = (
    *(
        "a",
        "key",
        "x-1",
        "true",
        "null",
        "~",
        "12",
        "0o14",
        "0x1F",
        "1e3",
        ".5",
        "-.inf",
        "2026-11-01",
        "é",
        "y",
    ),
    *(
        ": ",
        ":",
        "- ",
        "-",
        "? ",
        " #",
        "# c",
        "#",
        ", ",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "&a ",
        "*a",
        "!t ",
        "|",
        ">",
    ),
    *(
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        "\n  - ",
        "\n---\n",
        "\n...\n",
        "%",
        "@",
        "`",
        "\\",
        "\t",
        " ",
        "  ",
        "\r\n",
    ),
    *(
        "https://h.example.com/x?a=1&b=2",
        "run.completed",
        "a: b",
        "\nkey: ",
        "\nb:",
        "[a, b]",
        "{a: b}",
        "<<",
        "---",
    ),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)

WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,8}", fullmatch=True)
SCALARS = st.one_of(
    WORDS,
    st.sampled_from(PIECES[:14]),
    st.from_regex(r"[A-Za-z0-9/][!$-9;-~]{0,6}([: ][!$-9;-~]{1,6}){0,2}", fullmatch=True),
    st.from_regex(r"\"[ !#-\[\]-~]{0,8}\"|'[ -&(-~]{0,8}'", fullmatch=True),
    st.lists(WORDS, min_size=1, max_size=3).map(lambda words: f"[{', '.join(words)}]"),
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3).map(
        lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
    ),
)
NOISE = st.sampled_from([*PIECES, *"abc \n:#-[{'"])


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """A document in the plain style, or nearly: sometimes a few characters are put in or taken out."""
    text = "\n---\n".join("\n".join(draw(mappings(0))) for _ in range(draw(st.integers(1, 2))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(NOISE) + text[at + draw(st.integers(0, 3)) :]
    return text + draw(st.sampled_from(["", "\n"]))


@st.composite
def mappings(draw: st.DrawFn, indent: int) -> list[str]:
    """The lines of a block mapping."""
    lines = []
    space = " " * indent
    for _ in range(draw(st.integers(1, 3))):
        lines += draw(st.sampled_from([[], [], ["# note"], [""]]))
        key = f"{space}{draw(WORDS)}:"
        kind = draw(st.sampled_from("ssml" if indent < 6 else "s"))
        if kind == "s":
            lines.append(f"{key} {draw(SCALARS)}")
        elif kind == "m":
            lines += [key, *draw(mappings(indent + draw(st.integers(1, 3))))]
        else:
            dash = space + draw(st.sampled_from(["- ", "  - "]))
            lines += [key, *(dash + item for item in draw(st.lists(SCALARS, min_size=1, max_size=3)))]
    return lines


def read_by_libyaml(data: bytes) -> list[YamlDocument] | None:
    try:
        documents = list(parse_with_libyaml(data))
    except YamlRefused:
        return None
    return None if any(document.problems for document in documents) else documents


def same(one: Any, other: Any) -> bool:
    """Equal with the same types and order; NaN equals NaN."""
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return repr(one) == repr(other)


@given(st.one_of(TEXTS, blocks()))
@example("a:\nb: c")
@example("a: b\n  c: d")
@example("a: foo\n  - bar")
@example("a:\n- b\n- c\nd: e")
@example("a: 1\na: 2")
@example("a: {b: c, b: d}")
@example("a: b\n---\n---\nc: d")
@example("# only a comment\n---\na: b\n")
@example("a: 'b' c")
@example("null: a")
@example("---\na: b\n---\n# c\n\nd: e")
@example("a:\nb:\n  c: d")
@example("a:\n    b: c\n  d: e")
@example("\n".join(f"{' ' * depth}k:" for depth in range(20)) + " v")
@example("a:\n  b:\n - c")
@example("a: b\n- c")
@example("a: b\nc:")
@example("a: x\nb: {c: d, null: e}")
@example("a:\n  b:\n    c: d\n e: f")
@example("a: " + "9" * 65)
def test_the_fast_way_reads_what_libyaml_reads_or_leaves_it_alone(text: str) -> None:
    """Whatever `plain` returns, libyaml returns too: values, types, order and beginnings."""
    data = text.encode()
    plain = parse_plain(data)
    if plain is None:
        return
    documents = read_by_libyaml(data)
    assert documents is not None
    assert same([document[0] for document in plain], [document.value for document in documents])
    assert [document[3] + 1 for document in plain] == [document.line for document in documents]


@given(blocks())
def test_places_do_not_depend_on_the_way_of_reading(text: str) -> None:
    """A document that was read the fast way gives every key and value the place that libyaml gives."""
    data = text.encode()
    if parse_plain(data) is None:
        return
    for fast, slow in zip(parse(data), parse_with_libyaml(data), strict=True):
        for path in paths(slow.value):
            assert fast.span(path) == slow.span(path)
            assert fast.span(path, key=True) == slow.span(path, key=True)
        assert fast.secret_lines() == slow.secret_lines()


def paths(value: Any, before: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [before]
    pairs: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in pairs:
        found += paths(inner, (*before, key))
    return found


@given(st.one_of(TEXTS.map(str.encode), st.binary(max_size=60)))
@example(b"[" * 100_000)
@example(b"- " * 50_000 + b"a")
@example(b"a: &x [*x]")
@example(b"\xff\xfea\x00")
@example(b"? {a: b}\n: c")
@example(b'a: "\\0"')
def test_every_file_is_read_or_refused(data: bytes) -> None:
    """No input raises anything but `YamlRefused`; each document has a value or problems."""
    documents: list[YamlDocument] = []
    place = (1, 1)
    try:
        documents += parse(data)
    except YamlRefused as refused:
        place = refused.problem.span[:2]
    assert min(place) >= 1
    for document in documents:
        assert not (document.problems and document.value is not None)


LETTERS = st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" \n\t")
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(LETTERS),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(LETTERS, max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(LETTERS, max_size=9), VALUES, max_size=3))
def test_json_is_yaml(value: dict[str, Any]) -> None:
    """A JSON object is read as what it is."""
    data = json.dumps(value, ensure_ascii=False).encode()
    (document,) = parse(data)
    assert not document.problems
    assert repr(document.value) == repr(value)
