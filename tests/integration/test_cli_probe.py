"""`reconciler doctor --probe` on the real servers: it reports differences, and leaves nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.examples import spread
from tests.fixtures.processes import Running
from tests.fixtures.proxy import Fate, Proxy

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine
    from tests.fixtures.proxy import Request

URL = "https://hooks.example.com/probe?b=2&a=1"
UNLIMITED = 1_000_000


def _probe(command: CommandLine, **environment: str) -> dict[str, Any]:
    """Return the probe's report, of a run that left nothing."""
    result = command("doctor", "--probe", URL, "--format", "json", **environment)
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert value["ok"] is True
    probe: dict[str, Any] = value["probe"]
    assert (probe["complete"], probe["left"]) == (True, [])
    assert not command.live
    return probe


def _differences(probe: dict[str, Any]) -> set[str]:
    return {each["aspect"] for each in probe["findings"] if each["as_assumed"] is False}


def _record(command: CommandLine) -> dict[str, Any]:
    """Return what the record of the probe holds."""
    data: dict[str, Any] = command.vault.request("GET", f"secret/data/{command.prefix}/_probe")["data"][
        "data"
    ]
    return data


def test_an_api_as_assumed(command: CommandLine) -> None:
    """Text: a line for each aspect, nothing left, and no secret."""
    result = command("doctor", "--probe", URL)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Probe at {URL}" in result.stdout
    assert "client secret          honoured" in result.stdout
    assert "x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset" in result.stdout
    assert result.stdout.endswith("13 aspects observed, 0 unlike the assumptions; nothing is left.\n")
    assert not command.live
    assert _record(command) == {}
    assert "whsec_" not in result.output
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    assert command("plan", "--exit-code").exit_code == 0, "the record is not a webhook"


@pytest.mark.parametrize(
    ("behavior", "aspects"),
    [
        (Behavior(honour_client_secret=False, rate_limit=UNLIMITED), {"client secret"}),
        (Behavior(replay_shows_secret=False, rate_limit=UNLIMITED), {"idempotency key"}),
        (Behavior(idempotency_ttl=0, rate_limit=UNLIMITED), {"idempotency key"}),
        (Behavior(unique_urls=True, rate_limit=UNLIMITED), {"duplicate URL"}),
        (Behavior(max_endpoints=1, rate_limit=UNLIMITED), {"duplicate URL"}),
        (Behavior(listing_spelling="query_order", rate_limit=UNLIMITED), {"spelling of URL"}),
        (Behavior(listing_spelling="masked_query", rate_limit=UNLIMITED), {"spelling of URL"}),
        (Behavior(listing_spelling="implicit_event", rate_limit=UNLIMITED), {"spelling of events"}),
        (Behavior(listing_lag_seconds=1.5, rate_limit=UNLIMITED), {"listing lag"}),
        (Behavior(test_result="fail", rate_limit=UNLIMITED), set()),
        (Behavior(extra_fields={"flavour": "mint"}, rate_limit=UNLIMITED), set()),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set) else "",
)
def test_the_sandbox_with_its_knobs(command: CommandLine, behavior: Behavior, aspects: set[str]) -> None:
    """Exactly what the sandbox does differently is reported, each with a consequence."""
    command.zof.behavior = behavior
    probe = _probe(command)
    assert _differences(probe) == aspects
    for each in probe["findings"]:
        assert each["consequence"] or each["as_assumed"] is not False
    if behavior.extra_fields:
        (fields,) = (each for each in probe["findings"] if each["aspect"] == "fields of the listing")
        assert "flavour" in fields["observed"]
        assert "flavour" in fields["consequence"]


