"""`reconciler doctor` on the real servers: it finds what is not well, says what to do, changes nothing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox.faults import Fault, FaultKind
from reconciler.sandbox.openbao import OpenBaoServer
from tests.fixtures.openbao import create_token, write_policy
from tests.fixtures.proxy import Proxy, Reply

if TYPE_CHECKING:
    from click.testing import Result

    from tests.fixtures.command import CommandLine

EXAMPLES = Path(__file__).parents[2] / "examples" / "vault"
API = ("API key", "API permission", "clock")
VAULT = (
    "Vault token",
    "Vault mount",
    "Vault policy: plan",
    "Vault policy: apply",
    "Vault listing",
    "Vault settings",
)
TO_PLAN = {"metadata/{prefix}/*": {"list", "read"}}
TO_APPLY = {
    "metadata/{prefix}/*": {"list", "read", "create", "update"},
    "data/{prefix}/*": {"create", "read", "update"},
    "delete/{prefix}/*": {"update"},
    "undelete/{prefix}/*": {"update"},
    "destroy/{prefix}/*": {"update"},
}


def _checks(result: Result) -> dict[str, dict[str, Any]]:
    """Return the checks of a JSON result by name, in their order."""
    report = json.loads(result.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert tuple(checks) == API + VAULT
    assert report["ok"] is (result.exit_code == 0)
    return checks


def _doctor(command: CommandLine, *args: str, **environment: str | None) -> dict[str, dict[str, Any]]:
    """Return the checks, and see that none of the secrets is shown."""
    result = command("doctor", "--format", "json", *args, **environment)
    assert result.stderr == ""
    checks = _checks(result)
    used = {**command.environment, **environment}
    for name in ("ZOF_API_KEY", "VAULT_TOKEN"):
        assert (used[name] or "\0") not in result.output
    return checks


def _not_well(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if check["ok"] is False]


def _unknown(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if check["ok"] is None]


def _token(command: CommandLine, needs: dict[str, set[str]], **options: Any) -> str:
    """Return a token that may do just what `needs` says, below our prefix."""
    name = command.prefix.replace("/", "-")
    rules = "".join(
        f'path "secret/{path}" {{ capabilities = {json.dumps(sorted(words))} }}\n'.replace(
            "{prefix}", command.prefix
        )
        for path, words in needs.items()
    )
    write_policy(command.vault, name, rules)
    return create_token(command.vault, name, **options).reveal()


def test_all_is_well(command: CommandLine) -> None:
    """With key, token, mount and policies in order every check passes: exit 0, a line each."""
    result = command("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    organization, *lines = result.stdout.splitlines()
    assert organization == command.environment["ZOF_ORGANIZATION"]
    # The tests' token is root's, which is a warning.
    hint = lines.pop(4)
    assert hint.startswith("      hint: a root token")
    assert [line[:3] for line in lines] == ["  ✓"] * 3 + ["  !"] + ["  ✓"] * 5
    for name, line in zip(API + VAULT, lines, strict=True):
        assert line[4:].startswith(name)
    assert f"accepted by {command.zof.url}, 1,000,000 requests per window" in lines[0]
    assert "agrees with the API's" in lines[2]
    assert f"accepted by {command.vault.address}, never expires, policies: root" in lines[3]
    assert "secret is a KV engine, version 2" in lines[4]


def test_the_report_is_an_object(command: CommandLine) -> None:
    """As JSON the organization, the verdict and each check with name, verdict, detail and hint."""
    report = json.loads(command("doctor", "--format", "json").stdout)
    assert report["organization"] == command.environment["ZOF_ORGANIZATION"]
    assert report["ok"] is True
    assert [check["name"] for check in report["checks"]] == [*API, *VAULT]
    for check in report["checks"]:
        assert check.keys() == {"name", "ok", "warning", "detail", "hint"}
        assert check["ok"] is True
        assert check["warning"] is (check["name"] == "Vault token")
        assert (check["hint"] is not None) is check["warning"]


def test_the_report_goes_to_a_file_where_asked(command: CommandLine) -> None:
    """With --output the file has the report, stdout nothing."""
    for form in ("text", "json"):
        result = command("doctor", "--format", form, "--output", "report")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "Vault policy: apply" in (command.folder / "report").read_text(encoding="utf-8")


def test_nothing_is_changed_and_no_secret_is_read(command: CommandLine) -> None:
    """The API is only listed, Vault only asked about token, mount and capabilities; both stay as they are."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    document, live, sent = command.document("ci"), command.live, len(command.zof.requests)
    with Proxy(command.vault.address) as proxy:
        assert command("doctor", VAULT_ADDR=proxy.address).exit_code == 0
    assert {(r.method, r.path) for r in proxy.requests} == {
        ("GET", "/v1/auth/token/lookup-self"),
        ("GET", "/v1/sys/internal/ui/mounts/secret"),
        ("POST", "/v1/sys/capabilities-self"),
        ("GET", f"/v1/secret/detailed-metadata/{command.prefix}?list=true"),
        ("GET", "/v1/secret/config"),
    }
    assert {(r.method, r.path) for r in command.zof.requests[sent:]} == {("GET", "/v1/webhooks")}
    assert (command.document("ci"), command.live) == (document, live)
    secret = document["signing_secret"]
    assert all(secret not in output for output in command.outputs)


