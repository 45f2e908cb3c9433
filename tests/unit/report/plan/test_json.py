"""Plans as JSON: the schema describes all of it, and a changed file is found out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.errors import InvalidInput
from reconciler.model import Endpoint, Location
from reconciler.plan.plan import Action, Cause, Change, Cost, FieldChange, Plan, Shape
from reconciler.report.plan.json import check_digest, parse_plan, plan_json, to_json_text
from tests.fixtures.plan import SERVERS

SCHEMA = json.loads((Path(__file__).parents[4] / "schemas/plan.schema.json").read_text(encoding="utf-8"))
SHAPE = Shape("https://a.example.com/\u00e9", ("run.failed",))
PLAN = Plan(
    "acme",
    SERVERS,
    (
        Change(
            "a",
            Action.CREATE,
            "new",
            Cause.MANIFEST,
            after=SHAPE,
            source=Location("a.yaml", 1),
            policy="Delete",
            fields=(FieldChange("url", None, SHAPE.url),),
            steps=("create",),
            warnings=("look",),
        ),
        Change(
            "b", Action.DELETE, "gone", Cause.DRIFT, before=SHAPE, endpoint_id="wh_1", problem="no", hint=None
        ),
    ),
    unchanged=4,
    owned=5,
    unmanaged=(
        Endpoint("wh_2", "https://b.example.com/", ("new.event",)),
        Endpoint("wh_3", "https://c.example.com/", (), datetime(2026, 11, 24, 12, tzinfo=UTC)),
    ),
    commit="c0ffee",
    cost=Cost(3, 1.8),
)


def test_a_plan_is_valid_by_its_schema() -> None:
    """What is written is what the schema describes, and the schema itself is one."""
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(json.loads(plan_json(PLAN)))
    assert [e["created"] for e in json.loads(plan_json(PLAN))["unmanaged"]] == [None, "2026-11-24T12:00:00Z"]
    Draft202012Validator(SCHEMA).validate(json.loads(plan_json(Plan("empty", SERVERS, (), 0, 0))))


def _objects(schema: Any) -> list[dict[str, Any]]:
    found = [schema] if isinstance(schema, dict) and "properties" in schema else []
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return found + [each for child in children for each in _objects(child)]


def test_the_schema_is_closed_and_describes_every_field() -> None:
    """Every object refuses unknown fields, and every field has a description of its own or its type's."""
    objects = _objects(SCHEMA)
    assert len(objects) == 11
    for each in objects:
        assert each["additionalProperties"] is False
        for name, field in each["properties"].items():
            target = SCHEMA["$defs"][field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field
            assert target["description"].endswith("."), name


def test_a_plan_file_round_trips() -> None:
    """A plan that was written is read back as it was, and its digest holds."""
    value = parse_plan(plan_json(PLAN))
    assert value == PLAN.to_json()
    check_digest(value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "z"),
        ("action", "replace"),
        ("after", None),
        ("endpoint_id", "wh_5"),
        ("policy", "Retain"),
        ("before", {"url": "\ud800", "events": []}),
    ],
)
def test_a_changed_plan_file_is_found_out(key: str, value: object) -> None:
    """Whatever the digest covers cannot be changed without it."""
    plan = parse_plan(plan_json(PLAN))
    plan["changes"][0][key] = value
    with pytest.raises(InvalidInput, match="digest does not match"):
        check_digest(plan)


@pytest.mark.parametrize("key", ["api_url", "vault_mount", "vault_prefix"])
def test_a_reviewed_plan_stays_at_its_servers(key: str) -> None:
    """The digest covers the API's URL and Vault's mount and prefix, not the address that reaches Vault."""
    plan = parse_plan(plan_json(PLAN))
    plan["servers"]["vault_address"] = "https://vault.internal.example.com"
    check_digest(plan)
    plan["servers"][key] = "other"
    with pytest.raises(InvalidInput, match="digest does not match"):
        check_digest(plan)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1, column 1"),
        ("{]", "line 1, column 2"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        (b"\xff\xfe\x00", "not UTF-8|column"),
    ],
)
def test_what_is_no_json_is_one_sentence(text: str | bytes, why: str) -> None:
    """A file that is no JSON is refused with the place or the reason, and a hint."""
    with pytest.raises(InvalidInput, match=why) as caught:
        parse_plan(text)
    assert caught.value.hint == "create it again: reconciler plan --out FILE"


def test_json_text_steers_no_terminal() -> None:
    """JSON output is ASCII with every control character escaped, and still the same value."""
    hostile = "\x1b[31m\x7f\u202e\u009b\ud800"
    text = to_json_text({"a": hostile})
    assert text.replace("\n", "").isprintable()
    assert text.isascii()
    assert json.loads(text) == {"a": hostile}
