"""The settings of a run, as plain values: where each organization's manifests, API and secrets are.

`reconciler.yaml` is converted to these by their names in camelCase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import force_setattr

from reconciler.manifest.lint.selection import Selection
from reconciler.model import DEFAULT_API_URL, Organization
from reconciler.plan.guards import GuardLimits

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_MANIFESTS = "manifests"


class ApiSettings(Struct, frozen=True, rename="camel"):
    """The Zof API of one organization."""

    url: str | None = None
    """https, or plain http on loopback; without a trailing slash. None if it is not configured."""
    key_env: str = "ZOF_API_KEY"
    """The environment variable that holds the key: `ZOF_…`."""
    requests_per_minute: int | None = None
    """None if it is not configured: then the API's own headers set the pace."""

    def __post_init__(self) -> None:
        force_setattr(self, "url", self.url and self.url.rstrip("/"))


class AuthSettings(Struct, frozen=True, rename="camel"):
    """How to log in to Vault."""

    method: str | None = None
    """`token`, `approle`, `jwt` or `kubernetes`; None if it is not configured: the environment decides."""
    mount: str | None = None
    """Where the method is mounted; None for the method's own name."""
    role: str | None = None


class VaultSettings(Struct, frozen=True, rename="camel"):
    """Where one organization's secrets are: `<mount>/<prefix>/<name>`."""

    prefix: str
    address: str | None = None
    """https, or plain http on loopback; None if it is not configured."""
    namespace: str = ""
    mount: str = "secret"
    auth: AuthSettings = AuthSettings()

    def __post_init__(self) -> None:
        force_setattr(self, "address", self.address and self.address.rstrip("/"))


class NotificationSettings(Struct, frozen=True, rename="camel"):
    """Who is notified of what."""

    urls_env: str = "RECONCILER_NOTIFY_URLS"
    """The environment variable with the addresses, which are secrets: `RECONCILER_NOTIFY_…`."""
    on: tuple[str, ...] = ("drift", "failure")
    """Empty: nobody is notified."""


class OrganizationSettings(Struct, frozen=True, rename="camel"):
    """The settings of one organization."""

    name: str
    vault: VaultSettings
    manifests: tuple[str, ...] = (DEFAULT_MANIFESTS,)
    """Paths that can be opened as they are: those from the file include its folder."""
    exclude: tuple[str, ...] = ()
    """Globs of files and folders below `manifests` that are not read."""
    paths: tuple[str, ...] = ()
    """The files and folders of the command line, which limit the scope; empty: it is not limited."""
    api: ApiSettings = ApiSettings()
    guards: GuardLimits = field(default_factory=GuardLimits)

    @property
    def organization(self) -> Organization:
        """The organization as plans and ledgers identify it."""
        return Organization(self.name, self.api.url or DEFAULT_API_URL)


class Config(Struct, frozen=True):
    """The organizations of a run, and what applies to all of them."""

    organizations: tuple[OrganizationSettings, ...]
    policy: Path | None = None
    rules: Selection = field(default_factory=Selection)
    notifications: NotificationSettings = NotificationSettings(on=())


def default_prefix(organization: str) -> str:
    """Return the prefix in Vault of an organization that configures none."""
    return f"webhooks/{organization}"