def test_manifests_are_not_needed(command: CommandLine) -> None:
    """A doctor looks at places, not at manifests: broken ones are no reason to fail."""
    command.write("ci", events=["nonsense"])
    assert command("doctor").exit_code == 0


# --- the API --------------------------------------------------------------------------------------------


def test_a_wrong_key_is_told(command: CommandLine) -> None:
    """A key that the API does not know: exit 1, what depends on it is not checked, Vault is all the same."""
    checks = _doctor(command, ZOF_API_KEY="zof_wrong")
    assert _not_well(checks) == ["API key"]
    assert _unknown(checks) == ["API permission", "clock"]
    assert "401" in checks["API key"]["detail"]
    assert "ZOF_API_KEY" in checks["API key"]["hint"]


def test_a_key_without_the_permission_is_told(command: CommandLine) -> None:
    """A known key that may not manage webhooks is a good key: the permission is what is missing."""
    key = command.zof.add_key("acme", permissions=[], key=Secret("zof_sandbox_powerless"))
    checks = _doctor(command, ZOF_API_KEY=key.reveal())
    assert checks["API key"]["ok"] is True
    assert _not_well(checks) == ["API permission"]
    assert _unknown(checks) == ["clock"]
    assert "webhooks:manage" in checks["API permission"]["detail"]
    assert checks["API permission"]["hint"]


def test_an_api_that_fails_is_told(command: CommandLine) -> None:
    """A server that answers nonsense is no verdict about key or permission."""
    command.zof.fail("GET", "/v1/webhooks", Fault(FaultKind.HTML), times=None)
    checks = _doctor(command)
    assert _not_well(checks) == ["API key"]
    assert _unknown(checks) == ["API permission", "clock"]
    assert "no usable response" in checks["API key"]["detail"]


@pytest.mark.parametrize(("hours", "word"), [(-3, "ahead of"), (3, "behind")])
def test_a_clock_that_is_off_is_told(command: CommandLine, hours: int, word: str) -> None:
    """An API whose time is hours away: the clock is not well, and the hint says how to set it."""
    with Proxy(command.zof.origin) as api:
        date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
        body = '{"object": "list", "data": [], "has_more": false, "next_cursor": null}'
        api.script = lambda _: Reply(200, body, {"Content-Type": "application/json", "Date": date})
        checks = _doctor(command, ZOF_API_URL=f"{api.address}/v1")
    assert _not_well(checks) == ["clock"]
    assert re.fullmatch(rf"[23] h( \d+ min)? {word} the API's", checks["clock"]["detail"])
    assert "NTP" in checks["clock"]["hint"]


def test_an_api_that_does_not_say_its_time_or_quota_is_fine(command: CommandLine) -> None:
    """Without `Date` the clock is not compared, without a quota none is told: no reason to fail."""
    with Proxy(command.zof.origin) as api:
        body = '{"object": "list", "data": [], "has_more": false, "next_cursor": null}'
        api.script = lambda _: Reply(200, body, {"Content-Type": "application/json"})
        checks = _doctor(command, ZOF_API_URL=f"{api.address}/v1")
    assert _not_well(checks) == _unknown(checks) == []
    assert checks["API key"]["detail"] == f"accepted by {api.address}/v1"
    assert checks["clock"]["detail"].startswith("not compared")


# --- Vault ----------------------------------------------------------------------------------------------


def test_a_wrong_token_is_told(command: CommandLine) -> None:
    """A token that Vault does not know: exit 1; mount and policies are not checked, the API is."""
    checks = _doctor(command, VAULT_TOKEN="hvs.wrong")
    assert _not_well(checks) == ["Vault token"]
    assert _unknown(checks) == list(VAULT[1:])
    assert "token" in checks["Vault token"]["detail"]
    assert checks["Vault token"]["hint"]


