"""Find out how an organization's API behaves where its documentation is silent, with an endpoint of its own.

Before each creation its key and body are recorded in Vault (`_probe`), not on this machine: the next probe
may run in another container. So whatever a killed probe has left can be found, and proved to be the probe's:
it is what the API returns for the recorded key, or it was created, exactly as asked for, while the request
was under way.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.errors import ExitCode, GuardRefused, ReconcilerError
from reconciler.ledger.ledger import CLOCK_TOLERANCE
from reconciler.ledger.probe import ProbeRequest, probe_fields, read_probe_fields
from reconciler.model import Secret
from reconciler.plan.odd_entries import as_endpoints
from reconciler.plan.probe import UNSUPPORTED, Leftover, Observations, ProbeReport, findings
from reconciler.plan.protocol.create import REPLAY_WINDOW
from reconciler.ports import Created, Deleted, Refused
from reconciler.urls import normalize_url
from reconciler.usecases.plan import list_endpoints, read_metadata

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from reconciler.apply.lock import Lock
    from reconciler.model import Endpoint
    from reconciler.ports import CreateAnswer, DeleteAnswer, Exchange, Metadata, ProbeStore
    from reconciler.session import Session

EVENTS = ("release.gate_blocked", "remediation.approved")
"""Two events that are rare: the endpoint is live for a few seconds."""
LONGEST_LAG = 60.0
"""Seconds to wait for a listing that shows a change."""
_LOOK_AGAIN = 1.0
_NAME = "probe"
_CLEAN_UP = "run the same command again: it removes what is left"
_UNANSWERED = Leftover(
    None,
    "a creation had no usable response: the API may still carry it out",
    "run the same command again in 5 minutes: it removes what is left",
)


class _Stopped(ReconcilerError):
    """A signal ended the probe."""

    exit_code = ExitCode.FAILED


def probe(
    session: Session,
    store: ProbeStore,
    url: str,
    *,
    exchanges: Sequence[Exchange],
    lock: Lock | None = None,
    stop: threading.Event | None = None,
) -> ProbeReport:
    """Create, list, replay, test and delete an endpoint at `url`; remove it again whatever happens.

    Args:
        session: an organization's API and documents.
        store: holds the record of what was created.
        url: where no endpoint exists yet.
        exchanges: grows with each response of the API.
        lock: the organization's lock, held during the probe.
        stop: ends the probe early when it is set.

    Raises:
        GuardRefused: there is an endpoint at `url`, or an earlier probe's cannot be deleted.
        LockHeld: another run kept the lock for too long.
        ReconcilerError: the API could not be listed, or Vault did not answer; nothing was created.
    """
    with lock or nullcontext():
        return _Probe(session, store, url, exchanges, stop).run()


class _Probe:
    """One probe."""

    def __init__(
        self,
        session: Session,
        store: ProbeStore,
        url: str,
        exchanges: Sequence[Exchange],
        stop: threading.Event | None,
    ) -> None:
        self._session = session
        self._store = store
        # What is sent, as for a manifest.
        self._url = url = normalize_url(url)
        self._exchanges = exchanges
        self._stop = stop
        self._version = 0
        self._requests: tuple[ProbeRequest, ...] = ()
        """The creations that are not cleaned up."""
        self._written: tuple[ProbeRequest, ...] = ()
        """What of them the record holds."""
        self._answered: set[str] = set()
        """The keys for which the API has returned an endpoint."""
        self._foreign: frozenset[str] = frozenset()
        """Endpoints that existed before, or that a ledger records: they are never deleted."""
        fresh = session.fresh()
        self._secret = fresh.secret
        self._key = f"probe-{fresh.key_suffix}"
        self._seen = Observations(url, EVENTS, fresh.secret)

    def run(self) -> ProbeReport:
        """Remove what an earlier probe has left, observe, and clean up."""
        metadata = read_metadata(self._session)
        removed = self._remove_earlier(metadata)
        self._require_free(metadata, removed)
        failure: ReconcilerError | None = None
        left: tuple[Leftover, ...] = ()
        try:
            self._observe()
        except ReconcilerError as error:
            failure = error
        finally:
            _, left = self._clean_up()
        return ProbeReport(
            self._url,
            findings(self._seen),
            removed,
            left,
            failure.message if failure is not None else None,
            failure.hint if failure is not None else None,
        )

    # --- before ---------------------------------------------------------------------------------

    def _remove_earlier(self, metadata: Mapping[str, Metadata]) -> tuple[str, ...]:
        """Remove what an interrupted probe has left; return the deleted endpoints.

        Raises:
            GuardRefused: some of it cannot be removed.
        """
        self._foreign = frozenset(
            endpoint_id
            for entry in metadata.values()
            if entry.projection is not None
            for endpoint_id in entry.projection.recorded_ids
        )
        self._version, fields = self._store.read_probe()
        self._requests = self._written = read_probe_fields(fields)
        if not self._requests:
            return ()
        removed, left = self._clean_up()
        for each in left:
            if each is not _UNANSWERED:
                what = f"endpoint {each.endpoint_id}" if each.endpoint_id else "an endpoint"
                raise GuardRefused(
                    f"{what} of an interrupted probe may still be live: {each.reason}", hint=each.hint
                )
        return removed

    def _require_free(self, metadata: Mapping[str, Metadata], removed: Sequence[str]) -> None:
        """Refuse a URL at which there is an endpoint, or that a webhook has.

        Raises:
            GuardRefused: it is not free.
        """
        wanted = self._url
        hint = "name a URL without an endpoint, for example one with a path of its own"
        for name, entry in metadata.items():
            projection = entry.projection
            if projection is None or not projection.recorded_ids or projection.url is None:
                continue
            if normalize_url(projection.url) == wanted:
                raise GuardRefused(f"the URL belongs to the webhook {name}", hint=hint)
        entries, _ = list_endpoints(self._session)
        endpoints = as_endpoints(entries)
        self._foreign |= {endpoint.id for endpoint in endpoints}
        taken = [e.id for e in endpoints if e.normalized_url == wanted and e.id not in removed]
        if taken:
            raise GuardRefused(f"there is an endpoint at this URL already: {', '.join(taken)}", hint=hint)

    # --- observe --------------------------------------------------------------------------------

    def _observe(self) -> None:
        seen = self._seen
        seen.created = self._create(self._key, "create the endpoint")
        if not isinstance(seen.created, Created):
            return
        endpoint_id = seen.created.endpoint.id
        if endpoint_id not in self._requests[-1].endpoint_ids:
            raise ReconcilerError(
                f"the API returned endpoint {endpoint_id}, which existed before; it was left as it is",
                hint="name a URL without an endpoint",
            )
        self._await_listing(endpoint_id)
        seen.replayed = self._create(self._key, "repeat the creation with the same idempotency key")
        self._step("send a test delivery")
        seen.tested = self._session.api.test(endpoint_id)
        seen.duplicate = self._create(f"{self._key}-2", "create a second endpoint at the URL")
        self._step("list the endpoints again")
        seen.listed = self._find(endpoint_id) or seen.listed
        self._step("delete the endpoint")
        seen.deleted = self._delete(endpoint_id)
        seen.delete_status = self._exchanges[-1].status if self._exchanges else None
        if isinstance(seen.deleted, Deleted):
            self._await_absence(endpoint_id)

    def _step(self, description: str) -> None:
        """Announce a step, unless a signal has ended the probe.

        Raises:
            _Stopped: it has.
        """
        self._require_going()
        self._session.reporter.step(_NAME, description, 1)

    def _require_going(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise _Stopped("the probe was interrupted", hint="run it again")

    def _create(self, key: str, description: str) -> CreateAnswer:
        """Announce a creation of the probe's endpoint, and send it."""
        self._step(description)
        body = json.dumps({"url": self._url, "events": list(EVENTS), "secret": self._secret.reveal()})
        return self._send(key, Secret(body))

    def _send(self, key: str, body: Secret) -> CreateAnswer:
        """Record a creation, send it, and record what is known of its outcome.

        A repetition has a record of its own: an API that does not honour the key creates another endpoint.
        """
        request = ProbeRequest(key, body, self._api_time())
        self._record((*self._requests, request))
        answer = self._session.api.create(key, body)
        ended_at = max((window.ended for window in answer.windows), default=None)
        known = replace(request, uncertain=bool(answer.windows), ended_at=ended_at)
        if isinstance(answer, Created):
            self._answered.add(key)
            endpoint = answer.endpoint
            first = next(each for each in self._requests if each.key == key)
            if endpoint.id not in self._foreign and not first.predates(endpoint.created):
                known = replace(known, endpoint_ids=(endpoint.id,))
        self._record((*self._requests[:-1], known))
        self._note_headers()
        return answer

    def _await_listing(self, endpoint_id: str) -> None:
        """List until the endpoint is there, and note how long that took."""
        seen = self._seen
        found, seconds = self._await(lambda: self._find(endpoint_id) is not None, "list the endpoints")
        if found:
            seen.lag = seconds
        else:
            seen.longest_lag = seconds

    def _await_absence(self, endpoint_id: str) -> None:
        seen = self._seen
        gone, seconds = self._await(lambda: self._find(endpoint_id) is None, "list what is left")
        if gone:
            seen.gone_after = seconds
        else:
            seen.longest_presence = seconds

    def _await(self, condition: Callable[[], bool], description: str) -> tuple[bool, float]:
        """Look again until `condition` holds; return whether it does, and the seconds since the start."""
        clock = self._session.clock
        began = clock.monotonic()
        while True:
            self._step(description)
            asked = clock.monotonic() - began
            if condition():
                return True, asked
            if asked >= LONGEST_LAG:
                return False, asked
            clock.sleep(_LOOK_AGAIN)

    def _find(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint as it is listed."""
        endpoints = self._list()
        found = next((each for each in endpoints if each.id == endpoint_id), None)
        if found is not None:
            self._seen.listed = found
            self._seen.fields = next((e.fields for e in reversed(self._exchanges) if e.method == "GET"), ())
        return found

    def _list(self) -> list[Endpoint]:
        entries, _ = list_endpoints(self._session)
        self._note_headers()
        return as_endpoints(entries)

    def _note_headers(self) -> None:
        if self._exchanges:
            self._seen.rate_limit_headers = self._exchanges[-1].rate_limit_headers

    def _api_time(self) -> datetime:
        """Return the time of the API's last response, which has just come, or else ours."""
        date = self._exchanges[-1].date if self._exchanges else None
        return date or self._session.clock.now()

    # --- clean up -------------------------------------------------------------------------------

    def _clean_up(self) -> tuple[tuple[str, ...], tuple[Leftover, ...]]:
        """Delete what the record accounts for; return the deleted endpoints and what may be left.

        Never raises an expected error: it becomes a leftover, and stays recorded for the next probe.
        """
        removed: list[str] = []
        left: list[Leftover] = []
        try:
            self._delete_recorded(removed, left)
            self._resolve()
            self._delete_recorded(removed, left)
            self._sweep(removed, left)
            self._forget()
            if any(each.uncertain and each.key not in self._answered for each in self._requests):
                left.append(_UNANSWERED)
        except ReconcilerError as error:
            left.append(Leftover(None, f"the cleanup failed: {error.message}", _CLEAN_UP))
        return tuple(removed), tuple(left)

    def _delete_recorded(self, removed: list[str], left: list[Leftover]) -> None:
        recorded = {id_: request for request in self._requests for id_ in request.endpoint_ids}
        for endpoint_id, request in recorded.items():
            if any(each.endpoint_id == endpoint_id for each in left):
                continue
            answer = self._delete(endpoint_id)
            if isinstance(answer, Deleted):
                removed.append(endpoint_id)
            elif not self._was_removed_by_hand(request, endpoint_id, answer):
                left.append(_undeletable(endpoint_id, answer))

    def _resolve(self) -> None:
        """Repeat the creations whose outcome is unknown: the API returns what they created."""
        now = self._session.clock.now()
        self._answered |= {each.key for each in self._requests if each.endpoint_ids}
        for request in self._requests:
            if (
                request.uncertain
                and request.key not in self._answered
                and now - request.sent_at < REPLAY_WINDOW
            ):
                self._send(request.key, request.body)

    def _delete(self, endpoint_id: str) -> DeleteAnswer:
        """Delete an endpoint. The record is written at the end: deleting it again does no harm."""
        answer = self._session.api.delete(endpoint_id)
        if isinstance(answer, Deleted):
            self._note_gone(endpoint_id)
        return answer

    def _was_removed_by_hand(self, request: ProbeRequest, endpoint_id: str, answer: DeleteAnswer) -> bool:
        """Whether an endpoint that the API cannot delete is not listed any more; then it is forgotten."""
        if not (isinstance(answer, Refused) and answer.status in UNSUPPORTED):
            return False
        if self._session.clock.now() - request.sent_at < CLOCK_TOLERANCE:
            return False
        if any(endpoint.id == endpoint_id for endpoint in self._list()):
            return False
        self._note_gone(endpoint_id)
        return True

    def _note_gone(self, endpoint_id: str) -> None:
        self._requests = tuple(
            replace(each, endpoint_ids=tuple(i for i in each.endpoint_ids if i != endpoint_id))
            for each in self._requests
        )

    def _sweep(self, removed: list[str], left: list[Leftover]) -> None:
        """Look for endpoints of requests that may have created one that no response has named."""
        uncertain = [request for request in self._requests if request.uncertain]
        if not uncertain:
            return
        known = {*removed, *self._foreign, *(each.endpoint_id for each in left)}
        for endpoint in self._list():
            if endpoint.id in known or not any(each.may_be(endpoint) for each in uncertain):
                continue
            if not any(each.may_have_created(endpoint) for each in uncertain):
                left.append(_unproven(endpoint.id))
                continue
            answer = self._session.api.delete(endpoint.id)
            if isinstance(answer, Deleted):
                removed.append(endpoint.id)
            else:
                left.append(_undeletable(endpoint.id, answer))

    def _forget(self) -> None:
        """Keep in the record what is not deleted, and what a listing may not show yet."""
        now = self._session.clock.now()
        self._record(
            tuple(
                each
                for each in self._requests
                if each.endpoint_ids or (each.uncertain and now - each.sent_at < CLOCK_TOLERANCE)
            )
        )

    def _record(self, requests: tuple[ProbeRequest, ...]) -> None:
        """Write the record by check-and-set, if it changes."""
        # Known from here on, also if it cannot be written: the cleanup depends on it.
        self._requests = requests
        if requests != self._written:
            fields = probe_fields(requests) if requests else None
            self._version = self._store.write_probe(fields, cas=self._version)
            self._written = requests


def _undeletable(endpoint_id: str, answer: DeleteAnswer) -> Leftover:
    return Leftover(
        endpoint_id,
        f"it could not be deleted: {answer}",
        f"run the same command again, or remove {endpoint_id} in Admin Center > Developer > Webhooks",
    )


def _unproven(endpoint_id: str) -> Leftover:
    return Leftover(
        endpoint_id,
        "it looks like the probe's endpoint, but nothing proves that the probe created it",
        f"remove {endpoint_id} in Admin Center > Developer > Webhooks, if nobody needs it",
    )
