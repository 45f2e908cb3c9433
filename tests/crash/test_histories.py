"""Random histories of one organization: whatever happens, nothing is lost, and calm brings order.

Hypothesis makes up what people, servers and runs do, in a simulated world with virtual time: manifests
are edited, runs die or meet faults, two runs interleave, the console and Vault are used by hand. An oracle
that sees the API's own store looks at each request. In the end all is calm, and a few runs must converge.

`script/fuzz` tries many more of them, at random.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from reconciler.errors import ApiError, ReconcilerError, StoreError, StoreUnavailable
from reconciler.model import DeletionPolicy, Secret, SendingWindow
from reconciler.plan.outcome import Outcome
from reconciler.plan.protocol.state import Adoption
from reconciler.ports import Created, Refused, Unanswered
from reconciler.report.plan.json import plan_json
from reconciler.urls import normalize_url
from reconciler.usecases.adopt import plan_adoption
from reconciler.usecases.apply import apply
from reconciler.usecases.plan import only, plan, rotation
from tests.fakes.api import ApiBehavior, NotCarriedOut
from tests.fakes.world import NO_LIMITS, Org, SilentReporter, webhook
from tests.fixtures.examples import examples
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.model import Endpoint, Webhook
    from reconciler.ports import CreateAnswer, DeleteAnswer, TestAnswer
    from reconciler.sandbox.spelling import Spelling


# --- what histories are made of -------------------------------------------------------------------------

NAMES = st.sampled_from("abc")
WANTED = st.runner().flatmap(lambda machine: st.sampled_from(sorted(machine.manifests)))
"""The name of a manifest that there is."""
LIVE = st.runner().flatmap(lambda machine: st.sampled_from(sorted(machine.org.api.endpoints)))
"""The id of an endpoint that is live."""
PATHS = st.sampled_from("pqrs")
OURS = (("run.completed",), ("run.failed",), ("run.started",))
FOREIGN = ("run.queued",)
"""What no manifest ever asks for: an endpoint with these events never looks like ours."""
EVENTS = st.sampled_from(OURS)
ANY_EVENTS = st.sampled_from((*OURS, FOREIGN))
MOMENTS = st.integers(0, 60)
"""Before or after the n-th request of a run; a run that is shorter goes well."""
FAULTS = st.sampled_from(["silence", "error", "retried", "key refused", "not sent"])
PAUSES = {
    "seconds": timedelta(seconds=5),
    "minutes": timedelta(minutes=6),
    "21 hours": timedelta(hours=21),
    "30 hours": timedelta(hours=30),
}
AMENDMENTS: dict[str, dict[str, Any]] = {
    "Retain": {"deletion_policy": DeletionPolicy.RETAIN},
    "Delete": {"deletion_policy": DeletionPolicy.DELETE},
    "overlap": {"overlap": timedelta(hours=24)},
    "no overlap": {"overlap": timedelta(0)},
    "no test": {"test": False},
    "test": {"test": True},
    "newer secret": {},
    "newer secret, soon": {},
}
BEHAVIORS = st.builds(
    ApiBehavior,
    honours_client_secret=st.booleans(),
    replay_shows_secret=st.booleans(),
    key_lifetime=st.sampled_from([24 * 3600.0, 0.0]),
    stores_server_errors=st.booleans(),
    unique_urls=st.booleans(),
    listing_lag=st.sampled_from([0.0, 3.0]),
    page_size=st.sampled_from([100, 2]),
)
MARGIN = timedelta(seconds=5)
"""What was made so shortly before or after a request of ours may be its work."""
LONGEST_SENDING = timedelta(minutes=2)
"""After this time, the request of a run that died is no longer under way."""
ROUNDS = 4
ADVISED = re.compile(r"`reconciler adopt \S+ --id (\S+) --rotate`")
"""The endpoint that a hint asks somebody to take over or to remove."""


def address(path: str) -> str:
    """Return the URL that a history calls `path`."""
    return f"https://hooks.example.com/{path}"


class Crash(BaseException):
    """The process is killed here."""


@dataclass
class Pilot:
    """One run: what it wants, and what happens to it."""

    desired: tuple[Webhook, ...]
    names: frozenset[str] | None = None
    """The only webhooks that it cares about (`rotate`)."""
    adoption: Adoption | None = None
    """The endpoint that it is to take over (`adopt`)."""
    killed_at: int | None = None
    fault_at: int | None = None
    fault: str = ""
    moments: int = 0
    dead: bool = False
    step: str = ""
    """What it is about to do, in its own words."""

    @property
    def has_had_fault(self) -> bool:
        """Whether one of its requests has failed."""
        return self.fault_at is not None and self.fault_at < self.moments

    announced: list[tuple[Intent, datetime]] = field(default_factory=list)
    """The intents whose requests it was about to send, and since when."""
    sending: tuple[str, datetime] | None = None
    """The key of the creation that it has sent, and when."""


@dataclass
class Intent:
    """An intent that some document recorded."""

    url: str
    events: tuple[str, ...]
    sent: list[tuple[datetime, datetime]] = field(default_factory=list)
    """When its requests were under way; of a run that died, when they may have been."""

    def may_have_made(self, endpoint: Endpoint) -> bool:
        """Whether `endpoint` was made when one of the intent's requests was under way."""
        created = endpoint.created
        return (
            (normalize_url(self.url), self.events) == (endpoint.normalized_url, endpoint.events)
            and created is not None
            and any(began - MARGIN <= created <= ended + MARGIN for began, ended in self.sent)
        )


