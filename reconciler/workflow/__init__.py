"""The use cases. They see ports only: what is real is decided by the command line.

Each is loaded when it is first asked for (PEP 562): a preview does not wait for what applies.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.workflow.adopting import adoption
    from reconciler.workflow.applying import apply
    from reconciler.workflow.delivering import Arrival, Delivery, deliver_tests
    from reconciler.workflow.inventory import ExportRow, StatusRow, export, fleet, status
    from reconciler.workflow.planning import Planned, bounded_by, held_to_review, only, plan, rotation
    from reconciler.workflow.previewing import drift, preview

__all__ = [
    "Arrival",
    "Delivery",
    "ExportRow",
    "Planned",
    "StatusRow",
    "adoption",
    "apply",
    "bounded_by",
    "deliver_tests",
    "drift",
    "export",
    "fleet",
    "held_to_review",
    "only",
    "plan",
    "preview",
    "rotation",
    "status",
]
_HOMES = {
    "reconciler.workflow.adopting": ("adoption",),
    "reconciler.workflow.applying": ("apply",),
    "reconciler.workflow.delivering": ("Arrival", "Delivery", "deliver_tests"),
    "reconciler.workflow.inventory": ("ExportRow", "StatusRow", "export", "fleet", "status"),
    "reconciler.workflow.planning": ("Planned", "bounded_by", "held_to_review", "only", "plan", "rotation"),
    "reconciler.workflow.previewing": ("drift", "preview"),
}


def __getattr__(name: str) -> Any:
    """Import the module that a use case lives in."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
