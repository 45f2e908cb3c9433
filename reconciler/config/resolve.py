"""Resolve the settings of a run: from a flag, else the environment, else the file, else the default."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.config.servers import API_URL, VAULT_ADDRESS, require_agreement
from reconciler.config.settings import (
    DEFAULT_MANIFESTS,
    Config,
    OrganizationSettings,
    VaultSettings,
    default_prefix,
)
from reconciler.errors import InvalidInput, UsageError
from reconciler.manifest.files import leads_out_of
from reconciler.model import DEFAULT_API_URL
from reconciler.texts import did_you_mean
from reconciler.urls import normalize_url, service_url_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.config.shards import Shard

DEFAULT_FILE = Path("reconciler.yaml")
_ORGANIZATION = "default"
_LISTS = "`reconciler organizations` lists them"
_NAMED = 20
"""How many organizations a message lists."""


class Overrides(Struct, frozen=True):
    """Settings from the command line."""

    organizations: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    vault_mount: str | None = None
    vault_prefix: str | None = None
    shard: Shard | None = None


_NO_OVERRIDES = Overrides()


def load_config(
    path: str | os.PathLike[str] | None,
    *,
    environ: Mapping[str, str],
    overrides: Overrides = _NO_OVERRIDES,
) -> Config:
    """Return the settings of this run.

    Args:
        path: the configuration file; None for `reconciler.yaml`, which need not exist.
        environ: the environment; an empty variable counts as unset.
        overrides: the flags.

    Raises:
        ConfigInvalid: the file is invalid or, if it was named, missing.
        InvalidInput: a variable or flag is invalid, an organization is unknown, two share a prefix, or the
            environment contradicts one of several organizations.
        UsageError: a flag needs one organization, and there are several.
    """
    wanted = tuple(dict.fromkeys(overrides.organizations)) or _nonempty(environ, "ZOF_ORGANIZATION")
    # A broken symbolic link is not a missing file: reading it reports the problem.
    if path is None and not os.path.lexists(DEFAULT_FILE):
        config = Config((_without_file(wanted),))
        if not overrides.paths and leads_out_of(os.curdir, DEFAULT_MANIFESTS):
            raise InvalidInput(
                f"{DEFAULT_MANIFESTS} is a symbolic link that leads out of this folder",
                hint="name the folder of the manifests as PATH",
            )
    else:
        from reconciler.config.file import read_config  # noqa: PLC0415 (YAML is not needed without a file)

        config = read_config(Path(path or DEFAULT_FILE))
    several = len(config.organizations) > 1
    if several:
        require_agreement(_choose(config.organizations, wanted, overrides.shard), environ)
    every = [_apply_environment(each, environ, several=several) for each in config.organizations]
    chosen = _choose(every, wanted, overrides.shard)
    if len(chosen) > 1 and (overrides.paths or overrides.vault_prefix):
        flag = "PATH" if overrides.paths else "--vault-prefix"
        raise UsageError(f"{flag} needs one organization", hint="add --organization NAME")
    final = {each.name: _apply_flags(each, overrides) for each in chosen}
    # The organizations that were not chosen still occupy their places.
    _require_separate_places([final.get(each.name, each) for each in every])
    return replace(config, organizations=tuple(final.values()))


def _without_file(wanted: Sequence[str]) -> OrganizationSettings:
    """Return the only organization of a run without a configuration file."""
    if len(wanted) > 1:
        raise UsageError(
            "several organizations need a configuration file",
            hint="declare each with its API key and its prefix in Vault in reconciler.yaml",
        )
    name = wanted[0] if wanted else _ORGANIZATION
    _require_form("the organization's name", name, "organization", "name")
    return OrganizationSettings(name, VaultSettings(default_prefix(name)))


def _apply_environment(
    settings: OrganizationSettings, environ: Mapping[str, str], *, several: bool
) -> OrganizationSettings:
    """Return the settings with those of the environment.

    If there are `several` organizations, each keeps the servers that it names.
    """
    api, vault = settings.api, settings.vault
    for url in _nonempty(environ, API_URL):
        _require_service_url(API_URL, url)
        api = api if several and api.url else replace(api, url=url)
    for address in _nonempty(environ, VAULT_ADDRESS):
        _require_service_url(VAULT_ADDRESS, address)
        vault = vault if several and vault.address else replace(vault, address=address)
    for namespace in _nonempty(environ, "VAULT_NAMESPACE"):
        _require_form("VAULT_NAMESPACE", namespace, "vault", "namespace")
        vault = replace(vault, namespace=namespace)
    return replace(settings, api=api, vault=vault)


def _apply_flags(settings: OrganizationSettings, overrides: Overrides) -> OrganizationSettings:
    """Return the settings with those of the flags."""
    vault = settings.vault
    if overrides.vault_mount is not None:
        _require_form("--vault-mount", overrides.vault_mount, "vaultPath")
        vault = replace(vault, mount=overrides.vault_mount)
    if overrides.vault_prefix is not None:
        _require_form("--vault-prefix", overrides.vault_prefix, "vaultPath")
        vault = replace(vault, prefix=overrides.vault_prefix)
    return replace(settings, vault=vault, paths=overrides.paths)


def _choose(
    every: Sequence[OrganizationSettings], wanted: Sequence[str], shard: Shard | None
) -> list[OrganizationSettings]:
    """Return the wanted organizations of the shard in the file's order; `wanted` has names and globs."""
    names = [settings.name for settings in every]
    chosen: set[str] = set()
    for name in wanted:
        found = fnmatch.filter(names, name)
        if not found:
            known = f"it has: {', '.join(names)}" if len(names) <= _NAMED else _LISTS
            hint = did_you_mean([name], names, known)
            raise InvalidInput(f"the configuration has no organization {name!r}", hint=hint)
        chosen.update(found)
    return [
        settings
        for settings in every
        if (not wanted or settings.name in chosen) and (shard is None or shard.has(settings.name))
    ]


def _require_separate_places(every: Sequence[OrganizationSettings]) -> None:
    """Refuse two organizations with one place in Vault: each would take the other's documents for its own."""
    owners: dict[tuple[str | None, str, str, str], str] = {}
    for settings in every:
        vault = settings.vault
        address = None if vault.address is None else normalize_url(vault.address)
        place = (address, vault.namespace.strip("/"), vault.mount, vault.prefix)
        first = owners.setdefault(place, settings.name)
        if first != settings.name:
            raise InvalidInput(
                f"the organizations {first} and {settings.name} have the same place in Vault: "
                f"{vault.mount}/{vault.prefix}",
                hint="give each its own `prefix`",
            )


def _nonempty(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the value of a variable as a tuple of one; an empty tuple if it is unset or empty."""
    value = environ.get(name, "").strip()
    return (value,) if value else ()


def _require_service_url(setting: str, url: str) -> None:
    """Raise `InvalidInput` if a key or token must not be sent to `url`."""
    if problem := service_url_problem(url):
        example = DEFAULT_API_URL if setting == API_URL else "https://vault.example.com"
        raise InvalidInput(f"{setting} {problem}", hint=f"write an address such as `{example}`")


def _require_form(what: str, value: str, *definition: str) -> None:
    """Raise `InvalidInput` unless `value` has the form that the configuration's schema requires."""
    from reconciler.config.file import form_of  # noqa: PLC0415 (reads the schema; most runs need no form)

    accepts, description = form_of(definition)
    if not accepts(value):
        raise InvalidInput(f"{what} does not have the required form", hint=description)
