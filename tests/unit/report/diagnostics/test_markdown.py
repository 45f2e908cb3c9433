"""The rules' pages: made from the code, one for each, with examples that do what they say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.config.file import ConfigInvalid
from reconciler.config.resolve import load_config
from reconciler.diagnostics import Severity
from reconciler.manifest.lint.selection import Selection
from reconciler.manifest.load import load_manifests
from reconciler.manifest.rules import EXAMPLES, RULES
from reconciler.report.diagnostics.markdown import rule_index, rule_page

PAGES = Path(__file__).resolve().parents[4] / "docs" / "rules"
WITHOUT_EXAMPLE = {"WH001", "WH002", "WH005", "WH040", "WH041"}
"""What one readable file cannot show: paths, encodings, sizes, and policies."""
IGNORABLE = {"WH020", "WH031", "WH032", "WH033", "WH034", "WH035", "WH063"}


def pages() -> dict[str, str]:
    return {
        "README.md": rule_index(RULES.values()),
        **{f"{code}.md": rule_page(rule, *EXAMPLES.get(code, ())) for code, rule in RULES.items()},
    }


def codes_in(text: str) -> list[str]:
    """The rules that a file breaks, with every rule selected."""
    file = Path("example.yaml")
    file.write_text(text, encoding="utf-8")
    if "kind: Config" not in text:
        found = load_manifests([file], selection=Selection(select=frozenset(RULES))).diagnostics
        return [each.rule for each in found]
    try:
        load_config(file, environ={})
    except ConfigInvalid as invalid:
        return [each.rule for each in invalid.diagnostics]
    return []


@pytest.mark.parametrize("name", pages())
def test_a_page_is_what_the_code_says(name: str) -> None:
    """Each page in docs/rules is up to date; UPDATE_GOLDEN=1 writes it."""
    text = pages()[name]
    if os.environ.get("UPDATE_GOLDEN"):
        PAGES.mkdir(exist_ok=True)
        (PAGES / name).write_text(text, encoding="utf-8")
    assert (PAGES / name).read_text(encoding="utf-8") == text


def test_no_page_is_left_over() -> None:
    """There is a page for each rule and the index, and nothing else."""
    assert {path.name for path in PAGES.iterdir()} == set(pages())


@pytest.mark.parametrize("code", sorted(set(RULES) - WITHOUT_EXAMPLE))
def test_an_example_breaks_its_rule_and_its_correction_does_not(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file of a page breaks the rule, the second none, but for those that a fleet may live with."""
    monkeypatch.chdir(tmp_path)
    bad, good = EXAMPLES[code]
    assert code in codes_in(bad)
    rest = set(codes_in(good))
    assert rest <= {"WH034", "WH035"} - {code}


def test_only_rules_that_guard_nothing_may_be_ignored() -> None:
    """The list of rules that a comment may silence is deliberate: nothing joins it by accident."""
    assert {code for code, rule in RULES.items() if rule.ignorable} == IGNORABLE


def test_codes_are_stable_and_in_order() -> None:
    """Codes are unique, ascending, and each rule has a sentence about itself."""
    assert list(RULES) == sorted(RULES)
    assert {code for code, rule in RULES.items() if not rule.default} == {"WH034", "WH035"}
    for code, rule in RULES.items():
        assert rule.code == code
        assert rule.title[0].isupper()
        assert rule.explanation.endswith(".")
        assert not (rule.severity is Severity.WARNING and not rule.ignorable), "a warning guards nothing"
