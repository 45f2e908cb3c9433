"""Run a command for several organizations: results in their order, errors, and one exit code for all."""

from __future__ import annotations

import textwrap
import threading
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.cli.output import internal_error, write_error, write_result
from reconciler.cli.session import close_sessions
from reconciler.cli.signals import stop_on_signal
from reconciler.cli.turns import Abandoned, in_turn, one_by_one, side_by_side
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.report.plan.json import to_json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from reconciler.cli.options import Options
    from reconciler.cli.session import Scope
    from reconciler.config.settings import OrganizationSettings

    Act = Callable[[OrganizationSettings], ExitCode]
    Ended = ExitCode | ReconcilerError | None

_AGAIN = "run the same command again"
_TRACE_AT = 2
"""How many `-v` show where a bug is."""
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


class NotAttempted(ReconcilerError):
    """The run was interrupted before this organization's turn."""

    exit_code = ExitCode.PARTIAL


def error_value(organization: str, error: ReconcilerError) -> dict[str, Any]:
    """Return the JSON object of an organization that failed."""
    details = {"exit_code": int(error.exit_code), "message": error.message, "hint": error.hint}
    return {"organization": organization, "error": details}


def for_each(
    scope: Scope,
    act: Act,
    *,
    stop: threading.Event | None = None,
    stopping: str = "",
    on_error: Callable[[str, ReconcilerError], object] = lambda _name, _error: None,
) -> ExitCode:
    """Call `act` for each organization, for several of them at a time; return the worst exit code.

    What `act` writes comes out in the organizations' order. An error is written to stderr, and hides no other
    organization.

    Args:
        scope: the organizations, and how many are processed at a time.
        act: the work for one organization.
        stop: once it is set, no further organization begins; without it, an interrupt ends the run.
        stopping: what a signal writes when it sets `stop`.
        on_error: called with the name and the error of an organization that failed.
    """
    codes: list[ExitCode] = []
    left: list[str] = []
    with closing(_attempts(scope, act, stop, stopping)) as attempts:
        for settings, ended in attempts:
            if ended is None:
                left.append(settings.name)
                ended = NotAttempted("interrupted: not attempted", hint=_AGAIN)  # noqa: PLW2901 (its error)
            elif isinstance(ended, ReconcilerError):
                with scope.display.hidden():
                    write_error((f"{settings.name}: " if scope.several else "") + ended.message, ended.hint)
            if isinstance(ended, ReconcilerError):
                on_error(settings.name, ended)
            codes.append(ended.exit_code if isinstance(ended, ReconcilerError) else ended)
    if left:
        write_error(f"interrupted: not attempted: {', '.join(left)}", _AGAIN)
    return worst(codes)


def _attempts(
    scope: Scope, act: Act, stop: threading.Event | None, stopping: str
) -> Generator[tuple[OrganizationSettings, Ended]]:
    """Yield each organization with how its work ended; None: it was not attempted."""
    workers = scope.options.parallel if scope.several else 1
    attempt = partial(_attempt, act, trace=scope.options.verbose >= _TRACE_AT)
    if workers == 1:
        yield from one_by_one(scope.organizations, attempt, stop=stop or threading.Event())
        return
    unwritable: list[ReconcilerError] = []

    def show(output: Callable[[], object]) -> None:
        with scope.display.hidden():
            try:
                output()
            except ReconcilerError as error:
                unwritable.append(error)

    with stop_on_signal(stop, stopping) if stop is not None else nullcontext():
        for settings, ended in side_by_side(
            scope.organizations,
            attempt,
            workers=workers,
            stop=stop or threading.Event(),
            show=show,
            on_abandon=close_sessions,
        ):
            yield settings, unwritable[0] if unwritable else ended
            unwritable.clear()


def _attempt(act: Act, settings: OrganizationSettings, *, trace: bool) -> ExitCode | ReconcilerError:
    """Return what `act` returns or raises; an error does not keep the plan that it was raised for."""
    try:
        return act(settings)
    except Abandoned:
        raise
    except ReconcilerError as error:
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001 (a bug, which must not hide the other organizations)
        return internal_error(error, trace=trace)


class Results:
    """The organizations' results: texts one after another, or one JSON document.

    Text for stdout is written immediately, for a person who waits; everything else at the end, in one piece.
    """

    def __init__(self, options: Options, *, several: bool) -> None:
        """Collect the results of one organization or of `several`."""
        self._options = options
        self._several = several
        self._texts: list[str] = []
        """JSON texts, or what is not written yet."""
        self._begun = False

    def add(self, value: Any, text: str) -> None:
        """Add one organization's result, when it is its turn."""
        if self._options.format == "json":
            self.add_value(value)
        else:
            in_turn(partial(self._add_text, text))

    def add_value(self, value: Any) -> None:
        """Add one organization's JSON, when it is its turn. Only its text is kept."""
        in_turn(partial(self._texts.append, to_json_text(value)))

    def add_error(self, organization: str, error: ReconcilerError) -> None:
        """Add what a failed organization has instead of a result. One alone has its error on stderr only."""
        if self._several and self._options.format == "json":
            self.add_value(error_value(organization, error))

    def _add_text(self, text: str) -> None:
        between = "\n" if self._begun else ""
        self._begun = True
        if self._options.output is None:
            form = self._options.format
            write_result(between + text, commands=form == "github", is_prose=form == "text")
        else:
            self._texts.append(between + text)

    def write_rest(self, code: ExitCode) -> ExitCode:
        """Write what is not written yet, and return `code`. JSON is one object, or an array for several."""
        is_array = self._options.format == "json" and self._several
        if self._texts or is_array:
            text = array_text(self._texts) if is_array else "".join(self._texts)
            write_result(text, self._options.output, commands=self._options.format == "github")
        return code


def array_text(values: Iterable[str]) -> str:
    """Return the JSON array of `values`, which are JSON texts as `to_json_text` returns them."""
    indented = ",\n".join(textwrap.indent(value.rstrip("\n"), "  ") for value in values)
    return f"[\n{indented}\n]\n" if indented else "[]\n"
