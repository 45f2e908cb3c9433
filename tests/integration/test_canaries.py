"""Servers that quote all that they know: no credential and no secret appears in any output, file or log."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest

from reconciler.model import Secret
from reconciler.sandbox.behavior import Behavior
from tests.fixtures.proxy import Fate, Proxy, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.command import CommandLine

PASSWORD = "pa55-of-the-console"
TOKEN = "kXqZvWpLmNbTrYsD"
IN_URL = (PASSWORD, TOKEN)
UNMANAGED = (
    f"https://ada:{PASSWORD}@x.example.com/in",
    f"https://hooks.slack.com/services/T/B/{TOKEN}",
    f"https://hooks.zapier.com/hooks/catch/1/{TOKEN[:9]}-{TOKEN[9:]}",
    f"https://x.example.com/{TOKEN}?k={PASSWORD}#{PASSWORD}",
)
COMMANDS = "::stop-commands::x ##[group]x"


def _folded(text: str) -> str:
    return "".join(char for char in unquote(text).lower() if char.isalnum())


def _traces(secret: str) -> set[str]:
    """Return what of a secret must be nowhere, however it is spelled."""
    data = secret.encode()
    spelled = [secret, data.hex()]
    spelled += [base64.b64encode(bytes(shift) + data).decode()[4 : len(data)] for shift in range(3)]
    return {_folded(each)[2:18] for each in spelled}


class Quoting:
    """An API and a Vault that quote the key, the token and every secret that they have seen."""

    def __init__(self, command: CommandLine, api: Proxy, vault: Proxy) -> None:
        self.known = [command.environment["ZOF_API_KEY"], command.environment["VAULT_TOKEN"]]
        self.refuse_deletions = self.vault_is_down = False
        api.script, vault.script = self._answer_of_api, self._answer_of_vault

    def quotation(self) -> str:
        """Return everything, each in another spelling."""
        spellings: tuple[Callable[[str], str], ...] = (
            str,
            str.upper,
            " ".join,
            lambda text: quote(text, safe=""),
            *(lambda text, n=n: base64.b64encode(b"x" * n + text.encode()).decode() for n in range(3)),
        )
        # The newest first: texts are cut.
        return f"{COMMANDS} " + ", ".join(
            spell(secret) for secret in reversed(self.known) for spell in spellings
        )

    def _answer_of_api(self, request: Request) -> Fate | Reply:
        if request.method == "POST" and request.path.endswith("/webhooks"):
            self.known.append(json.loads(request.body)["secret"])
        if request.path.endswith("/test"):
            return _json(200, {"delivered": False, "error": self.quotation()})
        if request.method == "DELETE" and self.refuse_deletions:
            return _json(409, {"error": {"code": "conflict", "message": self.quotation()}})
        return Fate.FORWARD

    def _answer_of_vault(self, request: Request) -> Fate | Reply:
        if self.vault_is_down:
            return _json(400, {"errors": [self.quotation()]})
        return Fate.FORWARD


def _json(status: int, value: object) -> Reply:
    return Reply(status, json.dumps(value), {"Content-Type": "application/json", "X-Request-Id": "req_1"})


def _files(command: CommandLine) -> Iterator[str]:
    for file in command.folder.rglob("*"):
        # What users wrote is theirs, and an exported manifest is for the API: it has the whole URL.
        if file.is_file() and file.name != "ci.yaml" and "exported" not in file.parts:
            yield file.read_text(encoding="utf-8")
        yield str(file)


def test_no_canary_appears_anywhere(command: CommandLine) -> None:
    """In no output of any command and format, in no file that it leaves, and no command for a runner."""
    command.write("ci")
    # Nothing but the knowledge of it shows that this is a key.
    key = command.zof.add_key("acme", key=Secret("correct-horse-battery-staple")).reveal()
    command.environment["ZOF_API_KEY"] = key
    for url in UNMANAGED:
        command.zof.console.create(url, ["run.failed"])
    command.zof.behavior = Behavior(sunset=f"key {key} {' '.join(key)}", rate_limit=10_000)
    with Proxy(command.zof.origin) as api, Proxy(command.vault.address) as vault:
        command.environment |= {"ZOF_API_URL": f"{api.address}/v1", "VAULT_ADDR": vault.address}
        servers = Quoting(command, api, vault)
        applied = command(
            "apply", "--yes", "--format", "markdown", "--audit", "audit", "--journal", "journal"
        )
        assert "bad" not in applied.stdout
        assert "***" in applied.stdout
        servers.refuse_deletions = True
        command("rotate", "ci", "--now", "--yes", "-vv", "--audit", "audit", "--journal", "journal")
        for each in command.zof.console.list():
            if each.url.startswith("https://hooks.example.com/"):
                command.zof.console.edit(each.id, url=f"https://eve:{PASSWORD}@hooks.example.com/ci/{TOKEN}")
        command("test", "ci")
        for name in ("plan", "drift", "status"):
            for format_ in ("text", "json", "markdown", "html", "github"):
                command(name, "--format", format_)
                command(name, "--format", format_, "--output", f"{name}.{format_}")
        command("plan", "--out", "plan.json")
        assert "***" in (command.folder / "plan.json").read_text(encoding="utf-8")
        command("export", "--unmanaged", "--out", "exported")
        command("history", "--format", "json", "--audit", "audit")
        servers.vault_is_down = True
        for args in (
            ["plan"],
            ["apply", "--yes"],
            ["doctor"],
            ["status", "--format", "json"],
            ["test", "ci"],
        ):
            command(*args)
    assert len(servers.known) >= 4
    traces = {trace for secret in (*servers.known, *IN_URL) for trace in _traces(secret)}
    for text in (*command.outputs, *_files(command)):
        folded = _folded(text)
        assert not [trace for trace in traces if trace in folded], text
        lines = text.splitlines()
        assert not [line for line in lines if "##[" in line or line.lstrip().startswith("::stop")], text


@pytest.mark.parametrize("folder", ["::stop-commands::x", "##[group]x"])
def test_paths_are_no_commands(command: CommandLine, folder: str) -> None:
    """A folder's name begins many lines: it is no command for a runner, whatever is wrong below it."""
    place = command.folder / folder
    place.mkdir()
    (place / "a.yaml").write_text("a: [", encoding="utf-8")
    for args in (["validate", folder], ["validate", folder, "--format", "json"], ["plan", folder]):
        result = command(*args)
        assert folder[-3:] in result.stdout + result.stderr
    for line in "".join(command.outputs).splitlines():
        assert "##[" not in line
        assert not line.lstrip().startswith("::stop")
