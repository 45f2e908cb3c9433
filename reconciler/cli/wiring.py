"""From what was said to real objects: configuration, manifests, the API's client, Vault's, the reporter."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from reconciler.cli.attribution import current_run
from reconciler.cli.configuration import load_configuration, load_desired
from reconciler.cli.exit_codes import worst
from reconciler.cli.logins import choose_login, require
from reconciler.cli.notifying import Notifier
from reconciler.cli.output import wants_color, write_error
from reconciler.cli.system import SystemClock, fresh
from reconciler.cli.terminal import make_reporter
from reconciler.config.settings import NotificationSettings
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.model import Organization, Secret
from reconciler.plan.guards import GuardLimits
from reconciler.session import TYPICAL_QUOTA, Session
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession
from reconciler.zof.client import ZofApi

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.apply.lock import Lock
    from reconciler.cli.options import Settings
    from reconciler.cli.terminal import Terminal
    from reconciler.config.settings import OrganizationSettings
    from reconciler.model import Run, Webhook


class Place:
    """One organization's API and Vault: where they are, and how to open them."""

    def __init__(self, config: OrganizationSettings, settings: Settings) -> None:
        """Remember where things are; nothing is opened or sent."""
        self._config = config
        self._environ = os.environ
        self.name = config.name
        self.api_url = config.api.url
        self.mount = config.vault.mount
        self.prefix = config.vault.prefix
        self.clock = SystemClock()
        self.requests_per_minute = config.api.requests_per_minute or TYPICAL_QUOTA
        self.reporter: Terminal = make_reporter(
            self.clock,
            requests_per_minute=self.requests_per_minute,
            verbose=settings.verbose,
            show_bar=not settings.no_progress,
            color=wants_color(sys.stderr, os.environ, no_color=settings.no_color),
        )

    @property
    def journal(self) -> Path:
        """Where runs for this organization write down their steps: one file for each API and organization."""
        return self._state("jsonl")

    @property
    def audit(self) -> Path:
        """Where runs for this organization append for the record."""
        return self._state("audit.jsonl")

    def _state(self, suffix: str) -> Path:
        """Return a file of this API and organization in the user's state folder."""
        home = os.path.expanduser("~/.local/state")  # noqa: PTH111 (Path's own raises where there is no home)
        fallback = tempfile.gettempdir() if home.startswith("~") else home
        state = Path(self._environ.get("XDG_STATE_HOME") or fallback)
        api = re.sub(r"[^a-z0-9.]+", "-", self.api_url.partition("://")[2].lower())
        return state / "webhook-reconciler" / f"{api}-{self.name}.{suffix}"

    def api(self) -> ZofApi:
        """Return a client of the Zof API; it is the caller's to close.

        Raises:
            InvalidInput: the key is missing, or the URL is none to send a key to.
        """
        key = Secret(require(self._environ, self._config.api.key_env, f"the Zof API key of {self.name}"))
        return ZofApi(
            self.api_url,
            key,
            clock=self.clock,
            reporter=self.reporter,
            # Unless it was asked for, the API's own headers set the pace.
            requests_per_minute=self._config.api.requests_per_minute,
        )

    def vault(self) -> VaultSession:
        """Return a session with Vault; it is the caller's to close.

        Raises:
            InvalidInput: the address or the credentials are missing or unusable.
        """
        vault, environ = self._config.vault, self._environ
        return VaultSession(
            vault.address or require(environ, "VAULT_ADDR", "the address of Vault or OpenBao"),
            login=choose_login(environ, vault.auth),
            clock=self.clock,
            namespace=vault.namespace,
            ca_cert=environ.get("VAULT_CACERT") or None,
        )


_NOBODY = NotificationSettings()


