"""The use cases. They see ports only: what is real is decided by the command line.

Each is loaded when it is first asked for (PEP 562): a preview does not wait for what applies.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.usecases.adopting import adoption
    from reconciler.usecases.applying import apply
    from reconciler.usecases.delivering import Arrival, Delivery, deliver_tests
    from reconciler.usecases.inventory import ExportRow, StatusRow, export, fleet, status
    from reconciler.usecases.planning import Planned, bounded_by, held_to_review, only, plan, rotation
    from reconciler.usecases.previewing import drift, preview

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
    "reconciler.usecases.adopting": ("adoption",),
    "reconciler.usecases.applying": ("apply",),
    "reconciler.usecases.delivering": ("Arrival", "Delivery", "deliver_tests"),
    "reconciler.usecases.inventory": ("ExportRow", "StatusRow", "export", "fleet", "status"),
    "reconciler.usecases.planning": ("Planned", "bounded_by", "held_to_review", "only", "plan", "rotation"),
    "reconciler.usecases.previewing": ("drift", "preview"),
}


def __getattr__(name: str) -> Any:
    """Import the module that a use case lives in."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
