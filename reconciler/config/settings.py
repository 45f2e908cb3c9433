"""The configuration: where each organization's manifests, API and secrets are.

Flags win over the environment, the environment over `reconciler.yaml`, the file over the defaults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.errors import InvalidInput, UsageError
from reconciler.manifest.export.words import suggestion
from reconciler.manifest.lint.selection import Selection
from reconciler.manifest.service_url import service_url_problem
from reconciler.plan.guards import GuardLimits
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PATH = Path("reconciler.yaml")
DEFAULT_ORGANIZATION = "default"
DEFAULT_MANIFESTS = "manifests"


class ApiSettings(Struct, frozen=True):
    """The Zof API of one organization."""

    url: str = "https://api.zof.ai/v1"
    """https, or plain http on loopback; without a slash at its end."""
    key_env: str = "ZOF_API_KEY"
    """The name of the environment variable that holds the key."""
    requests_per_minute: int | None = None
    """None where it was not said: then the API's own headers pace."""


class AuthSettings(Struct, frozen=True):
    """How to log in to Vault."""

    method: str | None = None
    """`token`, `approle`, `jwt` or `kubernetes`; None where it was not said: then the environment decides."""
    mount: str | None = None
    """Where the method is mounted; None for the method's own name."""
    role: str | None = None


class VaultSettings(Struct, frozen=True):
    """The place of one organization's secrets: `<mount>/<prefix>/<name>`."""

    prefix: str
    address: str | None = None
    """https, or plain http on loopback; None where neither file nor environment says it."""
    namespace: str = ""
    mount: str = "secret"
    auth: AuthSettings = AuthSettings()


class NotificationSettings(Struct, frozen=True):
    """Who is told of what."""

    urls_env: str = "RECONCILER_NOTIFY_URLS"
    """The environment variable with the addresses, which are secrets."""
    on: tuple[str, ...] = ()
    """`drift`, `failure`, or both; nothing: nobody is told."""


class OrganizationConfig(Struct, frozen=True):
    """Everything about one organization."""

    name: str
    vault: VaultSettings
    manifests: tuple[str, ...] = (DEFAULT_MANIFESTS,)
    """Paths as they can be opened: those of the file already lead through its folder."""
    api: ApiSettings = ApiSettings()
    guards: GuardLimits = field(default_factory=GuardLimits)


class Config(Struct, frozen=True):
    """The organizations of this run, and the policy for their manifests."""

    organizations: tuple[OrganizationConfig, ...]
    policy: Path | None = None
    rules: Selection = field(default_factory=Selection)
    notifications: NotificationSettings = NotificationSettings()


class Overrides(Struct, frozen=True):
    """What the command line said."""

    organizations: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    vault_mount: str | None = None
    vault_prefix: str | None = None


def load_config(
    path: str | os.PathLike[str] | None,
    *,
    environ: Mapping[str, str],
    overrides: Overrides | None = None,
    default_path: Path = DEFAULT_PATH,
) -> Config:
    """Return the configuration of this run.

    Args:
        path: the file that was named; None for `default_path`, which need not exist.
        environ: the environment; an empty variable counts as none.
        overrides: the flags.
        default_path: the file that is used when it exists and none was named.

    Raises:
        ConfigInvalid: the file is invalid; it holds the diagnostics.
        InvalidInput: the file that was named is missing, or the environment or a flag is invalid.
        UsageError: the flags ask for something impossible.
    """
    overrides = overrides or Overrides()
    file = default_path if path is None else Path(path)
    # A link that leads nowhere is no missing file: it is read, and reported.
    if path is None and not os.path.lexists(file):
        return resolve(None, environ, overrides)
    from reconciler.config.file import read_config  # noqa: PLC0415 - spares runs without a file the YAML

    return resolve(read_config(file), environ, overrides)


def resolve(declared: Config | None, environ: Mapping[str, str], overrides: Overrides) -> Config:
    """Return the configuration after environment and flags have had their say.

    Args:
        declared: what the file says, or None without one.
        environ: the environment.
        overrides: the flags.

    Raises:
        InvalidInput: a value is invalid, an organization is unknown, or two share a place in Vault.
        UsageError: the flags ask for something impossible.
    """
    wanted = tuple(dict.fromkeys(overrides.organizations)) or _nonempty(environ, "ZOF_ORGANIZATION")
    if declared is None:
        declared = Config((_undeclared(wanted),))
    everyone = [_with_environment(organization, environ) for organization in declared.organizations]
    chosen = _choose(everyone, wanted)
    if len(chosen) > 1 and (overrides.manifests or overrides.vault_prefix):
        raise UsageError(
            "paths and --vault-prefix go with one organization, and there are several",
            hint="choose one with --organization",
        )
    final = {each.name: _with_flags(each, overrides) for each in chosen}
    # Those that were not chosen keep their places.
    _require_apart([final.get(each.name, each) for each in everyone])
    return replace(declared, organizations=tuple(final.values()))


