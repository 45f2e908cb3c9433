"""Run a command for one organization after another: results, errors, and one exit code for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.cli.output import write_error, write_result
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.report.plan.json import to_json_text

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.cli.options import Options
    from reconciler.config.settings import OrganizationSettings

_WORST_FIRST = (
    ExitCode.FAILED,
    ExitCode.INVALID,
    ExitCode.LOCKED,
    ExitCode.REFUSED,
    ExitCode.PARTIAL,
    ExitCode.PENDING,
    ExitCode.OK,
)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the most urgent exit code, in the order 1, 3, 6, 4, 5, 2, 0; 0 if there is none."""
    return min(codes, key=_WORST_FIRST.index, default=ExitCode.OK)


def error_value(organization: str, error: ReconcilerError) -> dict[str, Any]:
    """Return the JSON object of an organization that failed."""
    details = {"exit_code": int(error.exit_code), "message": error.message, "hint": error.hint}
    return {"organization": organization, "error": details}


def for_each(
    organizations: Sequence[OrganizationSettings],
    act: Callable[[OrganizationSettings], ExitCode],
    *,
    stop: threading.Event | None = None,
    on_error: Callable[[str, ReconcilerError], object] = lambda _name, _error: None,
) -> ExitCode:
    """Call `act` for one organization after another; return the worst exit code.

    An error is written to stderr and passed to `on_error` with the organization's name, and the next
    organization is processed. `stop` ends the loop.
    """
    codes = []
    for number, settings in enumerate(organizations):
        try:
            codes.append(act(settings))
        except ReconcilerError as error:
            about = f"{settings.name}: " if len(organizations) > 1 else ""
            write_error(about + error.message, error.hint)
            on_error(settings.name, error)
            codes.append(error.exit_code)
        if stop is not None and stop.is_set() and (left := organizations[number + 1 :]):
            names = ", ".join(each.name for each in left)
            write_error(f"interrupted: not attempted: {names}", "run `reconciler apply` again")
            codes.append(ExitCode.PARTIAL)
            break
    return worst(codes)


class Results:
    """The organizations' results: texts one after another, or one JSON document.

    Text for stdout is written immediately, for a person who waits; everything else at the end, in one piece.
    """

    def __init__(self, options: Options, *, several: bool) -> None:
        """Collect the results of one organization or of `several`."""
        self._options = options
        self._several = several
        self._values: list[Any] = []
        self._texts: list[str] = []

    def add(self, value: Any, text: str) -> None:
        """Add one organization's result."""
        if self._options.format == "json":
            self._values.append(value)
            return
        between = "\n" if self._texts else ""
        self._texts.append(between + text)
        if self._options.output is None:
            write_result(self._texts[-1], commands=self._options.format == "github")

    def add_error(self, organization: str, error: ReconcilerError) -> None:
        """Add what a failed organization has instead of a result. One alone has its error on stderr only."""
        if self._several and self._options.format == "json":
            self._values.append(error_value(organization, error))

    def write_rest(self, code: ExitCode) -> ExitCode:
        """Write what is not written yet, and return `code`. JSON is one object, or an array for several."""
        output = self._options.output
        if self._options.format == "json":
            if self._values:
                write_result(to_json_text(self._values if self._several else self._values[0]), output)
        elif output is not None and self._texts:
            write_result("".join(self._texts), output, commands=self._options.format == "github")
        return code
