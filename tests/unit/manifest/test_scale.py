"""Thousands of broken manifests: all are reported in one run, in memory that grows with their number."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.manifest.load import load_manifests
from reconciler.manifest.rules import RULES
from reconciler.report.diagnostics.github import diagnostics_github
from reconciler.report.diagnostics.json import diagnostics_json
from reconciler.report.diagnostics.sarif import diagnostics_sarif
from reconciler.report.diagnostics.text import diagnostics_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.diagnostics import Diagnostic

MANIFEST = """\
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata:
  name: same
spec:
  url: https://hooks.example.com/same
  events: [run.complete]
  colour: blue-{number}
"""
CODES = ("WH020", "WH010", "WH021", "WH022")
"""What each is told of; the last two but for the first manifest."""


pytestmark = pytest.mark.untraced


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with relative paths."""
    monkeypatch.chdir(tmp_path)


def write(shape: str, count: int) -> Path:
    """Write broken manifests, one a file or all in one."""
    folder = Path(f"{shape}-{count}")
    folder.mkdir()
    texts = [MANIFEST.format(number=number) for number in range(count)]
    if shape == "documents":
        texts = ["---\n".join(texts)]
    for number, text in enumerate(texts):
        (folder / f"{number:06}.yaml").write_text(text, encoding="utf-8")
    return folder


@contextmanager
def traced() -> Iterator[None]:
    """Count what is allocated meanwhile."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", ["files", "documents"])
def test_thousands_of_broken_manifests_are_reported_in_one_run(shape: str) -> None:
    """Each problem of each manifest is there, whether they lie in as many files or in one."""
    found = load_manifests([write(shape, 4_000)]).diagnostics
    counts = {code: sum(each.rule == code for each in found) for code in CODES}
    assert counts == {"WH020": 4_000, "WH010": 4_000, "WH021": 3_999, "WH022": 3_999}
    assert len(found) == sum(counts.values())
    assert diagnostics_text(found).splitlines()[-2] == "15,998 errors"


def text_of(found: Sequence[Diagnostic]) -> str:
    return diagnostics_sarif(found, RULES)


@pytest.mark.parametrize("render", [None, diagnostics_text, diagnostics_json, diagnostics_github, text_of])
@pytest.mark.parametrize("shape", ["files", "documents"])
def test_memory_grows_with_the_number_of_manifests(shape: str, render: Callable[..., Any] | None) -> None:
    """Twice as many broken manifests need twice the memory: a square in it would need four times."""
    load_manifests([write(shape, 250)])  # what is made once does not count, nor what is kept for later
    peaks = []
    for count in (50, 100, 200):
        folder = write(shape, count)
        with traced():
            found = load_manifests([folder]).diagnostics
            if render:
                render(found)
            peaks.append(tracemalloc.get_traced_memory()[1])
    first, second = peaks[1] - peaks[0], peaks[2] - peaks[1]
    assert second < 3.2 * first, peaks


def test_a_file_is_not_kept_for_its_diagnostics() -> None:
    """Of a file of 4 MB with hundreds of problems, only the lines with problems stay in memory."""
    padding = "# " + "x" * 76 + "\n"
    text = "---\n".join(MANIFEST.format(number=number) + padding * 200 for number in range(250))
    Path("m.yaml").write_text(text, encoding="utf-8")
    with traced():
        found = load_manifests(["m.yaml"]).diagnostics
        kept = tracemalloc.get_traced_memory()[0]
    assert len(found) == 998
    assert len(text) > 3_900_000
    assert kept < len(text)