def _undeclared(wanted: Sequence[str]) -> OrganizationConfig:
    """Return the one organization of a run without a configuration file."""
    if len(wanted) > 1:
        raise UsageError(
            "several organizations need a configuration file",
            hint="each has an API key and a place in Vault of its own: declare them in reconciler.yaml",
        )
    name = wanted[0] if wanted else DEFAULT_ORGANIZATION
    _require_form("the organization's name", name, "organization", "name")
    return OrganizationConfig(name, VaultSettings(default_prefix(name)))


def default_prefix(organization: str) -> str:
    """Return the prefix in Vault of an organization that names none."""
    return f"webhooks/{organization}"


def _with_environment(organization: OrganizationConfig, environ: Mapping[str, str]) -> OrganizationConfig:
    """Return an organization's configuration with what the environment says instead."""
    api, vault = organization.api, organization.vault
    for url in _nonempty(environ, "ZOF_API_URL"):
        api = replace(api, url=_service_url("ZOF_API_URL", url))
    for address in _nonempty(environ, "VAULT_ADDR"):
        vault = replace(vault, address=_service_url("VAULT_ADDR", address))
    for namespace in _nonempty(environ, "VAULT_NAMESPACE"):
        _require_form("VAULT_NAMESPACE", namespace, "vault", "namespace")
        vault = replace(vault, namespace=namespace)
    return replace(organization, api=api, vault=vault)


def _with_flags(organization: OrganizationConfig, overrides: Overrides) -> OrganizationConfig:
    """Return an organization's configuration with what the flags say instead."""
    vault = organization.vault
    if overrides.vault_mount is not None:
        _require_form("--vault-mount", overrides.vault_mount, "vaultPath")
        vault = replace(vault, mount=overrides.vault_mount)
    if overrides.vault_prefix is not None:
        _require_form("--vault-prefix", overrides.vault_prefix, "vaultPath")
        vault = replace(vault, prefix=overrides.vault_prefix)
    return replace(organization, vault=vault, manifests=overrides.manifests or organization.manifests)


def _choose(everyone: Sequence[OrganizationConfig], wanted: Sequence[str]) -> list[OrganizationConfig]:
    """Return the organizations that were asked for, in the file's order; all of them where none was."""
    names = [organization.name for organization in everyone]
    for name in wanted:
        if name not in names:
            similar = suggestion(name, names)
            hint = f"did you mean `{similar}`?" if similar else f"it has: {', '.join(names)}"
            raise InvalidInput(f"the configuration has no organization {name!r}", hint=hint)
    return [organization for organization in everyone if not wanted or organization.name in wanted]


def _require_apart(everyone: Sequence[OrganizationConfig]) -> None:
    """Refuse two organizations with one place in Vault: each would take the other's documents for its own."""
    owners: dict[tuple[str | None, str, str, str], str] = {}
    for organization in everyone:
        vault = organization.vault
        address = None if vault.address is None else normalize_url(vault.address)
        place = (address, vault.namespace.strip("/"), vault.mount, vault.prefix)
        first = owners.setdefault(place, organization.name)
        if first != organization.name:
            raise InvalidInput(
                f"the organizations {first} and {organization.name} have the same place in Vault: "
                f"{vault.mount}/{vault.prefix}",
                hint="give each a `prefix` of its own",
            )


def _nonempty(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the value of a variable as a tuple of one, or of none where it is unset or empty."""
    value = environ.get(name, "").strip()
    return (value,) if value else ()


def _service_url(setting: str, url: str) -> str:
    """Return the URL of a service without the slash at its end.

    Raises:
        InvalidInput: it is none that a key or token may be sent to.
    """
    if problem := service_url_problem(url):
        raise InvalidInput(
            f"{setting} {problem}", hint="write an address such as `https://vault.example.com`"
        )
    return url.rstrip("/")


def _require_form(what: str, value: str, *definition: str) -> None:
    """Raise `InvalidInput` unless `value` has the form that the configuration's schema asks of it."""
    from reconciler.config.file import form_of  # noqa: PLC0415 - reads the schema; most runs say no such thing

    accepts, description = form_of(definition)
    if not accepts(value):
        raise InvalidInput(f"{what} does not have the required form", hint=description)
