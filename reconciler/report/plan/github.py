"""A plan as annotations of a pull request, each at the line of its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.plan.drift import Drift, DriftKind
from reconciler.report.format.github import command
from reconciler.report.plan import summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.plan.guards import Refusal
    from reconciler.plan.plan import Change, Plan


def plan_github(plan: Plan, refusals: Sequence[Refusal] = ()) -> str:
    """Return the plan as workflow commands, the worst first: refusals and conflicts are errors.

    What is not asked for by a manifest has the level of its severity; other changes are notices. The last
    one names the servers.
    """
    lines = [command("error", f"refused: {v.guard}", _with_hint(v.message, v.hint)) for v in refusals]
    lines += [command("warning", f"plan of {plan.organization}", warning) for warning in plan.warnings]
    lines += [_annotation(change) for change in plan.worst_first]
    unmanaged = Drift((DriftKind.UNMANAGED,))
    lines += [
        command(
            unmanaged.severity,
            f"unmanaged in {plan.organization}",
            _with_hint(summary.endpoint_line(endpoint, None), unmanaged.remedy),
        )
        for endpoint in plan.not_allowed
    ]
    if plan.active_run is not None:
        lines.append(command("notice", plan.organization, summary.in_progress(plan.active_run)))
    servers = ", ".join(f"{title}: {value}" for title, value in summary.servers(plan))
    lines.append(command("notice", f"plan of {plan.organization}", servers))
    return "".join(lines)


def _annotation(change: Change) -> str:
    level, message = "notice", f"{change.cause}: {change.reason}"
    if change.warnings:
        level, message = "warning", "\n".join([message, *change.warnings])
    if change.drift is not None:
        level, message = change.drift.severity.value, _with_hint(message, change.drift.remedy)
    if change.problem is not None:
        level, message = "error", _with_hint(change.problem, change.hint)
    return command(level, f"{change.action} {change.name}", message, change.source)


def _with_hint(message: str, hint: str | None) -> str:
    return message + (f"\nhint: {hint}" if hint else "")