class Listener(SilentReporter):
    """Remembers every word."""

    def __init__(self, said: Callable[[str], None], does: Callable[[str], None]) -> None:
        super().__init__()
        self._said = said
        self._does = does

    def step(self, name: str, description: str, api_requests: int) -> None:
        """Remember it."""
        self._said(f"{name} {description}")
        self._does(description)

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """Remember it."""
        self._said(f"{name} {action} {detail}")

    def warn(self, message: str) -> None:
        """Remember it."""
        self._said(message)


# --- the oracle -----------------------------------------------------------------------------------------


class Stage:
    """Stands between runs and servers: lets runs die and servers fail, whose turn it is, and sees all."""

    def __init__(self, org: Org, pace: float) -> None:
        """Take the stage; each request takes `pace` virtual seconds."""
        self.org = org
        self.violations: list[str] = []
        self.recorded: set[str] = set()
        """The endpoints that a document has named as its own."""
        self.console: dict[str, Endpoint] = {}
        """What somebody made in the console, as it is to stay."""
        self.touched: set[str] = set()
        """The endpoints that somebody changed in the console."""
        self.adrift: set[str] = set()
        """Those of them that no document had recorded then: their owner is unknown."""
        self.let_go: set[str] = set()
        """The endpoints that were released at some time."""
        self.named: set[str] = set()
        """The endpoints that a run has named as conflicts, since nothing shows whose they are."""
        self._intents: dict[tuple[str, str], Intent] = {}
        self._pace = pace
        self._pilots: list[Pilot] = []
        self._turn = 0
        self._bursts: Iterator[int] = iter(())
        self._left = 0
        """Whether some intent ever allowed a gap."""
        self._is_promised = True
        """Whether each URL is to be served all the time."""
        self._is_retried = False
        """Whether the creation on its way is the client's second try."""
        self._turns = (threading.Semaphore(0), threading.Semaphore(0))
        self._finished = [True, True]
        org.store.before = self._before_store
        org.store.after = self._after_store
        org.api.before = self._before_api
        org.api.after = self._after_api

    # --- runs -------------------------------------------------------------------------------------------

    def run(self, pilot: Pilot) -> Outcome | ReconcilerError | None:
        """Let one run have the servers for itself; None: it was killed."""
        self._pilots, self._turn = [pilot], 0
        try:
            return self._fly(self.org, pilot)
        finally:
            self._pilots = []

    def interleave(self, first: Pilot, second: Pilot, bursts: list[int]) -> None:
        """Let two runs take turns: at their requests, after as many as `bursts` say."""
        self._pilots, self._turn, self._finished = [first, second], 0, [False, False]
        self._bursts = iter(bursts)
        self._left = next(self._bursts, 0)
        # Without the lock, two runs that want different things may each delete what the other has just made.
        wanted = [sorted((w.name, w.url) for w in pilot.desired) for pilot in self._pilots]
        self._is_promised = wanted[0] == wanted[1]
        rival = self.org.rival()
        # One source of chance for both: a history may have many rivals.
        rival.session = replace(rival.session, fresh=self.org.session.fresh)
        problems: list[BaseException] = []

        def fly(number: int, org: Org, pilot: Pilot) -> None:
            self._turns[number].acquire(timeout=PATIENCE)
            try:
                self._fly(org, pilot)
            except BaseException as error:  # noqa: BLE001 - it is raised where the test sees it
                problems.append(error)
            finally:
                self._finished[number] = True
                if not self._finished[1 - number]:
                    self._turn = 1 - number
                    self._turns[1 - number].release()

        threads = [
            threading.Thread(target=fly, args=(number, org, pilot))
            for number, (org, pilot) in enumerate([(self.org, first), (rival, second)])
        ]
        for thread in threads:
            thread.start()
        self._turns[0].release()
        for thread in threads:
            thread.join()
        self._pilots, self._is_promised = [], True
        if problems:
            raise problems[0]

    def _fly(self, org: Org, pilot: Pilot) -> Outcome | ReconcilerError | None:
        try:
            if pilot.adoption is not None:
                planned = plan_adoption(org.wanting(pilot.desired), pilot.adoption)
            else:
                planned = plan(org.wanting(pilot.desired))
            if pilot.names is not None:
                planned = only(planned, pilot.names)
            self.listen(plan_json(planned.plan))
            # A person has looked at the plan and approved exactly this.
            approved = replace(NO_LIMITS, approve=(planned.plan.digest,))
            session = replace(planned.session, limits=approved)
            outcome = apply(replace(planned, refusals=(), session=session))
        except Crash:
            return None
        except ReconcilerError as error:
            self.listen(f"{error.message} {error.hint}")
            return error
        finally:
            if pilot.dead or pilot.has_had_fault:
                # Nothing is recorded of how its last request ended.
                for intent, since in pilot.announced:
                    intent.sent.append((since, since + LONGEST_SENDING))
        self.listen(str(outcome))
        self.named |= {conflict.endpoint_id for conflict in outcome.conflicts}
        self.named |= set(ADVISED.findall(" ".join(change.hint or "" for change in outcome.changes)))
        return outcome

    def listen(self, words: str) -> None:
        """I7: no secret is ever said."""
        if "whsec_" in words:
            self.violations.append(f"I7: a secret is shown: {words}")

    def note_step(self, description: str) -> None:
        """Remember what the run whose turn it is is about to do."""
        self._pilots[self._turn].step = description

    # --- moments ----------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Let the other run go on, if the order says so."""
        me = self._turn
        if len(self._pilots) == 1 or self._finished[1 - me]:
            return
        if self._left > 0:
            self._left -= 1
            return
        self._left = next(self._bursts, 10**6)
        self._turn = 1 - me
        self._turns[1 - me].release()
        assert self._turns[me].acquire(timeout=PATIENCE), "two runs wait for each other"

    def _moment(self) -> str | None:
        """Return the fault that strikes now, if one does."""
        pilot = self._pilots[self._turn]
        pilot.moments += 1
        moment = pilot.moments - 1
        if pilot.dead or moment == pilot.killed_at:
            pilot.dead = True
            raise Crash
        return pilot.fault if moment == pilot.fault_at else None

    def _before_store(self, _operation: str, _name: str) -> None:
        if self._pilots:
            self._hand_over()
            self.org.clock.sleep(self._pace)
            self._store_moment()

    def _after_store(self, operation: str, name: str) -> None:
        if operation == "write":
            self._note(name)
        if self._pilots:
            self._store_moment()

    def _store_moment(self) -> None:
        match self._moment():
            case None:
                pass
            case "silence":
                raise StoreUnavailable("Vault did not answer")
            case _:
                raise StoreError("Vault refused")

    def _before_api(self, request: str) -> object:
        if not self._pilots:
            return None
        # While the other run goes on, these become its own.
        arguments, began = self.org.api.arguments, self.org.clock.now()
        self._hand_over()
        self.org.clock.sleep(self._pace)
        fault = self._moment()
        if request == "create":
            self._pilots[self._turn].sending = (str(arguments[0]), began)
        if fault is not None:
            if request == "list":
                raise ApiError("the listing broke off")
            if not (fault == "retried" and request == "create"):
                return self._failure(fault)
            # A try whose answer was lost; the client tries again by itself.
            key, body = arguments
            self.org.api.perform_create(str(key), str(body))
            self._is_retried = True
        if request == "delete":
            self._see_deletion(str(arguments[0]))
        return None

    def _after_api(
        self, request: str, answer: CreateAnswer | TestAnswer | DeleteAnswer
    ) -> CreateAnswer | TestAnswer | DeleteAnswer | None:
        if not self._pilots:
            return None
        pilot = self._pilots[self._turn]
        if request == "create" and pilot.sending is not None:
            self._note_sending(*pilot.sending)
        retried, self._is_retried = self._is_retried, False
        fault = self._moment()
        if isinstance(answer, Created) and (retried or fault == "retried"):
            now = self.org.clock.now()
            return replace(answer, windows=(SendingWindow(now, now),))
        if isinstance(answer, Refused) and retried:
            # As the client does: the refusal may be about what the first try has made.
            return Unanswered("refused after a try of unknown outcome", stored_error=True)
        if fault is None:
            return None
        return Unanswered("the answer was lost", stored_error=fault == "error")

    def _failure(self, fault: str) -> CreateAnswer:
        if fault == "key refused":
            return Refused(403, "forbidden", "this key may not")
        if fault == "not sent":
            return NotCarriedOut("no connection")
        return Unanswered("no answer", stored_error=fault == "error")

    def _note_sending(self, key: str, began: datetime) -> None:
        """Remember when a creation was under way."""
        for (_name, each), intent in self._intents.items():
            if each == key:
                intent.sent.append((began, self.org.clock.now()))

    # --- what the oracle knows --------------------------------------------------------------------------

    def ledger(self, name: str) -> dict[str, Any]:
        """Return what the newest version of a document says, though it be deleted."""
        text = self.org.store.texts(name)[-1]
        ledger: dict[str, Any] = json.loads(json.loads(text)["ledger"]) if text else {}
        return ledger

    def released(self) -> dict[str, str]:
        """Return the endpoints that were released, and the names of their documents."""
        ledgers = {name: self.ledger(name) for name in self.org.store.names}
        return {
            ledger["current"]["endpoint_id"]: name
            for name, ledger in ledgers.items()
            if ledger.get("released") and ledger["current"]
        }

    def live_at(self, normalized_url: str) -> set[str]:
        """Return the endpoints that are live at a URL."""
        return {e.id for e in self.org.api.endpoints.values() if e.normalized_url == normalized_url}

    def _note(self, name: str) -> None:
        """Remember what a document now says."""
        ledger, now = self.ledger(name), self.org.clock.now()
        if ledger["current"]:
            self.recorded.add(ledger["current"]["endpoint_id"])
            self._note_adoption(name, ledger)
            if ledger["released"]:
                self.let_go.add(ledger["current"]["endpoint_id"])
        pending = ledger["pending"]
        if pending:
            body = json.loads(pending["body"])
            intent = self._intents.setdefault(
                (name, pending["idempotency_key"]), Intent(body["url"], tuple(sorted(body["events"])))
            )
            self._note_announcement(intent, now, pending["windows"])

    def _note_announcement(self, intent: Intent, now: datetime, windows: list[dict[str, str]]) -> None:
        """Remember that a run is about to send an intent's request."""
        if not self._pilots or all(datetime.fromisoformat(each["ended"]) <= now for each in windows):
            return
        self._pilots[self._turn].announced.append((intent, now))
        if len(self._pilots) > 1:
            # The other run cannot know whether it is still under way.
            intent.sent.append((now, now + LONGEST_SENDING))

    def _note_adoption(self, name: str, ledger: dict[str, Any]) -> None:
        """What a document takes over on somebody's word is ours from now on: no longer the console's."""
        adoption = self._pilots[self._turn].adoption if self._pilots else None
        if adoption is not None and adoption.name == name:
            known = {ledger["current"]["endpoint_id"], *(each["endpoint_id"] for each in ledger["previous"])}
            if adoption.endpoint_id in known:
                self.console.pop(adoption.endpoint_id, None)
                self.adrift.discard(adoption.endpoint_id)

    def _see_deletion(self, endpoint_id: str) -> None:
        """Judge a DELETE that is about to take effect."""
        endpoint = self.org.api.endpoints.get(endpoint_id)
        if endpoint is None:
            return
        is_ambiguous = any(intent.may_have_made(endpoint) for intent in self._intents.values())
        if endpoint_id in self.console:
            # What looks exactly like a request's work, and was made when it was on its way, is taken for it.
            if not is_ambiguous:
                self.violations.append(f"I4: {endpoint} was made in the console and is deleted")
            del self.console[endpoint_id]
        if endpoint_id in self.released():
            self.violations.append(f"I4: {endpoint} was released and is deleted")
        if self._leaves_a_gap(endpoint):
            self.violations.append(f"I5: {endpoint} is deleted and nothing else serves its URL")

    def _leaves_a_gap(self, endpoint: Endpoint) -> bool:
        if endpoint.id not in self.recorded or endpoint.id in self.touched:
            return False
        wanted = [w for w in self._pilots[self._turn].desired if w.normalized_url == endpoint.normalized_url]
        if (
            not self._is_promised
            or not wanted
            or wanted[0].allow_event_gap
            or self.live_at(endpoint.normalized_url) != {endpoint.id}
        ):
            return False
        ledgers = {name: self.ledger(name) for name in self.org.store.names}
        own = ledgers.get(wanted[0].name, {})
        # An intent that allows a gap is carried out though the manifest was edited meanwhile, and a removal
        # is finished though the manifest came back.
        return not (own.get("removing") or (own.get("pending") and own["pending"]["gap"]))


