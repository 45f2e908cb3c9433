"""Write a plan as JSON (`schemas/plan.schema.json`), and read an untrusted plan file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from reconciler.errors import InvalidInput
from reconciler.plan.plan import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.plan.plan import Plan

_IDENTITY = ("name", "action", "before", "after", "endpoint_id", "policy")
_RECREATE = "create it again: reconciler plan --out FILE"


def to_json_text(value: Any) -> str:
    """Return `value` as indented JSON in ASCII, without control characters, ending in a newline."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def plan_json(plan: Plan) -> str:
    """Return the plan as JSON text."""
    return to_json_text(plan.to_json())


def parse_plan(text: str | bytes) -> Any:
    """Return the JSON value of a plan file. The caller validates its schema, then calls `check_digest`.

    Raises:
        InvalidInput: it is not JSON by RFC 8259 (which has no `NaN`), or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"the plan file is not valid JSON ({_brief(error)})",
            hint=_RECREATE,
        ) from error


def check_digest(plan: Mapping[str, Any]) -> None:
    """Check that the digest of a plan file, which is valid by its schema, matches its content.

    Raises:
        InvalidInput: the content was changed after the plan was created.
    """
    identities = [{key: change[key] for key in _IDENTITY} for change in plan["changes"]]
    if digest_of(plan["organization"], plan["servers"], identities) != plan["digest"]:
        raise InvalidInput(
            "the plan file's digest does not match its content: the file was edited",
            hint=_RECREATE,
        )


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _brief(error: Exception) -> str:
    """Return where and why it is invalid, without quoting the file."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error)
