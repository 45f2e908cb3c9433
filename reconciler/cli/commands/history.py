"""`reconciler history`: show who changed what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.completion import complete_webhook
from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode, InvalidInput, UsageError

if TYPE_CHECKING:
    from reconciler.config.settings import OrganizationSettings


@click.command("history")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_webhook)
@click.option(
    "--audit",
    metavar="FILE",
    help="The audit log to read; default: the one that `apply` writes in the user's state folder.",
)
@shared_options(paths=False, manifests=False, parallel=True, formats=("text", "json", "markdown"))
def command(options: Options, *, names: tuple[str, ...], audit: str | None) -> ExitCode:
    """Show who changed which webhook, when, from which commit, and by which request; newest first.

    The audit log has every request and change of `apply` on this machine. Vault has the last change of each
    webhook, from any machine. Needs no API key, and reads no secret. Exit code 3: nothing is known of a NAME.

    \b
    Examples:
      reconciler history
      reconciler history ci-run-results
      reconciler history --audit audit.jsonl --format json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.apply.run_log import read_audit
    from reconciler.cli.results import Results, for_each
    from reconciler.cli.session import connect_vault, load_scope, open_store
    from reconciler.cli.state import audit_path
    from reconciler.plan.history import by_change, last_changes, merged
    from reconciler.report.history import history_markdown, history_text, history_value
    from reconciler.texts import did_you_mean

    scope = load_scope(options, manifests=False)
    if names and scope.several:
        raise UsageError("NAME needs one organization", hint="add --organization NAME")
    results = Results(options, several=scope.several)

    def show(settings: OrganizationSettings) -> ExitCode:
        with connect_vault(settings) as vault:
            recorded = last_changes(open_store(vault, settings).list_metadata())
        audited = read_audit(Path(audit) if audit else audit_path(settings.organization), settings.name)
        entries = merged(by_change(audited), recorded)
        known = {each.name for each in entries}
        if unknown := sorted(set(names) - known):
            raise InvalidInput(
                f"no recorded change of {', '.join(unknown)}",
                hint=did_you_mean(unknown, known, "`reconciler status` lists the names"),
            )
        entries = tuple(each for each in entries if not names or each.name in names)
        if options.format == "markdown":
            text = history_markdown(settings.name, entries)
        else:
            text = history_text(settings.name, entries, color=options.color)
        results.add(history_value(settings.name, entries), text)
        return ExitCode.OK

    return results.write_rest(for_each(scope, show, on_error=results.add_error))
