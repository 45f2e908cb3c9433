"""Laws of validation: both validators agree, explanations name places that exist, secrets stay unsaid."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.manifest import explain
from reconciler.manifest.load import load_manifests
from reconciler.manifest.rules import RULES
from reconciler.manifest.schema import packaged_schema
from reconciler.manifest.yaml.errors import YamlRefused
from reconciler.manifest.yaml.parsing import parse
from reconciler.report.diagnostics.github import diagnostics_github
from reconciler.report.diagnostics.json import diagnostics_json
from reconciler.report.diagnostics.sarif import diagnostics_sarif
from reconciler.report.diagnostics.text import diagnostics_text
from reconciler.schemas import SchemaName, schema_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Diagnostic

ROOT = Path(__file__).resolve().parents[2]
CORPUS = sorted(
    file
    for folder in ("tests/cases", "examples")
    for file in (ROOT / folder).rglob("*.y*ml")
    if file.is_file()
)
GOOD_MANIFEST: dict[str, Any] = {
    "apiVersion": "webhooks.zof.ai/v1",
    "kind": "Webhook",
    "metadata": {"name": "a", "labels": {"team": "x"}, "annotations": {"note": "y"}},
    "spec": {
        "url": "https://hooks.example.com/",
        "events": ["run.completed", "run.failed"],
        "description": "d",
        "deletionPolicy": "Retain",
        "secret": {"createdAfter": "2026-11-01T00:00:00Z", "overlap": "24h"},
        "allowEventGap": True,
        "test": False,
    },
}
GOOD_CONFIG: dict[str, Any] = {
    "apiVersion": "webhooks.zof.ai/v1",
    "kind": "Config",
    "organizations": [
        {
            "name": "acme",
            "manifests": ["m"],
            "api": {"url": "https://api.zof.ai/v1", "keyEnv": "ZOF_KEY", "requestsPerMinute": 100},
            "vault": {
                "address": "https://vault.example.com",
                "namespace": "",
                "mount": "secret",
                "prefix": "a/b",
                "auth": {"method": "jwt", "mount": "jwt", "role": "r"},
            },
            "guards": {"maxDeletes": 1, "maxDeletePercent": 2, "approve": ["sha256:" + "0" * 64]},
        }
    ],
    "policy": "p.json",
    "rules": {"select": ["WH034"], "ignore": ["WH033", "WH035"]},
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 101),
    st.sampled_from(
        [0.5, 10.0, "", "a\n", "A", "-", "a-", "a" * 64, "0s", "1h\n", "٣s", "https://", "jwt", "a//b", ".."]
    ),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.lists(st.sampled_from(["run.failed", "", 5]), max_size=3),
    st.dictionaries(
        st.sampled_from(["", "a", "name", "x" * 200]), st.sampled_from(["", 5, None]), max_size=2
    ),
)


@st.composite
def damaged(draw: st.DrawFn, good: dict[str, Any]) -> Any:
    """A good document with up to three odd values, missing keys or additional ones."""
    document = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(0, 3))):
        place = document
        while isinstance(place, dict | list) and place:
            key: Any = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            what = draw(st.sampled_from(["down", "down", "odd", "add", "remove"]))
            if what == "down" and isinstance(place[key], dict | list):
                place = place[key]
                continue
            if what == "remove":
                del place[key]
            elif what == "add" and isinstance(place, dict):
                place[draw(st.sampled_from(["x", "Name", "labels", "secret"]))] = draw(ODD)
            else:
                place[key] = draw(ODD)
            break
    return document


def agree(name: SchemaName, value: Any) -> None:
    fast = packaged_schema(name).accepts(value)
    violations = explain.find_violations(json.loads(schema_text(name)), value)
    assert fast == (not violations)


@given(damaged(GOOD_MANIFEST))
@example(GOOD_MANIFEST)
def test_both_validators_agree_on_manifests(value: Any) -> None:
    """jsonschema finds a violation exactly where jsonschema-rs says no."""
    agree("manifest", value)


@given(damaged(GOOD_CONFIG))
@example(GOOD_CONFIG)
def test_both_validators_agree_on_configurations(value: Any) -> None:
    """jsonschema finds a violation exactly where jsonschema-rs says no."""
    agree("config", value)


def documents_of(file: Path) -> list[Any]:
    """Return the values of a file's documents, as far as they have any."""
    values = []
    with contextlib.suppress(YamlRefused):
        values += [document.value for document in parse(file.read_bytes()) if not document.problems]
    return values


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: str(file.relative_to(ROOT)))
def test_both_validators_agree_on_the_corpus(file: Path) -> None:
    """So they do on every document that the other tests or the examples have, whatever it is meant to be."""
    for value in documents_of(file):
        agree("manifest", value)
        agree("config", value)


SECRET = "Zq8vT3nW5xY7aB2cD4eF6gH8"  # made up
PLACES = (
    ("metadata", "annotations", "token"),
    ("metadata", "annotations", "note"),
    ("metadata", "name"),
    ("metadata", SECRET),
    ("spec", "url"),
    ("spec", "events"),
    ("spec", "secret"),
    ("spec", "secret", "value"),
    ("spec", "secret", "overlap"),
    ("spec", "deletionPolicy"),
    ("spec", "password"),
    ("spec", "test"),
    ("kind",),
    (SECRET,),
)


@st.composite
def manifests_with_secrets(draw: st.DrawFn) -> str:
    """A broken manifest, in some style of YAML, that holds a secret somewhere."""
    value = draw(damaged(GOOD_MANIFEST))
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=2)):
        place = value
        for key in path[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        shape = draw(st.sampled_from(["text", "list", "mapping", "url"]))
        shapes: dict[str, Any] = {"text": SECRET, "list": [SECRET], "mapping": {"value": SECRET}}
        place[path[-1]] = shapes.get(shape, f"https://user:{SECRET}@hooks.example.com/")
    text = json.dumps(value, indent=draw(st.sampled_from([None, 1])))
    cut = draw(st.sampled_from([len(text), len(text), len(text) // 2, len(text) - 1]))
    return text[:cut]


def sarif(found: Sequence[Diagnostic]) -> str:
    return diagnostics_sarif(found, RULES)


@given(manifests_with_secrets())
@example(f'{{"spec": {{"url": "{SECRET[:19]}')
def test_no_report_shows_a_secret(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """A secret in a broken manifest is in no report, wherever it stands and however it is written."""
    file = tmp_path_factory.mktemp("manifests") / "m.yaml"
    file.write_text(text, encoding="utf-8")
    diagnostics = load_manifests([file]).diagnostics
    for render in (diagnostics_text, diagnostics_json, diagnostics_github, sarif):
        report = render(diagnostics)
        assert SECRET not in report
        assert base64.b64encode(SECRET.encode()).decode() not in report
        assert SECRET[:12] not in report
