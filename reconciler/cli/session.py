"""Open organizations: settings and manifests become a session with the API, Vault and everything else."""

from __future__ import annotations

import hashlib
import os
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.cli.attribution import current_run
from reconciler.cli.configuration import load_configuration, load_desired, path_scope
from reconciler.cli.display import Display
from reconciler.cli.logins import choose_login, require
from reconciler.cli.output import write_note
from reconciler.cli.runner_masks import hide_token
from reconciler.cli.system import SystemClock, fresh
from reconciler.config.servers import require_trusted
from reconciler.model import Secret, VaultPlace
from reconciler.session import TYPICAL_QUOTA, Session
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession
from reconciler.zof.client import ZofApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from reconciler.cli.options import Options
    from reconciler.config.settings import NotificationSettings, OrganizationSettings
    from reconciler.model import Run, Webhook
    from reconciler.plan.scope import PathScope
    from reconciler.ports import Exchange, Reporter


class Scope(Struct, frozen=True):
    """The organizations that a command works on, what their manifests declare, and who runs it."""

    organizations: tuple[OrganizationSettings, ...]
    notifications: NotificationSettings
    options: Options
    run: Run
    display: Display
    desired: Mapping[str, tuple[Webhook, ...]] = field(default_factory=dict)
    """The webhooks that manifests declare, by organization; empty for a command that reads no manifests."""
    limited: Mapping[str, PathScope] = field(default_factory=dict)
    """The scopes of the organizations that PATHs on the command line limit."""

    @property
    def several(self) -> bool:
        """Whether results are for several organizations; so is a shard, however many are in it."""
        return _are_several(self.organizations, self.options)


def _are_several(organizations: Sequence[OrganizationSettings], options: Options) -> bool:
    return len(organizations) > 1 or options.shard is not None


def load_scope(options: Options, *, manifests: bool = True) -> Scope:
    """Return the organizations that the options choose, in the configuration's order.

    All manifests of all of them are read first: nothing is sent if anything is invalid.

    Raises:
        InvalidInput: manifests or configuration are invalid; each problem has been written to stderr. Or only
            the configuration names a server.
    """
    config = load_configuration(options)
    require_trusted(config, os.environ)
    if not config.organizations:
        write_note(f"No organization is in shard {options.shard}.")
    loaded = load_desired(config, options) if manifests else {}
    run = current_run(os.environ, options.actor)
    scopes = {
        each.name: path_scope(each, loaded[each.name], options)
        for each in config.organizations
        if each.name in loaded
    }
    return Scope(
        config.organizations,
        config.notifications,
        options,
        run,
        Display.of(options, several=_are_several(config.organizations, options)),
        {name: each.webhooks for name, each in loaded.items()},
        {name: scope for name, scope in scopes.items() if scope is not None},
    )


@contextmanager
def open_session(
    scope: Scope,
    settings: OrganizationSettings,
    *,
    observe: Callable[[Exchange], object] | None = None,
) -> Iterator[Session]:
    """Open the API and Vault of an organization; both are closed at the end.

    `observe` gets the shape of each response of the API.

    Raises:
        InvalidInput: a key, an address or credentials are missing; nothing was sent.
    """
    requests_per_minute = settings.api.requests_per_minute or TYPICAL_QUOTA
    clock = SystemClock()
    reporter = scope.display.reporter(settings.name, clock, requests_per_minute=requests_per_minute)
    with connect_api(settings, reporter, observe) as api, connect_vault(settings) as vault:
        yield Session(
            organization=settings.organization,
            place=VaultPlace(vault.address, settings.vault.mount, settings.vault.prefix),
            run=replace(scope.run, key_fingerprint=fingerprint(api_key(settings))),
            api=api,
            store=open_store(vault, settings),
            clock=clock,
            fresh=fresh,
            reporter=reporter,
            desired=scope.desired.get(settings.name, ()),
            scope=scope.limited.get(settings.name),
            limits=settings.guards,
            requests_per_minute=settings.api.requests_per_minute,
        )


def connect_api(
    settings: OrganizationSettings,
    reporter: Reporter,
    observe: Callable[[Exchange], object] | None = None,
) -> ZofApi:
    """Return a client of the Zof API, which the caller closes; nothing is sent.

    Raises:
        InvalidInput: the key is missing, or must not be sent to the URL.
    """
    return ZofApi(
        settings.organization.api_url,
        api_key(settings),
        clock=SystemClock(),
        reporter=reporter,
        # If it is not configured, the API's own headers set the pace.
        requests_per_minute=settings.api.requests_per_minute,
        observe=observe,
    )


def api_key(settings: OrganizationSettings) -> Secret:
    """Return the API key of an organization.

    Raises:
        InvalidInput: it is missing.
    """
    return Secret(require(os.environ, settings.api.key_env, f"the Zof API key of {settings.name}"))


def fingerprint(key: Secret) -> str:
    """Return the first 8 hex digits of the key's SHA-256: it identifies the key and does not reveal it."""
    return hashlib.sha256(key.reveal().encode()).hexdigest()[:8]


def connect_vault(settings: OrganizationSettings) -> VaultSession:
    """Return a session with Vault, which the caller closes.

    Raises:
        InvalidInput: the address or the credentials are missing or unusable.
    """
    vault = settings.vault
    session = VaultSession(
        vault.address or require(os.environ, "VAULT_ADDR", "the address of Vault or OpenBao"),
        login=choose_login(os.environ, vault.auth),
        clock=SystemClock(),
        namespace=vault.namespace,
        ca_cert=os.environ.get("VAULT_CACERT") or None,
        on_login=hide_token,
    )
    _SESSIONS.add(session)
    return session


def close_sessions() -> None:
    """Log out of Vault everywhere: nobody waits for those who use the sessions."""
    for session in list(_SESSIONS):
        session.close()


_SESSIONS: weakref.WeakSet[VaultSession] = weakref.WeakSet()
"""Every open session with Vault; also some that are closed already."""


def open_store(vault: VaultSession, settings: OrganizationSettings) -> VaultDocuments:
    """Return the documents of an organization in Vault."""
    place = settings.vault
    return VaultDocuments(vault, mount=place.mount, prefix=place.prefix, clock=SystemClock())
