"""Which rules hold: comments that silence one on their line, and what the configuration says."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.manifest.lint.selection import Selection
from reconciler.manifest.lint.suppressions import Ignores
from reconciler.manifest.load import load_manifests
from reconciler.manifest.rules import RULES

HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Webhook\nmetadata: {name: a}\nspec:\n"
URL = "  url: https://hooks.example.com/a\n"
UNKNOWN = "  events: [run.exploded]"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with relative paths."""
    monkeypatch.chdir(tmp_path)


def found(text: str, selection: Selection | None = None) -> list[str]:
    """What is wrong with a manifest: place, severity and rule."""
    Path("m.yaml").write_text(text, encoding="utf-8")
    loaded = load_manifests(["m.yaml"], selection=selection or Selection())
    assert loaded.webhooks or not loaded.ok
    return [str(each).removeprefix("m.yaml:").partition(": ")[2] for each in loaded.diagnostics]


def with_comment(comment: str) -> str:
    return f"{HEAD}{URL}{UNKNOWN}  {comment}\n"


@pytest.mark.parametrize(
    "comment",
    [
        "# reconciler: ignore[WH020] the API has it since June",
        "#reconciler:ignore[WH020] why",
        "#\treconciler:\tignore[ WH020 ]why",
        "# see the ticket # reconciler: ignore[WH020] why",
    ],
)
def test_a_comment_silences_its_rule_on_its_line(comment: str) -> None:
    """A reasoned comment makes an ignorable error none: the webhook counts."""
    assert found(with_comment(comment)) == []


@pytest.mark.parametrize("text", ['"an id:\n    {}"', "an id\n    {}", "'an id:\n\n    {}'"])
@pytest.mark.parametrize("above", ["", "# a comment\n---\n"])
def test_a_comment_behind_a_text_of_several_lines_is_about_it(text: str, above: str) -> None:
    """No comment can stand within it; one on a line behind it is about something else."""
    text = text.format("Zq8vT3nW5xY7aB2cD4eF6gH8")
    ignored = "# reconciler: ignore[WH031] an id"
    head = f"{above}{HEAD}{URL}  events: [run.failed]\n  description: {text}"
    assert [each[:12] for each in found(f"{head}\n")] == ["error[WH031]"]
    assert found(f"{head}  {ignored}\n") == []
    codes = [each.partition("[")[2][:5] for each in found(f"{head}\n  test: true  {ignored}\n")]
    assert codes == ["WH031", "WH063"]


def test_a_comment_silences_several_rules() -> None:
    """Codes are joined by commas; each is ignored and each must be of use."""
    text = f"{HEAD}{URL}  events: [run.exploded]  # reconciler: ignore[WH020, WH033] why\n"
    assert found(text) == [
        "warning[WH063]: the comment ignores WH033, which this line does not break",
    ]


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("# reconciler: ignore", ["WH060", "WH020"]),
        ("# reconciler: ignore WH020 why", ["WH060", "WH020"]),
        ("# reconciler: ignore[] why", ["WH060", "WH020"]),
        ("# reconciler: ignore[WH20] why", ["WH060", "WH020"]),
        ("# reconciler: ignore[wh020] why", ["WH060", "WH020"]),
        ("# reconciler: ignore[WH020]", ["WH062", "WH020"]),
        ("# reconciler: ignore[WH020] # why", ["WH062", "WH020"]),
        ("# reconciler: ignore[WH027] why", ["WH061", "WH020"]),
        ("# reconciler: ignore[WH020,WH040] why", ["WH061"]),
        ("# reconciler: ignore[WH033] why", ["WH020", "WH063"]),
        ("# reconciler: ignored", ["WH020"]),
        ("# the reconciler: ignore[WH020] why", ["WH020"]),
    ],
)
def test_a_comment_that_is_no_good_is_told_and_silences_nothing(comment: str, expected: list[str]) -> None:
    """Unknown codes, missing reasons, guarded rules and useless comments are problems of their own."""
    codes = [each.partition("[")[2][:5] for each in found(with_comment(comment))]
    assert sorted(codes) == sorted(expected)


def test_hints_help_with_comments() -> None:
    """An unknown code has a suggestion; a guarded rule is told with what may be ignored."""
    Path("m.yaml").write_text(with_comment("# reconciler: ignore[WH0200,WH027,whsec_hunter2] x"))
    by_rule = {each.message: each.hint for each in load_manifests(["m.yaml"]).diagnostics}
    assert by_rule["unknown rule `WH0200`"] == "did you mean `WH020`?"
    assert by_rule["unknown rule `***`"] is not None
    guarded = by_rule["WH027 (a URL's host is not public) may not be ignored"]
    assert guarded == "these may be ignored: WH020, WH031, WH032, WH033, WH034, WH035, WH063"