@contextmanager
def open_session(
    place: Place, run: Run, desired: tuple[Webhook, ...] = (), limits: GuardLimits | None = None
) -> Iterator[Session]:
    """Open the API and Vault of an organization; both are closed at the end.

    Raises:
        InvalidInput: a key, an address or credentials are missing; nothing was sent.
    """
    with place.api() as api, place.vault() as vault:
        yield Session(
            organization=Organization(place.name, place.api_url),
            run=run,
            api=api,
            store=VaultDocuments(vault, mount=place.mount, prefix=place.prefix, clock=place.clock),
            clock=place.clock,
            fresh=fresh,
            reporter=place.reporter,
            desired=desired,
            limits=limits or GuardLimits(),
            requests_per_minute=place.requests_per_minute,
        )


class Site(Struct, frozen=True):
    """One organization as this run sees it: the place, and what manifests want there."""

    place: Place
    desired: tuple[Webhook, ...]
    limits: GuardLimits
    run: Run
    notifications: NotificationSettings = _NOBODY

    @property
    def name(self) -> str:
        """The organization's name."""
        return self.place.name

    @property
    def reporter(self) -> Terminal:
        """Who tells the person what goes on; a bar is there only inside its context."""
        return self.place.reporter

    @property
    def requests_per_minute(self) -> int:
        """The quota, for estimates."""
        return self.place.requests_per_minute

    @property
    def notifier(self) -> Notifier:
        """Who tells people elsewhere, if anybody is to be told."""
        return Notifier(self.notifications, os.environ, self.run, self.reporter.warn)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open the API and Vault; both are closed at the end.

        Raises:
            InvalidInput: a key, an address or credentials are missing; nothing was sent.
        """
        with open_session(self.place, self.run, self.desired, self.limits) as session:
            yield session

    def lock(self, session: Session, timeout: float) -> Lock:
        """Return the organization's lock, not yet taken."""
        from reconciler.apply.lock import Holder, Lock  # noqa: PLC0415 (what only reads takes no lock)

        store = session.store
        assert isinstance(store, VaultDocuments)  # noqa: S101 (it comes from `open_session`, above)
        return Lock(
            store, self.place.clock, Holder.here(self.run), timeout=timeout, warn=self.place.reporter.warn
        )


def load_places(settings: Settings) -> tuple[Place, ...]:
    """Return the chosen organizations, in the configuration's order.

    Raises:
        InvalidInput: the configuration is invalid, or lacks a chosen organization.
    """
    return tuple(Place(config, settings) for config in load_configuration(settings).organizations)


def load_sites(settings: Settings) -> tuple[Site, ...]:
    """Return the chosen organizations with what manifests want there.

    All manifests of all of them are read first: nothing is sent where anything is invalid.

    Raises:
        InvalidInput: manifests or configuration are invalid; each problem has been written to stderr.
    """
    configuration = load_configuration(settings)
    desired = load_desired(configuration, settings)
    run = current_run(os.environ, settings.actor)
    return tuple(
        Site(Place(config, settings), webhooks, config.guards, run, configuration.notifications)
        for config, webhooks in zip(configuration.organizations, desired, strict=True)
    )


_Named = TypeVar("_Named", Place, Site)


def for_each(
    sites: Sequence[_Named], act: Callable[[_Named], ExitCode], *, stop: threading.Event | None = None
) -> ExitCode:
    """Act on one organization after another, in their order; return the worst exit code.

    One that fails is told on stderr and does not keep the others from their turn; `stop` does.
    """
    codes = []
    for number, site in enumerate(sites):
        try:
            codes.append(act(site))
        except ReconcilerError as error:
            about = f"{site.name}: " if len(sites) > 1 else ""
            write_error(about + error.message, error.hint)
            codes.append(error.exit_code)
        if stop is not None and stop.is_set() and (left := sites[number + 1 :]):
            names = ", ".join(each.name for each in left)
            write_error(f"interrupted: not attempted: {names}", "run `reconciler apply` again")
            codes.append(ExitCode.PARTIAL)
            break
    return worst(codes)
