"""Which servers are sent a key or token: those that the operator names, outside the repository.

Everybody who can open a pull request can write `reconciler.yaml`. So a server that only the file names gets
no credential, unless it is on this machine or its origin is listed in the environment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import InvalidInput
from reconciler.model import DEFAULT_API_URL
from reconciler.urls import is_loopback, normalize_url, origin_of, service_url_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.config.settings import Config, OrganizationSettings

API_URL, VAULT_ADDRESS, LISTED = "ZOF_API_URL", "VAULT_ADDR", "RECONCILER_SERVERS"
_KEY = re.compile(r"ZOF_[A-Z0-9_]+")
_NOTIFY = re.compile(r"RECONCILER_NOTIFY_[A-Z0-9_]+")


def require_trusted(config: Config, environ: Mapping[str, str]) -> None:
    """Make sure that the file decides neither which server gets a credential, nor which variable is sent.

    Args:
        config: the organizations that the command works on, with the settings of the environment.
        environ: the environment.

    Raises:
        InvalidInput: it does, or RECONCILER_SERVERS is invalid. The message names the server.
    """
    listed = _listed_origins(environ)
    for settings in config.organizations:
        _require_variable("api.keyEnv", settings.api.key_env, _KEY, "ZOF_API_KEY")
        for key, url, variable in _servers(settings):
            is_named = environ.get(variable, "").strip() or _is_same(url, DEFAULT_API_URL)
            if is_named or is_loopback(urlsplit(url).hostname or ""):
                continue
            if (origin := origin_of(url)) not in listed:
                raise InvalidInput(
                    f"only the configuration names {origin} (`{key}` of {settings.name}), and it does not "
                    "decide which server gets a credential; nothing was sent",
                    hint=f"if you trust it, add {origin} to the variable {LISTED}, or name it in {variable}",
                )
    _require_variable(
        "notifications.urlsEnv", config.notifications.urls_env, _NOTIFY, "RECONCILER_NOTIFY_URLS"
    )


def require_agreement(file: Sequence[OrganizationSettings], environ: Mapping[str, str]) -> None:
    """Refuse a variable that names another server than one of several organizations does.

    It would send each organization's key to one server.

    Args:
        file: the organizations that the command works on, as the file has them; the file has several.
        environ: the environment.

    Raises:
        InvalidInput: ZOF_API_URL or VAULT_ADDR contradicts one of them; nothing was sent.
    """
    for settings in file:
        for key, url, variable in _servers(settings):
            named = environ.get(variable, "").strip()
            if named and not _is_same(named, url):
                raise InvalidInput(
                    f"{variable} contradicts `{key}` of {settings.name}, and the configuration has several "
                    "organizations; nothing was sent",
                    hint=f"unset {variable} and list each server's origin in {LISTED}, or remove `{key}`",
                )


def _servers(settings: OrganizationSettings) -> Iterator[tuple[str, str, str]]:
    """Yield each configured server: its key in the file, its URL, and the variable that names it."""
    if settings.api.url is not None:
        yield "api.url", settings.api.url, API_URL
    if settings.vault.address is not None:
        yield "vault.address", settings.vault.address, VAULT_ADDRESS


def _is_same(one: str, other: str) -> bool:
    return normalize_url(one.rstrip("/")) == normalize_url(other.rstrip("/"))


def _listed_origins(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the origins that RECONCILER_SERVERS lists.

    Raises:
        InvalidInput: an entry is not an origin.
    """
    entries = [entry.strip() for entry in environ.get(LISTED, "").split(",")]
    for number, entry in enumerate(entries, start=1):
        problem = entry and service_url_problem(entry)
        if entry and not problem and urlsplit(entry).path not in {"", "/"}:
            problem = "has a path"
        if problem:
            raise InvalidInput(
                f"entry {number} of {LISTED} {problem}; nothing was sent",
                hint="list origins, joined by commas: `https://api.example.com,https://vault.example.com:8200`",
            )
    return frozenset(origin_of(entry) for entry in entries if entry)


def _require_variable(key: str, name: str, form: re.Pattern[str], example: str) -> None:
    """Refuse a variable that holds another credential than the one that `key` is about.

    The schema of the configuration requires the same form.
    """
    if not form.fullmatch(name):
        raise InvalidInput(
            f"`{key}` must match {form.pattern}; nothing was sent", hint=f"name a variable such as {example}"
        )
