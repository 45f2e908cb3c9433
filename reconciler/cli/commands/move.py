"""`reconciler move`: take the ledgers over to a moved API or a renamed organization."""

from __future__ import annotations

import shlex
import sys
import threading
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, lock_timeout_option, shared_options, yes_option
from reconciler.errors import ExitCode, InvalidInput, ReconcilerError, UsageError

if TYPE_CHECKING:
    from reconciler.config.settings import OrganizationSettings
    from reconciler.model import Organization
    from reconciler.plan.move import Move, MoveOutcome
    from reconciler.session import Session

_STOPPING = "stopping: the current document is finished first; a second signal ends the process immediately"


@click.command("move")
@click.option("--from-api-url", metavar="URL", help="The API's URL in the ledgers: the old one.")
@click.option(
    "--from-organization", metavar="NAME", help="The organization's name in the ledgers: the old one."
)
@click.option(
    "--allow-missing",
    multiple=True,
    metavar="NAME",
    help="Move this webhook although the new API does not list its endpoint; repeatable.",
)
@yes_option
@lock_timeout_option
@shared_options(paths=False, actor=True, manifests=False, output=False)
def command(
    options: Options,
    *,
    from_api_url: str | None,
    from_organization: str | None,
    allow_missing: tuple[str, ...],
    yes: bool,
    lock_timeout: float,
) -> ExitCode:
    """Take the ledgers over to a moved API (another host, /v2, a proxy) or a renamed organization.

    The settings name the new API and organization, the options the old ones. The preview shows each document;
    the new API must list the recorded endpoints. Endpoints and secrets are not changed, and documents stay
    where they are: name the old prefix with --vault-prefix or in the configuration, now and from then on. An
    interrupted move is continued by the same command. Exit codes: 0 done, 3 the prefix holds other documents
    or none, 4 refused, 5 partly done, 6 another run holds the lock, 64 without --yes or a terminal.

    \b
    Examples:
      ZOF_API_URL=https://api.zof.ai/v2 \\
        reconciler move --from-api-url https://api.zof.ai/v1
      reconciler move --from-organization acme --organization acme-prod \\
        --vault-prefix webhooks/acme
      reconciler move --from-organization acme --organization acme-prod \\
        --vault-prefix webhooks/acme --yes
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.cli.progress import shown
    from reconciler.cli.session import load_scope, open_session
    from reconciler.report.move import move_outcome_text, move_text, move_value
    from reconciler.report.plan.json import to_json_text
    from reconciler.usecases.move import plan_move

    if from_api_url is None and from_organization is None:
        raise UsageError(
            "name what has changed: --from-api-url URL or --from-organization NAME",
            hint="for example `reconciler move --from-api-url https://api.zof.ai/v1`",
        )
    scope = load_scope(options, manifests=False)
    if scope.several:
        raise UsageError("a move needs one organization", hint="add --organization NAME")
    (settings,) = scope.organizations
    origin = _origin(settings.organization, from_api_url, from_organization)
    as_json = options.format == "json"
    with open_session(scope, settings) as session:
        with shown(session.reporter):
            planned = plan_move(session, origin, allow_missing=allow_missing)
        if not planned.versions:
            raise _empty(settings, origin)
        if not as_json:
            write_result(move_text(planned, color=options.color))
        outcome: MoveOutcome | None = None
        if planned.documents and not planned.refusals:
            _confirm(planned, yes=yes, as_json=as_json)
            outcome = _move(session, planned, lock_timeout)
    if as_json:
        write_result(to_json_text(move_value(planned, outcome)))
    elif outcome is not None:
        write_result("\n" + move_outcome_text(planned, outcome, color=options.color))
    if planned.refusals:
        return ExitCode.REFUSED
    complete = (outcome is None or outcome.complete) and not planned.unreadable
    return ExitCode.OK if complete else ExitCode.PARTIAL


def _origin(target: Organization, api_url: str | None, name: str | None) -> Organization:
    """Return the organization as the ledgers have it.

    Raises:
        UsageError: it is the one that the settings name.
    """
    from reconciler.model import Organization

    origin = Organization(name or target.name, (api_url or target.api_url).rstrip("/"))
    if origin == target:
        raise UsageError(
            f"nothing has changed: the settings name {target.name} at {target.api_url}, too",
            hint="set the new ones with --organization, ZOF_API_URL or reconciler.yaml",
        )
    return origin


def _empty(settings: OrganizationSettings, origin: Organization) -> InvalidInput:
    """Return the error for a prefix without documents."""
    from reconciler.config.settings import default_prefix
    from reconciler.plan.move import move_command

    place = f"{settings.vault.mount}/{settings.vault.prefix}"
    command = move_command(origin, settings.organization)
    prefix = default_prefix(origin.name)
    if prefix == settings.vault.prefix:
        return InvalidInput(
            f"there are no documents below {place}", hint="check --vault-mount and --vault-prefix"
        )
    return InvalidInput(
        f"there are no documents below {place}: documents stay at their old place",
        hint=f"name it: `{command} --vault-prefix {shlex.quote(prefix)}`, and keep it as `vault.prefix`",
    )


def _confirm(planned: Move, *, yes: bool, as_json: bool) -> None:
    """Ask for confirmation, unless it was given with --yes.

    Raises:
        UsageError: there is no terminal to ask on.
        ReconcilerError: it was denied.
    """
    from reconciler.cli.output import write_problems
    from reconciler.report.move import move_text

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "cannot ask for confirmation: not a terminal; nothing was moved",
            hint="check the preview, then add --yes",
        )
    if as_json:
        # The preview is shown before it is confirmed, and stdout is for the JSON.
        write_problems(move_text(planned))
    if not click.confirm("\nMove these documents?", err=True):
        raise ReconcilerError("not confirmed: nothing was moved")


def _move(session: Session, planned: Move, lock_timeout: float) -> MoveOutcome:
    from reconciler.apply.holder import Holder
    from reconciler.apply.lock import Lock
    from reconciler.cli.progress import shown
    from reconciler.cli.signals import stop_on_signal
    from reconciler.usecases.move import move
    from reconciler.vault.documents import VaultDocuments

    store, warn = session.store, session.reporter.warn
    assert isinstance(store, VaultDocuments)  # noqa: S101 (from `open_session`)
    holder = Holder.here(session.run)
    waiting = session.reporter.waiting
    lock = Lock(store, session.clock, holder, timeout=lock_timeout, warn=warn, waiting=waiting)
    stop = threading.Event()
    with stop_on_signal(stop, _STOPPING), shown(session.reporter):
        return move(session, planned, lock=lock, stop=stop)