@pytest.mark.parametrize("code", sorted(code for code, rule in RULES.items() if not rule.ignorable))
def test_no_guard_can_be_ignored(code: str) -> None:
    """A rule about form, safety or policy is held to, whatever a comment on its line says."""
    comment = f"# reconciler: ignore[{code}] we know better"
    text = f"{HEAD}  url: https://u:p@10.0.0.1/#x  {comment}\n  events: [run.failed]\n"
    assert [each[6:11] for each in found(text)] == sorted(
        ["WH025", "WH026", "WH027", "WH061"]
    ) or code == "WH026"


@pytest.mark.parametrize(
    "text",
    [
        '  description: "x # reconciler: ignore[WH020] why"\n',
        "  description: 'x\n    # reconciler: ignore[WH020] why'\n",
        "  description: |\n    # reconciler: ignore[WH020] why\n",
        "  description: >\n    a\n    # reconciler: ignore\n\n",
        "  description: x#reconciler:ignore\n",
    ],
)
def test_what_stands_in_a_text_is_no_comment(text: str) -> None:
    """Quoted texts, blocks and plain texts with a `#` are values, and silence nothing."""
    assert found(f"{HEAD}{URL}  events: [run.failed]\n{text}") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  description: |  # reconciler: ignore[WH020] why\n    x\n", ["WH063"]),
        ("  description: |\n    x\n  # reconciler: ignore[WH020] why\n", ["WH063"]),
        ("# reconciler: ignore[WH020] why\n", ["WH063"]),
        ("  description: x  # reconciler: ignore\n", ["WH060"]),
    ],
)
def test_a_comment_beside_a_text_is_one(text: str, expected: list[str]) -> None:
    """The line on which a block begins, and those after it, may have comments."""
    assert [
        each.partition("[")[2][:5] for each in found(f"{HEAD}{URL}  events: [run.failed]\n{text}")
    ] == expected


def test_where_a_file_breaks_off_no_comment_is_called_useless() -> None:
    """Nobody knows what the rest would have broken."""
    text = f"{HEAD}{URL}  events: [run.failed]  # reconciler: ignore[WH020] why\n  x: [\n"
    assert [each[6:11] for each in found(text)] == ["WH003"]


@pytest.mark.parametrize("text", ["[" * 100_000, "a: !%ED%A0%80 b\n", "a: \x07", "\x00"])
def test_a_hostile_file_with_a_comment_is_survived(text: str) -> None:
    """Comments are looked for as far as the limits and libyaml allow."""
    ignores = Ignores(f"a: 1 # reconciler: ignore\n---\n{text}".encode())
    assert len(ignores.problems) <= 1


@pytest.mark.parametrize(
    ("comment", "count"),
    [
        ("# reconciler: ignore[" * 100_000, 100_000),
        ("# reconciler: ignore[" + "WH999," * 500_000 + "] x\n", 1),
        ("".join(f"# reconciler: ignore[WX{number}] x\n" for number in range(100_000)), 1_000),
        ("# reconciler: ignore[" + ",".join(f"WX{number}" for number in range(100)) + "] x\n", 100),
    ],
    ids=["unclosed", "long", "many", "codes"],
)
def test_endless_comments_cost_little(comment: str, count: int) -> None:
    """Whatever comments a file has, they are judged in bearable time, and their problems have an end."""
    assert 0 < len(Ignores(f"a: 1\n{comment}".encode()).problems) <= min(count, 1_100)


def test_a_file_without_the_mark_costs_nothing() -> None:
    """Only the mark of a comment makes anybody look for one."""
    assert Ignores(b"[" * 1_000_000).problems == []


OWNERLESS = f"{HEAD}{URL}  events: [run.failed]\n"


def test_a_rule_that_is_off_holds_once_it_is_selected() -> None:
    """The owner is asked for where the configuration selects the rule, on the line of what lacks it."""
    selected = Selection(select=frozenset({"WH034"}))
    assert found(OWNERLESS) == []
    assert found(OWNERLESS, selected) == ["warning[WH034]: the webhook has no owner"]
    silenced = OWNERLESS.replace("{name: a}", "{name: a}  # reconciler: ignore[WH034] a test")
    assert found(silenced, selected) == []
    owned = OWNERLESS.replace("name: a", "name: a, labels: {owner: ada}")
    assert found(owned, selected) == []
    labelled = OWNERLESS.replace(
        "{name: a}", "\n  name: a\n  labels: {tier: x}  # reconciler: ignore[WH034] a test"
    )
    assert found(labelled, selected) == []


def test_a_rule_that_is_ignored_everywhere_holds_nowhere() -> None:
    """The configuration silences an ignorable rule, selected or not."""
    everywhere = Selection(select=frozenset({"WH034"}), ignore=frozenset({"WH034", "WH020"}))
    assert found(f"{HEAD}{URL}{UNKNOWN}\n", everywhere) == []
