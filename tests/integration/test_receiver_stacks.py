"""Receivers in other languages, and what brings them their secrets, run against the sandbox and OpenBao."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click import Context
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from reconciler import __version__
from reconciler.cli.app import reconciler
from reconciler.cli.system import SystemClock
from reconciler.errors import StoreError
from reconciler.receiver.metrics import Metrics
from reconciler.receiver.signature import candidate_secrets
from reconciler.receiver.sources import file_source
from reconciler.sandbox.openbao import find_binary
from reconciler.sandbox.sending import Sending
from reconciler.sandbox.zof_requests import EVENT_TYPES
from reconciler.vault.auth import TokenLogin
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession
from tests.fixtures.openbao import create_role, create_token, enable_approle, write_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.openbao import VaultSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
URL = "https://hooks.example.com/ci"
WEBHOOK = "ci-run-results"


# --- other languages ------------------------------------------------------------------------------------


def _node(folder: Path) -> list[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is missing (Debian: nodejs)")
    return [node, str(EXAMPLES / "receiver/receiver.mjs"), "secrets.json", str(folder / "events.jsonl"), "0"]


def _go(folder: Path) -> list[str]:
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is missing (Debian: golang-go)")
    program = folder / "receiver"
    environ = {**os.environ, "GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    command = [go, "build", "-o", str(program), str(EXAMPLES / "receiver/receiver.go")]
    subprocess.run(command, env=environ, check=True)
    return [str(program), "secrets.json", str(folder / "events.jsonl"), "127.0.0.1:0"]


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[str]:
    """Run a receiver in a folder, and give its URL."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.mark.untraced
