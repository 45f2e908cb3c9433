"""Loading manifests: policies, duplicates, and limits that hold against hostile files."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.diagnostics import Diagnostic, Related, Severity
from reconciler.errors import InvalidInput
from reconciler.manifest.explain import MAX_VIOLATIONS, explain, find_violations
from reconciler.manifest.lint.duplicates import locate_first_uses
from reconciler.manifest.load import MAX_PROBLEMS, load_manifests
from reconciler.manifest.schema import Schema
from reconciler.manifest.yaml.parsing import parse
from reconciler.model import Location
from reconciler.report.diagnostics.text import diagnostics_text

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Webhook\n"
SPEC = "spec:\n  url: https://hooks.example.com/\n  events: [run.failed]\n"
MANIFEST = f"{HEAD}metadata: {{name: a, labels: {{team: x, tier: y}}}}\n{SPEC}  description: some text\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with relative paths."""
    monkeypatch.chdir(tmp_path)


def problems(text: str | bytes, **options: Any) -> list[str]:
    """What is wrong with a manifest file, without the path."""
    Path("m.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(each).removeprefix("m.yaml:") for each in load_manifests(["m.yaml"], **options).diagnostics]


def within(*path: str, schema: Any) -> Any:
    """The schema that asks `schema` of what stands at `path`."""
    for key in reversed(path):
        schema = {"properties": {key: schema}}
    return schema


LABELS = ("metadata", "labels")
DESCRIPTION = ("spec", "description")
POLICIES: list[tuple[str, Any, Sequence[str]]] = [
    ("nothing", {}, []),
    ("satisfied", within(*DESCRIPTION, schema={"pattern": r"^\p{Ll}+ text$"}), []),
    (
        "a pattern that Python does not know",
        within(*DESCRIPTION, schema={"pattern": r"^\p{Lu}"}),
        ["7:16: `spec.description` does not have the required form: `some text`"],
    ),
    (
        "a pattern that backtracks",
        within(*DESCRIPTION, schema={"pattern": "^([a-z ]+)+$", "maxLength": 1}),
        ["7:16: `spec.description` must have at most 1 character"],
    ),
    (
        "no text for a pattern",
        within("spec", schema={"pattern": "x", "minProperties": 9}),
        ["5:3: `spec` must have at least 9 entries"],
    ),
    (
        "keys by pattern",
        within(*LABELS, schema={"patternProperties": {r"^\p{L}ea": True}, "additionalProperties": False}),
        ["3:39: the key `tier` is not known in `metadata.labels`"],
    ),
    (
        "values by pattern",
        within(*LABELS, schema={"patternProperties": {"^t": {"const": "y"}}}),
        ["3:36: `metadata.labels.team` must be `y`, not `x`"],
    ),
    (
        "other values",
        within(*LABELS, schema={"properties": {"tier": {}}, "additionalProperties": {"maxLength": 0}}),
        ["3:36: `metadata.labels.team` must have at most 0 characters"],
    ),
    (
        "keywords for mappings on a text",
        within(
            *DESCRIPTION, schema={"patternProperties": {"": False}, "additionalProperties": False, "const": 1}
        ),
        ["7:16: `spec.description` must be `1`, not `some text`"],
    ),
    (
        "unevaluated keys",
        within(*LABELS, schema={"allOf": [{"properties": {"team": {}}}], "unevaluatedProperties": False}),
        ["3:29: `metadata.labels` is, or has, something that is not allowed"],
    ),
    (
        "nothing allowed",
        within("spec", schema={"properties": {"description": False}}),
        ["5:3: `spec` is, or has, something that is not allowed"],
    ),
    (
        "values that are no texts",
        within(*DESCRIPTION, schema={"enum": [True, None, {"a": 1}]}),
        ['7:16: `spec.description` must be `true` or `null` or `{"a": 1}`, not `some text`'],
    ),
    (
        "another type",
        within(*DESCRIPTION, schema={"type": ["integer", "null"]}),
        ["7:16: `spec.description` must be a whole number or null, but `some text` is a string"],
    ),
    (
        "missing keys",
        {"required": ["a", "b"]},
        ["1:1: the key `a` is missing", "1:1: the key `b` is missing"],
    ),
    (
        "names of keys",
        within(*LABELS, schema={"propertyNames": {"pattern": "^te"}}),
        ["3:39: the key `tier` is not allowed in `metadata.labels`"],
    ),
    (
        "repetition",
        within("spec", "events", schema={"uniqueItems": False, "minItems": 2}),
        ["6:11: `spec.events` must have at least 2 entries"],
    ),
    ("an unusual keyword", {"not": {}}, ["1:1: the document does not satisfy `not` of the schema"]),
    (
        "no end",
        {"$ref": "#", "minProperties": 9},
        ["1:1: the document does not satisfy its schema"],
    ),
]


@pytest.mark.parametrize(("policy", "expected"), [pytest.param(*rest, id=name) for name, *rest in POLICIES])
def test_a_manifest_that_breaks_the_policy_is_told_how(policy: Any, expected: list[str]) -> None:
    """Every way in which a manifest breaks the policy is one problem of the policy's rule, at its place."""
    Path("p.json").write_text(json.dumps(policy))
    found = problems(MANIFEST, policy=Path("p.json"))
    assert found == [line.replace(": ", ": error[WH040]: ", 1) for line in expected]


UNUSABLE: list[tuple[str, str | bytes, str, str]] = [
    ("no JSON", '{"a": 1,\n "b": }', "2:7", "the policy is not JSON: expecting value"),
    ("empty", "", "1:1", "the policy is not JSON: expecting value"),
    ("no UTF-8", b'{"a": "\xff"}', "1:1", "the policy is not JSON"),
    ("too deep", "[" * 100_000, "1:1", "the policy is not JSON"),
    ("a long number", '{"maximum": ' + "9" * 5000 + "}", "1:1", "the policy is not JSON"),
    ("a list", "[]", "1:1", "the policy is not a JSON object"),
    ("a boolean", "false", "1:1", "the policy is not a JSON object"),
    ("a type", '{"type": "strin"}', "1:10", "it is not a usable JSON Schema: "),
    ("a type in UTF-16", '{"type": "strin"}'.encode("utf-16"), "1:1", "it is not a usable JSON Schema: "),
    ("a pattern", '{\n "pattern": "("}', "2:13", "it is not a usable JSON Schema: "),
    ("a limit", '{"maximum": 1e999}', "1:13", "it is not a usable JSON Schema: "),
    ("a key twice", '{"type": 1, "type": 1}', "1:1", "it is not a usable JSON Schema: "),
    (
        "a secret",
        '{"type": "whsec_Zq8vT3nW5xY7aB2c"}',
        "1:10",
        "it is not a usable JSON Schema: a value is",
    ),
    ("a deep schema", '{"not":' * 400 + "{}" + "}" * 400, "1:1", "it is not a usable JSON Schema: "),
    ("a server", '{"$ref": "http://127.0.0.1:9/x"}', "1:1", "it is not a usable JSON Schema: "),
    ("a file", '{"$ref": "file:///etc/passwd"}', "1:1", "it is not a usable JSON Schema: "),
    ("a neighbour", '{"$ref": "other.json"}', "1:1", "it is not a usable JSON Schema: "),
    ("nowhere", '{"$ref": "#/$defs/none"}', "1:1", "it is not a usable JSON Schema: "),
]


@pytest.mark.parametrize(
    ("text", "place", "words"), [pytest.param(*rest, id=name) for name, *rest in UNUSABLE]
)
def test_an_unusable_policy_is_an_error_at_its_place(text: str | bytes, place: str, words: str) -> None:
    """What is no JSON Schema that stands on its own is reported; the manifests are checked all the same."""
    Path("p.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    loaded = load_manifests([], policy="p.json")
    (problem,) = loaded.diagnostics
    assert str(problem).startswith(f"p.json:{place}: error[WH041]: {words}")
    assert len(str(problem)) < 300
    assert "Zq8v" not in diagnostics_text(loaded.diagnostics)
    assert not loaded.ok
    assert len(problems(f"{MANIFEST}x: 1\n", policy="p.json")) == 2


@pytest.mark.parametrize(
    ("path", "words"), [("none.json", "no such file"), (".", "not a regular file"), ("a\0", "null")]
)
def test_a_policy_that_cannot_be_read_is_an_error_at_its_path(path: str, words: str) -> None:
    """A path that gives no policy is reported, and nothing is accepted in its stead."""
    (problem,) = load_manifests([], policy=path).diagnostics
    assert (problem.rule, problem.severity) == ("WH041", Severity.ERROR)
    assert words in problem.message


def test_a_schema_says_why_it_is_unusable_without_quoting_at_length() -> None:
    """A reason that quotes the schema is cut off."""
    with pytest.raises(InvalidInput) as caught:
        Schema({"type": "x" * 100_000})
    assert len(caught.value.message) < 300


def test_where_the_validators_disagree_one_general_violation_is_left() -> None:
    """A caller that asks why, although nothing is wrong, still gets one violation."""
    assert find_violations(True, 1) == []
    assert [each.message for each in explain(True, 1)] == ["the document does not satisfy its schema"]


def test_a_regular_expression_that_only_python_reads_gives_a_general_violation() -> None:
    """Where jsonschema itself applies a pattern, one that Python cannot compile is no crash."""
    schema = {"patternProperties": {r"^\p{L}": {}}, "unevaluatedProperties": False}
    assert [each.message for each in explain(schema, {"1": 1})] == [
        "the document does not satisfy its schema"
    ]


OTHER = f"{HEAD}metadata: {{name: b}}\n{SPEC}"


@pytest.mark.parametrize(
    ("first", "second", "rules"),
    [
        ("", "", []),
        ("", OTHER, ["b/x.yml:5:8: error[WH022]: another manifest has this URL"]),
        ("", OTHER.replace("hooks.example.com/", "HOOKS.example.com:443"), ["b/x.yml:5:8: error[WH022]"]),
        ("", OTHER.replace(".com/", ".com/%7E"), []),
        ("~", OTHER.replace(".com/", ".com/%7E"), ["b/x.yml:5:8: error[WH022]"]),
        (
            "",
            OTHER.replace(".com/", ".com/x").replace("name: b", "name: a"),
            ["b/x.yml:3:18: error[WH021]: another manifest has the name `a`"],
        ),
        (
            "",
            OTHER.replace("name: b", "name: a"),
            ["b/x.yml:3:18: error[WH021]", "b/x.yml:5:8: error[WH022]"],
        ),
        # Fixing one error must not uncover the next.
        ("", f"{OTHER}  colour: blue\n", ["b/x.yml:5:8: error[WH022]", "b/x.yml:7:3: error[WH010]"]),
        (
            "",
            f"{OTHER}  secret: {{overlap: 91d}}\n",
            ["b/x.yml:5:8: error[WH022]", "b/x.yml:7:21: error[WH029]"],
        ),
        (
            "",
            OTHER.replace("name: b", "name: B"),
            ["b/x.yml:3:18: error[WH014]", "b/x.yml:5:8: error[WH022]"],
        ),
        ("", OTHER.replace("https://hooks.example.com/", "12"), ["b/x.yml:5:8: error[WH012]"]),
        ("", OTHER.replace("spec:", "spec: x #").replace("  ", "# "), ["b/x.yml:4:7: error[WH012]"]),
    ],
)
def test_duplicates_name_both_files(first: str, second: str, rules: list[str]) -> None:
    """A name or normalised URL that is taken is a problem at the second manifest, and names the first."""
    Path("a").mkdir()
    Path("b").mkdir()
    Path("a/x.yaml").write_text(
        MANIFEST.replace("https://hooks.example.com/", f"https://hooks.example.com/{first}")
    )
    Path("b/x.yml").write_text(second)
    loaded = load_manifests(["a", "b"])
    assert len(loaded.diagnostics) == len(rules)
    for found, expected in zip(loaded.diagnostics, rules, strict=True):
        assert str(found).startswith(expected)
        places = {"WH021": ["a/x.yaml:3:18"], "WH022": ["a/x.yaml:5:8"]}
        assert [str(each.location) for each in found.also] == places.get(found.rule, [])


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        ((), False, (2, 1)),
        (("a", "b", 1), False, (2, 12)),
        (("a", "b"), True, (2, 5)),
        (("a", "b", 2), False, (2, 8)),
        (("a", "none", "c"), False, (2, 4)),
        (("a", "b", 0, "c"), False, (2, 9)),
        (("none",), True, (2, 1)),
    ],
)
def test_a_path_that_leads_nowhere_has_the_place_where_it_ends(
    path: tuple[str | int, ...], key: bool, place: tuple[int, int]
) -> None:
    """A place is found for every path: the last node on it that exists."""
    (document,) = parse(b"# comment\na: {b: [x, y]}\n")
    assert document.span(path, key=key)[:2] == place


