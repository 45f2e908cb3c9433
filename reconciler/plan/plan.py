"""A plan: every change that one run would make, as frozen and sorted data with a digest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.plan.drift import LEAST, DriftState
from reconciler.plan.live import is_new, newest_first
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.model import Endpoint, Location, VaultPlace
    from reconciler.plan.drift import Drift

FORMAT_VERSION = "1"
IN_PROGRESS = "a run in progress is changing it"
"""The reason of a change that another run is making."""


class Action(StrEnum):
    """What a change does."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"
    ROTATE = "rotate"
    RESUME = "resume"
    """Continue an interrupted change."""
    RELEASE = "release"
    """The endpoint stays live and is no longer managed."""
    UPDATE = "update"
    """The ledger only: no API request."""
    NONE = "none"
    """Nothing: only a person can resolve it."""


class Cause(StrEnum):
    """Why a change is due."""

    MANIFEST = "manifest"
    DRIFT = "drift"
    INTERRUPTED = "interrupted"
    ROTATION = "rotation"


class Shape(Struct, frozen=True):
    """An endpoint's URL and events, for comparison and display."""

    url: str
    events: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the plan format."""
        return {"url": self.url, "events": list(self.events)}


class FieldChange(Struct, frozen=True):
    """One difference between `before` and `after`; `old` or `new` is None where it is absent."""

    path: str
    old: Any
    new: Any


class Change(Struct, frozen=True):
    """What one run would do to one webhook."""

    name: str
    action: Action
    reason: str
    cause: Cause
    before: Shape | None = None
    after: Shape | None = None
    fields: tuple[FieldChange, ...] = ()
    source: Location | None = None
    """The manifest's place; None where the manifest is gone."""
    endpoint_id: str | None = None
    policy: str | None = None
    """The deletion policy after the change."""
    steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str | None = None
    """The conflict that blocks this change."""
    hint: str | None = None
    owner: str | None = None
    """The person or team responsible for the webhook."""
    drift: Drift | None = None
    """What differs, where the manifest does not ask for the change."""
    api_requests: int = 0
    version: int = 0
    """The document version that the plan saw; not part of the plan's JSON."""
    receivers: tuple[str, ...] = ()
    """What the receivers of the webhook will notice."""
    is_adoption: bool = False
    """Whether it takes an endpoint over; not part of the plan's JSON."""

    @property
    def verb(self) -> str:
        """What logs and the history call it: an adoption is an `update` or a `rotate` of the ledger."""
        return "adopt" if self.is_adoption else self.action.value

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the plan format."""
        value: dict[str, Any] = {
            "name": self.name,
            "action": self.action.value,
            "reason": self.reason,
            "cause": self.cause.value,
            "before": self.before and self.before.to_json(),
            "after": self.after and self.after.to_json(),
            "fields": [{"path": f.path, "old": f.old, "new": f.new} for f in self.fields],
            "source": self.source and {"file": self.source.path, "line": self.source.line},
            "endpoint_id": self.endpoint_id,
            "policy": self.policy,
            "steps": list(self.steps),
            "warnings": list(self.warnings),
            "receivers": list(self.receivers),
            "owner": self.owner,
            "finding": self.drift and self.drift.to_json(),
        }
        if self.problem is not None:
            value["problem"] = self.problem
            value["hint"] = self.hint
        return value

    def identity(self) -> dict[str, Any]:
        """Return the part that the digest covers: what will be done, not when or why."""
        return {
            "name": self.name,
            "action": self.action.value,
            "before": self.before and self.before.to_json(),
            "after": self.after and self.after.to_json(),
            "endpoint_id": self.endpoint_id,
            "policy": self.policy,
        }

    @property
    def state(self) -> DriftState | None:
        """Whether it is drift, due, or in progress; None: a manifest asks for it."""
        return self.drift.state if self.drift is not None else None


class ActiveRun(Struct, frozen=True):
    """A run that holds the lock: a plan that is made meanwhile shows its changes half done."""

    by: str
    host: str
    since: datetime | None = None
    url: str | None = None
    """The page of the run."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the plan format."""
        return {"by": self.by, "host": self.host, "since": to_timestamp(self.since), "run": self.url}


class Cost(Struct, frozen=True):
    """The API requests and the time that a plan needs."""

    api_requests: int
    minimum_seconds: float
    """The least time that the API's quota allows for that many requests."""
    requests_per_minute: int = 100

    @classmethod
    def of(cls, api_requests: int, requests_per_minute: int) -> Cost:
        """Return the cost of so many requests: the first window is free, the rest is paced."""
        paced = max(0, api_requests - requests_per_minute)
        return cls(api_requests, paced * 60 / requests_per_minute, requests_per_minute)


class Servers(Struct, frozen=True):
    """The servers that a plan is for: reviewers must see where credentials and secrets go."""

    api_url: str
    vault: VaultPlace

    def to_json(self) -> dict[str, str]:
        """Return the JSON object of the plan format."""
        return {
            "api_url": self.api_url,
            "vault_address": self.vault.address,
            "vault_mount": self.vault.mount,
            "vault_prefix": self.vault.prefix,
        }


