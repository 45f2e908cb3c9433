"""`reconciler doctor`: everything that a run needs, looked at one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.exit_codes import worst
from reconciler.cli.preview import Results
from reconciler.cli.wiring import for_each, load_places, load_sites
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.report.checks import Check, checks_text, checks_value
from reconciler.report.format.style import count, duration
from reconciler.vault.checks import capabilities, describe_token, require_version_2

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reconciler.cli.options import Settings
    from reconciler.cli.wiring import Place
    from reconciler.vault.session import VaultSession

# The protocol forgives five minutes; a clock that is off by one is a clock that nobody looks after.
_SKEW_MAX = 60.0
_TTL_SHORT = 900
_FORBIDDEN = 403
# The path below the mount, and what it takes there: to plan, and beyond that to apply.
# A folder is asked for with its slash: the server checks a listing so, and a policy for `…/*` covers it.
_TO_PLAN = (("metadata/{prefix}/", ("list",)), ("metadata/{prefix}/x", ("read",)))
_TO_APPLY = (
    ("metadata/{prefix}/x", ("create", "update")),
    ("data/{prefix}/x", ("create", "read", "update")),
    ("delete/{prefix}/x", ("update",)),
    ("undelete/{prefix}/x", ("update",)),
    ("destroy/{prefix}/x", ("update",)),
)
_ADVICE = "extend the token's policy in Vault; examples/vault/apply.hcl suffices, and plan.hcl for plans"


def doctor(settings: Settings, *, endpoints: bool) -> ExitCode:
    """Check each organization; 1 where anything is not well, 3 where a setting is missing.

    With `endpoints` the receivers that manifests name are checked, too.
    """
    places = load_places(settings)
    desired = {site.name: site.desired for site in load_sites(settings)} if endpoints else {}
    results = Results(settings, several=len(places) > 1)

    def check(place: Place) -> ExitCode:
        checks = [*_check_api(place), *_check_vault(place)]
        if endpoints:
            from reconciler.cli.certificates import check_receivers  # noqa: PLC0415 (a rare wish)

            checks += check_receivers(desired[place.name], place.clock.now())
        results.add(checks_value(place.name, checks), checks_text(place.name, checks, color=settings.color))
        return worst(each.exit_code for each in checks)

    return results.write_after(for_each(places, check))


def _check_api(place: Place) -> list[Check]:
    """Check the key, its permission, and the clock against the API's."""
    try:
        with place.api() as api:
            asked_at = place.clock.now()
            probe = api.probe()
            answered_at = place.clock.now()
    except ReconcilerError as error:
        # A key without the permission is a good key all the same.
        knows_key = getattr(error, "status", None) == _FORBIDDEN
        first = Check("API key", ok=True, detail="accepted") if knows_key else _failed("API key", error)
        second = _failed("API permission", error) if knows_key else _unknown("API permission")
        return [first, second, _unknown("clock")]
    quota = f", {probe.rate_limit:,} requests a window" if probe.rate_limit else ""
    return [
        Check("API key", ok=True, detail=f"accepted by {place.api_url}{quota}"),
        Check("API permission", ok=True, detail="webhooks can be listed"),
        _check_clock(probe.server_date, asked_at, answered_at),
    ]


def _check_clock(server: datetime | None, asked_at: datetime, answered_at: datetime) -> Check:
    """Compare the API's time with ours, which it was told between: a wait for the quota is no skew."""
    if server is None:
        return Check("clock", ok=True, detail="not compared: the API does not say its time")
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


def _check_vault(place: Place) -> list[Check]:
    """Check the token, the mount and what the token may do there; what depends on a failure is unknown."""
    names = ("Vault token", "Vault mount", "Vault policy: plan", "Vault policy: apply")
    checks: list[Check] = []
    try:
        with place.vault() as session:
            checks.append(_attempt(names[0], lambda: _describe(session)))
            if checks[0].ok:
                checks.append(_attempt(names[1], lambda: _mount(session, place.mount)))
                checks.append(_attempt(names[2], lambda: _may(session, place, _TO_PLAN)))
                checks.append(_attempt(names[3], lambda: _may(session, place, _TO_APPLY)))
    except ReconcilerError as error:
        checks.append(_failed(names[len(checks)], error))
    return checks + [_unknown(name) for name in names[len(checks) :]]


def _attempt(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=check())
    except ReconcilerError as error:
        return _failed(name, error)


def _describe(session: VaultSession) -> str:
    token = describe_token(session)
    if token.ttl and token.ttl < _TTL_SHORT and not token.renewable:
        life = f"expires in {duration(token.ttl)}: a long apply may outlive it"
    else:
        life = f"valid for {duration(token.ttl)}" if token.ttl else "never expires"
    return f"accepted by {session.address}, {life}, policies: {', '.join(token.policies)}"


def _mount(session: VaultSession, mount: str) -> str:
    require_version_2(session, mount)
    return f"{mount} is a KV engine, version 2"


def _may(session: VaultSession, place: Place, needs: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Return what is allowed in words.

    Raises:
        ReconcilerError: something is missing.
    """
    wanted = {f"{place.mount}/{path.format(prefix=place.prefix)}": words for path, words in needs}
    allowed = capabilities(session, wanted)
    missing = [
        f"{', '.join(lacking)} on {path}"
        for path, words in wanted.items()
        if (lacking := [word for word in words if not {word, "root"} & set(allowed[path])])
    ]
    if missing:
        raise ReconcilerError(f"missing: {'; '.join(missing)}", hint=_ADVICE)
    return f"{count(len(wanted), 'path')} allowed below {place.mount}/…/{place.prefix}"


def _failed(name: str, error: ReconcilerError) -> Check:
    return Check(name, ok=False, detail=error.message, hint=error.hint, exit_code=error.exit_code)


def _unknown(name: str) -> Check:
    return Check(name, ok=None, detail="not checked")
