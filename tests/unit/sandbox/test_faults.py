"""The rules for faults: which are valid, and which requests they affect."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import InvalidInput
from reconciler.sandbox.faults import Fault, FaultKind, FaultRule, Faults


@pytest.mark.parametrize(
    "parts",
    [
        None,
        {},
        {"kind": "explode"},
        {"kind": ["close"]},
        {"kind": "status", "status": 200},
        {"kind": "status", "status": True},
        {"kind": "status", "body": 7},
        {"kind": "hang", "seconds": -1},
        {"kind": "close", "headers": {"A": "b\r\nc"}},
        {"kind": "close", "headers": []},
        {"kind": "close", "times": 0},
        {"kind": "close", "skip": -1},
        {"kind": "close", "path": 7},
        {"kind": "close", "when": "later"},
    ],
)
def test_an_invalid_fault_is_refused(parts: Any) -> None:
    """Unknown fields and impossible values are errors, before any request can match."""
    with pytest.raises(InvalidInput):
        FaultRule.from_json(parts)


def test_a_rule_survives_json() -> None:
    """What `to_json` returns is read back as the same rule."""
    rule = FaultRule(FaultKind.STATUS, status=503, headers={"Retry-After": "3"}, times=None, skip=2)
    assert FaultRule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_that_alters_the_answer_comes_after_the_request(kind: FaultKind) -> None:
    """Without the correct answer there is nothing to alter, so the request is carried out first."""
    alters = kind in {"truncated", "data_not_list", "no_cursor", "repeated_cursor", "repeated_id"}
    assert Fault(kind).after_commit is alters


def test_a_rule_is_used_up_and_the_next_one_applies() -> None:
    """The first rule that matches applies, after `skip` requests and for `times` of them."""
    faults = Faults()
    faults.add(FaultRule(FaultKind.HTML, method="GET", path="/v1/*", skip=1, times=2))
    faults.add(FaultRule(FaultKind.CLOSE, times=None))
    assert faults.take("POST", "/v1/webhooks") == FaultRule(FaultKind.CLOSE, times=None)
    taken = [faults.take("GET", "/v1/webhooks") for _ in range(4)]
    assert [fault and fault.kind for fault in taken] == ["close", "html", "html", "close"]
    assert [rule.kind for rule in faults.rules()] == ["close"]
    faults.clear()
    assert faults.take("GET", "/v1/webhooks") is None
