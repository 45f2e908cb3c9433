"""A whole organization in memory, and one line to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.apply.holder import LEASE
from reconciler.model import Location, Organization, Run, Secret, VaultPlace, Webhook
from reconciler.plan.guards import GuardLimits
from reconciler.ports import Fresh
from reconciler.session import Session
from reconciler.usecases.apply import apply
from reconciler.usecases.plan import Planned, plan
from tests.fakes.api import ApiBehavior, FakeApi
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Sequence

    from reconciler.apply.holder import Holder
    from reconciler.plan.outcome import Outcome
    from reconciler.usecases.plan import Planned

API_URL = "https://api.zof.ai/v1"
NO_LIMITS = GuardLimits(max_deletes=1000, max_delete_percent=100)


class SilentReporter:
    """Reports nothing, and remembers the warnings."""

    def __init__(self) -> None:
        """Begin without warnings."""
        self.warnings: list[str] = []

    def listed(self, endpoints: int, pages: int) -> None:
        """Ignore it."""

    def planned(self, api_requests: int) -> None:
        """Ignore it."""

    def step(self, name: str, description: str, api_requests: int) -> None:
        """Ignore it."""

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """Ignore it."""

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """Ignore it."""

    def waiting(self, seconds: float, reason: str) -> None:
        """Ignore it."""

    def warn(self, message: str) -> None:
        """Remember it."""
        self.warnings.append(message)


class CountingFresh:
    """Randomness that is different each time and the same in each test."""

    def __init__(self, name: str = "") -> None:
        """Begin at zero; `name` keeps two sources apart."""
        self._name = name
        self._count = 0

    def copy(self) -> CountingFresh:
        """Return an independent source that goes on with the same values."""
        other = CountingFresh(self._name)
        other._count = self._count
        return other

    def __call__(self) -> Fresh:
        """Return the next."""
        self._count += 1
        tag = f"{self._name}{self._count:06}"
        return Fresh(f"nonce{tag}", f"key{tag}", Secret(f"whsec_client{tag}"))


def webhook(name: str, **changes: object) -> Webhook:
    """Return a desired webhook with a URL of its own."""
    values: dict[str, object] = {
        "url": f"https://hooks.example.com/{name}",
        "events": ("run.completed", "run.failed"),
        "location": Location(f"manifests/{name}.yaml", 1, 1),
        **changes,
    }
    return Webhook(name=name, **values)  # type: ignore[arg-type]


class Org:
    """One organization: the fakes, and the use cases on them."""

    def __init__(self, behavior: ApiBehavior | None = None, *, organization: str = "acme") -> None:
        """Begin with nothing live and nothing stored."""
        self.clock = FakeClock()
        self.api = FakeApi(self.clock, behavior)
        self.store = FakeStore(self.clock)
        self.reporter = SilentReporter()
        self.fresh = CountingFresh()
        self.unmanaged: set[str] = set()
        """The endpoints that somebody made in the console."""
        self.recorded: set[str] = set()
        """The endpoints that a document has named as its own, for tests that watch the store."""
        self.session = Session(
            organization=Organization(organization, API_URL),
            place=VaultPlace("https://vault.example.com", "secret", f"webhooks/{organization}"),
            run=Run("ada", "c0ffee", key_fingerprint="0a1b2c3d"),
            api=self.api,
            store=self.store,
            clock=self.clock,
            fresh=self.fresh,
            reporter=self.reporter,
            limits=NO_LIMITS,
        )

    def copy(self) -> Org:
        """Return an independent organization in the same state, without hooks."""
        other = Org()
        other.clock = self.clock.copy()
        other.api, other.store = self.api.copy(other.clock), self.store.copy(other.clock)
        other.fresh = self.fresh.copy()
        other.unmanaged, other.recorded = set(self.unmanaged), set(self.recorded)
        other.session = replace(
            self.session,
            api=other.api,
            store=other.store,
            clock=other.clock,
            fresh=other.fresh,
            reporter=other.reporter,
        )
        return other

    def rival(self) -> Org:
        """Return another run's view of the same servers."""
        other = Org()
        other.api, other.store, other.clock = self.api, self.store, self.clock
        other.session = replace(self.session, fresh=CountingFresh("rival"))
        return other

    def wanting(self, desired: Iterable[Webhook], limits: GuardLimits = NO_LIMITS) -> Session:
        """Return the session of a run whose manifests declare `desired`."""
        return replace(self.session, desired=tuple(desired), limits=limits)

    def plan(self, *desired: Webhook, limits: GuardLimits = NO_LIMITS) -> Planned:
        """Plan towards `desired`."""
        return plan(self.wanting(desired, limits))

    def apply(
        self,
        *desired: Webhook,
        limits: GuardLimits = NO_LIMITS,
        stop: threading.Event | None = None,
    ) -> Outcome:
        """Plan and apply towards `desired`."""
        return apply(self.plan(*desired, limits=limits), stop=stop)

    def hold_lock(self, holder: Holder) -> None:
        """Take the lock as a run does, and do not renew it."""
        now = self.clock.now()
        version, _ = self.store.read_lock()
        self.store.write_lock(holder.to_fields(since=now, expires=now + LEASE), cas=version)
        self.store.note_lock(holder.to_note(since=now))

    def free_lock(self) -> None:
        """Release the lock as a run does."""
        self.store.note_lock({})
        version, _ = self.store.read_lock()
        self.store.write_lock(None, cas=version)

    def check(self, desired: Sequence[Webhook], unmanaged: Iterable[str] = ()) -> None:
        """Check that live endpoints and documents are as desired, and that a further run changes nothing."""
        expected = set(unmanaged)
        for wanted in desired:
            fields = self.store.fields(wanted.name)
            endpoint = self.api.endpoints.get(fields.get("endpoint_id", ""))
            assert endpoint is not None, f"{wanted.name} has no endpoint"
            assert endpoint.serves(wanted), f"{wanted.name} is not what was asked for"
            assert fields["signing_secret"] == self.api.secrets[endpoint.id], f"{wanted.name}: a wrong secret"
            assert "pending_signing_secret" not in fields, f"{wanted.name}: an intent is left"
            expected.add(endpoint.id)
        assert set(self.api.endpoints) == expected, "an orphan, a duplicate or a lost endpoint"
        before, writes = self.api.requests_sent, self.store.writes
        assert not self.plan(*desired).plan.changes, "a further plan is not empty"
        outcome = self.apply(*desired)
        assert outcome.changes == ()
        assert self.api.requests[before:] == ["list", "list"]
        assert self.store.writes == writes