# --- the histories --------------------------------------------------------------------------------------


class Histories(RuleBasedStateMachine):
    """One organization, its manifests, its servers, and everybody who changes them."""

    def __init__(self) -> None:
        super().__init__()
        self.manifests: dict[str, Webhook] = {}
        self.before: dict[str, Webhook] = {}
        """The manifests before they were edited last."""

    @initialize(behavior=BEHAVIORS, pace=st.sampled_from([0.0, 0.5, 4.0]))
    def begin(self, behavior: ApiBehavior, pace: float) -> None:
        """An organization begins with an endpoint that nobody manages."""
        self.org = Org(behavior)
        self.stage = Stage(self.org, pace)
        self.org.session = replace(
            self.org.session, reporter=Listener(self.stage.listen, self.stage.note_step)
        )
        self._make("https://unmanaged.example.com/", OURS[0])

    @property
    def desired(self) -> tuple[Webhook, ...]:
        """What the manifests say."""
        return tuple(self.manifests.values())

    # --- somebody edits the manifests -------------------------------------------------------------------

    def _edit(self, manifests: dict[str, Webhook]) -> None:
        self.before, self.manifests = self.manifests, manifests

    @rule(name=NAMES, path=PATHS, events=EVENTS)
    def declare(self, name: str, path: str, events: tuple[str, ...]) -> None:
        """A manifest is written or edited; the one that had its URL gets the old URL, or is removed."""
        manifests, url = dict(self.manifests), address(path)
        mine = manifests.get(name) or webhook(name, url="")
        for other in self.desired:
            if other.url == url and other.name != name:
                manifests[other.name] = replace(other, url=mine.url)
        manifests[name] = replace(mine, url=url, events=events)
        self._edit({name: each for name, each in manifests.items() if each.url})

    @precondition(lambda self: self.manifests)
    @rule(name=WANTED, new=NAMES)
    def rename(self, name: str, new: str) -> None:
        """A manifest gets another name."""
        if new not in self.manifests:
            manifests = dict(self.manifests)
            manifests[new] = replace(manifests.pop(name), name=new)
            self._edit(manifests)

    @precondition(lambda self: self.manifests)
    @rule(name=WANTED)
    def remove(self, name: str) -> None:
        """A manifest goes."""
        self._edit({each: w for each, w in self.manifests.items() if each != name})

    @precondition(lambda self: self.manifests)
    @rule(name=WANTED, amendment=st.sampled_from(sorted(AMENDMENTS)))
    def amend(self, name: str, amendment: str) -> None:
        """A manifest says something else about the same endpoint."""
        changes = dict(AMENDMENTS[amendment])
        if amendment.startswith("newer secret"):
            later = timedelta(hours=2) if amendment.endswith("soon") else timedelta(0)
            changes["created_after"] = self.org.clock.now() + later
        self._edit({**self.manifests, name: replace(self.manifests[name], **changes)})

    @precondition(lambda self: self.manifests and self.org.api.behavior.unique_urls)
    @rule(name=WANTED, allowed=st.booleans())
    def allow_gap(self, name: str, allowed: bool) -> None:
        """A manifest allows a gap, or does so no longer."""
        self._edit({**self.manifests, name: replace(self.manifests[name], allow_event_gap=allowed)})

    # --- runs -------------------------------------------------------------------------------------------

    @rule()
    def apply(self) -> None:
        """A run without any trouble raises nothing."""
        self._apply()

    def _apply(self) -> Outcome:
        ended = self.stage.run(Pilot(self.desired))
        assert isinstance(ended, Outcome), ended
        return ended

    @rule(at=MOMENTS)
    def apply_killed(self, at: int) -> None:
        """A run dies."""
        self.stage.run(Pilot(self.desired, killed_at=at))

    @rule(at=MOMENTS, fault=FAULTS)
    def apply_with_fault(self, at: int, fault: str) -> None:
        """A request of a run fails."""
        self.stage.run(Pilot(self.desired, fault_at=at, fault=fault))

    @precondition(lambda self: self.manifests)
    @rule(name=WANTED, now=st.booleans(), killed_at=st.none() | MOMENTS)
    def rotate(self, name: str, now: bool, killed_at: int | None) -> None:
        """A secret is rotated."""
        self.stage.run(self._rotation(name, now=now, killed_at=killed_at))

    def _rotation(self, name: str, *, now: bool, killed_at: int | None = None) -> Pilot:
        wanted = rotation(self.desired, [name], self.org.clock.now(), revoke=now)
        return Pilot(wanted, frozenset({name}), killed_at=killed_at)

    @precondition(lambda self: self.manifests and self.org.api.endpoints)
    @rule(
        name=WANTED,
        chosen=LIVE,
        matches=st.booleans(),
        is_known=st.booleans(),
        trouble=st.none() | st.just("death") | FAULTS,
        at=MOMENTS,
    )
    def adopt(
        self, name: str, chosen: str, matches: bool, is_known: bool, trouble: str | None, at: int
    ) -> None:
        """An endpoint is taken over, whosever it is, with its secret or without; mostly one that fits."""
        api = self.org.api
        fitting = [e.id for e in api.endpoints.values() if e.serves(self.manifests[name])]
        chosen = fitting[-1] if matches and fitting else chosen
        secret = Secret(api.secrets[chosen]) if is_known else None
        pilot = Pilot(self.desired, frozenset({name}), Adoption(name, chosen, secret))
        if trouble == "death":
            pilot.killed_at = at
        elif trouble is not None:
            pilot.fault, pilot.fault_at = trouble, at
        self.stage.run(pilot)

    @rule(
        bursts=st.lists(st.integers(0, 12), max_size=12),
        rival=st.sampled_from(["same", "stale", "rotate a", "rotate b --now"]),
        trouble=st.none() | st.just("death") | FAULTS,
        at=MOMENTS,
    )
    def interleave(self, bursts: list[int], rival: str, trouble: str | None, at: int) -> None:
        """Two runs take turns; the other wants the same, what manifests said before, or a rotation."""
        other = Pilot(tuple(self.before.values()) if rival == "stale" else self.desired)
        if rival.startswith("rotate") and rival[7] in self.manifests:
            other = self._rotation(rival[7], now=rival.endswith("--now"))
        mine = Pilot(self.desired)
        if trouble == "death":
            mine.killed_at = at
        elif trouble is not None:
            mine.fault, mine.fault_at = trouble, at
        self.stage.interleave(mine, other, bursts)

    # --- time, and other people -------------------------------------------------------------------------

    @rule(pause=st.sampled_from(sorted(PAUSES)))
    def let_time_pass(self, pause: str) -> None:
        """Nobody does anything."""
        self.org.clock.sleep(PAUSES[pause].total_seconds())

    def _make(self, url: str, events: tuple[str, ...]) -> None:
        endpoint = self.org.api.console_create(url, events)
        self.stage.console[endpoint.id] = endpoint

    def _is_free(self, url: str) -> bool:
        return not (self.org.api.behavior.unique_urls and self.stage.live_at(normalize_url(url)))

    @rule(path=PATHS, events=ANY_EVENTS)
    def console_create(self, path: str, events: tuple[str, ...]) -> None:
        """Somebody makes an endpoint at one of our URLs."""
        if self._is_free(address(path)):
            self._make(address(path), events)

    @precondition(lambda self: self.org.api.endpoints)
    @rule(chosen=LIVE, path=st.none() | PATHS, events=ANY_EVENTS)
    def console_edit(self, chosen: str, path: str | None, events: tuple[str, ...]) -> None:
        """Somebody changes an endpoint, whosever it is."""
        api, stage = self.org.api, self.stage
        if path and not self._is_free(address(path)):
            return
        url = address(path) if path else api.endpoints[chosen].url
        api.console_change(chosen, url=url, events=events)
        stage.touched.add(chosen)
        if chosen in stage.console:
            stage.console[chosen] = api.endpoints[chosen]
        elif chosen not in stage.recorded:
            stage.adrift.add(chosen)

    @precondition(lambda self: self.org.api.endpoints)
    @rule(chosen=LIVE)
    def console_delete(self, chosen: str) -> None:
        """Somebody deletes an endpoint, whosever it is."""
        self._delete(chosen)

    def _delete(self, endpoint_id: str) -> None:
        self.org.api.console_delete(endpoint_id)
        self.stage.console.pop(endpoint_id, None)

    @rule(name=NAMES)
    def vault_delete(self, name: str) -> None:
        """Somebody deletes a secret in Vault."""
        if self.org.store.fields(name):
            self.org.store.soft_delete(name, max(self.org.store.states(name)))

    @rule(accepts=st.booleans())
    def receivers(self, accepts: bool) -> None:
        """Test deliveries begin to fail, or succeed again."""
        self.org.api.behavior = replace(self.org.api.behavior, accepts_tests=accepts)

    # --- what always holds ------------------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self) -> None:
        """I4, I5 and I7, as the oracle saw them at each request."""
        assert not self.stage.violations, self.stage.violations

    @invariant()
    def unmanaged_endpoints_stay(self) -> None:
        """I4: what was made in the console is as it was left there."""
        live = self.org.api.endpoints
        for endpoint_id, endpoint in self.stage.console.items():
            assert live.get(endpoint_id) == endpoint

    @invariant()
    def secrets_are_right(self) -> None:
        """I2: each secret that consumers read is the one that the API signs with."""
        for name in self.org.store.names:
            fields = self.org.store.fields(name)
            secrets = json.loads(fields.get("previous_signing_secrets", "{}"))
            if "signing_secret" in fields and "endpoint_id" in fields:
                secrets[fields["endpoint_id"]] = fields["signing_secret"]
            for endpoint_id in secrets.keys() & self.org.api.endpoints.keys():
                assert secrets[endpoint_id] == self.org.api.secrets[endpoint_id], f"{name}, {endpoint_id}"

    # --- the end ----------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Calm comes, an operator follows the hints, and a few runs bring everything in order."""
        if not hasattr(self, "stage") or self.stage.violations:
            return
        org, stage = self.org, self.stage
        org.api.behavior = replace(org.api.behavior, accepts_tests=True, page_size=100)
        if org.api.behavior.unique_urls:
            self.manifests = {n: replace(w, allow_event_gap=True) for n, w in self.manifests.items()}
        for _ in range(1 + ROUNDS):
            self._apply()
            self._operate()
            org.clock.advance(hours=30)
        self.nothing_is_wrong()
        self.unmanaged_endpoints_stay()
        self.secrets_are_right()
        kept = (stage.released().keys() | stage.adrift) & org.api.endpoints.keys()
        if org.api.behavior.listing_lag:
            # A manifest that came back before the released endpoint was listed could not take it up again.
            kept |= stage.let_go & org.api.endpoints.keys()
        org.check(self.desired, unmanaged=kept | stage.console.keys())

    def _operate(self) -> None:
        """Do what hints say that a person must do."""
        org, stage = self.org, self.stage
        wanted = {w.normalized_url: w for w in self.desired}
        released = stage.released()
        owned = {
            stage.ledger(name)["current"]["endpoint_id"]
            for name in org.store.names
            if stage.ledger(name)["current"]
        }
        nobodys = (stage.console.keys() | stage.adrift | stage.let_go | stage.named) - owned
        for endpoint in list(org.api.endpoints.values()):
            taker = wanted.get(endpoint.normalized_url)
            if endpoint.id in stage.named - stage.console.keys() - owned:
                self._delete(endpoint.id)
                continue
            if endpoint.id in nobodys and taker is not None:
                self._delete(endpoint.id)
            if endpoint.id in released:
                own = self.manifests.get(released[endpoint.id])
                if (taker is not None and taker is not own) or (own is not None and not endpoint.serves(own)):
                    self._delete(endpoint.id)


