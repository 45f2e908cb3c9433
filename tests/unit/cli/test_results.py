"""Several organizations: results in order, errors beside them, and one exit code."""

from __future__ import annotations

import json
import threading
import weakref

import pytest

from reconciler.cli.display import Display
from reconciler.cli.options import Options
from reconciler.cli.output import write_note, write_result
from reconciler.cli.results import Results, array_text, for_each
from reconciler.cli.session import Scope
from reconciler.cli.turns import begin_writing
from reconciler.config.settings import NotificationSettings, OrganizationSettings, VaultSettings
from reconciler.errors import ApiError, ExitCode, LockHeld, ReconcilerError
from reconciler.model import Run
from reconciler.report.plan.json import to_json_text
from tests.fixtures.patience import PATIENCE


def scope_of(*names: str, parallel: int = 8, output_format: str = "text") -> Scope:
    """Return a scope of organizations that have these names."""
    return Scope(
        tuple(OrganizationSettings(name, VaultSettings(f"webhooks/{name}")) for name in names),
        NotificationSettings(on=()),
        Options(format=output_format, parallel=parallel),
        Run(),
        Display(several=len(names) > 1),
    )


@pytest.mark.parametrize("parallel", [1, 8])
def test_a_failing_organization_hides_nothing(parallel: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Results and errors are in the configuration's order; the exit code is the most severe one."""
    scope = scope_of("a", "b", "c", "d", parallel=parallel, output_format="json")
    results = Results(scope.options, several=True)

    def act(settings: OrganizationSettings) -> ExitCode:
        if settings.name == "b":
            raise LockHeld("another run holds the lock", hint="wait")
        if settings.name == "c":
            raise ZeroDivisionError("whsec_secret")
        results.add({"organization": settings.name}, "")
        return ExitCode.PENDING

    code = results.write_rest(for_each(scope, act, on_error=results.add_error))
    assert code is ExitCode.FAILED
    out, err = capsys.readouterr()
    internal = "internal error: ZeroDivisionError"
    report = "report it with the output of the same command with -vv"
    assert json.loads(out) == [
        {"organization": "a"},
        {
            "organization": "b",
            "error": {"exit_code": 6, "message": "another run holds the lock", "hint": "wait"},
        },
        {"organization": "c", "error": {"exit_code": 1, "message": internal, "hint": report}},
        {"organization": "d"},
    ]
    assert err == (
        f"error: b: another run holds the lock\nhint: wait\nerror: c: {internal}\nhint: {report}\n"
    )


def test_texts_and_notes_of_an_organization_stay_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever ends first: the outputs of one organization come after those of the one before."""
    scope = scope_of("a", "b", "c")
    results, last = Results(scope.options, several=True), threading.Event()

    def act(settings: OrganizationSettings) -> ExitCode:
        if settings.name == "c":
            last.set()
        assert last.wait(PATIENCE)
        write_note(f"note {settings.name}")
        results.add(None, f"result {settings.name}\n")
        return ExitCode.OK

    assert for_each(scope, act) is ExitCode.OK
    out, err = capsys.readouterr()
    assert out == "result a\n\nresult b\n\nresult c\n"
    assert err == "note a\nnote b\nnote c\n"


def test_an_error_does_not_keep_the_plan() -> None:
    """Memory grows with the organizations at work: what a failed one had is released."""

    class Plan:
        pass

    kept: list[weakref.ref[Plan]] = []
    alive: list[bool] = []

    def act(_: OrganizationSettings) -> ExitCode:
        plan = Plan()
        kept.append(weakref.ref(plan))
        raise ApiError("no answer") from ValueError()

    def note(_: str, error: ReconcilerError) -> None:
        assert error.__traceback__ is None
        alive.append(any(each() is not None for each in kept))

    for_each(scope_of("a", "b", parallel=1), act, on_error=note)
    assert alive == [False, False]


@pytest.mark.parametrize("parallel", [1, 8])
def test_what_an_interrupt_leaves_out_is_named(parallel: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The first organization is finished; the others are reported as not attempted: exit 5."""
    stop, errors = threading.Event(), []

    def act(settings: OrganizationSettings) -> ExitCode:
        if settings.name == "a":
            begin_writing()
            stop.set()
        assert stop.wait(PATIENCE)
        begin_writing()
        return ExitCode.OK

    def note(name: str, error: ReconcilerError) -> None:
        errors.append((name, error.exit_code, error.message))

    code = for_each(scope_of("a", "b", "c", parallel=parallel), act, stop=stop, on_error=note)
    assert code is ExitCode.PARTIAL
    assert errors == [(name, 5, "interrupted: not attempted") for name in ("b", "c")]
    assert "interrupted: not attempted: b, c\n" in capsys.readouterr().err


@pytest.mark.parametrize("value", [{}, {"a": [1, {"b": []}], "c": "\u2028\x7f"}, None])
def test_an_array_is_what_the_library_writes(value: object) -> None:
    """Its elements are encoded one at a time."""
    assert array_text([to_json_text(value)] * 2) == to_json_text([value, value])


def test_a_full_disk_is_one_organizations_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written counts as a failure; the run goes on."""

    class Full:
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            pass

        def fileno(self) -> int:
            raise OSError

    written: list[str] = []

    def act(settings: OrganizationSettings) -> ExitCode:
        write_result(f"{settings.name}\n")
        written.append(settings.name)
        return ExitCode.OK

    errors: list[str] = []
    monkeypatch.setattr("sys.stdout", Full())
    code = for_each(scope_of("a", "b"), act, on_error=lambda name, _: errors.append(name))
    assert code is ExitCode.FAILED
    assert sorted(written) == errors == ["a", "b"]
