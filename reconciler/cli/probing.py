"""The probe of `reconciler doctor --probe`: on the real API, under the lock, cleaned up after a signal."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reconciler.apply.holder import Holder
from reconciler.apply.lock import Lock
from reconciler.cli.progress import shown
from reconciler.cli.session import open_session
from reconciler.cli.signals import stop_on_signal
from reconciler.errors import InvalidInput
from reconciler.urls import service_url_problem
from reconciler.usecases.probe import probe
from reconciler.vault.documents import VaultDocuments

if TYPE_CHECKING:
    from reconciler.cli.session import Scope
    from reconciler.config.settings import OrganizationSettings
    from reconciler.plan.probe import ProbeReport
    from reconciler.ports import Exchange

_STOPPING = "stopping: the probe's endpoints are deleted first; a second signal ends the process immediately"


def check_probe_url(url: str) -> None:
    """Make sure that an endpoint can have this URL.

    Raises:
        InvalidInput: it cannot.
    """
    if problem := service_url_problem(url, query=True):
        raise InvalidInput(
            f"the URL of --probe {problem}", hint="name one such as `https://hooks.example.com/probe`"
        )


def run_probe(scope: Scope, settings: OrganizationSettings, url: str) -> ProbeReport:
    """Probe the API of an organization at `url`.

    Raises:
        ReconcilerError: the probe could not begin; nothing was created.
    """
    exchanges: list[Exchange] = []
    with open_session(scope, settings, observe=exchanges.append) as session:
        store = session.store
        assert isinstance(store, VaultDocuments)  # noqa: S101 (from `open_session`)
        reporter = session.reporter
        holder = Holder.here(session.run)
        lock = Lock(store, session.clock, holder, warn=reporter.warn, waiting=reporter.waiting)
        stop = threading.Event()
        with stop_on_signal(stop, _STOPPING), shown(reporter):
            return probe(session, store, url, exchanges=exchanges, lock=lock, stop=stop)
