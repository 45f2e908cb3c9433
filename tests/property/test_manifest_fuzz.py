"""Hostile bytes: no exception, bounded work, and both ways of reading agree, whatever a manifest suffers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.manifest.files import Unreadable
from reconciler.manifest.load import MAX_PROBLEMS, Loader
from reconciler.manifest.yaml import composer
from reconciler.manifest.yaml.errors import YamlRefused, source_lines
from reconciler.manifest.yaml.parsing import parse, parse_with_libyaml
from tests.fixtures.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.manifest.yaml.parsing import YamlDocument

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [
    path.read_bytes()
    for folder in (
        ROOT / "examples",
        ROOT / "tests" / "cases" / "valid",
        ROOT / "tests" / "cases" / "invalid",
    )
    for path in sorted(folder.rglob("*.y*ml"))
    if path.stat().st_size < 20_000
]
TOKENS = (
    *(b"\n", b"\r", b"\r\n", b"\t", b" ", b"  ", b": ", b"- ", b"? ", b"#", b" #", b", ", b"---\n", b"...\n"),
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"'",
        b"|",
        b">",
        b"&a ",
        b"*a",
        b"!!str ",
        b"!",
        b"%YAML 1.2\n",
        b"<<: ",
    ),
    *(
        b"\0",
        b"\x1b",
        b"\x85",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xe2\x80\xae",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xc3",
    ),
    *(b"\\ud800", b"\\u202e", b"null", b"true", b"0x1F", b"1e999", b".nan", b"9" * 65, b"[" * 40, b"- " * 40),
    *(b"@", b"`", b"%", b"~", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"2026-11-01", b"12:30:45"),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed with up to eight places changed: bytes cut, repeated, moved, or replaced by something tricky."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        replacement = draw(
            st.one_of(
                st.sampled_from(TOKENS),
                st.just(b""),
                st.just(data[start:end] * 3),
                st.binary(max_size=4),
            )
        )
        data = data[:start] + replacement + data[end:]
    return data


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["https://hooks.example.com/", "run.failed", "24h", "Protect", "yes", "0o7", "<<", "*a"]),
)
KEYS = st.one_of(
    st.sampled_from(["apiVersion", "kind", "metadata", "name", "labels", "spec", "url", "events", "secret"]),
    st.text(max_size=6),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


@st.composite
def structured(draw: st.DrawFn) -> bytes:
    """Any tree of values, written in some style of YAML, sometimes with a damaged place."""
    documents = draw(st.lists(TREES, min_size=1, max_size=3))
    text = yaml.safe_dump_all(
        documents,
        default_flow_style=draw(st.sampled_from([None, True, False])),
        default_style=draw(st.sampled_from([None, '"', "'", "|", ">"])),
        allow_unicode=draw(st.booleans()),
        line_break=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        indent=draw(st.integers(2, 5)),
    )
    data = text.encode("utf-8", "surrogatepass")
    place = draw(st.integers(0, len(data)))
    return data[:place] + draw(st.sampled_from((b"", b"", *TOKENS))) + data[place:]


HOSTILE = st.one_of(mutated(), structured())


def outcome(documents: Iterable[YamlDocument]) -> tuple[list[Any], str | None]:
    """All that can be told of a file: values, problems and beginnings of its documents, and how it ended."""
    found: list[Any] = []
    try:
        found.extend((repr(each.value), each.problems, each.line) for each in documents)
    except YamlRefused as refused:
        return found, str(refused.problem)
    return found, None


@examples(300)
@given(HOSTILE)
@example(b"a: 1\n---\n--- \nb: 2\n")
def test_the_fast_way_and_the_reference_agree(data: bytes) -> None:
    """`parse` gives what libyaml alone gives: the same values, problems, places and end."""
    assert outcome(parse(data)) == outcome(parse_with_libyaml(data.removeprefix(b"\xef\xbb\xbf")))


@examples(300)
@given(HOSTILE)
def test_nothing_gets_past_the_loader_as_an_exception(data: bytes) -> None:
    """Every file gives webhooks, or diagnostics with a place in it."""
    loader = Loader()
    loader.add_file("m.yaml", data)
    loaded = loader.loaded()
    lines = len(source_lines(data))
    assert len(loaded.diagnostics) <= MAX_PROBLEMS + 1
    for diagnostic in loaded.diagnostics:
        assert diagnostic.location is not None
        assert diagnostic.location.path == "m.yaml"
        assert 1 <= diagnostic.location.line <= lines + 1
        assert diagnostic.message.isprintable()
        assert (diagnostic.hint or "").isprintable()


def nodes_of(data: bytes) -> int:
    """How many nodes libyaml was asked for before the file ended or was refused."""
    made = 0

    class Counting(composer.CountingParser):
        def descend_resolver(self, parent: Any, index: object) -> None:
            nonlocal made
            made += 1
            super().descend_resolver(parent, index)

    parser = Counting(data)
    try:
        while parser.check_node():
            parser.get_node()
    except (yaml.YAMLError, composer.LimitExceeded, UnicodeDecodeError):
        pass
    return made


@examples(25)
@given(
    st.sampled_from([b"[", b"{a: ", b"- ", b"? ", b"- a\n", b"a: [b, c]\n", b"[a, b],"]), st.integers(1, 18)
)
def test_work_is_bounded_by_the_limits_not_by_the_file(piece: bytes, power: int) -> None:
    """However often something is repeated, no more nodes are made than a document may have."""
    data = piece * (1 << power)
    # The root, and the one that is too many.
    assert nodes_of(data) <= composer.MAX_NODES + 2
    for document in outcome(parse(data))[0]:
        assert document


@given(st.integers(1, 40))
def test_aliases_multiply_nothing(levels: int) -> None:
    """Each level of a tree of aliases is told once: what they would expand to is never made."""
    lines = ["l0: &l0 [x, x]"]
    lines += [f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, levels)]
    (document,) = parse("\n".join(lines).encode())
    assert document.value is None
    assert len(document.problems) == levels + 2 * (levels - 1)


def test_what_cannot_be_read_is_one_diagnostic() -> None:
    """A path that gave no bytes is a file with one problem."""
    loader = Loader()
    loader.add_file("m.yaml", Unreadable("it is not a regular file"))
    assert len(loader.loaded().diagnostics) == 1
