"""The policy: a JSON Schema of the user's own, read with the place of whatever is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.manifest import rules
from reconciler.manifest.files import Unreadable, display_path, read_file
from reconciler.manifest.loader import parse
from reconciler.manifest.schema import Schema, SchemaUnusable
from reconciler.manifest.source import Source
from reconciler.manifest.yaml_problem import Span, YamlRefused
from reconciler.model import Location

if TYPE_CHECKING:
    import os

    from reconciler.diagnostics import Diagnostic

_START = Span(1, 1)


def read_policy(path: str | os.PathLike[str]) -> Schema | Diagnostic:
    """Return the policy at `path`, compiled; or why it cannot be used."""
    name = display_path(str(path))
    content = read_file(str(path))
    source = Source(name, b"" if isinstance(content, Unreadable) else content)
    if isinstance(content, Unreadable):
        message = f"the policy cannot be read: {content.message}"
        return source.note(rules.POLICY_UNUSABLE, message, Location(name), content.hint)
    try:
        schema = json.loads(content)
    except json.JSONDecodeError as error:
        message = f"the policy is not JSON: {error.msg.lower()}"
        return source.at(rules.POLICY_UNUSABLE, message, Span(error.lineno, error.colno))
    except (ValueError, RecursionError):
        return source.at(rules.POLICY_UNUSABLE, "the policy is not JSON", _START)
    if not isinstance(schema, dict):
        return source.at(rules.POLICY_UNUSABLE, "the policy is no JSON object", _START)
    try:
        return Schema(schema)
    except SchemaUnusable as unusable:
        span = _place(content, unusable.path)
        return source.at(rules.POLICY_UNUSABLE, unusable.message, span, unusable.hint)


def _place(content: bytes, path: tuple[str | int, ...]) -> Span:
    """Return where `path` is in a JSON file: JSON is YAML, whose loader knows places, but for its limits."""
    try:
        document = next(parse(content))
    except YamlRefused:
        return _START
    return _START if document.problems else document.span(path)
