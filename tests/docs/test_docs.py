"""The documentation says what the program does: what can be held against it is."""

from __future__ import annotations

import contextlib
import os
import re
import textwrap
from pathlib import Path

import click
import pytest
import yaml

from reconciler.cli.app import reconciler
from reconciler.config.resolve import load_config
from reconciler.manifest.export.emit import Export, manifest_text
from reconciler.manifest.load import load_manifests
from reconciler.model import Endpoint
from reconciler.report.diagnostics.text import diagnostics_text
from reconciler.report.plan.text import plan_text
from reconciler.usecases.plan import plan
from tests.fakes.world import Org

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
GUIDES = [page for page in PAGES if page.parent.name != "rules"]
"""The rules' own pages show what is wrong, too."""
_PLAN = re.compile(r"(?<=\$ reconciler plan\n).*?(?=```)", re.DOTALL)
_MANIFEST = re.compile(r"(?<=```yaml\n)apiVersion: [^\n]*\nkind: Webhook\n.*?(?=```)", re.DOTALL)
_CONFIG = re.compile(r"(?<=```yaml\n)apiVersion: [^\n]*\nkind: Config\n.*?(?=```)", re.DOTALL)
_PROBLEMS = re.compile(r"(?<=\$ reconciler validate\n).*?(?=```)", re.DOTALL)
_YAML = re.compile(r"^( *)```yaml\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^( *)(`{3,}).*?^\1\2$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")


def test_the_readme_shows_a_real_plan() -> None:
    """The recorded look at a plan is what `reconciler plan` says about the examples."""
    org = Org(organization="default")
    with contextlib.chdir(ROOT / "examples"):
        webhooks = load_manifests(["manifests"]).webhooks
    actual = plan_text(plan(org.wanting(webhooks)).plan)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if os.environ.get("UPDATE_GOLDEN"):
        text = _PLAN.sub(lambda _: actual, text, count=1)
        readme.write_text(text, encoding="utf-8")
    shown = _PLAN.search(text)
    assert shown is not None
    assert shown[0] == actual


def test_the_manual_shows_real_problems(tmp_path: Path) -> None:
    """The recorded problems are what `reconciler validate` says about such a manifest."""
    text = (ROOT / "docs" / "manifests.md").read_text(encoding="utf-8")
    shown = _PROBLEMS.search(text)
    assert shown is not None
    manifest = _MANIFEST.search((ROOT / "README.md").read_text(encoding="utf-8").replace("\n   ", "\n"))
    assert manifest is not None
    broken = (
        manifest[0]
        .replace("[run.completed, run.failed]", "[run.complete]")
        .replace("  labels: {team: platform}\n", "")
    )
    with contextlib.chdir(tmp_path):
        Path("manifests").mkdir()
        Path("manifests/ci.yaml").write_text(broken, encoding="utf-8")
        assert diagnostics_text(load_manifests(["manifests"]).diagnostics) == shown[0]


def test_the_manual_shows_valid_files(tmp_path: Path) -> None:
    """The manifest and the configuration of the manual have no problem."""
    text = (ROOT / "docs" / "manifests.md").read_text(encoding="utf-8")
    for pattern, name in (_MANIFEST, "m.yaml"), (_CONFIG, "c.yaml"):
        shown = pattern.search(text)
        assert shown is not None
        (tmp_path / name).write_text(shown[0], encoding="utf-8")
    loaded = load_manifests([tmp_path / "m.yaml"])
    assert (loaded.diagnostics, len(loaded.webhooks)) == ((), 1)
    assert load_config(tmp_path / "c.yaml", environ={}).rules.select == {"WH034"}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_yaml_on_the_pages_is_valid(page: Path, tmp_path: Path) -> None:
    """Each block is YAML, and each whole manifest and configuration has no problem."""
    for _, block in _YAML.findall(page.read_text(encoding="utf-8")):
        text = textwrap.dedent(block)
        document = yaml.safe_load(text)
        file = tmp_path / "file.yaml"
        file.write_text(text, encoding="utf-8")
        match document:
            case {"kind": "Webhook"}:
                loaded = load_manifests([file])
                assert (loaded.diagnostics, len(loaded.webhooks)) == ((), 1)
            case {"kind": "Config"}:
                assert load_config(file, environ={}).organizations


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    """Each relative link names a file that exists, and a heading that is there."""
    for target, anchor in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), f"{target}#{anchor}"


def _anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives a page's headings."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_readme_has_every_command() -> None:
    """The README's table names each command."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in reconciler.list_commands(click.Context(reconciler)):
        assert re.search(rf"`{name}\b", readme), name


def test_the_page_on_adopting_shows_a_real_export() -> None:
    """The manifest on the page is what `reconciler export` writes."""
    endpoint = Endpoint("we_123", "https://hooks.example.com/ci", ("run.completed",))
    exported = Export(endpoint, "hooks-example-com-ci", "acme-prod")
    shown = (ROOT / "docs/adopting.md").read_text(encoding="utf-8").partition("```yaml\n")[2]
    assert shown.partition("```")[0] == manifest_text(exported, "../schemas/webhook.schema.json")