def test_event_types_of_later_versions_can_be_allowed() -> None:
    """An event type that this version does not know is an error, unless the caller allows it."""
    text = MANIFEST.replace("run.failed", "run.exploded")
    assert problems(text) == ["6:12: error[WH020]: `run.exploded` is not an event type of the API"]
    assert problems(text, allow_unknown_events=True) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    """Loading switches the collector off, and on again only where it was on."""
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        load_manifests([])
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


LEVELS = "the document has more than 32 levels"
NODES = "the document has more than 65,536 nodes"
TAGS = "tags are not supported"
ANCHORS = "anchors are not supported"
ALIASES = "aliases are not supported"
ENOUGH = "error[WH005]: this file has more than 50,000 problems; the rest is not checked"
ESCAPE = "found invalid Unicode character escape code"
MANY = 40_000
HOSTILE: list[tuple[str, str | bytes, list[str]]] = [
    ("brackets", "[" * 1_000_000, [f"1:64: error[WH005]: {LEVELS}"]),
    ("braces", "{a: " * 1_000_000, [f"1:253: error[WH005]: {LEVELS}"]),
    ("dashes", "- " * 1_000_000, [f"1:127: error[WH005]: {LEVELS}"]),
    ("a bit too deep", "[" * 33 + "]" * 33, [f"1:33: error[WH005]: {LEVELS}"]),
    (
        "brackets and an anchor",
        "&a " + "[" * 1_000_000,
        [f"1:1: error[WH004]: {ANCHORS}", f"1:68: error[WH005]: {LEVELS}"],
    ),
    ("nodes", "- a\n" * 70_000, [f"1:1: error[WH005]: {NODES}"]),
    (
        "nodes and a tag",
        "- !t a\n" + "- a\n" * 70_000,
        [f"1:3: error[WH004]: {TAGS}", f"65536:3: error[WH005]: {NODES}"],
    ),
    (
        "a good document before",
        "# a\n---\na: 1\n---\nb: &c " + "[" * 100_000,
        [f"5:4: error[WH004]: {ANCHORS}", f"5:70: error[WH005]: {LEVELS}"],
    ),
    (
        "laughs",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        [
            f"1:4: error[WH004]: {ANCHORS}",
            f"2:4: error[WH004]: {ANCHORS}",
            f"2:8: error[WH004]: {ALIASES}",
            f"2:12: error[WH004]: {ALIASES}",
            f"3:5: error[WH004]: {ALIASES}",
            f"3:9: error[WH004]: {ALIASES}",
        ],
    ),
    ("an endless alias", "a: &a [*a]", [f"1:4: error[WH004]: {ANCHORS}", f"1:8: error[WH004]: {ALIASES}"]),
    ("an alias to nothing", "a: *a", [f"1:4: error[WH004]: {ALIASES}"]),
    ("a tag", "!!python/object/apply:os.system [id]", [f"1:1: error[WH004]: {TAGS}"]),
    ("a tag that is no UTF-8", "a: 1\nb: !%ED%A0%80 b", [f"2:4: error[WH004]: {TAGS}"]),
    ("a tag prefix that is no UTF-8", "%TAG ! a%ED%A0%80\n---\na: !x b", [f"1:6: error[WH004]: {TAGS}"]),
    (
        "a tag, and one that is no UTF-8",
        "a: !x b\nc: !%C0%80 d",
        [f"1:4: error[WH004]: {TAGS}", f"2:4: error[WH004]: {TAGS}"],
    ),
    (
        "merge",
        "<<: {a: 1}",
        [
            "1:1: error[WH010]: the key `<<` is not known",
            *(
                f"1:1: error[WH011]: the key `{key}` is missing"
                for key in ("apiVersion", "kind", "metadata", "spec")
            ),
        ],
    ),
    (
        "complex keys",
        "? [a]\n: 1\n? {b: c}\n: 2\n",
        [
            "1:3: error[WH004]: a key must be a string, not a list or mapping",
            "3:3: error[WH004]: a key must be a string, not a list or mapping",
        ],
    ),
    (
        "keys of other types",
        f"on: 1\n1: 2\ntrue: 3\n~: 4\n{'9' * 65}: 5\n",
        [
            "2:1: error[WH007]: the key `1` is not a string",
            "3:1: error[WH007]: the key `true` is not a string",
            "4:1: error[WH007]: the key `~` is not a string",
            "5:1: error[WH007]: the key `***` is not a string",
        ],
    ),
    (
        "long numbers",
        f"a: {'9' * 65}\nb: [0.{'1' * 63}, 0x{'f' * 63}]\n",
        [f"{place}: error[WH005]: a number has more than 64 characters" for place in ("1:4", "2:5", "2:72")],
    ),
    (
        "equal keys in one place",
        "a: 1\n'a': 2\n\"\\x61\": 3\n",
        [
            "2:1: error[WH006]: duplicate key `a`; first defined at line 1",
            "3:1: error[WH006]: duplicate key `a`; first defined at line 1",
        ],
    ),
    ("a null character", "a: b\0", ["1:5: error[WH002]: a character is not allowed: U+0000"]),
    (
        "an escape character",
        "a: é\r\nb: \x1b",
        ["2:4: error[WH002]: a character is not allowed: U+001B"],
    ),
    ("half a character", b"\xef\xbb\xbfa: b\nc: \xc3", ["2:4: error[WH002]: the file is not UTF-8 text"]),
    ("a surrogate", b"a: \xed\xa0\x80", ["1:4: error[WH002]: the file is not UTF-8 text"]),
    (
        "an escaped surrogate",
        'a: "\\ud800"',
        [
            f"1:7: error[WH003]: invalid YAML: {ESCAPE}, while parsing a quoted scalar",
        ],
    ),
    (
        "UTF-16",
        "a: b".encode("utf-16"),
        ["1:1: error[WH002]: the file is not UTF-8 text, but UTF-16 or UTF-32"],
    ),
    (
        "a directive",
        "%YAML 3.0\n---\na: b",
        ["1:1: error[WH003]: invalid YAML: found incompatible YAML document"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*rest, id=name) for name, *rest in HOSTILE])
