"""What differs, field by field: computed only for what is known to differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.plan.plan import FieldChange

if TYPE_CHECKING:
    from reconciler.plan.plan import Shape


def differences(before: Shape | None, after: Shape | None) -> tuple[FieldChange, ...]:
    """Return the differences between two shapes by path; none where either is absent or both are equal."""
    if before is None or after is None or before == after:
        return ()
    # Importing it costs more than planning a thousand unchanged webhooks.
    from deepdiff import DeepDiff  # noqa: PLC0415 - lazy on purpose

    old, new = before.to_json(), after.to_json()
    delta = DeepDiff(old, new, ignore_order=True)
    touched = sorted(
        {str(level.path(output_format="list")[0]) for group in delta.tree.values() for level in group}
    )
    return tuple(FieldChange(path, old[path], new[path]) for path in touched)