@pytest.mark.parametrize("program", [_node, _go])
def test_a_receiver_in_another_language(
    zof: ZofServer, tmp_path: Path, program: Callable[[Path], list[str]]
) -> None:
    """Every event is accepted and kept once; a forged or huge one is not; a rotation needs no restart."""
    command = program(tmp_path)
    endpoint = zof.console.create(URL, EVENT_TYPES)
    fields = {"signing_secret": endpoint.secret.reveal(), "ledger": "{}"}
    (tmp_path / "secrets.json").write_text(json.dumps(fields), encoding="utf-8")

    def send(**sending: Any) -> list[int | None]:
        return [each.result.status_code for each in zof.send(Sending(**{"type": "run.failed", **sending}))]

    with _running(command, tmp_path) as url:
        zof.behavior = replace(zof.behavior, deliver_to=url)
        for kind in EVENT_TYPES:
            assert send(type=kind) == [200], kind
        assert send(copies=3) == [200, 200, 200]
        assert send(forged=True) == [401]
        assert send(size=1024 * 1024) == [200]
        assert send(size=1024 * 1024 + 1) == [413]

        second = zof.console.create(URL, EVENT_TYPES)
        previous = json.dumps({"we_0": "older", endpoint.id: endpoint.secret.reveal()})
        fields = {"signing_secret": second.secret.reveal(), "previous_signing_secrets": previous}
        (tmp_path / "secrets.json").write_text(json.dumps(fields), encoding="utf-8")
        # The forged delivery may have used up this second's read.
        while 401 in (answers := send()):
            assert answers[0] == 200
        assert answers == [200, 200]
    kept = [json.loads(line)["id"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(kept) == len(set(kept))
    assert len(kept) >= len(EVENT_TYPES) + 3

    # After a restart, an event that was kept is recognized.
    with _running(command, tmp_path) as url:
        zof.behavior = replace(zof.behavior, deliver_to=url)
        assert send() == [200, 200]
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == len(kept) + 1


# --- the secrets ----------------------------------------------------------------------------------------


def _ours(text: str, vault: VaultSettings) -> str:
    """Return an example with the test's names in place of its own."""
    return text.replace("webhooks/acme-prod", vault.prefix).replace(
        "https://vault.example.com", vault.address
    )


@pytest.fixture
def documents(openbao: OpenBaoServer, vault_settings: VaultSettings) -> Iterator[VaultDocuments]:
    """Give the documents as the receiver's policy lets it see them; there are two."""
    for name in (WEBHOOK, "other"):
        fields = {"signing_secret": f"of {name}", "ledger": "{}"}
        openbao.request("POST", f"secret/data/{vault_settings.prefix}/{name}", {"data": fields})
    policy = _ours((EXAMPLES / "vault/receive.hcl").read_text(encoding="utf-8"), vault_settings)
    write_policy(openbao, "reconciler-receive", policy)
    token = create_token(openbao, "reconciler-receive")
    with VaultSession(vault_settings.address, login=TokenLogin(token), clock=SystemClock()) as vault:
        yield VaultDocuments(vault, mount="secret", prefix=vault_settings.prefix, clock=SystemClock())


def test_a_receivers_policy_shows_its_secret_alone(documents: VaultDocuments) -> None:
    """It reads its own document; another one, a list, metadata and every write are denied."""
    assert candidate_secrets(documents.read_fields(WEBHOOK)) == (f"of {WEBHOOK}",)
    with pytest.raises(StoreError, match="denied"):
        documents.read_fields("other")
    with pytest.raises(StoreError, match="denied"):
        documents.list_metadata()


def test_a_receivers_policy_writes_nothing(
    openbao: OpenBaoServer, vault_settings: VaultSettings, documents: VaultDocuments
) -> None:
    """OpenBao itself says what the policy allows, operation by operation."""
    assert documents.read_fields(WEBHOOK)
    token = create_token(openbao, "reconciler-receive")
    path, prefix = f"{vault_settings.prefix}/{WEBHOOK}", vault_settings.prefix
    paths = [f"secret/{kind}/{path}" for kind in ("data", "metadata", "delete", "undelete", "destroy")]
    paths += [f"secret/metadata/{prefix}/", f"secret/detailed-metadata/{prefix}/", f"secret/data/{prefix}/x"]
    body = {"token": token.reveal(), "paths": paths}
    allowed = openbao.request("POST", "sys/capabilities", body)["data"]
    assert {each: allowed[each] for each in paths} == {
        **{each: ["deny"] for each in paths},
        f"secret/data/{path}": ["read"],
    }


def test_the_vault_agent_writes_the_secrets(
    openbao: OpenBaoServer, vault_settings: VaultSettings, documents: VaultDocuments, tmp_path: Path
) -> None:
    """OpenBao's agent logs in as the example says, and writes a file that the receiver reads."""
    assert documents.read_fields(WEBHOOK)
    mount = f"approle-{vault_settings.prefix.rpartition('-')[2]}"
    enable_approle(openbao, mount)
    role_id, secret_id = create_role(openbao, "receiver", "reconciler-receive", mount=mount)
    (tmp_path / "role-id").write_text(role_id)
    (tmp_path / "secret-id").write_text(secret_id.reveal())
    config = _ours((EXAMPLES / "receiver/vault-agent.hcl").read_text(encoding="utf-8"), vault_settings)
    config = config.replace("/etc/vault-agent", str(tmp_path)).replace("/run/zof", str(tmp_path))
    config = config.replace('method "approle" {', f'method "approle" {{\n    mount_path = "auth/{mount}"')
    (tmp_path / "agent.hcl").write_text(f"{config}\nexit_after_auth = true\n")
    environ = {"HOME": str(tmp_path), "PATH": os.defpath}
    command = [str(find_binary()), "agent", f"-config={tmp_path}/agent.hcl"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    fields = file_source(f"{tmp_path}/{{name}}.json")(WEBHOOK)
    assert candidate_secrets(fields) == (f"of {WEBHOOK}",)
    assert (tmp_path / f"{WEBHOOK}.json").stat().st_mode & 0o077 == 0


# --- Kubernetes and Prometheus --------------------------------------------------------------------------


def _objects(name: str) -> dict[str, Any]:
    text = (EXAMPLES / f"kubernetes/{name}.yaml").read_text(encoding="utf-8")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def test_the_deployment_runs_a_receiver() -> None:
    """Its arguments are valid, its pod has little power, and its parts fit together."""
    objects = _objects("receiver")
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    name, *arguments = container["args"]
    command = reconciler.get_command(Context(reconciler), name)
    assert command is not None
    values = command.make_context(name, arguments).params
    assert values["listen"].endswith(":8080")
    assert container["ports"][0]["containerPort"] == 8080
    assert values["inbox"].startswith("sqlite:////var/lib/zof/")
    assert container["image"].endswith(f":{__version__}")
    assert pod["terminationGracePeriodSeconds"] > values["timeout"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert objects["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"] == labels
    (rule,) = objects["Ingress"]["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == [f"/{WEBHOOK}"]
    role = json.loads((EXAMPLES / "vault/kubernetes-receive.json").read_text(encoding="utf-8"))
    assert role["bound_service_account_names"] == [pod["serviceAccountName"]]
    environ = {each["name"]: each["value"] for each in container["env"]}
    assert role["token_policies"] == [environ["VAULT_ROLE"]]


def test_the_secrets_of_operators_are_those_of_the_policy() -> None:
    """External Secrets and the CSI driver read the path that the policy allows, with the receiver's role.

    Their published schemas are not on PyPI, so only the structure is checked.
    """
    policy = (EXAMPLES / "vault/receive.hcl").read_text(encoding="utf-8")
    (path,) = re.findall(r'^path "(.+)"', policy, re.MULTILINE)
    objects = _objects("receiver-external-secrets")
    vault = objects["SecretStore"]["spec"]["provider"]["vault"]
    secret = objects["ExternalSecret"]["spec"]
    (extract,) = secret["dataFrom"]
    assert f"{vault['path']}/data/{extract['extract']['key']}" == path
    assert secret["secretStoreRef"]["name"] == objects["SecretStore"]["metadata"]["name"]
    assert vault["auth"]["kubernetes"]["role"] == "reconciler-receive"
    provider = _objects("receiver-csi")["SecretProviderClass"]["spec"]
    (file,) = yaml.safe_load(provider["parameters"]["objects"])
    assert (file["secretPath"], file["objectName"]) == (path, f"{WEBHOOK}.json")
    assert provider["parameters"]["roleName"] == "reconciler-receive"


def test_a_csi_drivers_file_is_read(tmp_path: Path) -> None:
    """The provider writes the whole response: the receiver finds the fields in it."""
    response = {"request_id": "x", "data": {"data": {"signing_secret": "s"}, "metadata": {"version": 1}}}
    (tmp_path / f"{WEBHOOK}.json").write_text(json.dumps(response))
    assert candidate_secrets(file_source(f"{tmp_path}/{{name}}.json")(WEBHOOK)) == ("s",)


ALERTS = EXAMPLES / "prometheus/receiver-alerts.yaml"


def test_the_receivers_alerts_use_metrics_that_there_are() -> None:
    """Every name in the expressions is one that the receiver writes."""
    metrics = Metrics(["ci"], list)
    text = metrics.text().decode().replace("# EOF\n", "")
    written = {family.name for family in text_string_to_metric_families(text)}
    used = set(re.findall(r"webhook_receiver_\w+", ALERTS.read_text(encoding="utf-8")))
    assert used
    assert {name.removesuffix("_total") for name in used} <= {name.removesuffix("_total") for name in written}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing (Debian: prometheus)")
def test_promtool_accepts_the_receivers_alerts() -> None:
    """They are valid rules."""
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, capture_output=True)
