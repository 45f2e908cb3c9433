"""What an administrator does on an OpenBao server of this machine: mounts, policies, tokens, roles."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.model import Secret

HOST = "127.0.0.1"
POLL = 0.02
"""Seconds between two looks at a server that is about to be ready."""
_FIRST_ERROR = 400


class OpenBaoAdmin:
    """Root's hands on the server at a port of this machine."""

    def __init__(self, root_token: Secret, *, port: int = 0, patience: float = 30.0) -> None:
        """`patience` is how many seconds one answer, or getting ready, may take."""
        self._root_token = root_token
        self._port = port
        self._patience = patience

    @property
    def address(self) -> str:
        """The server's URL, for `VAULT_ADDR`."""
        return f"http://{HOST}:{self._port}"

    @property
    def root_token(self) -> Secret:
        """The token that may do everything."""
        return self._root_token

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request as root and return the answer's JSON object ({} where there is none).

        Raises:
            ReconcilerError: the server refused it. The body, which may hold secrets, is not quoted.
        """
        connection = http.client.HTTPConnection(HOST, self._port, timeout=self._patience)
        try:
            headers = {"X-Vault-Token": self._root_token.reveal()}
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= _FIRST_ERROR:
            raise ReconcilerError(f"OpenBao answered {method} {path} with HTTP {answer.status}")
        return json.loads(text) if text else {}

    def enable_kv(self, mount: str, *, version: int = 2) -> None:
        """Mount a KV secrets engine of `version` 1 or 2 at `mount`."""
        self.request("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": str(version)}})
        if version > 1:
            # A versioned mount refuses everything for the moment in which it sets itself up.
            self.await_get(f"{mount}/config")

    def write_policy(self, name: str, rules: str) -> None:
        """Write the ACL policy `name`; `rules` is HCL."""
        self.request("PUT", f"sys/policies/acl/{name}", {"policy": rules})

    def create_token(self, *policies: str, ttl: str = "1h", **options: Any) -> Secret:
        """Return a new token that has `policies`."""
        body = {"policies": list(policies), "ttl": ttl, **options}
        return Secret(self.request("POST", "auth/token/create", body)["auth"]["client_token"])

    def enable_approle(self, mount: str = "approle") -> None:
        """Mount the AppRole method at `auth/<mount>`."""
        self.request("POST", f"sys/auth/{mount}", {"type": "approle"})

    def create_role(
        self, role: str, *policies: str, mount: str = "approle", **options: Any
    ) -> tuple[str, Secret]:
        """Create an AppRole whose tokens have `policies`; return its role id and a new secret id."""
        path = f"auth/{mount}/role/{role}"
        self.request("POST", path, {"token_policies": list(policies), **options})
        role_id = self.request("GET", f"{path}/role-id")["data"]["role_id"]
        secret_id = self.request("POST", f"{path}/secret-id", {})["data"]["secret_id"]
        return str(role_id), Secret(secret_id)

    def seal(self) -> None:
        """Seal the server: it refuses everything until it is unsealed."""
        self.request("PUT", "sys/seal")

    def unseal(self, key: Secret) -> None:
        """Unseal the server with the one key that its storage was made with."""
        self.request("PUT", "sys/unseal", {"key": key.reveal()})

    def await_get(self, path: str) -> None:
        """Wait until a GET of `path` succeeds."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self.request("GET", path)
            except ReconcilerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL)
            else:
                return
