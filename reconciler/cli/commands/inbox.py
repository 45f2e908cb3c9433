"""`reconciler inbox`: show, retry and purge the events of a receiver."""

from __future__ import annotations

import time

import click

from reconciler.cli.options import Options, shared_options
from reconciler.cli.receiving import inbox_option
from reconciler.errors import ExitCode, InvalidInput, UsageError

_DAY = 86_400.0
_STATES = ("pending", "delivered", "dead")
_shared = shared_options(paths=False, vault=False, manifests=False)
_silent = shared_options(paths=False, vault=False, manifests=False, output=False, formats=())
_webhooks = click.option(
    "--webhook", "webhooks", multiple=True, metavar="NAME", help="Only events of this webhook; repeatable."
)


@click.group("inbox")
def command() -> None:
    """Show, retry and purge the events that `reconciler receive` has stored, while it runs or not.

    \b
    Examples:
      reconciler inbox list --state dead
      reconciler inbox retry --all
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)


@command.command("list")
@_webhooks
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_STATES),
    help="Only events in this state; repeatable.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The newest so many events."
)
@inbox_option
@_shared
def list_events(
    options: Options, *, webhooks: tuple[str, ...], states: tuple[str, ...], limit: int, inbox: str | None
) -> ExitCode:
    """List stored events, without their content.

    \b
    Examples:
      reconciler inbox list
      reconciler inbox list --state dead --webhook ci-run-results
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.cli.receiving import open_inbox
    from reconciler.receiver.inbox.entry import State
    from reconciler.report.inbox import entries_text, entry_value
    from reconciler.report.plan.json import to_json_text

    with open_inbox(inbox, options) as opened:
        entries = opened.find(webhooks=webhooks, states=[State(each) for each in states], limit=limit)
    if options.format == "json":
        text = to_json_text([entry_value(each) for each in entries])
    else:
        text = entries_text(entries, color=options.color)
    write_result(text, options.output)
    return ExitCode.OK


@command.command("show")
@click.argument("event_id", metavar="ID")
@_webhooks
@inbox_option
@_shared
def show_event(options: Options, *, event_id: str, webhooks: tuple[str, ...], inbox: str | None) -> ExitCode:
    """Show the event ID with its content. With several webhooks, there may be one for each.

    \b
    Examples:
      reconciler inbox show evt_5f1c
      reconciler inbox show evt_5f1c --format json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.cli.receiving import open_inbox
    from reconciler.report.inbox import event_text, event_value
    from reconciler.report.plan.json import to_json_text

    with open_inbox(inbox, options) as opened:
        entries = opened.find(webhooks=webhooks, ids=[event_id])
        found = [(each, event) for each in entries if (event := opened.event(each.seq)) is not None]
    if not found:
        raise _unknown(event_id)
    if options.format == "json":
        text = to_json_text([event_value(entry, event.body) for entry, event in found])
    else:
        text = "\n".join(event_text(entry, event.body) for entry, event in found)
    write_result(text, options.output)
    return ExitCode.OK


@command.command("retry")
@click.argument("event_ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--all", "everything", is_flag=True, help="All dead events, and those that wait for an attempt."
)
@_webhooks
@inbox_option
@_silent
def retry_events(
    options: Options,
    *,
    event_ids: tuple[str, ...],
    everything: bool,
    webhooks: tuple[str, ...],
    inbox: str | None,
) -> ExitCode:
    """Hand the events ID on again: dead letters, and events that wait for their next attempt.

    \b
    Examples:
      reconciler inbox retry evt_5f1c
      reconciler inbox retry --all --webhook ci-run-results
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.cli.receiving import open_inbox
    from reconciler.report.format.style import count

    _require_choice(event_ids, everything=everything)
    with open_inbox(inbox, options) as opened:
        retried = opened.retry(webhooks=webhooks, ids=event_ids)
    if event_ids and not retried:
        raise InvalidInput(
            "none of these events is dead or waits for an attempt", hint="see `reconciler inbox list`"
        )
    write_result(f"{count(retried, 'event')} will be handed on again.\n")
    return ExitCode.OK


@command.command("purge")
@click.argument("event_ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All events in the state.")
@click.option(
    "--state",
    type=click.Choice(_STATES[1:]),
    default="delivered",
    show_default=True,
    help="Which events; pending ones are never deleted.",
)
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=0.0,
    metavar="DAYS",
    help="Only events that were handed on, or set aside, before so many days.",
)
@_webhooks
@inbox_option
@_silent
def purge_events(
    options: Options,
    *,
    event_ids: tuple[str, ...],
    everything: bool,
    state: str,
    older_than: float,
    webhooks: tuple[str, ...],
    inbox: str | None,
) -> ExitCode:
    """Delete events that were handed on, or dead letters.

    `receive` deletes old events that were handed on by itself.

    An event that is deleted is not recognized when it is delivered again: it is handed on again.

    \b
    Examples:
      reconciler inbox purge --all --older-than 3
      reconciler inbox purge evt_5f1c --state dead
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.cli.receiving import open_inbox
    from reconciler.receiver.inbox.entry import State
    from reconciler.report.format.style import count

    _require_choice(event_ids, everything=everything)
    before = time.time() - older_than * _DAY
    with open_inbox(inbox, options) as opened:
        purged = opened.purge(State(state), before=before, webhooks=webhooks, ids=event_ids)
    write_result(f"{count(purged, 'event')} deleted.\n")
    return ExitCode.OK


def _require_choice(event_ids: tuple[str, ...], *, everything: bool) -> None:
    if bool(event_ids) == everything:
        raise UsageError("name events by their ID, or use --all", hint="see `reconciler inbox list`")


def _unknown(event_id: str) -> InvalidInput:
    return InvalidInput(f"no event {event_id} in the inbox", hint="see `reconciler inbox list`")
