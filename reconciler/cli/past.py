"""`reconciler history`: what the audit log says, and Vault beyond it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.apply.run_log import read_audit
from reconciler.cli.preview import Results
from reconciler.cli.wiring import for_each, load_places
from reconciler.errors import ExitCode
from reconciler.plan.history import last_changes, merged
from reconciler.report.history import history_markdown, history_text, history_value
from reconciler.vault.documents import VaultDocuments

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.cli.options import Settings
    from reconciler.cli.wiring import Place


def history(settings: Settings, names: Collection[str], audit: str | None) -> ExitCode:
    """Show each organization's history, of all webhooks or of `names`."""
    places = load_places(settings)
    results = Results(settings, several=len(places) > 1)

    def show(place: Place) -> ExitCode:
        with place.vault() as session:
            documents = VaultDocuments(session, mount=place.mount, prefix=place.prefix, clock=place.clock)
            recorded = last_changes(documents.list_metadata())
        audited = read_audit(Path(audit) if audit else place.audit, place.name)
        entries = [e for e in merged(audited, recorded) if not names or e.name in names]
        if settings.format == "markdown":
            text = history_markdown(place.name, entries)
        else:
            text = history_text(place.name, entries, color=settings.color)
        results.add(history_value(place.name, entries), text)
        return ExitCode.OK

    return results.write_after(for_each(places, show))
