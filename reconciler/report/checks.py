"""The results of checks: a list of requirements, and the receivers that manifests name."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.errors import ExitCode
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, count, item, pad, width

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

HTTPS = 443
EXPIRES_SOON = timedelta(days=14)
"""A certificate that expires within this time is reported: somebody needs time to renew it."""
_MARKS = {True: ("✓", Ink.GREEN), False: ("✗", Ink.RED), None: ("○", Ink.DIM)}
_WARNING = ("!", Ink.YELLOW)


class Check(Struct, frozen=True):
    """One requirement of a run."""

    name: str
    ok: bool | None
    """None: not checked, because an earlier check failed."""
    detail: str
    hint: str | None = None
    exit_code: ExitCode = ExitCode.OK
    """The exit code of a run that fails because of this."""
    warning: bool = False
    """Whether it passed, and somebody should still look at it."""


class Certificate(Struct, frozen=True):
    """The trusted certificate of a receiver."""

    expires_at: datetime
    """Aware, UTC."""
    protocol: str
    """For example `TLSv1.3`."""

    def __str__(self) -> str:
        return f"{self.protocol}, certificate valid until {self.expires_at:%Y-%m-%d}"


class ReceiverProblem(Struct, frozen=True):
    """Why a receiver cannot take deliveries."""

    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return self.message


class ReceiverCheck(Struct, frozen=True):
    """One host and port that manifests name, and what a connection to it showed."""

    host: str
    port: int
    names: tuple[str, ...]
    """The webhooks that deliver there, sorted."""
    result: Certificate | ReceiverProblem

    @property
    def address(self) -> str:
        """The host, and the port if it is not 443."""
        return self.host if self.port == HTTPS else f"{self.host}:{self.port}"

    def expires_in(self, now: datetime) -> str | None:
        """Return in how many days the certificate expires; None if that is not soon."""
        if isinstance(self.result, ReceiverProblem) or (left := self.result.expires_at - now) > EXPIRES_SOON:
            return None
        return count(max(0, left.days), "day")


def checks_text(organization: str, checks: Sequence[Check], *, color: bool = False) -> str:
    """Return the checks as text, ending in a newline."""
    style = Style(color)
    column = max(width(visible(check.name)) for check in checks)
    lines = [style.paint(visible(organization), Ink.BOLD)]
    for check in checks:
        symbol, ink = _WARNING if check.warning else _MARKS[check.ok]
        text = f"{pad(visible(check.name), column)}  {visible(check.detail)}"
        lines += item(style.paint(symbol, ink), text, hint=check.hint)
    return "\n".join(lines) + "\n"


def checks_value(organization: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks as a JSON object."""
    return {
        "organization": organization,
        "ok": all(check.ok for check in checks),
        "checks": [
            {
                "name": check.name,
                "ok": check.ok,
                "warning": check.warning,
                "detail": check.detail,
                "hint": check.hint,
            }
            for check in checks
        ],
    }


def receivers_summary(receivers: Collection[ReceiverCheck], now: datetime) -> str:
    """Return how many receivers were checked and what is wrong with them, in one sentence."""
    failed = sum(isinstance(each.result, ReceiverProblem) for each in receivers)
    late = sum(each.expires_in(now) is not None for each in receivers)
    problems = [f"{failed:,} cannot take deliveries"] if failed else []
    problems += [f"{count(late, 'certificate')} must be renewed"] if late else []
    if not receivers:
        return "No receivers to check."
    return f"{count(len(receivers), 'receiver')} checked: {', '.join(problems) or 'all can take deliveries'}."