def test_a_vault_that_is_not_there_is_told(command: CommandLine) -> None:
    """A sealed Vault is told by that word."""
    with OpenBaoServer() as own:
        own.seal()
        checks = _doctor(command, VAULT_ADDR=own.address, VAULT_TOKEN=own.root_token.reveal())
    assert _not_well(checks) == ["Vault token"]
    assert "sealed" in checks["Vault token"]["detail"]


def test_a_missing_mount_is_told(command: CommandLine) -> None:
    """A mount that does not exist is named, with the way to find the right one."""
    checks = _doctor(command, "--vault-mount", "nowhere")
    assert _not_well(checks) == ["Vault mount"]
    assert "'nowhere'" in checks["Vault mount"]["detail"]
    assert "vault secrets list" in checks["Vault mount"]["hint"]


def test_a_mount_of_another_kind_is_told(command: CommandLine) -> None:
    """KV version 1 is told with the way to upgrade; an engine that is no KV is told, too."""
    mount = f"old-{command.environment['ZOF_ORGANIZATION']}"
    command.vault.enable_kv(mount, version=1)
    checks = _doctor(command, "--vault-mount", mount)
    assert _not_well(checks) == ["Vault mount"]
    assert "version 1" in checks["Vault mount"]["detail"]
    assert f"vault kv enable-versioning {mount}" in checks["Vault mount"]["hint"]
    checks = _doctor(command, "--vault-mount", "cubbyhole")
    assert _not_well(checks) == ["Vault mount"]
    assert "not a KV secrets engine" in checks["Vault mount"]["detail"]


def test_a_token_for_planning_may_not_apply(command: CommandLine) -> None:
    """With a read-only policy planning is well and applying is not: each missing capability is named."""
    token = _token(command, TO_PLAN)
    checks = _doctor(command, VAULT_TOKEN=token)
    assert _not_well(checks) == ["Vault policy: apply"]
    missing = checks["Vault policy: apply"]["detail"]
    for area, words in {
        "metadata": "create, update",
        "data": "create, read, update",
        "delete": "update",
        "undelete": "update",
        "destroy": "update",
    }.items():
        assert f"{words} on secret/{area}/{command.prefix}/x" in missing
    hint = checks["Vault policy: apply"]["hint"]
    named = re.search(r"examples/vault/\w+\.hcl", hint)
    assert named is not None
    assert (EXAMPLES.parents[1] / named[0]).is_file()


def test_a_token_that_may_do_nothing_is_told(command: CommandLine) -> None:
    """A good token without a policy for our paths: neither planning nor applying is well."""
    checks = _doctor(command, VAULT_TOKEN=_token(command, {"data/{prefix}/*": {"deny"}}))
    assert checks["Vault token"]["ok"] is True
    assert _not_well(checks) == ["Vault mount", "Vault policy: plan", "Vault policy: apply"]
    assert f"list on secret/metadata/{command.prefix}/" in checks["Vault policy: plan"]["detail"]


def test_the_verdict_about_policies_is_true(command: CommandLine) -> None:
    """Where all policies are well a whole life succeeds with that token; a planner's token can plan."""
    planner = _token(command, TO_PLAN)
    command.write("ci")
    assert _not_well(_doctor(command, VAULT_TOKEN=planner)) == ["Vault policy: apply"]
    assert command("plan", VAULT_TOKEN=planner).exit_code == 0
    applier = _token(command, TO_APPLY)
    assert command("doctor", VAULT_TOKEN=applier).exit_code == 0
    assert command("apply", "--yes", VAULT_TOKEN=applier).exit_code == 0
    command.write("ci", events=["run.failed"])
    assert command("apply", "--yes", VAULT_TOKEN=applier).exit_code == 0
    assert len(command.live) == 1


def test_the_policies_that_we_hand_out_suffice(command: CommandLine) -> None:
    """With `apply.hcl` everything is well; with `plan.hcl` all but applying is."""
    for name, failed in (("apply", []), ("plan", ["Vault policy: apply"])):
        rules = (EXAMPLES / f"{name}.hcl").read_text(encoding="utf-8")
        assert "webhooks/acme-prod" in rules
        policy = f"{name}-{command.environment['ZOF_ORGANIZATION']}"
        write_policy(command.vault, policy, rules.replace("webhooks/acme-prod", command.prefix))
        token = create_token(command.vault, policy).reveal()
        assert _not_well(_doctor(command, VAULT_TOKEN=token)) == failed


