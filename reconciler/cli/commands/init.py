"""`reconciler init`: start a repository of webhooks."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconciler.cli.pins import Source
    from reconciler.schemas import SchemaName

_TEMPLATES = Path(__file__).resolve().parents[2] / "_templates"
_FILES = {
    "reconciler.yaml": "reconciler.yaml",
    "manifests/example.yaml": "example.yaml",
    ".pre-commit-config.yaml": "pre-commit-config.yaml",
    ".github/workflows/webhooks-preview.yml": "workflows/preview.yml",
    ".github/workflows/webhooks-apply.yml": "workflows/apply.yml",
    ".github/workflows/webhooks-drift.yml": "workflows/drift.yml",
}
"""The files, and the template of each."""
_AT_ROOT = {name for name in _FILES if name.startswith(".")}
"""GitHub and pre-commit read these only at the root of a repository."""
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")
_SCHEMAS: dict[str, SchemaName] = {
    "schemas/webhook.schema.json": "manifest",
    "schemas/config.schema.json": "config",
}
_MANIFEST = re.compile(rb"""^["']?kind["']?:\s*["']?Webhook\b""", re.MULTILINE)
_MOST_READ = 65_536
# As in the schema of the configuration.
_ORGANIZATION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_EXAMPLE = "manifests/example.yaml"
_YOURS = {"reconciler.yaml", _EXAMPLE}
"""These are only the beginning of your own files, so an upgrade leaves them out."""
_EDIT_EXAMPLE = f"edit {_EXAMPLE}, or delete it: the first push to main applies it."
_CHECK_PLAN = "check `reconciler plan`: the first push to main applies your manifests."
_NEXT = """
Next:
  1. {cd}{first}
     `reconciler validate` checks your manifests.
     For live endpoints: `reconciler export --unmanaged --out manifests`, then `reconciler adopt`.
  2. Set ZOF_API_KEY, VAULT_ADDR and a Vault login; `reconciler doctor` checks them, `reconciler plan` shows
     what `reconciler apply` would do.
  3. On GitHub create the environments webhooks-plan and webhooks-apply, each with the variable VAULT_ADDR
     and the secret ZOF_API_KEY; require a reviewer for webhooks-apply, and restrict it to main. The jobs log
     in to Vault with GitHub's identity, in the roles reconciler-plan and reconciler-apply:
     docs/howto/set-up-github.md of webhook-reconciler describes each step.
"""


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".")
@click.option(
    "--organization", metavar="NAME", default="default", show_default=True, help="The webhooks' organization."
)
@click.option(
    "--from",
    "named",
    metavar="SOURCE",
    help="What the workflows install: git+https://HOST/PATH@COMMIT, a URL with #sha256=HASH, a wheel's path, "
    "or 'webhook-reconciler==VERSION --hash=sha256:HASH'. Default: what this command was installed from.",
)
@click.option("--extra", type=click.Choice(["notify"]), help="Lock the dependencies of this extra, too.")
@click.option(
    "--upgrade", is_flag=True, help="Renew the files that nobody has edited; show how others differ."
)
def command(folder: str, organization: str, named: str | None, extra: str | None, upgrade: bool) -> ExitCode:
    """Write the first files of a repository of webhooks into DIR or the current folder.

    A configuration, an example manifest, the JSON Schemas for editors, a pre-commit hook, and GitHub
    workflows that plan pull requests, apply merges, and detect drift. Nothing is sent, and existing files
    are kept as they are. Where there are manifests, no example is written. In a folder of a repository,
    the workflows and the hook are written to the root of the repository, and run in DIR.

    The workflows install this version from a pinned source, and its dependencies by their hashes. A name in
    a package index is not such a source, because others may have registered it.

    \b
    Examples:
      reconciler init
      reconciler init webhooks --organization acme-prod
      reconciler init --upgrade
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    import shlex

    from reconciler.cli.output import write_result
    from reconciler.cli.scaffold import Scaffold
    from reconciler.report.format.escape import visible

    if not _ORGANIZATION.fullmatch(organization):
        raise UsageError(
            f"{visible(organization)} is not a valid name for an organization",
            hint="1 to 63 letters, digits, dots, hyphens, underscores; a letter or digit at either end",
        )
    scaffold = Scaffold(Path(folder))
    source = _source(named, is_pinned=upgrade and scaffold.has_pin)
    texts = _texts(organization)
    if has_manifests := _has_manifests(Path(folder)):
        del texts[_EXAMPLE]
    pinned = f"pinned {visible(source.shown)}\n" if source else ""
    if source is not None:
        texts |= scaffold.pins(source, extra)
    place = _place_in_repository(Path(folder))
    at_root = {} if place is None else _for_root(texts, place[1])
    written = [(scaffold, texts)]
    if place is not None:
        written.append((Scaffold(place[0]), at_root))
    if upgrade:
        for name in _YOURS & texts.keys():
            del texts[name]
        write_result(pinned + "".join(each.upgrade(files) for each, files in written))
        return ExitCode.OK
    write_result(pinned + "".join(each.create(files) for each, files in written))
    cd = "" if folder == "." else f"`cd {shlex.quote(visible(folder))}`, then "
    write_result(_NEXT.format(cd=cd, first=_CHECK_PLAN if has_manifests else _EDIT_EXAMPLE))
    if place is not None:
        _warn_without_workflows(*place, at_root)
    return ExitCode.OK


