"""The handlers: forward to a URL, run a command, call functions, print."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import UsageError
from reconciler.receiver.event import parse_event
from reconciler.receiver.handing import HandlingFailed
from reconciler.receiver.handlers.command import RunCommand
from reconciler.receiver.handlers.forward import Forward
from reconciler.receiver.handlers.functions import Functions
from reconciler.receiver.handlers.output import Print
from tests.fixtures.inbox import an_event, event_body
from tests.fixtures.web import Answer, Collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.receiver.event import Event

EVENT = an_event("evt_1")


@pytest.fixture
def target() -> Iterator[Collector]:
    """Give a running server."""
    with Collector(Answer(204, b"")) as server:
        yield server


def test_an_event_is_forwarded_as_it_is(target: Collector) -> None:
    """The URL gets the original body and signature, and the id."""
    Forward(f"{target.url}/events?team=a")(EVENT)
    (request,) = target.requests
    assert (request.method, request.path, request.query) == ("POST", "/events", {"team": "a"})
    assert request.content == EVENT.body
    assert request.headers["x-zof-signature"] == EVENT.signature
    assert request.headers["x-zof-event-id"] == "evt_1"
    assert request.headers["x-zof-event-type"] == "run.completed"
    assert request.headers["x-zof-webhook"] == "ci"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [302, 307, 400, 404, 429, 500, 503])
def test_any_other_answer_is_a_failure(target: Collector, status: int) -> None:
    """Only 2xx accepts an event; no redirect is followed."""
    target.reply = Answer(status, b"", {"Location": "/elsewhere"})
    with pytest.raises(HandlingFailed, match=f"^the URL answered {status}$"):
        Forward(target.url)(EVENT)
    assert len(target.requests) == 1


def test_no_answer_is_a_failure() -> None:
    """A refused connection and a server that says nothing are named, without the URL."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(HandlingFailed, match="no answer from the URL: ReadTimeoutError"):
            Forward(f"http://127.0.0.1:{port}/", timeout=0.05)(EVENT)
    with pytest.raises(HandlingFailed, match="no answer from the URL: NewConnectionError"):
        Forward(f"http://127.0.0.1:{port}/")(EVENT)


@pytest.mark.parametrize(
    "url", ["", "example.com/x", "ftp://example.com", "http://", "http://[", "https:///x"]
)
def test_only_http_urls_are_forwarded_to(url: str) -> None:
    """Anything else is a usage error."""
    with pytest.raises(UsageError):
        Forward(url)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Give a program that writes arguments, input and environment to files, and exits with $CODE."""
    path = tmp_path / "program"
    path.write_text(
        "#!/bin/sh\n"
        'printf "%s\\n" "$@" > "$OUT.args"; cat > "$OUT.stdin"; env > "$OUT.env"; echo shown; exit $CODE\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_command_gets_the_event(tmp_path: Path, program: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Body on stdin, facts in the environment without our credentials; no shell, output to stderr."""
    environ = {**os.environ, "OUT": f"{tmp_path}/out", "CODE": "0", "VAULT_TOKEN": "s.x", "ZOF_ACME_KEY": "k"}
    RunCommand(f"{program} --team 'a b' $HOME ;true", environ=environ)(EVENT)
    assert (tmp_path / "out.stdin").read_bytes() == EVENT.body
    assert (tmp_path / "out.args").read_text().splitlines() == ["--team", "a b", "$HOME", ";true"]
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "out.env").read_text().splitlines())
    facts = {name: seen[name] for name in ("ZOF_WEBHOOK", "ZOF_EVENT_ID", "ZOF_EVENT_TYPE", "ZOF_SIGNATURE")}
    assert list(facts.values()) == ["ci", "evt_1", "run.completed", EVENT.signature]
    assert not {"VAULT_TOKEN", "ZOF_ACME_KEY"} & set(seen)
    assert capfd.readouterr() == ("", "shown\n")


def test_a_hostile_event_is_only_data(tmp_path: Path, program: Path) -> None:
    """An id that looks like a command or an option stays a value."""
    event = parse_event("ci", event_body("--help $(touch x); `id`"), "", 0.0)
    environ = {**os.environ, "OUT": f"{tmp_path}/out", "CODE": "0"}
    RunCommand(str(program), environ=environ)(event)
    assert "ZOF_EVENT_ID=--help $(touch x); `id`" in (tmp_path / "out.env").read_text().splitlines()
    assert (tmp_path / "out.args").read_text().split() == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("false", "the command exited with 1"),
        ("sh -c 'kill -9 $$'", "the command died of signal 9"),
        ("sleep 10", "the command did not end within 0.1 s"),
    ],
)
def test_a_command_that_fails(command: str, problem: str) -> None:
    """Any end but exit code 0 in time is a failure, and named."""
    with pytest.raises(HandlingFailed, match=f"^{problem}$"):
        RunCommand(command, timeout=0.1 if "sleep" in command else 10.0)(EVENT)


def test_a_command_that_disappears_is_a_failure(program: Path) -> None:
    """A program that is deleted while the receiver runs is tried again, not fatal."""
    run = RunCommand(str(program))
    program.unlink()
    with pytest.raises(HandlingFailed, match="did not start: No such file"):
        run(EVENT)


@pytest.mark.parametrize("command", ["", "  ", "'open", "/no/such/program", "no-such-program-anywhere"])
def test_a_command_must_exist(command: str) -> None:
    """What cannot be run is reported before anything is received."""
    with pytest.raises(UsageError):
        RunCommand(command)


def test_functions_are_called_by_type() -> None:
    """Each function gets its types; others are accepted without one."""
    handlers, calls = Functions(), []

    @handlers.on("run.completed", "run.failed")
    def finished(event: Event) -> None:
        calls.append(("finished", event.content["id"]))

    @handlers.on("*")
    def every(event: Event) -> None:
        calls.append(("every", event.type))

    handlers(EVENT)
    handlers(parse_event("ci", event_body("evt_2", "agent.offline"), "", 0.0))
    assert calls == [("finished", "evt_1"), ("every", "run.completed"), ("every", "agent.offline")]


def test_events_are_printed_as_lines() -> None:
    """Each event is one line of JSON, however it was laid out; a closed stream is a failure."""
    stream = io.BytesIO()
    pretty = json.dumps(json.loads(EVENT.body), indent=2).encode()
    Print(stream)(parse_event("ci", pretty, "", 0.0))
    assert stream.getvalue().count(b"\n") == 1
    assert json.loads(stream.getvalue()) == EVENT.content
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as closed, pytest.raises(HandlingFailed, match="Broken pipe"):
        Print(closed)(EVENT)
