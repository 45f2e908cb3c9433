"""`reconciler export`: write manifests for the live endpoints."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.config.settings import OrganizationSettings
    from reconciler.manifest.export import Export

_SCHEMA = "schemas/webhook.schema.json"
"""Where `reconciler init` puts the schema of manifests, from the repository's root."""


@click.command("export")
@click.option("--out", metavar="DIR", help="Write one file for each webhook into this folder.")
@click.option("--unmanaged", is_flag=True, help="Only the endpoints that are in no ledger.")
@shared_options(paths=False, output=False, parallel=True, formats=())
def command(options: Options, *, out: str | None, unmanaged: bool) -> ExitCode:
    """Write manifests for the live endpoints. Changes nothing, and reads no secret.

    Without --out they are one YAML stream on stdout. Existing files are kept as they are. Comments in
    each manifest say what to decide, and which `reconciler adopt` adopts the endpoint.

    \b
    Examples:
      reconciler export
      reconciler export --unmanaged --out manifests
      reconciler export --organization acme-prod > live.yaml
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_note
    from reconciler.cli.progress import shown
    from reconciler.cli.results import for_each
    from reconciler.cli.session import load_scope, open_session
    from reconciler.cli.turns import in_turn
    from reconciler.manifest.export import manifest_text
    from reconciler.usecases.fleet import export

    # Manifests are not read: there may be none yet.
    scope = load_scope(options, manifests=False)
    if out is not None and scope.several:
        raise UsageError("--out needs one organization", hint="add --organization NAME")
    stream = _Stream()

    def write(settings: OrganizationSettings) -> ExitCode:
        with open_session(scope, settings) as session, shown(session.reporter):
            exports = export(session, unmanaged=unmanaged)
        if out is not None:
            _write_files(Path(out), exports)
            return ExitCode.OK
        schema = schema_path(Path("manifests"))
        for each in exports:
            in_turn(partial(stream.write, manifest_text(each, schema)))
        if not exports:
            kind = "unmanaged endpoint" if unmanaged else "endpoint"
            write_note(f"{settings.name}: no live {kind}; nothing to export.")
        return ExitCode.OK

    return for_each(scope, write)


class _Stream:
    """A YAML stream on stdout."""

    def __init__(self) -> None:
        """Begin it."""
        self._separator = ""

    def write(self, document: str) -> None:
        """Write a document."""
        from reconciler.cli.output import write_result

        write_result(self._separator + document)
        self._separator = "---\n"


def _write_files(folder: Path, exports: Sequence[Export]) -> None:
    from reconciler.cli.output import create_file, write_note
    from reconciler.manifest.export import manifest_text
    from reconciler.report.format.style import count

    schema = schema_path(folder)
    kept = 0
    for each in exports:
        name = f"{each.name}.yaml"
        if create_file(folder, name, manifest_text(each, schema)):
            write_note(f"wrote {folder / name}")
        else:
            kept += 1
            write_note(f"kept {folder / name}: it exists")
    written = f"{count(len(exports) - kept, 'manifest')} written"
    write_note(f"{written}; {count(kept, 'existing file')} kept." if kept else f"{written}.")


def schema_path(folder: Path) -> str:
    """Return the schema's path from a folder of the repository; one elsewhere counts as being in it."""
    relative = os.path.relpath(_SCHEMA, folder)
    return f"../{_SCHEMA}" if folder.is_absolute() or folder.parts[:1] == ("..",) else relative