Histories.TestCase.settings = settings(
    examples(600), stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
TestHistories = Histories.TestCase


class HistoriesWithHabits(Histories):
    """The same with an API that has habits of its own."""

    @initialize(
        behavior=BEHAVIORS,
        pace=st.sampled_from([0.0, 0.5, 4.0]),
        spelling=st.sampled_from(["as_sent", "trailing_slash", "implicit_event"]),
        shows_created=st.booleans(),
        test_lag=st.sampled_from([0.0, 3.0]),
    )
    def begin(
        self,
        behavior: ApiBehavior,
        pace: float,
        spelling: Spelling = "as_sent",
        shows_created: bool = True,
        test_lag: float = 0.0,
    ) -> None:
        """The listing spells endpoints in its own way, without dates, and tests lag."""
        habits = replace(behavior, listing_spelling=spelling, shows_created=shows_created, test_lag=test_lag)
        super().begin(habits, pace)


HistoriesWithHabits.TestCase.settings = settings(
    examples(120), stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
TestHistoriesWithHabits = HistoriesWithHabits.TestCase


# --- histories that ended badly once ----------------------------------------------------------------------

FORGETFUL = ApiBehavior(honours_client_secret=False, replay_shows_secret=False, key_lifetime=0.0)
"""An API that forgets each key at once, so that each request for the same intent makes an endpoint."""


def _begin(behavior: ApiBehavior, pace: float) -> Histories:
    history = Histories()
    history.begin(behavior=behavior, pace=pace)
    history.declare(name="a", path="p", events=OURS[0])
    return history


def _end(history: Histories) -> None:
    history.nothing_is_wrong()
    history.teardown()


@pytest.mark.parametrize(
    "bursts", [[5, 9, 4], [5, 7, 1], [5, 6, 2], [5, 10, 5], [5, 11, 6], [5, 8, 2]], ids=str
)
def test_a_run_deletes_only_after_it_has_won(bursts: list[int]) -> None:
    """Of two runs with one intent, the one that gives it up leaves alone what the other has made since."""
    history = _begin(replace(FORGETFUL, unique_urls=True), 0.0)
    history.interleave(bursts=bursts, rival="same", trouble=None, at=0)
    _end(history)


@pytest.mark.parametrize("pace", [0.0, 0.5])
def test_a_run_says_that_it_sends_the_intent_of_another(pace: float) -> None:
    """What a run made that helped and died is found, though the run that was helped never heard of it."""
    history = _begin(replace(FORGETFUL, listing_lag=3.0), pace)
    history.interleave(bursts=[6, 6], rival="same", trouble="death", at=17)
    _end(history)


def test_a_leftover_of_a_webhook_that_waits_to_go_is_swept() -> None:
    """A renamed manifest does not wait for its old name's leftover while that one waits for the new name."""
    history = _begin(FORGETFUL, 0.0)
    history.apply_killed(at=8)
    history.rename(name="a", new="b")
    for _ in range(3):
        history.apply()
        history.let_time_pass("30 hours")
    # Before somebody follows a hint: nobody needs to.
    history.org.check(history.desired, unmanaged=history.stage.console.keys())
    _end(history)


def test_what_is_adopted_where_urls_are_unique_waits_for_a_gap() -> None:
    """An endpoint that nobody knows the secret of is ours, and is planned for until a gap is allowed."""
    history = _begin(replace(FORGETFUL, unique_urls=True), 0.0)
    history.console_create(path="p", events=OURS[0])
    made = max(history.org.api.endpoints)
    history.adopt(name="a", chosen=made, matches=False, is_known=False, trouble=None, at=0)
    assert made not in history.stage.console
    history.apply()
    _end(history)


def test_a_leftover_that_another_run_has_recorded_stays() -> None:
    """A run that knows a leftover by old metadata looks once more before it deletes it."""
    history = Histories()
    history.begin(behavior=replace(FORGETFUL, key_lifetime=24 * 3600.0), pace=0.0)
    history.declare(name="a", path="q", events=OURS[2])
    history.apply()
    (made,) = (e.id for e in history.org.api.endpoints.values() if e.url == address("q"))
    history.console_delete(made)
    history.rename(name="a", new="b")
    history.rotate(name="b", now=False, killed_at=8)
    history.declare(name="a", path="q", events=OURS[2])
    history.interleave(bursts=[0, 0, 2], rival="same", trouble=None, at=0)
    _end(history)


@pytest.mark.parametrize("unique_urls", [False, True])
@pytest.mark.parametrize("spelling", ["trailing_slash", "implicit_event"])
def test_a_leftover_in_the_apis_own_spelling_is_reported(spelling: Spelling, unique_urls: bool) -> None:
    """A listing without dates and with a spelling of its own still shows what an interrupted run has left."""
    history = HistoriesWithHabits()
    behavior = replace(FORGETFUL, unique_urls=unique_urls)
    history.begin(behavior=behavior, pace=0.0, spelling=spelling, shows_created=False)
    history.declare(name="a", path="p", events=OURS[0])
    history.apply_killed(at=8)
    _end(history)
    assert history.stage.named == {"we_0002"}


@pytest.mark.parametrize("unique_urls", [False, True])
@pytest.mark.parametrize("change", ["rename", "swap", "move away"])
def test_a_url_in_the_apis_own_spelling_is_handed_over_without_a_gap(change: str, unique_urls: bool) -> None:
    """The endpoint of another name stays until the new one serves its URL, or makes way for it."""
    history = HistoriesWithHabits()
    behavior = replace(FORGETFUL, unique_urls=unique_urls)
    history.begin(behavior=behavior, pace=0.0, spelling="trailing_slash", shows_created=False)
    history.declare(name="a", path="p", events=OURS[0])
    history.declare(name="c", path="q", events=OURS[0])
    for _ in range(3):
        history.apply()
    if change == "rename":
        history.rename(name="a", new="b")
    elif change == "move away":
        history.declare(name="b", path="p", events=OURS[0])
        history.declare(name="a", path="s", events=OURS[0])
        history.rotate(name="a", now=False, killed_at=None)
    else:
        history.declare(name="c", path="p", events=OURS[0])
    history.apply_with_fault(at=3, fault="silence")
    _end(history)