def test_an_api_that_cannot_delete(command: CommandLine) -> None:
    """Exit 1: both endpoints are named, and the next probe is refused until they are gone."""
    command.zof.behavior = Behavior(delete_supported=False, rate_limit=UNLIMITED)
    result = command("doctor", "--probe", URL, "--format", "json")
    assert result.exit_code == 1
    left = {each["endpoint_id"] for each in json.loads(result.stdout)["probe"]["left"]}
    assert left == {each.id for each in command.zof.console.list()}
    again = command("doctor", "--probe", URL + "&again=1")
    assert again.exit_code == 4
    assert "of an interrupted probe may still be live" in again.stderr
    command.zof.behavior = Behavior(rate_limit=UNLIMITED)
    removed = _probe(command)["removed"]
    assert set(removed) == left


def test_a_taken_url_is_refused(command: CommandLine) -> None:
    """Exit 4, nothing is sent; the result of the checks is there all the same."""
    command.zof.console.create(URL, ["run.failed"])
    result = command("doctor", "--probe", URL, "--format", "json")
    assert result.exit_code == 4
    value = json.loads(result.stdout)
    assert value["ok"] is False
    assert value["probe"]["error"]["exit_code"] == 4
    assert "there is an endpoint at this URL already" in result.stderr
    assert all(request.method == "GET" for request in command.zof.requests)


def test_a_probe_needs_checks_that_pass(command: CommandLine) -> None:
    """With a wrong key nothing is probed."""
    result = command("doctor", "--probe", URL, ZOF_API_KEY="wrong")
    assert result.exit_code == 1
    assert "No probe: it needs checks that pass." in result.stdout


def test_what_is_no_url_is_refused(command: CommandLine) -> None:
    """Exit 3, before anything is sent."""
    for url in ("manifests/", "http://hooks.example.com/", "https://user:x@hooks.example.com/"):
        result = command("doctor", "--probe", url)
        assert result.exit_code == 3
        assert "the URL of --probe" in result.stderr
    assert not command.zof.requests


def test_a_killed_probe_is_removed_by_the_next(command: CommandLine) -> None:
    """Killed when the API or Vault has carried out a write, the next run removes what is left."""
    moments = 0
    with Proxy(command.zof.origin) as api, Proxy(command.vault.address) as vault:
        environment = {"ZOF_API_URL": f"{api.address}/v1", "VAULT_ADDR": vault.address}
        for number in spread(40, 3):
            log, left = command.folder / f"log-{number}", number
            args = ("doctor", "--probe", URL)
            running = Running(args, command.folder, {**command.environment, **environment}, log)

            def arrives(request: Request, running: Running = running) -> Fate:
                nonlocal left
                if request.method not in {"POST", "PUT", "DELETE"} or "/sys/" in request.path:
                    return Fate.FORWARD
                left -= 1
                if left < 0:
                    running.kill()
                    return Fate.LOSE
                return Fate.FORWARD

            api.script = vault.script = arrives
            ended = running.wait()
            api.script = vault.script = lambda _request: Fate.FORWARD
            if ended.code == 0:
                break
            moments += 1
            _probe(command, **environment)
            assert "whsec_" not in ended.stdout + ended.stderr
    assert moments > 10 // 3


def test_a_signal_cleans_up(command: CommandLine) -> None:
    """SIGTERM in the middle: the endpoints are deleted, and the report says why it is short."""
    with Proxy(command.zof.origin) as api:
        environment = {**command.environment, "ZOF_API_URL": f"{api.address}/v1"}
        running = Running(("doctor", "--probe", URL), command.folder, environment, command.folder / "log")

        def carried_out(request: Request) -> None:
            if request.method == "POST" and request.path.endswith("/test"):
                running.process.terminate()

        api.carried_out = carried_out
        ended = running.wait()
    assert ended.code == 1, ended
    assert "ended early: the probe was interrupted" in ended.stdout
    assert not command.live
    assert _record(command) == {}


def test_of_several_organizations_one_must_be_named(command: CommandLine) -> None:
    """Exit 64, before anything is sent."""
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations: [{name: a}, {name: b}]\n"
    )
    result = command("doctor", "--probe", URL, ZOF_ORGANIZATION=None)
    assert result.exit_code == 64
    assert "add --organization NAME" in result.stderr
    assert not command.zof.requests
