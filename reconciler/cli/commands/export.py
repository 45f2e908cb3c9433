"""`reconciler export`: manifests for the endpoints that are live."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings


@click.command("export")
@click.option("--out", metavar="DIR", help="Write one file for each webhook into this folder.")
@click.option("--unmanaged", is_flag=True, help="Only the endpoints that are in no ledger.")
@settings(paths=False, output=False, formats=())
def command(settings: Settings, *, out: str | None, unmanaged: bool) -> int:
    """Write manifests for the endpoints that are live. Changes nothing, and reads no secret.

    Without --out they are one YAML stream on stdout. Files that exist are kept as they are. Comments in
    each manifest say what is to be decided, and which `reconciler adopt` takes the endpoint over.

    \b
    Examples:
      reconciler export
      reconciler export --unmanaged --out manifests
      reconciler export --organization acme-prod > live.yaml
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import exporting  # noqa: PLC0415 (loads the libraries that do the work)

    return exporting.export(settings, out=out, unmanaged=unmanaged)