@pytest.mark.parametrize(
    ("path", "word"), [(path, word) for path, words in TO_APPLY.items() for word in sorted(words)]
)
def test_each_missing_capability_is_named(command: CommandLine, path: str, word: str) -> None:
    """Take one capability away, and the policy check names it and its path."""
    needs = {each: words - {word} if each == path else words for each, words in TO_APPLY.items()}
    needs = {each: words or {"deny"} for each, words in needs.items()}
    checks = _doctor(command, VAULT_TOKEN=_token(command, needs))
    failed = _not_well(checks)
    assert len(failed) == 1
    named = checks[failed[0]]["detail"]
    assert named.startswith(f"missing: {word} on secret/{path.format(prefix=command.prefix).rstrip('*')}")


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"ttl": "1h"}, False),
        ({"ttl": "5m"}, False),
        ({"ttl": "1h", "renewable": False}, False),
        ({"ttl": "5m", "renewable": False}, True),
    ],
)
def test_a_tokens_life_is_told(command: CommandLine, options: dict[str, Any], warned: bool) -> None:
    """How long the token lives is reported; a short life that cannot be extended is a warning, no failure."""
    checks = _doctor(command, VAULT_TOKEN=_token(command, TO_APPLY, **options))
    assert _not_well(checks) == []
    token = checks["Vault token"]
    assert "valid for " in token["detail"]
    assert token["warning"] is warned
    assert ("cannot be renewed and expires soon" in (token["hint"] or "")) is warned


def test_a_root_token_is_a_warning(command: CommandLine) -> None:
    """It works, and may do far more than a run needs: the hint names the policy that is enough."""
    result = command("doctor")
    assert result.exit_code == 0
    assert "! Vault token" in result.stdout
    assert "examples/vault/apply.hcl" in result.stdout


def test_a_token_that_may_not_describe_itself_is_checked_by_what_it_does(command: CommandLine) -> None:
    """Without Vault's `default` policy it can be neither described nor asked; the listing still counts."""
    checks = _doctor(command, VAULT_TOKEN=_token(command, TO_APPLY, no_default_policy=True))
    assert _not_well(checks) == _unknown(checks) == []
    warned = [name for name, check in checks.items() if check["warning"]]
    assert warned == ["Vault token", "Vault policy: plan", "Vault policy: apply"]
    assert "lookup-self" in checks["Vault token"]["detail"]
    assert "0 documents listed" in checks["Vault listing"]["detail"]
    checks = _doctor(
        command, VAULT_TOKEN=_token(command, {"data/{prefix}/*": {"read"}}, no_default_policy=True)
    )
    assert _not_well(checks) == ["Vault listing"]


def _mount(command: CommandLine) -> str:
    """Return a mount of this test's own."""
    mount = f"kv-{command.environment['ZOF_ORGANIZATION']}"
    command.vault.enable_kv(mount)
    return mount


@pytest.mark.parametrize("place", ["the mount", "a path"])
def test_secrets_that_vault_deletes_by_itself(command: CommandLine, place: str) -> None:
    """`delete_version_after` is a warning everywhere, and what the hints say makes it go away."""
    mount = _mount(command)
    path = f"{mount}/config" if place == "the mount" else f"{mount}/metadata/{command.prefix}/ci"
    command.vault.request("POST", path, {"delete_version_after": "720h"})
    command.write("ci")
    assert command("apply", "--yes", "--vault-mount", mount).exit_code == 0
    for name in ("plan", "status", "drift"):
        result = command(name, "--vault-mount", mount)
        assert result.exit_code == 0
        assert "warning: Vault will delete 1 stored secret (ci) by itself, the first at " in result.stdout
    check = _doctor(command, "--vault-mount", mount)["Vault settings"]
    assert (check["ok"], check["warning"]) == (True, True)
    assert check["detail"] == f"delete_version_after is set on {path}: Vault deletes stored secrets"
    assert check["hint"] == (
        f"vault write {path} delete_version_after=0s; then, for each document that a plan names: "
        f"vault kv undelete -mount={mount} -versions=VERSION {command.prefix}/NAME"
    )
    command.vault.request("POST", path, {"delete_version_after": "0s"})
    newest = command.vault.request("GET", f"{mount}/metadata/{command.prefix}/ci")["data"]["current_version"]
    command.vault.request("POST", f"{mount}/undelete/{command.prefix}/ci", {"versions": [newest]})
    assert "warning" not in command("plan", "--vault-mount", mount).stdout
    assert not _doctor(command, "--vault-mount", mount)["Vault settings"]["warning"]