def test_a_hostile_file_is_refused_at_its_place(text: str | bytes, expected: list[str]) -> None:
    """Whatever a file holds, it is refused with line and column, and nothing is raised or echoed."""
    found = problems(text)
    if text[:4] == "# a\n":
        found = found[5:]  # what is wrong with the document before
    assert found == expected


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("text", "count", "last"),
    [
        (
            HEAD
            + "metadata: {name: a, labels: {"
            + ", ".join(f"k{i}: 1" for i in range(MANY // 2))
            + "}}\n"
            + SPEC,
            MAX_VIOLATIONS,
            None,
        ),
        (MANIFEST + "".join(f"  k{i}: 1\n" for i in range(MANY // 2)), MAX_VIOLATIONS, None),
        (MANIFEST.replace("run.failed", "1, " + ", ".join(f"a{i}" for i in range(MANY))), 102, None),
        (
            "a\n--- \n" * (MAX_PROBLEMS + 1_000),
            MAX_PROBLEMS + 2,
            f"{2 * MAX_PROBLEMS + 1}:1: {ENOUGH}",
        ),
        (
            "--- &a b\n" * (MAX_PROBLEMS + 1_000),
            MAX_PROBLEMS + 2,
            f"{MAX_PROBLEMS + 1}:1: {ENOUGH}",
        ),
    ],
    ids=["labels", "keys", "events", "documents", "anchors"],
)
def test_a_file_with_endless_problems_is_not_read_to_its_end(text: str, count: int, last: str | None) -> None:
    """There is an end to the problems of a document and of a file: the rest costs nothing."""
    found = problems(text)
    assert abs(len(found) - count) <= 2
    if last:
        assert last in found[-2:]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (
            "urls: x, event: y",
            {"the key `urls` is not known in `spec`", "the key `event` is not known in `spec`"},
        ),
        (
            "colour: x",
            {
                "the key `colour` is not known in `spec`",
                "the key `events` is missing in `spec`",
                "the key `url` is missing in `spec`",
            },
        ),
        ("", {"the key `events` is missing in `spec`", "the key `url` is missing in `spec`"}),
    ],
)
def test_a_misspelt_key_is_not_also_missing(keys: str, found: set[str]) -> None:
    """Where an unknown key is a misspelling of one that is required, one problem says all."""
    Path("m.yaml").write_text(f"{HEAD}metadata: {{name: a}}\nspec: {{{keys}}}\n")
    assert {each.message for each in load_manifests(["m.yaml"]).diagnostics} == found


def test_a_policy_that_requires_a_key_says_so_whatever_other_keys_there_are() -> None:
    """Only where other keys are forbidden can one be a misspelling."""
    Path("p.json").write_text(json.dumps(within("metadata", "labels", schema={"required": ["teams"]})))
    assert problems(MANIFEST, policy="p.json") == [
        "3:21: error[WH040]: the key `teams` is missing in `metadata.labels`"
    ]


FIRSTS: list[tuple[str, str | None, str]] = [
    ("unchanged", "# c\n" + OTHER, "m.yaml:4:18"),
    ("gone", None, "m.yaml:2:1"),
    ("broken before", "a: [\n" + OTHER, "m.yaml:2:1"),
    ("broken after", f"# c\n{OTHER}---\na: [\n", "m.yaml:4:18"),
    ("moved", "\n\n\n" + OTHER, "m.yaml:2:1"),
    ("with an anchor", "# c\n" + OTHER.replace("name: b", "name: &b b"), "m.yaml:2:1"),
    ("with a key twice", f"# c\n{OTHER}kind: x\n", "m.yaml:2:1"),
    ("no mapping", "# c\n- a\n", "m.yaml:2:1"),
]


@pytest.mark.parametrize(("text", "place"), [pytest.param(*rest, id=name) for name, *rest in FIRSTS])
def test_the_first_of_two_is_shown_where_it_still_is(text: str | None, place: str) -> None:
    """The file of the first is read again: one that has changed meanwhile is left at its document's place."""
    if text is not None:
        Path("m.yaml").write_text(text)
    first = Related(Location("m.yaml", 2, 1), "the first one is here")
    clash = Diagnostic(Severity.ERROR, "WH021", "m", Location("n.yaml"), also=(first,))
    (shown,) = locate_first_uses([clash])
    (also,) = shown.also
    assert str(also.location) == place
    assert (also.excerpt is not None) is (place == "m.yaml:4:18" or text == "# c\n- a\n")


def test_fixing_one_error_does_not_uncover_the_next() -> None:
    """A manifest that breaks its schema is held against policy and calendar; nothing is told twice."""
    policy = {"required": ["x"], **within("spec", "test", schema={"type": "string"})}
    Path("p.json").write_text(json.dumps(policy))
    text = f"{MANIFEST}  test: 5\n  secret: {{createdAfter: '2026-02-30T00:00:00Z', overlap: 91 d}}\n"
    assert [each[each.index("[") + 1 : each.index("]")] for each in problems(text, policy="p.json")] == [
        "WH040",
        "WH012",
        "WH028",
        "WH014",
    ]
    assert len(problems(f"{MANIFEST}  secret: 5\n")) == 1
