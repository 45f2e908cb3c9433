"""The use cases. They see ports only: what is real is decided by the command line."""

from reconciler.apply.taker import World
from reconciler.workflow.adopting import adoption
from reconciler.workflow.applying import apply
from reconciler.workflow.delivering import Arrival, Delivery, deliver_tests
from reconciler.workflow.fleet import ExportRow, StatusRow, export, fleet, status
from reconciler.workflow.planning import Planned, bounded_by, drift, only, plan, rotation

__all__ = [
    "Arrival",
    "Delivery",
    "ExportRow",
    "Planned",
    "StatusRow",
    "World",
    "adoption",
    "apply",
    "bounded_by",
    "deliver_tests",
    "drift",
    "export",
    "fleet",
    "only",
    "plan",
    "rotation",
    "status",
]
