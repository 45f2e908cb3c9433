"""A world with people in it: what they do between two requests, and an oracle that knows who made what.

Two invariants hold at each request. I11: no endpoint that a person made is ever deleted or taken over without
`adopt`. I12: a webhook whose manifest does not change is replaced at most once, however the API spells it.

One coincidence is outside of I11, and these worlds keep it out: a person who makes an endpoint with the same
URL and events while a creation is on its way that may be carried out. Nothing tells such an endpoint apart
from that creation's own. So nobody acts between a request and its answer, nor within `CLOSE` of an answer
that was lost, nor within `KILLED` of a request whose sender was killed.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from reconciler.errors import ReconcilerError
from tests.fakes.world import Org

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model import Webhook
    from reconciler.ports import CreateAnswer, DeleteAnswer, TestAnswer
    from tests.fakes.api import ApiBehavior

CLOSE = timedelta(seconds=30)
"""So near to a request whose answer was lost, an endpoint that looks like its work may be its work."""
KILLED = timedelta(minutes=10)
"""The same for a request whose sender was killed: nobody knows when it ended."""
PAUSES = (timedelta(minutes=6), timedelta(hours=30))
"""Between the runs that follow the next one."""


class Crash(BaseException):
    """The process is killed here."""


class Watch:
    """Stands between a run and its servers: judges each request, and lets people act between two."""

    def __init__(self, org: Org) -> None:
        """Begin to watch; whoever watched before no longer does."""
        self.org = org
        self.violations: list[str] = []
        self.people: set[str] = set()
        """The endpoints that a person made, adopted ones left out."""
        self.touched: set[str] = set()
        """The endpoints that a person changed: to replace them again is right."""
        self.moments = 0
        self.visit: Callable[[int], None] = _nobody
        """Called with the number of each moment between two requests."""
        self.strike: Callable[[str], object] = _nothing
        """Called before each API request: it may raise, or return an answer for a request without effect."""
        self.lose: Callable[[str], object] = _nothing
        """Called after each API request: it may raise, or return another answer than the one that came."""
        self._replaced: Counter[tuple[str, str]] = Counter()
        self._current: dict[str, tuple[str, str]] = {}
        org.store.before, org.store.after = self._before_store, self._after_store
        org.api.before, org.api.after = self._before_api, self._after_api

    def calm(self) -> None:
        """From now on nobody acts, and nothing fails."""
        self.visit, self.strike, self.lose = _nobody, _nothing, _nothing

    def make(self, url: str, events: tuple[str, ...]) -> str:
        """Let a person make an endpoint; return its id."""
        endpoint = self.org.api.console_create(url, events)
        self.people.add(endpoint.id)
        return endpoint.id

    def remove_own(self) -> None:
        """Let people remove what they made, apart from what nobody else wants."""
        for endpoint_id in self.people - self.org.unmanaged:
            self.org.api.console_delete(endpoint_id)
            self.people.discard(endpoint_id)

    def check(self) -> None:
        """I11 and I12, as they were judged at each request."""
        assert not self.violations, self.violations
        assert self.people <= self.org.api.endpoints.keys(), "I11: what a person made is gone"

    def current(self, name: str) -> str:
        """Return the endpoint that a document has as its current one."""
        return str(self._ledger(name)["current"]["endpoint_id"])

    def owned(self) -> set[str]:
        """Return the endpoints that some document has as its own."""
        return {i for name in self.org.store.names for i in _recorded(self._ledger(name))}

    # --- moments ----------------------------------------------------------------------------------------

    def _moment(self) -> None:
        self.moments += 1
        self.visit(self.moments - 1)

    def _before_store(self, _operation: str, _name: str) -> None:
        self._moment()

    def _after_store(self, operation: str, name: str) -> None:
        if operation == "write":
            self._judge(name)
        self._moment()

    def _before_api(self, request: str) -> object:
        if request != "create":
            self._moment()
        answer = self.strike(request)
        endpoint_id = str(self.org.api.arguments[0]) if request == "delete" else ""
        if answer is None and endpoint_id in self.people and endpoint_id in self.org.api.endpoints:
            self.violations.append(f"I11: {endpoint_id} was made by a person and is deleted")
        return answer

    def _after_api(self, request: str, _answer: CreateAnswer | TestAnswer | DeleteAnswer) -> object:
        answer = self.lose(request)
        # Between a creation and what becomes of it nobody acts: see above.
        if request != "create":
            self._moment()
        return answer

    # --- the oracle -------------------------------------------------------------------------------------

    def _ledger(self, name: str) -> dict[str, Any]:
        text = self.org.store.texts(name)[-1]
        ledger: dict[str, Any] = json.loads(json.loads(text)["ledger"]) if text else {}
        return ledger

    def _judge(self, name: str) -> None:
        """Judge what a document says now."""
        ledger = self._ledger(name)
        if taken := sorted(_recorded(ledger) & self.people):
            self.violations.append(f"I11: {taken} was made by a person, and {name} takes it over")
        current = ledger["current"]
        if current is None:
            self._current.pop(name, None)
            return
        now = (current["endpoint_id"], current["digest"])
        old = self._current.get(name, now)
        self._current[name] = now
        replaced, digest = old
        if now == old or digest != now[1] or replaced in self.touched or not self._is_live(replaced):
            return
        self._replaced[name, digest] += 1
        if self._replaced[name, digest] > 1:
            self.violations.append(f"I12: {name} is replaced again, and its manifest is the same")

    def _is_live(self, endpoint_id: str) -> bool:
        return endpoint_id in self.org.api.endpoints


def begin(behavior: ApiBehavior, *before: Webhook) -> Watch:
    """Return a watched organization with these webhooks applied, and one endpoint that nobody manages."""
    org = Org(behavior)
    watch = Watch(org)
    org.unmanaged.add(watch.make("https://unmanaged.example.com/", ("run.failed",)))
    if before:
        org.apply(*before)
    org.clock.advance(hours=1)
    return watch


def go(org: Org, *desired: Webhook) -> None:
    """Run once; a run may be killed, or give up."""
    with contextlib.suppress(Crash, ReconcilerError):
        org.apply(*desired)


def run_until_calm(watch: Watch, *desired: Webhook, soon: timedelta = timedelta(seconds=1)) -> None:
    """Run a few times, first after `soon`: whatever a person made must survive them."""
    for pause in (soon, *PAUSES):
        watch.org.clock.advance(seconds=pause.total_seconds())
        go(watch.org, *desired)
        watch.check()


def converge(watch: Watch, *desired: Webhook) -> None:
    """Let people remove what is theirs, and an operator what conflicts name; then all must be in order."""
    org = watch.org
    watch.calm()
    watch.remove_own()
    for _ in range(3):
        for endpoint in list(org.api.endpoints.values()):
            if endpoint.id not in watch.owned() | org.unmanaged:
                org.api.console_delete(endpoint.id)
        org.clock.advance(hours=30)
        go(org, *desired)
    watch.check()
    org.check(desired, unmanaged=org.unmanaged)


def _recorded(ledger: dict[str, Any]) -> set[str]:
    """Return the endpoints that a ledger accounts for."""
    ids = {each["endpoint_id"] for each in ledger.get("previous") or []}
    return ids | {ledger["current"]["endpoint_id"]} if ledger.get("current") else ids


def _nobody(_moment: int) -> None:
    """Let nobody act."""


def _nothing(_request: str) -> None:
    """Let it pass."""
