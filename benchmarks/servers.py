"""Servers for a fleet: stand-ins with prepared answers, the embedded API, a real OpenBao."""

from __future__ import annotations

import http.client
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.records import (
    LISTING_PATH,
    MOUNT,
    PREFIX,
    custom_metadata,
    endpoint_ids,
    make_documents,
    render_listing,
    render_pages,
)
from reconciler.sandbox.openbao import OpenBaoServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.fleets import Fleet
    from reconciler.ledger.document import Document
    from reconciler.sandbox.zof_server import ZofServer

_ROOT = Path(__file__).parents[1]
_WRITERS = 4
_KEY, _TOKEN = "zof_benchmark", "benchmark"


@dataclass(frozen=True)
class StandIn:
    """A running `stand_in.py`."""

    port: int

    @property
    def origin(self) -> str:
        """Its URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    def take_count(self) -> int:
        """Return the number of requests since the last call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("GET", "/_count")
            return int(connection.getresponse().read())
        finally:
            connection.close()


@dataclass(frozen=True)
class StandIns:
    """Both stand-ins, for a fleet that is live and in the ledger."""

    api: StandIn
    vault: StandIn
    listing_bytes: int
    """The size of the answer with all metadata."""

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables with which a command connects to them."""
        return environ(f"{self.api.origin}/v1", _KEY, self.vault.origin, _TOKEN)


def environ(api_url: str, key: str, vault: str, token: str) -> dict[str, str]:
    """Return the environment variables with which a command connects to its servers."""
    return {"ZOF_API_URL": api_url, "ZOF_API_KEY": key, "VAULT_ADDR": vault, "VAULT_TOKEN": token}


@contextmanager
def stand_ins(fleet: Fleet, *, pause: float = 0.0) -> Iterator[StandIns]:
    """Run both stand-ins; each page of the API's listing is delayed by `pause` seconds."""
    webhooks = fleet.webhooks()
    ids = endpoint_ids(webhooks)
    listing = fleet.folder / "metadata.jsonl"
    with api_stand_in(fleet, pause=pause) as api:
        listing.write_bytes(render_listing(make_documents(webhooks, ids, f"{api.origin}/v1")))
        with _serve(listing, LISTING_PATH) as vault:
            yield StandIns(api, vault, listing.stat().st_size)


@contextmanager
def api_stand_in(fleet: Fleet, *, pause: float = 0.0) -> Iterator[StandIn]:
    """Run the API's stand-in."""
    webhooks = fleet.webhooks()
    pages = fleet.folder / "pages.jsonl"
    pages.write_bytes(b"\n".join(render_pages(webhooks, endpoint_ids(webhooks))))
    with _serve(pages, "/v1/webhooks", pause) as api:
        yield api


@contextmanager
def empty_stand_ins(folder: Path, *, pause: float) -> Iterator[dict[str, str]]:
    """Run an API without endpoints and a Vault without documents; yield the variables for both.

    Each answer is delayed by `pause` seconds, whoever asks.
    """
    pages = folder / "empty.jsonl"
    pages.write_bytes(b"\n".join(render_pages((), ())))
    mount = folder / "mount.jsonl"
    mount.write_text('{"data":{"type":"kv","options":{"version":"2"}}}', encoding="utf-8")
    mount_path = f"/v1/sys/internal/ui/mounts/{MOUNT}"
    with _serve(pages, "/v1/webhooks", pause) as api, _serve(mount, mount_path, pause) as vault:
        yield environ(f"{api.origin}/v1", _KEY, vault.origin, _TOKEN)


@contextmanager
def openbao(fleet: Fleet) -> Iterator[dict[str, str]]:
    """Run the API's stand-in and a real OpenBao with the documents; yield the variables for both."""
    webhooks = fleet.webhooks()
    with api_stand_in(fleet) as api, OpenBaoServer() as vault:
        url = f"{api.origin}/v1"
        fill(vault, make_documents(webhooks, endpoint_ids(webhooks), url))
        yield environ(url, _KEY, vault.address, vault.root_token.reveal())


def make_live(fleet: Fleet, zof: ZofServer, vault: OpenBaoServer) -> None:
    """Create a fleet on the embedded API, and its documents in OpenBao."""
    webhooks = fleet.webhooks()
    ids = [zof.console.create(webhook.url, list(webhook.events)).id for webhook in webhooks]
    fill(vault, make_documents(webhooks, ids, zof.url))


def fill(vault: OpenBaoServer, documents: Iterable[tuple[str, Document]]) -> None:
    """Write documents as they are after a finished `apply`."""

    def write(entry: tuple[str, Document]) -> None:
        name, document = entry
        path = f"{PREFIX}/{name}"
        vault.request("POST", f"{MOUNT}/data/{path}", {"data": document.to_fields(), "options": {"cas": 0}})
        metadata = {"custom_metadata": custom_metadata(document), "cas_required": True}
        vault.request("POST", f"{MOUNT}/metadata/{path}", metadata)

    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(write, documents):
            pass


@contextmanager
def _serve(answers: Path, path: str, pause: float = 0.0) -> Iterator[StandIn]:
    """Run a stand-in in its own process, because in one process both would share Python's global lock."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stand_in", str(answers), path, str(pause)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        try:
            yield StandIn(int(process.stdout.readline()))
        finally:
            process.kill()
