"""Vault on the wire: KV version 2 in memory for the real adapter, with virtual time and troubles."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httpx
from msgspec import Struct, field

from reconciler.model import Secret
from reconciler.vault.auth import TokenLogin
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.clock import FakeClock

MOUNT, PREFIX = "secret", "webhooks/acme"
Answer = tuple[int, Any]
"""A status and a JSON value; a text is sent as it is, as a proxy does."""


class _Path(Struct):
    versions: list[dict[str, Any]] = field(default_factory=list)
    """The first is number 1."""
    custom_metadata: dict[str, str] | None = None
    cas_required: bool = False
    delete_version_after: str = "0s"


class FakeVault(httpx.BaseTransport):
    """Answers requests below one mount. `strike` and `lose` see each request first and last."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin empty."""
        self.clock = clock
        self.paths: dict[str, _Path] = {}
        self.lease = 0.0
        """Seconds for which a renewal extends the token; 0: the token never expires."""
        self.expires_at: datetime | None = None
        """When the token expires."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of each, in order."""
        self.strike: Callable[[str, str], Answer | None] = _nothing
        """May answer, or raise, instead of Vault: the request has no effect."""
        self.lose: Callable[[str, str], Answer | None] = _nothing
        """May answer, or raise, after the request was carried out."""

    def documents(self) -> VaultDocuments:
        """Return the real adapter, with virtual time and this Vault."""
        login = TokenLogin(Secret("hvs.test"))
        session = VaultSession("https://vault.example.com", login=login, clock=self.clock, transport=self)
        return VaultDocuments(session, mount=MOUNT, prefix=PREFIX, clock=self.clock)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as Vault does."""
        method, path = request.method, unquote(request.url.path).removeprefix("/v1/")
        if method == "GET" and request.url.params.get("list") == "true":
            method = "LIST by GET"
        self.requests.append((method, path))
        content = request.read()
        body = json.loads(content) if content else {}
        answer = self.strike(method, path)
        if answer is None:
            answer = self._answer(method.partition(" ")[0], path, body)
            answer = self.lose(method, path) or answer
        status, value = answer
        text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        date = f"{self.clock.now():%a, %d %b %Y %H:%M:%S} GMT"
        return httpx.Response(status, content=text.encode(), headers={"Date": date})

    # --- KV version 2 -----------------------------------------------------------------------------------

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        if self.expires_at is not None and self.expires_at <= self.clock.now():
            return 403, {"errors": ["permission denied", "invalid token"]}
        if path.startswith("auth/token/"):
            return self._describe_token(renew=path.endswith("renew-self"))
        if path.startswith("sys/internal/ui/mounts/"):
            return 200, {"data": {"type": "kv", "options": {"version": "2"}}}
        mount, area, name = path.split("/", 2)
        if mount != MOUNT or (method, area) == ("LIST", "detailed-metadata"):
            return 404, {"errors": ["unsupported path"]}
        operations: dict[tuple[str, str], Callable[[], Answer]] = {
            ("LIST", "metadata"): lambda: self._list(name),
            ("GET", "metadata"): lambda: self._read_metadata(name),
            ("PATCH", "metadata"): lambda: self._write_metadata(name, body, merge=True),
            ("POST", "metadata"): lambda: self._write_metadata(name, body, merge=False),
            ("GET", "data"): lambda: self._read(name),
            ("POST", "data"): lambda: self._write(name, body),
            ("POST", "delete"): lambda: self._change(area, name, body["versions"]),
            ("POST", "undelete"): lambda: self._change(area, name, body["versions"]),
            ("POST", "destroy"): lambda: self._change(area, name, body["versions"]),
        }
        operation = operations.get((method.replace("PUT", "POST"), area))
        return operation() if operation else (405, {"errors": ["unsupported operation"]})

    def _list(self, folder: str) -> Answer:
        keys = [each.removeprefix(f"{folder.rstrip('/')}/") for each in sorted(self.paths)]
        return (200, {"data": {"keys": keys}}) if keys else (404, {"errors": []})

    def _describe_token(self, *, renew: bool) -> Answer:
        now, lease = self.clock.now(), int(self.lease)
        if renew:
            self.expires_at = now + timedelta(seconds=lease)
            return 200, {"auth": {"client_token": "hvs.test", "lease_duration": lease, "renewable": True}}
        left = int((self.expires_at - now).total_seconds()) if self.expires_at else 0
        return 200, {"data": {"ttl": left, "creation_ttl": lease, "renewable": True, "policies": []}}

    def _read_metadata(self, name: str) -> Answer:
        found = self.paths.get(name)
        if found is None:
            return 404, {"errors": []}
        return 200, {
            "data": {
                "current_version": len(found.versions),
                "custom_metadata": found.custom_metadata,
                "cas_required": found.cas_required,
                "delete_version_after": found.delete_version_after,
                "versions": {
                    str(number): {key: value for key, value in version.items() if key != "data"}
                    for number, version in enumerate(found.versions, 1)
                },
            }
        }

    def _write_metadata(self, name: str, body: dict[str, Any], *, merge: bool) -> Answer:
        found = self.paths.setdefault(name, _Path())
        if "custom_metadata" in body:
            kept = (found.custom_metadata or {}) if merge else {}
            changed = kept | (body["custom_metadata"] or {})
            found.custom_metadata = {key: value for key, value in changed.items() if value is not None}
        found.cas_required = body.get("cas_required", found.cas_required)
        found.delete_version_after = body.get("delete_version_after", found.delete_version_after)
        return 204, None

    def _read(self, name: str) -> Answer:
        found = self.paths.get(name)
        if found is None or not found.versions:
            return 404, {"errors": []}
        version = found.versions[-1]
        shown = {key: value for key, value in version.items() if key != "data"}
        shown |= {"version": len(found.versions), "custom_metadata": found.custom_metadata}
        is_gone = version["destroyed"] or self._is_past(version["deletion_time"])
        status = 404 if is_gone else 200
        return status, {"data": {"data": None if is_gone else version["data"], "metadata": shown}}

    def _is_past(self, moment: str) -> bool:
        return moment != "" and datetime.fromisoformat(moment) <= self.clock.now()

    def _write(self, name: str, body: dict[str, Any]) -> Answer:
        found = self.paths.setdefault(name, _Path())
        cas = body.get("options", {}).get("cas")
        if (cas is None and found.cas_required) or (cas is not None and cas != len(found.versions)):
            return 400, {"errors": ["check-and-set parameter did not match the current version"]}
        now, seconds = self.clock.now(), float(found.delete_version_after.rstrip("s"))
        gone = (now + timedelta(seconds=seconds)).isoformat() if seconds else ""
        version = {"created_time": now.isoformat(), "deletion_time": gone, "destroyed": False}
        found.versions.append({**version, "data": body["data"]})
        return 200, {"data": {**version, "version": len(found.versions)}}

    def _change(self, area: str, name: str, numbers: list[int]) -> Answer:
        found = self.paths.setdefault(name, _Path())
        for number in numbers:
            version = found.versions[number - 1]
            match area:
                case "delete":
                    version["deletion_time"] = self.clock.now().isoformat()
                case "undelete":
                    version["deletion_time"] = ""
                case _:
                    version["destroyed"], version["data"] = True, None
        return 204, None

    # --- the oracle -------------------------------------------------------------------------------------

    def fields(self, name: str) -> dict[str, Any]:
        """Return the newest version's fields as consumers see them; none where they see nothing."""
        status, answer = self._read(f"{PREFIX}/{name}")
        return answer["data"]["data"] if status == 200 else {}

    def path(self, name: str) -> _Path:
        """Return everything that is stored for a document."""
        return self.paths[f"{PREFIX}/{name}"]


def _nothing(_method: str, _path: str) -> None:
    """Let it pass."""
