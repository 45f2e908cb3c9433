"""The checks of `reconciler doctor`: API key, permission, clock, and the Vault token's capabilities."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.cli.session import connect_api, connect_vault, open_store
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.model import DEFAULT_API_URL
from reconciler.report.checks import Check
from reconciler.report.format.style import count, duration
from reconciler.usecases.plan import require_own
from reconciler.vault.checks import capabilities, describe_token, place_settings, require_version_2
from reconciler.vault.responses import Denied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.config.settings import OrganizationSettings, VaultSettings
    from reconciler.ports import Reporter
    from reconciler.vault.session import VaultSession

# The protocol tolerates five minutes; a clock that is off by one is not synchronized.
_SKEW_MAX = 60.0
_TTL_SHORT = 900
_FORBIDDEN = 403
_API, _LISTING = ("API key", "API permission", "clock"), "Vault listing"
# The path below the mount, and the capabilities that are needed there: to plan, and in addition to apply.
# A folder has a slash at its end: so the server checks a listing, and a policy for `…/*` covers it.
_TO_PLAN = (("metadata/{prefix}/", ("list",)), ("metadata/{prefix}/x", ("read",)))
_TO_APPLY = (
    ("metadata/{prefix}/x", ("create", "update")),
    ("data/{prefix}/x", ("create", "read", "update")),
    ("delete/{prefix}/x", ("update",)),
    ("undelete/{prefix}/x", ("update",)),
    ("destroy/{prefix}/x", ("update",)),
)
_ADVICE = "extend the token's policy in Vault: examples/vault/apply.hcl is enough to apply, plan.hcl to plan"


class _NotAllowedToAsk(ReconcilerError):
    """The token may not ask what it may do. That is no reason to fail: it may still do what a run needs."""


def check_servers(settings: OrganizationSettings, reporter: Reporter) -> list[Check]:
    """Check the API and Vault. An API at an unusual URL gets no key if Vault's record names another one."""
    vault = check_vault(settings)
    is_foreign = any(check.name == _LISTING and check.exit_code is ExitCode.INVALID for check in vault)
    if is_foreign and settings.organization.api_url != DEFAULT_API_URL:
        return [*map(_unknown, _API), *vault]
    return [*_check_api(settings, reporter), *vault]


def _check_api(settings: OrganizationSettings, reporter: Reporter) -> list[Check]:
    """Check the key, its permission, and the clock against the API's."""
    try:
        with connect_api(settings, reporter) as api:
            asked_at = datetime.now(UTC)
            probe = api.probe()
            answered_at = datetime.now(UTC)
    except ReconcilerError as error:
        # A key without the permission is still a valid key.
        knows_key = getattr(error, "status", None) == _FORBIDDEN
        key, permission, clock = _API
        first = Check(key, ok=True, detail="accepted") if knows_key else _failed(key, error)
        second = _failed(permission, error) if knows_key else _unknown(permission)
        return [first, second, _unknown(clock)]
    quota = f", {probe.rate_limit:,} requests per window" if probe.rate_limit else ""
    return [
        Check("API key", ok=True, detail=f"accepted by {settings.organization.api_url}{quota}"),
        Check("API permission", ok=True, detail="webhooks can be listed"),
        check_clock(probe.server_date, asked_at, answered_at),
    ]


def check_clock(server: datetime | None, asked_at: datetime, answered_at: datetime) -> Check:
    """Compare the API's time with ours before and after the request: a wait for the quota is not a skew."""
    if server is None:
        return Check("clock", ok=True, detail="not compared: the API does not send its time")
    # The header has whole seconds.
    ahead = (asked_at - server).total_seconds() - 1.0
    behind = (server - answered_at).total_seconds() - 1.0
    if max(ahead, behind) <= _SKEW_MAX:
        return Check("clock", ok=True, detail="agrees with the API's")
    return Check(
        "clock",
        ok=False,
        exit_code=ExitCode.FAILED,
        detail=f"{duration(ahead)} ahead of the API's"
        if ahead > 0
        else f"{duration(behind)} behind the API's",
        hint="set this machine's clock, for example with NTP",
    )


def check_vault(settings: OrganizationSettings) -> list[Check]:
    """Check token, mount, capabilities and a real listing; after a failure the rest is unknown."""
    names = (
        "Vault token",
        "Vault mount",
        "Vault policy: plan",
        "Vault policy: apply",
        _LISTING,
        "Vault settings",
    )
    checks: list[Check] = []
    place = settings.vault
    try:
        with connect_vault(settings) as session:
            checks.append(_check_token(names[0], session))
            if checks[0].ok is not False:
                checks.append(_attempt(names[1], lambda: _mount(session, place.mount)))
                checks.append(_attempt(names[2], lambda: _may(session, place, _TO_PLAN)))
                checks.append(_attempt(names[3], lambda: _may(session, place, _TO_APPLY)))
                if all(check.ok is not False for check in checks[:3]):
                    checks.append(_attempt(names[4], lambda: _list(session, settings)))
                    if checks[4].ok:
                        checks.append(_check_settings(names[5], session, place))
    except ReconcilerError as error:
        checks.append(_failed(names[len(checks)], error))
    return checks + [_unknown(name) for name in names[len(checks) :]]


