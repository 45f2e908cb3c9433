"""`reconciler export`: what is live, as manifests on stdout or in files of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.attribution import current_run
from reconciler.cli.new_file import create_file
from reconciler.cli.output import write_note, write_result
from reconciler.cli.wiring import for_each, load_places, open_session
from reconciler.errors import ExitCode, UsageError
from reconciler.manifest.export.emit import Export, manifest_text
from reconciler.manifest.export.naming import suggest_names
from reconciler.report.format.style import count
from reconciler.usecases import inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.cli.options import Settings
    from reconciler.cli.wiring import Place
    from reconciler.usecases.inventory import ExportRow

SCHEMA = "schemas/webhook.schema.json"
"""Where `reconciler init` puts the schema of manifests, from the repository's top."""


def export(settings: Settings, *, out: str | None, unmanaged: bool) -> ExitCode:
    """Write a manifest for each live endpoint.

    Raises:
        UsageError: files are asked for, and there are several organizations.
    """
    places = load_places(settings)
    if out is not None and len(places) > 1:
        raise UsageError(
            "the files are for one organization, and there are several",
            hint="choose one with --organization",
        )
    separator = [""]

    def write(place: Place) -> ExitCode:
        # Manifests are not looked at: there may be none yet, and what is live is what counts.
        with open_session(place, current_run(os.environ)) as session, place.reporter:
            rows = inventory.export(session)
        exports = _exports(place.name, rows, unmanaged=unmanaged)
        if out is not None:
            _write_files(Path(out), exports)
            return ExitCode.OK
        schema = _schema_from(Path("manifests"))
        for each in exports:
            write_result(separator[0] + manifest_text(each, schema))
            separator[0] = "---\n"
        if not exports:
            write_note(_nothing(place.name, unmanaged=unmanaged))
        return ExitCode.OK

    return for_each(places, write)


def _exports(organization: str, rows: Sequence[ExportRow], *, unmanaged: bool) -> list[Export]:
    """Return what is to be written, by name."""
    known = {row.name for row in rows if row.name is not None}
    strangers = {row.endpoint.id: row.endpoint.url for row in rows if row.name is None}
    names = suggest_names(strangers, known) | {
        row.endpoint.id: row.name for row in rows if row.name is not None
    }
    # What is managed keeps its URL; of those that nobody manages, the first by name.
    ranked = sorted(rows, key=lambda row: (row.name is None or row.released, names[row.endpoint.id]))
    first: dict[str, str] = {}
    found = []
    for row in ranked:
        name = names[row.endpoint.id]
        holder = first.setdefault(row.endpoint.normalized_url, name)
        if unmanaged and row.name is not None:
            continue
        found.append(
            Export(
                row.endpoint,
                name,
                organization,
                managed=row.name is not None and not row.released,
                released=row.released,
                owner=row.owner,
                deletion_policy=row.deletion_policy,
                twin=None if holder == name else holder,
            )
        )
    return sorted(found, key=lambda each: each.name)


def _write_files(folder: Path, exports: Sequence[Export]) -> None:
    schema = _schema_from(folder)
    written = kept = 0
    for each in exports:
        name = f"{each.name}.yaml"
        if create_file(folder, name, manifest_text(each, schema)):
            written += 1
            write_note(f"wrote {folder / name}")
        else:
            kept += 1
            write_note(f"kept {folder / name}: it exists")
    write_note("; ".join(_totals(written, kept)) + ".")


def _totals(written: int, kept: int) -> Iterator[str]:
    yield f"{count(written, 'manifest')} written"
    if kept:
        yield f"{count(kept, 'file')} left as {'it was' if kept == 1 else 'they were'}"


def _nothing(organization: str, *, unmanaged: bool) -> str:
    return f"{organization}: no endpoint is live{' and unmanaged' if unmanaged else ''}; nothing to export."


def _schema_from(folder: Path) -> str:
    """Return the schema's path from a folder of the repository; of one elsewhere, as if it were in it."""
    relative = os.path.relpath(SCHEMA, folder)
    return f"../{SCHEMA}" if folder.is_absolute() or folder.parts[:1] == ("..",) else relative
