"""The packaged schemas: where they are looked for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args

import jsonschema
import pytest

from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.schemas import SchemaName, find_packaged, schema_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_first_folder_that_has_it_wins(tmp_path: Path) -> None:
    """A file in the package counts before the one beside it; a folder without it is passed over."""
    package, checkout = tmp_path / "_schemas", tmp_path / "schemas"
    package.mkdir()
    checkout.mkdir()
    (checkout / "a.json").touch()
    assert find_packaged("a.json", (package, checkout)) == checkout / "a.json"
    (package / "a.json").touch()
    assert find_packaged("a.json", (package, checkout)) == package / "a.json"


def test_a_missing_schema_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """An installation without the file is told with the file's name and every folder."""
    folders = (tmp_path / "one", tmp_path / "two")
    words = re.escape(f"a.json is missing from the installation; looked in {folders[0]} and {folders[1]}")
    with pytest.raises(FileNotFoundError, match=words):
        find_packaged("a.json", folders)


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every mapping within a schema."""
    if isinstance(schema, dict):
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(inner)


@pytest.mark.parametrize("name", get_args(SchemaName))
def test_a_schema_is_valid_and_describes_each_value_that_it_lists(name: SchemaName) -> None:
    """Each is valid under the meta-schema; where values have descriptions, each has one."""
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    for part in parts(schema):
        if "enumDescriptions" in part:
            assert len(part["enumDescriptions"]) == len(part["enum"])


@pytest.mark.parametrize("name", ["manifest", "config"])
def test_every_key_says_what_it_is(name: SchemaName) -> None:
    """Whoever hovers over a key reads a title and a description, in it or where it refers to."""
    schema = json.loads(schema_text(name))
    for part in parts(schema):
        for key, value in part.get("properties", {}).items():
            if isinstance(value, dict) and ("type" in value or "const" in value or "$ref" in value):
                inherited = schema.get("$defs", {}).get(value.get("$ref", "").rpartition("/")[2], {})
                assert (inherited | value).keys() >= {"title", "description"}, key


def test_the_schema_lists_the_event_types_that_the_rules_know() -> None:
    """What an editor offers is what `validate` accepts."""
    schema = json.loads(schema_text("manifest"))
    events = schema["properties"]["spec"]["properties"]["events"]["items"]["anyOf"][0]["enum"]
    assert tuple(events) == KNOWN_EVENTS
