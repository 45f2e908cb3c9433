"""The documentation is compared with what the program does: outputs, files, links and commands."""

from __future__ import annotations

import contextlib
import re
import subprocess
import textwrap
from pathlib import Path

import click
import pytest
import yaml

from reconciler.cli.app import reconciler
from reconciler.config.resolve import load_config
from reconciler.manifest.export import Export, manifest_text
from reconciler.manifest.load import load_manifests
from reconciler.model import Endpoint
from reconciler.report.diagnostics.text import diagnostics_text
from reconciler.report.plan.text import plan_text
from reconciler.usecases.plan import plan
from tests.fakes.world import Org
from tests.fixtures.pages import DOCS, ROOT, Page

README = Page("README")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
GUIDES = [page for page in PAGES if page.parent.name != "rules"]
"""The pages of the rules also show invalid files."""
_NAMING = {".py", ".md", ".yml", ".yaml", ".toml", ".hcl", ""}
_NAMED = re.compile(r"\bdocs/[a-z/-]+\.md\b")
_MANIFEST = re.compile(r"(?<=```yaml\n)apiVersion: [^\n]*\nkind: Webhook\n.*?(?=```)", re.DOTALL)
_CONFIG = re.compile(r"(?<=```yaml\n)apiVersion: [^\n]*\nkind: Config\n.*?(?=```)", re.DOTALL)
_YAML = re.compile(r"^( *)```yaml\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^( *)(`{3,}).*?^\1\2$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")


def test_the_readme_shows_a_real_plan(tmp_path: Path) -> None:
    """The plan in the README is the real plan of its manifest."""
    org = Org(organization="default")
    with contextlib.chdir(tmp_path):
        Path("manifests").mkdir()
        Path("manifests/ci.yaml").write_text(_first(_MANIFEST, README), encoding="utf-8")
        webhooks = load_manifests(["manifests"]).webhooks
    README.hold("plan", "$ reconciler plan\n" + plan_text(plan(org.wanting(webhooks)).plan))


def test_the_reference_shows_real_problems(tmp_path: Path) -> None:
    """The problems on the page are what `reconciler validate` reports for such a manifest."""
    broken = (
        _first(_MANIFEST, README)
        .replace("[run.completed, run.failed]", "[run.complete]")
        .replace("  labels: {team: platform}\n", "")
    )
    with contextlib.chdir(tmp_path):
        Path("manifests").mkdir()
        Path("manifests/ci.yaml").write_text(broken, encoding="utf-8")
        diagnostics = load_manifests(["manifests"]).diagnostics
    Page("docs/reference/validation").hold("problems", diagnostics_text(diagnostics))


def test_the_reference_shows_valid_files(tmp_path: Path) -> None:
    """The manifest and the configuration of the reference have no problem."""
    manifest, config = tmp_path / "m.yaml", tmp_path / "c.yaml"
    manifest.write_text(_first(_MANIFEST, Page("docs/reference/manifest")), encoding="utf-8")
    config.write_text(_first(_CONFIG, Page("docs/reference/configuration")), encoding="utf-8")
    loaded = load_manifests([manifest])
    assert (loaded.diagnostics, len(loaded.webhooks)) == ((), 1)
    assert load_config(config, environ={}).rules.select == {"WH034"}


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


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_the_index_lists_every_page(page: Path) -> None:
    """Each page below docs/ is linked from docs/README.md."""
    if page.parent.parent == DOCS:
        assert f"({page.relative_to(DOCS)})" in (DOCS / "README.md").read_text(encoding="utf-8")


def test_files_that_name_a_page_name_one_that_exists() -> None:
    """Each `docs/….md` in the code, the examples and the workflows is a page."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.suffix in _NAMING and file.is_file() and not name.startswith("tests/"):
            for page in _NAMED.findall(file.read_text(encoding="utf-8")):
                assert (ROOT / page).is_file(), f"{name}: {page}"


def test_contributing_names_files_that_exist() -> None:
    """Each path in the map of CONTRIBUTING.md exists; words in capitals are placeholders."""
    text = Page("CONTRIBUTING").text
    for path in re.findall(r"`((?:reconciler|tests|docs|script)/[a-z_/.]*)", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`((?:vault|zof|report)/[a-z_/]+\.py)`", text):
        assert (ROOT / "reconciler" / path).exists(), path
    folders = re.findall(r"^\| (`[^|]*`) \| [^|]* \|$", text, re.MULTILINE)
    for folder in re.findall(r"`([a-z]+/)`", "".join(folders)):
        assert (ROOT / "reconciler" / folder).is_dir(), folder


def test_the_reference_has_every_command() -> None:
    """The table names each command."""
    commands = Page("docs/reference/commands").text
    for name in reconciler.list_commands(click.Context(reconciler)):
        assert re.search(rf"`{name}\b", commands), name


def test_the_guide_on_adopting_shows_a_real_export() -> None:
    """The manifest in the guide is what `reconciler export` writes."""
    endpoint = Endpoint("we_123", "https://hooks.example.com/ci", ("run.completed",))
    exported = Export(endpoint, "hooks-example-com-ci", "acme-prod")
    text = manifest_text(exported, "../schemas/webhook.schema.json")
    Page("docs/howto/adopt-endpoints").hold("export", text)


def _first(pattern: re.Pattern[str], page: Page) -> str:
    """Return the first match on a page."""
    found = pattern.search(page.text)
    assert found is not None
    return found[0]
