"""Reading a saved plan: its size, its JSON, its schema and its digest are checked before it counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reconciler.errors import InvalidInput
from reconciler.manifest.schema import packaged_schema
from reconciler.report.format.escape import visible
from reconciler.report.plan.json import check_digest, parse_plan

# A plan of 100,000 changes takes about 100 MB.
_SIZE_MAX = 256 * 1024 * 1024


def read_plan_file(path: str) -> dict[str, Any]:
    """Return the plan in the file.

    Raises:
        InvalidInput: it cannot be read, is no plan by its schema, or was changed after it was made.
    """
    try:
        file = Path(path)
        if file.stat().st_size > _SIZE_MAX:
            raise InvalidInput(f"the plan file {visible(path)} is too large to be a plan")
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidInput(
            f"cannot read the plan file {visible(path)}: {why}", hint="make one: reconciler plan --out FILE"
        ) from error
    plan = parse_plan(content)
    _check_shape(plan)
    check_digest(plan)
    return dict(plan)


def _check_shape(plan: Any) -> None:
    schema = packaged_schema("plan")
    if schema.accepts(plan):
        return
    violation = schema.explain(plan)[0]
    place = ".".join(map(str, violation.path)) or "the whole file"
    raise InvalidInput(
        f"the plan file is no plan of this version: {place}: {violation.message}",
        hint="create it again: reconciler plan --out FILE",
    )
