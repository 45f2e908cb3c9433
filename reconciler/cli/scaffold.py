"""`reconciler init`: the files that a repository of webhooks begins with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from reconciler import __version__
from reconciler.cli.new_file import create_file
from reconciler.cli.output import write_result
from reconciler.errors import ExitCode, UsageError
from reconciler.report.format.escape import visible
from reconciler.schemas import SchemaName, schema_text

_TEMPLATES = Path(__file__).resolve().parents[1] / "_templates"
_FILES = {
    "reconciler.yaml": "reconciler.yaml",
    "manifests/example.yaml": "example.yaml",
    ".pre-commit-config.yaml": "pre-commit-config.yaml",
    ".github/workflows/webhooks-preview.yml": "workflows/preview.yml",
    ".github/workflows/webhooks-apply.yml": "workflows/apply.yml",
    ".github/workflows/webhooks-drift.yml": "workflows/drift.yml",
}
"""What is written, and the template that it comes from."""
_SCHEMAS: dict[str, SchemaName] = {
    "schemas/webhook.schema.json": "manifest",
    "schemas/config.schema.json": "config",
}
# As the schema of the configuration has it.
_ORGANIZATION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NEXT = """
Next:
  1. {cd}make manifests/example.yaml yours, or delete it: the first push to main applies what is there.
     `reconciler validate` checks what you write.
     What is live already: `reconciler export --unmanaged --out manifests`, then `reconciler adopt`.
  2. Set ZOF_API_KEY, VAULT_ADDR and a Vault login; `reconciler doctor` checks them, `reconciler plan` shows
     what would be done.
  3. On GitHub make the environments webhooks-plan and webhooks-apply, each with the variable VAULT_ADDR and
     the secret ZOF_API_KEY; let webhooks-apply ask for a reviewer, and only main use it. The jobs log in to
     Vault by GitHub's identity, with the roles reconciler-plan and reconciler-apply:
     docs/howto/set-up-github.md of webhook-reconciler describes each step.
"""


def init(folder: str, organization: str) -> ExitCode:
    """Write each file that is not there yet, and tell what to do next.

    Raises:
        UsageError: an organization cannot have that name; nothing was written.
        ReconcilerError: a file cannot be written; those before it have been told.
    """
    if not _ORGANIZATION.fullmatch(organization):
        raise UsageError(
            f"{visible(organization)} is no name for an organization",
            hint="1 to 63 letters, digits, dots, hyphens and underscores, a letter or digit at either end",
        )
    for name, text in _texts(organization).items():
        place = visible(Path(folder) / name)
        wrote = create_file(Path(folder), name, text)
        write_result(f"wrote {place}\n" if wrote else f"kept  {place} (it exists)\n")
    cd = "" if folder == "." else f"`cd {shlex.quote(visible(folder))}`, then "
    write_result(_NEXT.format(cd=cd))
    return ExitCode.OK


def _texts(organization: str) -> dict[str, str]:
    """Return the text of each file, by its name."""
    texts = {
        name: (_TEMPLATES / template)
        .read_text(encoding="utf-8")
        .replace("@VERSION@", __version__)
        .replace("@ORGANIZATION@", organization)
        for name, template in _FILES.items()
    }
    return texts | {name: schema_text(which) for name, which in _SCHEMAS.items()}