@pytest.mark.parametrize("place", ["the mount", "a path"])
def test_metadata_that_needs_check_and_set_is_named(command: CommandLine, place: str) -> None:
    """OpenBao's `metadata_cas_required` refuses our record: the check fails, and the hint clears it."""
    mount = _mount(command)
    path = f"{mount}/config" if place == "the mount" else f"{mount}/metadata/{command.prefix}/ci"
    command.vault.request("POST", path, {"metadata_cas_required": True})
    checks = _doctor(command, "--vault-mount", mount)
    assert _not_well(checks) == ["Vault settings"]
    check = checks["Vault settings"]
    assert check["detail"].startswith(f"metadata_cas_required is set on {path}")
    assert check["hint"] == f"vault write {path} metadata_cas_required=false"
    command.write("ci")
    result = command("apply", "--yes", "--vault-mount", mount)
    assert "`reconciler doctor` shows where metadata_cas_required is set" in result.output


# --- the environment and the configuration --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "check"),
    [("ZOF_API_KEY", "API key"), ("VAULT_ADDR", "Vault token"), ("VAULT_TOKEN", "Vault token")],
)
@pytest.mark.parametrize("value", [None, "", " "])
def test_a_missing_variable_is_named(command: CommandLine, name: str, check: str, value: str | None) -> None:
    """A variable that is not set: exit 3, its name and what to set it to; the other server is checked."""
    result = command("doctor", "--format", "json", **{name: value})
    checks = _checks(result)
    assert result.exit_code == 3
    assert _not_well(checks) == [check]
    assert checks[check]["detail"] == f"{name} is not set"
    assert checks[check]["hint"].startswith("set it to ")


def test_a_broken_configuration_is_invalid(command: CommandLine) -> None:
    """Without a configuration there is nobody to check: exit 3, the problems on stderr."""
    (command.folder / "reconciler.yaml").write_text("kind: Config\n", encoding="utf-8")
    result = command("doctor")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "reconciler.yaml" in result.stderr
    assert "error: the configuration is invalid" in result.stderr


def test_each_organization_is_checked(command: CommandLine) -> None:
    """Several organizations have a list each, and one that lacks its key does not hide the others: exit 3."""
    config = {
        "apiVersion": "webhooks.zof.ai/v1", "kind": "Config",
        "organizations": [
            {"name": "acme-prod", "api": {"keyEnv": "ZOF_PROD_KEY"}, "vault": {"prefix": command.prefix}},
            {"name": "acme-trial", "vault": {"prefix": f"{command.prefix}-trial"}},
        ],
    }  # fmt: skip
    (command.folder / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")
    text = command("doctor", ZOF_ORGANIZATION=None, ZOF_PROD_KEY=None)
    assert text.exit_code == 3
    first, second = text.stdout.split("\n\n")
    assert first.startswith("acme-prod\n  ✗ API key ")
    assert "ZOF_PROD_KEY is not set" in first
    assert "the Zof API key of acme-prod" in first
    assert second.startswith("acme-trial\n  ✓ API key ")
    assert "✗" not in second
    both = json.loads(command("doctor", "--format", "json", ZOF_ORGANIZATION=None, ZOF_PROD_KEY=None).stdout)
    assert [(each["organization"], each["ok"]) for each in both] == [
        ("acme-prod", False),
        ("acme-trial", True),
    ]
    assert command("doctor", "--organization", "acme-trial", ZOF_ORGANIZATION=None).exit_code == 0


def test_no_document_was_left_behind(command: CommandLine) -> None:
    """After a check-up of an empty place the place is still empty."""
    assert command("doctor").exit_code == 0
    assert command.live == {}
    with pytest.raises(ReconcilerError, match="HTTP 404"):
        command.vault.request("LIST", f"secret/metadata/{command.prefix}")


def test_receivers_are_checked_when_asked_for(command: CommandLine) -> None:
    """Each manifest's host gets a check of its own; one without an address is not well."""
    command.write("alpha", url="https://nowhere.example.com/alpha")
    result = command("doctor", "--endpoints", "--format", "json")
    assert result.exit_code == 1, result.output
    check = json.loads(result.stdout)["checks"][-1]
    assert (check["name"], check["ok"]) == ("TLS nowhere.example.com", False)
    assert "(used by alpha)" in check["detail"]