def _source(named: str | None, *, is_pinned: bool) -> Source | None:
    """Return what the workflows install; None, with a warning, if that is not known and was not known before.

    Raises:
        UsageError: `named` is not a pinned source, or the pin that is there cannot be renewed.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    from reconciler.cli.output import write_warning
    from reconciler.cli.pins import NAME, named_source, read_clone, recorded_source

    if named is not None:
        return named_source(named)
    try:
        record = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        record = None
    try:
        return recorded_source(record, lambda folder: read_clone(folder, os.environ))
    except UsageError as error:
        if is_pinned:
            raise
        write_warning(
            f"{error.message}; until then the workflows fail where they install it", error.hint or ""
        )
        return None


def _has_manifests(folder: Path) -> bool:
    """Whether there is a manifest below `folder`: the next merge would apply an example, too."""
    for path in folder.rglob("*"):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if is_hidden or path.suffix.lower() not in {".yaml", ".yml"} or not path.is_file():
            continue
        with path.open("rb") as file:
            if _MANIFEST.search(file.read(_MOST_READ)):
                return True
    return False


def _place_in_repository(folder: Path) -> tuple[Path, str] | None:
    """Return the root of the repository that `folder` is in, and its path there; None if it is the root."""
    from reconciler.cli.repository import root_above

    inner = folder.resolve()
    root = root_above(inner)
    return None if root is None or root == inner else (root, inner.relative_to(root).as_posix())


def _for_root(texts: dict[str, str | bytes], path: str) -> dict[str, str | bytes]:
    """Take the files that are read only at the root of a repository out of `texts`; return them for there.

    The workflows run in `path`, the folder of the configuration. None is returned where a workflow cannot
    name it.
    """
    taken = {name: texts.pop(name) for name in _AT_ROOT & texts.keys()}
    if not _PLAIN_PATH.fullmatch(path):
        return {}
    moved = {
        'default: "."': f'default: "{path}"',
        "inputs.working-directory || '.'": f"inputs.working-directory || '{path}'",
        "entry: reconciler validate\n": f"entry: reconciler validate --config '{path}/reconciler.yaml'\n",
    }
    files: dict[str, str | bytes] = {}
    for name, text in sorted(taken.items()):
        assert isinstance(text, str)  # noqa: S101 (a template)
        for old, new in moved.items():
            text = text.replace(old, new)  # noqa: PLW2901
        files[name] = text
    return files


def _warn_without_workflows(root: Path, path: str, files: dict[str, str | bytes]) -> None:
    """Warn if no workflow at the root of the repository runs in `path`."""
    from reconciler.cli.output import write_warning

    if not files:
        write_warning(
            f"no workflows were written: GitHub reads them only in {root}, and a workflow cannot name the "
            f"folder {path}",
            "rename the folder: letters, digits, dots, slashes, hyphens and underscores are possible",
        )
    kept = [name for name in files if f"'{path}" not in (root / name).read_text("utf-8", "replace")]
    if kept:
        write_warning(
            f"{', '.join(kept)} in {root} existed before and does not mention {path}",
            f"call the workflows with `working-directory: {path}` (docs/reference/workflows.md), and run "
            f"`reconciler validate --config {path}/reconciler.yaml` before commits",
        )


def _texts(organization: str) -> dict[str, str | bytes]:
    """Return the text of each file, by its name."""
    from reconciler.schemas import schema_text

    texts: dict[str, str | bytes] = {
        name: (_TEMPLATES / template).read_text(encoding="utf-8").replace("@ORGANIZATION@", organization)
        for name, template in _FILES.items()
    }
    return texts | {name: schema_text(which) for name, which in _SCHEMAS.items()}
