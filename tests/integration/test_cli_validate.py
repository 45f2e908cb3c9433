"""`reconciler validate`: offline, every problem in one run, in the format that was asked for."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from reconciler.cli.commands.validate import exit_code_of
from reconciler.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from click.testing import Result

EXAMPLES = Path(__file__).parents[2] / "examples"
ABOUT_US = ("ZOF_", "VAULT_", "GITHUB_", "ACTIONS_")
GOOD = """\
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata: {name: ci}
spec:
  url: https://hooks.example.com/ci
  events: [run.completed]
"""
BAD_EVENT = GOOD.replace("run.completed", "run.complete")
BAD_KEY = GOOD.replace("name: ci", "name: cd").replace("events:", "event:").replace("/ci", "/cd")
CONFIG = """\
apiVersion: webhooks.zof.ai/v1
kind: Config
organizations:
  - name: acme-prod
    manifests: [shared, prod]
  - name: acme-trial
    manifests: [shared]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder and be in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(**files: str) -> None:
    """Write files; two underscores in a name are a slash."""
    for name, text in files.items():
        path = Path(f"{name.replace('__', '/')}.yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _validate(*args: str, **environment: str) -> Result:
    """Run the command without any server, key or token."""
    cleared = {name: None for name in os.environ if name.startswith(ABOUT_US)}
    return CliRunner().invoke(reconciler, ["validate", *args], env={**cleared, **environment})


def _found(result: Result) -> list[tuple[str, str, int]]:
    """Return rule, path (`./` or not) and line of each problem of a JSON result."""
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return [(each["rule"], str(Path(each["location"]["path"])), each["location"]["line"]) for each in found]


def test_sound_manifests_are_counted() -> None:
    """Without a problem: exit 0, a line that counts webhooks and files, an empty array, no annotations."""
    _write(manifests__a=GOOD, manifests__b=GOOD.replace("ci", "cd"))
    text = _validate()
    assert (text.exit_code, text.stdout, text.stderr) == (0, "No problems. 2 webhooks in 2 files.\n", "")
    as_json = _validate("--format", "json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (0, [])
    annotations = _validate("--format", "github")
    assert (annotations.exit_code, annotations.stdout) == (0, "")


def test_every_problem_of_every_file_is_told() -> None:
    """One run shows each problem at its place with source line, caret and help, then the count: exit 3."""
    _write(manifests__a=BAD_EVENT, manifests__b=BAD_KEY)
    result = _validate()
    assert (result.exit_code, result.stderr) == (3, "")
    assert "manifests/a.yaml:6:12: error[WH020]: " in result.stdout
    assert "  6 |   events: [run.complete]\n    |            ^^^^^^^^^^^^\n" in result.stdout
    assert "did you mean `run.completed`?" in result.stdout
    assert "manifests/b.yaml:6:3: error[WH010]: " in result.stdout
    assert "\n2 errors\nMore about a rule: `reconciler validate --explain WH020`" in result.stdout


def test_problems_are_json_for_programs() -> None:
    """As JSON each problem is an object with severity, rule, message, hint and place."""
    _write(manifests__a=BAD_EVENT)
    result = _validate("--format", "json")
    assert result.exit_code == 3
    (problem,) = json.loads(result.stdout)
    assert problem.keys() == {"severity", "rule", "message", "hint", "location", "also", "docs"}
    assert problem["severity"] == "error"
    assert problem["location"] == {"path": "manifests/a.yaml", "line": 6, "column": 12, "end_column": 24}
    assert "run.completed" in problem["hint"]


def test_problems_are_annotations_for_github() -> None:
    """For GitHub each problem is one workflow command with file, line, column and the rule as its title."""
    _write(manifests__a=BAD_EVENT, manifests__b=BAD_KEY)
    result = _validate("--format", "github")
    lines = result.stdout.splitlines()
    assert result.exit_code == 3
    assert len(lines) == 2
    assert lines[0].startswith("::error file=manifests/a.yaml,line=6,col=12,endColumn=24,title=WH020::")
    assert lines[0].endswith("%0Ahelp: did you mean `run.completed`?")


def test_the_result_goes_to_a_file_where_asked(folder: Path) -> None:
    """With --output the file has what stdout would have, stdout nothing, and the exit code stays."""
    _write(manifests__a=BAD_EVENT)
    shown = _validate("--format", "json")
    written = _validate("--format", "json", "--output", "problems.json")
    assert (written.exit_code, written.stdout) == (3, "")
    assert (folder / "problems.json").read_text(encoding="utf-8") == shown.stdout


def test_the_paths_that_are_named_are_checked() -> None:
    """Files and folders that are named take the place of `manifests/`; one that is missing is a problem."""
    _write(manifests__a=BAD_EVENT, more__b=GOOD, c=GOOD.replace("ci", "cd"))
    assert _validate("more", "c.yaml").stdout == "No problems. 2 webhooks in 2 files.\n"
    missing = _validate("nowhere", "more", "--format", "json")
    assert missing.exit_code == 3
    assert _found(missing) == [("WH001", "nowhere", 1)]


def test_shared_manifests_are_reported_once() -> None:
    """Organizations that share manifests do not multiply their problems; each one's own are all told."""
    _write(reconciler=CONFIG, shared__a=BAD_EVENT, prod__b=BAD_EVENT.replace("ci", "cd"))
    result = _validate("--format", "json")
    assert result.exit_code == 3
    assert _found(result) == [("WH020", "prod/b.yaml", 6), ("WH020", "shared/a.yaml", 6)]
    trial = _validate("--format", "json", "--organization", "acme-trial")
    assert _found(trial) == [("WH020", "shared/a.yaml", 6)]


def test_what_clashes_in_one_organization_is_fine_in_another() -> None:
    """A name is unique in its organization: two organizations may both have it."""
    _write(reconciler=CONFIG.replace("[shared, prod]", "[prod]"), shared__a=GOOD, prod__a=GOOD)
    assert _validate().exit_code == 0
    _write(reconciler=CONFIG)
    clash = _validate()
    assert clash.exit_code == 3
    assert "prod/a.yaml" in clash.stdout
    assert "the first one is here" in clash.stdout
    assert "shared/a.yaml" in clash.stdout


def test_problems_of_the_configuration_are_told_like_those_of_manifests() -> None:
    """A broken configuration: exit 3 with its places; the manifests that it means are checked, too."""
    _write(reconciler=CONFIG.replace("manifests: [shared]", "manifest: [shared]"), shared__a=BAD_EVENT)
    _write(prod__b=GOOD.replace("ci", "cd"))
    alone = _validate("--format", "json")
    assert alone.exit_code == 3
    assert _found(alone) == [("WH010", "reconciler.yaml", 7), ("WH020", "shared/a.yaml", 6)]
    both = _validate("shared", "--format", "json")
    assert both.exit_code == 3
    assert _found(both) == [("WH010", "reconciler.yaml", 7), ("WH020", "shared/a.yaml", 6)]
    assert "error[WH010]" in _validate().stdout


def test_a_sound_manifest_does_not_hide_a_broken_configuration() -> None:
    """Where the configuration is broken the exit code is 3, however sound the manifests are."""
    _write(reconciler="apiVersion: webhooks.zof.ai/v1\n", shared__a=GOOD)
    result = _validate("shared")
    assert result.exit_code == 3
    assert "reconciler.yaml" in result.stdout
    assert "No problems" not in result.stdout


def test_a_configuration_that_was_named_must_exist() -> None:
    """`--config` with a missing file is a problem with that path; without one no file is needed."""
    _write(manifests__a=GOOD)
    missing = _validate("--config", "nowhere.yaml", "--format", "json")
    assert missing.exit_code == 3
    assert _found(missing) == [("WH001", "nowhere.yaml", 1)]
    assert _validate().exit_code == 0


@pytest.mark.parametrize(
    ("args", "environment", "code", "word"),
    [
        (("--organization", "acme-prd"), {}, 3, "did you mean `acme-prod`?"),
        ((), {"ZOF_ORGANIZATION": "other"}, 3, "no organization 'other'"),
        (("shared",), {}, 64, "add --organization NAME"),
    ],
)
def test_what_flags_and_environment_ask_for_must_make_sense(
    args: tuple[str, ...], environment: dict[str, str], code: int, word: str
) -> None:
    """An unknown organization is invalid (3), paths for several a usage error (64)."""
    _write(reconciler=CONFIG, shared__a=GOOD, prod__b=GOOD.replace("ci", "cd"))
    result = _validate(*args, **environment)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("error: ")
    assert word in result.stderr


def test_a_policy_holds_for_every_manifest(folder: Path) -> None:
    """A manifest that breaks the configuration's policy is invalid: exit 3, with the policy's own rule."""
    policy = {"properties": {"metadata": {"required": ["labels"]}}}
    (folder / "policy.json").write_text(json.dumps(policy), encoding="utf-8")
    _write(reconciler=CONFIG + "policy: policy.json\n", shared__a=GOOD)
    _write(prod__b=GOOD.replace("ci", "cd").replace("name: cd", "name: cd, labels: {team: x}"))
    result = _validate("--format", "json")
    assert result.exit_code == 3
    assert [path for _, path, _ in _found(result)] == ["shared/a.yaml"]


def test_our_own_examples_are_sound(folder: Path) -> None:
    """The configuration and the manifests that we hand out have no problem."""
    shutil.copytree(EXAMPLES, folder / "examples")
    result = _validate("--config", "examples/reconciler.yaml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("No problems.")


def test_warnings_alone_are_no_failure() -> None:
    """Nothing and warnings are 0; one error among them is 3."""
    warning = Diagnostic(Severity.WARNING, "WH999", "m")
    error = Diagnostic(Severity.ERROR, "WH999", "m")
    assert [exit_code_of(each) for each in ([], [warning], [warning, error])] == [0, 0, 3]


def test_what_is_only_for_servers_does_not_matter() -> None:
    """Validation is offline: an address or a token that is no good keeps nothing from being checked."""
    _write(reconciler=CONFIG, shared__a=BAD_EVENT)
    (Path("prod")).mkdir()
    result = _validate(
        "--format",
        "json",
        VAULT_ADDR="http://vault.example.com",
        ZOF_API_URL="no url",
        VAULT_NAMESPACE="a//b",
    )
    assert (result.exit_code, result.stderr) == (3, "")
    assert _found(result) == [("WH020", "shared/a.yaml", 6)]


def test_named_manifests_are_checked_although_a_flag_is_no_good() -> None:
    """An unknown organization is told on stderr (3), after the problems of what was named."""
    _write(reconciler=CONFIG, shared__a=BAD_EVENT)
    result = _validate("shared", "--organization", "acme-prd", "--format", "json")
    assert result.exit_code == 3
    assert _found(result) == [("WH020", "shared/a.yaml", 6)]
    assert "did you mean `acme-prod`?" in result.stderr


def test_shared_manifests_are_counted_once() -> None:
    """What organizations share counts once, in webhooks and in files."""
    _write(reconciler=CONFIG, shared__a=GOOD, prod__b=GOOD.replace("ci", "cd"))
    assert _validate().stdout == "No problems. 2 webhooks in 2 files.\n"


def test_problems_are_sarif_for_code_scanning() -> None:
    """As SARIF each problem is a result with its rule and region; without a problem the log has no result."""
    _write(manifests__a=BAD_EVENT)
    result = _validate("--format", "sarif")
    assert result.exit_code == 3
    (run,) = json.loads(result.stdout)["runs"]
    (problem,) = run["results"]
    assert (problem["ruleId"], problem["level"]) == ("WH020", "error")
    (place,) = problem["locations"]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "manifests/a.yaml"}
    assert place["physicalLocation"]["region"] == {"startLine": 6, "startColumn": 12, "endColumn": 24}
    _write(manifests__a=GOOD)
    sound = _validate("--format", "sarif")
    assert sound.exit_code == 0
    assert json.loads(sound.stdout)["runs"][0]["results"] == []


def test_unknown_events_can_be_allowed() -> None:
    """With --allow-unknown-events a type that this version does not know is accepted, paths named or not."""
    _write(manifests__a=BAD_EVENT)
    assert _validate().exit_code == 3
    assert _validate("--allow-unknown-events").exit_code == 0
    _write(reconciler="kind: Config\n")
    broken = _validate("manifests", "--allow-unknown-events", "--format", "json")
    assert {path for _, path, _ in _found(broken)} == {"reconciler.yaml"}


def test_the_configuration_selects_and_ignores_rules() -> None:
    """`rules` turns on what is off by default and silences what may be; guards stay."""
    overlap = GOOD + "  secret: {overlap: 24h}\n"
    _write(reconciler=CONFIG + "rules: {select: [WH034, WH035], ignore: [WH035]}\n", shared__a=overlap)
    Path("prod").mkdir()
    selected = _validate("--format", "json")
    assert (selected.exit_code, _found(selected)) == (0, [("WH034", "shared/a.yaml", 3)])
    _write(reconciler=CONFIG + "rules: {select: [WH34, 5], ignore: [WH027]}\n")
    broken = _validate("--format", "json")
    assert broken.exit_code == 3
    assert [rule for rule, _, _ in _found(broken)] == ["WH053", "WH012", "WH054"]
    assert "did you mean `WH034`?" in broken.stdout


def test_a_rule_is_explained_offline() -> None:
    """`--explain` prints the pages of rules and checks nothing; a code that no rule has is a usage error."""
    _write(manifests__a=BAD_EVENT)
    one = _validate("--explain", "wh020")
    assert (one.exit_code, one.stderr) == (0, "")
    assert one.stdout.startswith("# WH020: An event type is not known\n")
    two = _validate("--explain", "WH001", "--explain", "WH063")
    assert [line[:7] for line in two.stdout.splitlines() if line.startswith("# ")] == ["# WH001", "# WH063"]
    unknown = _validate("--explain", "WH0200")
    assert (unknown.exit_code, unknown.stdout) == (64, "")
    assert "did you mean `WH020`?" in unknown.stderr


def test_problems_of_the_policy_have_their_place(folder: Path) -> None:
    """A policy that is no good is told with line and caret, like everything else."""
    (folder / "policy.json").write_text('{\n  "type": "objekt"\n}\n', encoding="utf-8")
    _write(reconciler=CONFIG + "policy: policy.json\n", shared__a=GOOD)
    result = _validate("--organization", "acme-trial")
    assert result.exit_code == 3
    assert "policy.json:2:11: error[WH041]" in result.stdout
    assert '  2 |   "type": "objekt"\n    |           ^^^^^^^^\n' in result.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", []),
        ("organizations: 5\n", []),
        ("organizations: [5, {manifests: 5}, {manifests: [5]}, {manifests: [m/a.yaml]}]\n", ["WH020"]),
        ("organizations: [{nam: acme}]\npolicy: p.json\n", ["WH040", "WH020"]),
        ("organizations: [{name: acme}]\npolicy: 5\n", ["WH020"]),
        ("a: &a b\norganizations: [{name: acme}]\n", []),
        ("a: [\n", []),
    ],
)
def test_what_a_broken_configuration_means_is_checked(folder: Path, text: str, expected: list[str]) -> None:
    """Manifests that an organization names, or has at the usual place, and the policy are found."""
    (folder / "p.json").write_text('{"required": ["x"]}', encoding="utf-8")
    _write(reconciler=text, manifests__a=BAD_EVENT, m__a=BAD_EVENT)
    result = _validate("--format", "json")
    assert result.exit_code == 3
    assert [rule for rule, path, _ in _found(result) if path != "reconciler.yaml"] == expected
    assert any(path == "reconciler.yaml" for _, path, _ in _found(result))


def test_a_guard_holds_although_the_configuration_says_otherwise() -> None:
    """A configuration that ignores what may not be ignored is told so, and the rule is held to."""
    _write(reconciler=CONFIG + "rules: {ignore: [WH027, WH033]}\n")
    _write(shared__a=GOOD.replace("hooks.example.com", "10.0.0.1"), prod__b=GOOD.replace("ci", "cd"))
    result = _validate("--format", "json")
    assert result.exit_code == 3
    assert _found(result) == [("WH054", "reconciler.yaml", 8), ("WH027", "shared/a.yaml", 5)]
