"""The example policies: manifests that satisfy each, and the whole output for those that do not."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.manifest.load import load_manifests
from reconciler.report.diagnostics.text import diagnostics_text
from tests.fixtures.pages import Page

if TYPE_CHECKING:
    from reconciler.diagnostics import Diagnostic

ROOT = Path(__file__).resolve().parents[4]
CASES = ROOT / "tests" / "cases" / "policies"
POLICIES = sorted((ROOT / "examples" / "policies").glob("*.schema.json"))
MANIFEST = """apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata: {{name: {name}}}
spec: {{url: "https://hooks.example.com/{name}", events: [{event}]}}
"""


def case_of(policy: Path) -> Path:
    return CASES / policy.name.removesuffix(".schema.json")


def each_policy(function: Any) -> Any:
    return pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.name.partition(".")[0])(function)


@each_policy
def test_manifests_that_satisfy_an_example_have_no_diagnostics(policy: Path) -> None:
    """What the policy is not about passes."""
    loaded = load_manifests([case_of(policy) / "passing.yaml"], policy=policy)
    assert loaded.diagnostics == ()
    assert loaded.webhooks


@each_policy
def test_manifests_that_break_an_example_are_told_so_in_the_policys_words(policy: Path) -> None:
    """Each problem stands at its node, says what the policy says, and shows no secret."""
    loaded = load_manifests([case_of(policy) / "failing.yaml"], policy=policy)
    actual = diagnostics_text(loaded.diagnostics).replace(f"{case_of(policy)}/", "")
    golden = case_of(policy) / "failing.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(actual, encoding="utf-8")
    assert actual == golden.read_text(encoding="utf-8")
    assert {each.rule for each in loaded.diagnostics} == {"WH040"}
    assert "hunter2" not in actual


def test_every_example_has_its_manifests() -> None:
    """Examples and cases go together."""
    assert len(POLICIES) == 4
    assert {case_of(policy) for policy in POLICIES} == set(CASES.iterdir())


_GUIDE, _REFERENCE = Page("docs/howto/write-a-policy"), Page("docs/reference/policy")
_POLICIES = re.findall(r"(?<=```json\n).*?(?=```)", _GUIDE.text + _REFERENCE.text, re.DOTALL)


@pytest.mark.parametrize("text", _POLICIES)
def test_a_policy_of_the_documentation_can_be_used(here: Path, text: str) -> None:
    """Each policy in the guide and in the reference works."""
    (here / "policy.json").write_text(text)
    assert load_manifests([], policy="policy.json").diagnostics == ()


def test_the_guide_shows_the_real_problem(here: Path) -> None:
    """The guide's policy gives the guide's diagnostic, for a manifest that breaks it."""
    (here / "policy.json").write_text(_POLICIES[0])
    (here / "manifests").mkdir()
    manifest = MANIFEST.format(name="chat", event="run.failed")
    head, _, _ = manifest.replace("metadata: {name: chat}", "metadata:\n  name: chat").partition("spec:")
    text = f"{head}spec:\n  url: https://hooks.example.net/in\n  events: [run.failed]\n"
    (here / "manifests" / "chat.yaml").write_text(text)
    loaded = load_manifests(["manifests"], policy="policy.json")
    _GUIDE.hold("problem", diagnostics_text(loaded.diagnostics))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def capped(here: Path, events: list[str], cap: Any, **others: Any) -> list[str]:
    """What is told about manifests with one event each, under a policy with one cap."""
    (here / "policy.json").write_text(json.dumps({"x-caps": [cap], **others}))
    texts = [MANIFEST.format(name=f"n{number}", event=event) for number, event in enumerate(events)]
    (here / "m.yaml").write_text("---\n".join(texts))
    return [str(each) for each in load_manifests(["m.yaml"], policy="policy.json").diagnostics]


FAILED = {"properties": {"spec": {"properties": {"events": {"contains": {"const": "run.failed"}}}}}}


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_cap_is_exceeded_by_one_more_than_it_allows(here: Path, number: int) -> None:
    """A cap of two allows two, and reports the third and those before it, once."""
    found = capped(here, ["run.failed", "run.started"] * number, {"where": FAILED, "atMost": 2})
    message = "too many manifests match a cap of the policy: 3 match, and at most 2 are allowed"
    assert found == [f"m.yaml:24:54: error[WH040]: {message}"] * (number > 2)


@pytest.mark.parametrize(
    ("where", "place"),
    [
        (True, "1:1"),
        ({}, "1:1"),
        ({"type": "object", "properties": {"spec": {}, "metadata": {}}}, "1:1"),
        ({"properties": {"spec": {"required": ["url"]}}}, "4:7"),
        ({"properties": {"spec": {"properties": {"events": {"contains": {"pattern": "^run"}}}}}}, "4:53"),
        ({"properties": {"spec": {"properties": {"events": {"contains": True}}}}}, "4:53"),
        ({"$ref": "#/$defs/any"}, "1:1"),
    ],
)
def test_a_cap_points_at_what_it_is_about(here: Path, where: Any, place: str) -> None:
    """The place is the one property that the schema names, or the manifest."""
    definitions = {"any": {"type": "object"}}
    (found,) = capped(here, ["run.failed"], {"where": where, "atMost": 0}, **{"$defs": definitions})
    assert found.startswith(f"m.yaml:{place}: error[WH040]: ")


def test_a_cap_of_many_names_only_some_of_the_others(here: Path) -> None:
    """A fleet that exceeds a large cap is no flood of places."""
    (here / "policy.json").write_text(json.dumps({"x-caps": [{"where": FAILED, "atMost": 50}]}))
    texts = [MANIFEST.format(name=f"n{number}", event="run.failed") for number in range(60)]
    (here / "m.yaml").write_text("---\n".join(texts))
    (found,) = load_manifests(["m.yaml"], policy="policy.json").diagnostics
    assert "60 match, and at most 50 are allowed" in found.message
    assert len(found.also) == 10


@pytest.mark.parametrize(
    "cap", [1, {}, {"where": {}}, {"where": {}, "atMost": -1}, {"where": {}, "atMost": 1, "most": 2}]
)
def test_a_misspelt_cap_makes_the_policy_unusable(here: Path, cap: Any) -> None:
    """A cap that is not understood is never passed over."""
    (found,) = capped(here, [], cap)
    assert found == "policy.json:1:12: error[WH041]: the policy's `x-caps` is not a list of caps"


def test_a_cap_with_an_unusable_schema_makes_the_policy_unusable(here: Path) -> None:
    """The schema of a cap stands on its own, as the policy does."""
    (found,) = capped(here, [], {"where": {"$ref": "https://example.com/x"}, "atMost": 1})
    assert found.startswith("policy.json:1:23: error[WH041]: it is not a usable JSON Schema")


def test_a_schemas_own_message_takes_the_place_of_ours(here: Path) -> None:
    """`errorMessage` is the message, `description` the hint; what is no text is passed over."""
    policy: dict[str, Any] = {"properties": {"kind": {"const": "x", "errorMessage": "no such kind"}}}
    (here / "m.yaml").write_text(MANIFEST.format(name="a", event="run.failed"))
    found: list[Diagnostic] = []
    for words in ("no such kind", 5):
        policy["properties"]["kind"]["errorMessage"] = words
        (here / "policy.json").write_text(json.dumps(policy))
        found += load_manifests(["m.yaml"], policy="policy.json").diagnostics
    assert [each.message for each in found] == ["no such kind", "`kind` must be `x`, not `Webhook`"]