class Plan(Struct, frozen=True):
    """Everything that one run would do for one organization."""

    organization: str
    servers: Servers
    changes: tuple[Change, ...]
    """By name. Unchanged webhooks are only counted."""
    unchanged: int
    owned: int
    """Those in scope."""
    unmanaged: tuple[Endpoint, ...] = ()
    """By id."""
    released: frozenset[str] = frozenset()
    """The ids of the unmanaged endpoints that we created and released."""
    commit: str | None = None
    warnings: tuple[str, ...] = ()
    """What is not about one change, and needs somebody's attention."""
    out_of_scope: int = 0
    """How many owned webhooks are out of the scope that PATHs limit."""
    disallowed: frozenset[str] = frozenset()
    """The ids of the unmanaged endpoints that are drift (`guards.unmanaged`)."""
    active_run: ActiveRun | None = None
    """The run that held the lock when the plan was made."""
    cost: Cost = field(default_factory=lambda: Cost(0, 0.0))

    def appeared(self, now: datetime) -> list[Endpoint]:
        """Return the unmanaged endpoints that somebody else created recently, newest first."""
        return newest_first(e for e in self.unmanaged if e.id not in self.released and is_new(e, now))

    @property
    def worst_first(self) -> tuple[Change, ...]:
        """The changes in the order of severity, then by name; pending changes of manifests come last."""
        return tuple(sorted(self.changes, key=severity_key))

    def in_state(self, state: DriftState) -> tuple[Change, ...]:
        """Return the changes in this state, the worst first."""
        return tuple(change for change in self.worst_first if change.state is state)

    @property
    def not_allowed(self) -> tuple[Endpoint, ...]:
        """The unmanaged endpoints that are drift, by id."""
        return tuple(endpoint for endpoint in self.unmanaged if endpoint.id in self.disallowed)

    @property
    def has_drift(self) -> bool:
        """Whether anything was changed outside, or an interrupted change was not resumed."""
        return bool(self.disallowed) or any(change.state is DriftState.DRIFT for change in self.changes)

    def restricted_to(self, changes: tuple[Change, ...]) -> Plan:
        """Return this plan restricted to `changes`, with their cost."""
        left_out = sum(c.api_requests for c in self.changes) - sum(c.api_requests for c in changes)
        requests = self.cost.api_requests - left_out
        return replace(self, changes=changes, cost=Cost.of(requests, self.cost.requests_per_minute))

    @property
    def pending(self) -> bool:
        """Whether there is anything that an apply would do."""
        return any(change.action is not Action.NONE for change in self.changes)

    @property
    def problems(self) -> tuple[Change, ...]:
        """The changes that a conflict blocks."""
        return tuple(change for change in self.changes if change.problem is not None)

    @property
    def deletes(self) -> int:
        """How many webhooks are deleted."""
        return sum(change.action is Action.DELETE for change in self.changes)

    @property
    def summary(self) -> dict[str, int]:
        """How many changes of each action but `none`; blocked ones count, too."""
        counts = Counter(change.action for change in self.changes)
        summary = {action.value: counts[action] for action in Action if action is not Action.NONE}
        summary["unchanged"] = self.unchanged
        summary["out_of_scope"] = self.out_of_scope
        states = Counter(change.state for change in self.changes)
        states[DriftState.DRIFT] += len(self.disallowed)
        return summary | {state.value.replace("-", "_"): states[state] for state in DriftState}

    @property
    def digest(self) -> str:
        """`sha256:` and the hash of what will be done, and where: the same inputs give the same digest."""
        identities = [change.identity() for change in self.changes]
        return digest_of(self.organization, self.servers.to_json(), identities)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as `schemas/plan.schema.json` describes it."""
        return {
            "format_version": FORMAT_VERSION,
            "digest": self.digest,
            "organization": self.organization,
            "servers": self.servers.to_json(),
            "commit": self.commit,
            "complete_listing": True,
            "in_progress": self.active_run and self.active_run.to_json(),
            "changes": [change.to_json() for change in self.worst_first],
            "unmanaged": [
                {
                    "id": e.id,
                    "url": mask_unreviewed(e.url),
                    "events": list(e.events),
                    "created": to_timestamp(e.created),
                    "drift": e.id in self.disallowed,
                }
                for e in self.unmanaged
            ],
            "warnings": list(self.warnings),
            "summary": self.summary,
            "cost": {
                "api_requests": self.cost.api_requests,
                "minimum_seconds": self.cost.minimum_seconds,
            },
        }


def severity_key(change: Change) -> tuple[int, str]:
    """Return what changes are sorted by, so that the worst comes first."""
    return (LEAST if change.drift is None else change.drift.rank, change.name)


def server_identity(servers: Mapping[str, str]) -> dict[str, str]:
    """Return the part of a plan's servers that its digest covers: Vault may have several addresses."""
    return {key: servers[key] for key in ("api_url", "vault_mount", "vault_prefix")}


def digest_of(organization: str, servers: Mapping[str, str], identities: list[dict[str, Any]]) -> str:
    """Return the digest of what a plan would do.

    Args:
        organization: whose webhooks it is about.
        servers: as `Servers.to_json` gives them.
        identities: the changes in any order, as `Change.identity` gives them.
    """
    changes = sorted(identities, key=lambda each: str(each["name"]))
    canonical = json.dumps(
        {"organization": organization, "servers": server_identity(servers), "changes": changes},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    # The API may list a lone surrogate, which plain UTF-8 refuses.
    return "sha256:" + hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()