def _check_token(name: str, session: VaultSession) -> Check:
    """Describe the token, and warn if it may do too much or expires soon."""
    try:
        token = describe_token(session)
    except Denied:
        detail = "not described: the token may not read auth/token/lookup-self"
        return Check(name, ok=True, detail=detail, hint="the listing shows whether it is valid", warning=True)
    except ReconcilerError as error:
        return _failed(name, error)
    life = f"valid for {duration(token.ttl)}" if token.ttl else "never expires"
    detail = f"accepted by {session.address}, {life}, policies: {', '.join(token.policies)}"
    hint = None
    if "root" in token.policies:
        hint = "a root token may do everything; use one with the policy examples/vault/apply.hcl"
    elif token.ttl and token.ttl < _TTL_SHORT and not token.renewable and not session.can_log_in:
        hint = "it cannot be renewed and expires soon: a long apply may take longer; use a renewable token"
    return Check(name, ok=True, detail=detail, hint=hint, warning=hint is not None)


def _check_settings(name: str, session: VaultSession, place: VaultSettings) -> Check:
    """Find settings that make stored secrets disappear, or that refuse our metadata."""
    try:
        found = place_settings(session, place.mount, place.prefix)
    except ReconcilerError as error:
        return _failed(name, error)
    if found.metadata_cas:
        where = found.metadata_cas[0]
        return Check(
            name,
            ok=False,
            exit_code=ExitCode.FAILED,
            detail=f"metadata_cas_required is set on {_places(found.metadata_cas)}: no record can be written",
            hint=f"vault write {where} metadata_cas_required=false",
        )
    if found.expiring:
        where = found.expiring[0]
        return Check(
            name,
            ok=True,
            warning=True,
            detail=f"delete_version_after is set on {_places(found.expiring)}: Vault deletes stored secrets",
            hint=f"vault write {where} delete_version_after=0s; then, for each document that a plan names: "
            f"vault kv undelete -mount={place.mount} -versions=VERSION {place.prefix}/NAME",
        )
    if not found.mount_readable:
        detail = f"no document expires; the settings of the mount are unknown (read on {place.mount}/config)"
        return Check(name, ok=True, detail=detail)
    return Check(name, ok=True, detail="stored secrets do not expire, and metadata can be written")


def _places(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {count(len(paths) - 1, 'other path')}"


def _attempt(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=check())
    except _NotAllowedToAsk as error:
        return Check(name, ok=True, detail=error.message, hint=error.hint, warning=True)
    except ReconcilerError as error:
        return _failed(name, error)


def _mount(session: VaultSession, mount: str) -> str:
    require_version_2(session, mount)
    return f"{mount} is a KV engine, version 2"


def _may(session: VaultSession, place: VaultSettings, needs: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Return the allowed paths in words.

    Raises:
        ReconcilerError: a capability is missing.
    """
    wanted = {f"{place.mount}/{path.format(prefix=place.prefix)}": words for path, words in needs}
    try:
        allowed = capabilities(session, wanted)
    except Denied:
        raise _NotAllowedToAsk(
            "not checked: the token may not ask sys/capabilities-self",
            hint="the listing shows whether it may plan; Vault's `default` policy allows the question",
        ) from None
    missing = [
        f"{', '.join(lacking)} on {path}"
        for path, words in wanted.items()
        if (lacking := [word for word in words if not {word, "root"} & set(allowed[path])])
    ]
    if missing:
        raise ReconcilerError(f"missing: {'; '.join(missing)}", hint=_ADVICE)
    return f"{count(len(wanted), 'path')} allowed below {place.mount}/…/{place.prefix}"


def _list(session: VaultSession, settings: OrganizationSettings) -> str:
    """List the documents as a plan does: a proxy may refuse what Vault's policies allow."""
    place = settings.vault
    found = open_store(session, settings).list_metadata()
    require_own(found, settings.organization)
    return f"{count(len(found), 'document')} listed below {place.mount}/…/{place.prefix}"


def _failed(name: str, error: ReconcilerError) -> Check:
    return Check(name, ok=False, detail=error.message, hint=error.hint, exit_code=error.exit_code)


def _unknown(name: str) -> Check:
    return Check(name, ok=None, detail="not checked")
