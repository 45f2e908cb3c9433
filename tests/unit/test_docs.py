"""The documentation says what the program does: what can be held against it is."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import click
import pytest

from reconciler import workflow
from reconciler.cli.app import reconciler
from reconciler.manifest.emit import Export, manifest_text
from reconciler.manifest.load import load_manifests
from reconciler.model import Endpoint
from reconciler.report.plan_text import plan_text
from tests.fakes.world import NO_LIMITS, Org

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_PLAN = re.compile(r"(?<=\$ reconciler plan\n).*?(?=```)", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def test_the_readme_shows_a_real_plan() -> None:
    """The recorded look at a plan is what `reconciler plan` says about the examples."""
    org = Org(organization="default")
    with contextlib.chdir(ROOT / "examples"):
        webhooks = load_manifests(["manifests"]).webhooks
    actual = plan_text(workflow.plan(org.world, webhooks, NO_LIMITS).plan)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if os.environ.get("UPDATE_GOLDEN"):
        text = _PLAN.sub(lambda _: actual, text, count=1)
        readme.write_text(text, encoding="utf-8")
    shown = _PLAN.search(text)
    assert shown is not None
    assert shown[0] == actual


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    """Each relative link names a file that exists."""
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


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
