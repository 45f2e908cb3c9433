"""Policies are evaluated within limits: whatever one says, a command ends, and its memory is bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.diagnostics import Diagnostic
from reconciler.manifest.lint.policy import Policy, read_policy
from reconciler.manifest.lint.policy_process import Job, OverBudget, PolicyProcess
from reconciler.manifest.lint.policy_worker import LIMITS, Limits, answers
from reconciler.manifest.problems import Source
from reconciler.manifest.yaml.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST = {"kind": "Webhook", "spec": {"events": ["run.failed"] * 50}}
SHORT = Limits(LIMITS.memory, 0.6, 0.01)


def nested(keyword: str, depth: int, last: Any) -> dict[str, Any]:
    """Return a small policy whose references double at each of its levels."""
    levels: dict[str, Any] = {
        f"d{level}": {keyword: [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(depth)
    }
    return {"$defs": {**levels, f"d{depth}": last}, "$ref": "#/$defs/d0"}


@pytest.fixture(scope="module")
def short() -> Iterator[PolicyProcess]:
    process = PolicyProcess(SHORT)
    yield process
    process.close()


@pytest.mark.parametrize(
    "policy", [nested("allOf", 40, {"type": "object"}), nested("anyOf", 25, {"type": "string"})]
)
def test_a_policy_that_needs_hours_is_ended(short: PolicyProcess, policy: dict[str, Any]) -> None:
    """Three kilobytes with doubling references, also where only the explanation takes so long."""
    with pytest.raises(OverBudget, match="too much time"):
        short.evaluate(Job(policy, []), MANIFEST)


def test_a_policy_that_needs_all_memory_is_ended() -> None:
    """The limit is on the process, whatever in it takes the memory."""
    process = PolicyProcess(Limits(200 * 1024**2, 60, 1))
    with pytest.raises(OverBudget, match="more than 200 MiB of memory"):
        process.compile(Job({"const": "x" * 80_000_000}, []))


def test_the_policies_after_it_are_evaluated(short: PolicyProcess) -> None:
    """Each has a budget of its own, and is sent again when another was in between."""
    bad, good = Job(nested("allOf", 40, {}), []), Job({"required": ["spec"]}, [{"required": ["kind"]}, False])
    for _ in range(2):
        assert short.evaluate(good, MANIFEST) == {"problems": [], "caps": [0]}
        assert short.evaluate(Job({"required": ["x"]}, []), MANIFEST)["problems"]
    with pytest.raises(OverBudget):
        short.evaluate(bad, MANIFEST)
    assert short.evaluate(good, MANIFEST) == {"problems": [], "caps": [0]}


def test_a_policy_over_its_budget_is_an_error_once(tmp_path: Path, short: PolicyProcess) -> None:
    """It is at the policy and names the manifest; the policy counts as broken, and not as satisfied."""
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(nested("allOf", 40, {})), encoding="utf-8")
    policy = read_policy(path, short)
    assert isinstance(policy, Policy)
    content = json.dumps(MANIFEST).encode()
    (document,) = parse(content)
    source = Source("m.yaml", content)
    assert [policy.check(source, document) for _ in range(3)] == [[], [], []]
    (found,) = policy.exceeded()
    assert str(found) == (
        f"{path}:1:1: error[WH041]: the policy needs too much time for the manifest at m.yaml:1:1"
    )


def test_a_policy_that_is_nested_too_deep_is_an_error(tmp_path: Path, short: PolicyProcess) -> None:
    """Whichever part of the way finds it so."""
    for depth in (240, 500, 900):
        path = tmp_path / "policy.json"
        path.write_text('{"not": ' * depth + "{}" + "}" * depth, encoding="utf-8")
        found = read_policy(path, short)
        if isinstance(found, Diagnostic):
            assert found.rule == "WH041"


def test_the_worker_answers_each_request() -> None:
    """A policy, manifests for it, and one that cannot be used."""
    allowed: list[float] = []
    requests = [
        {"policy": {"required": ["x"]}, "caps": [True]},
        {"manifest": {}},
        {"policy": {}, "caps": [{"type": 1}]},
    ]
    compiled, result, unusable = answers(map(json.dumps, requests), SHORT, allowed.append)
    assert compiled == {}
    assert result == {"problems": [["the key `x` is missing", (), None, True]], "caps": [0]}
    assert unusable["path"] == ("x-caps", 0, "where", "type")
    assert [0 < each <= 0.62 for each in allowed] == [True] * 3
