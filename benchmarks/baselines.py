"""The commands that are measured, and the baselines that they are compared with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.measuring import Command
from benchmarks.records import LISTING_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.measuring import Sample

_PARSE_YAML = """
import pathlib, yaml
for path in pathlib.Path("manifests").iterdir():
    for document in yaml.load_all(path.read_bytes(), yaml.CSafeLoader):
        pass
"""
_CLICK = "import click; click.command()(lambda: None)(['--help'])"
# `http.client` is the lightest HTTP client available, which makes this the strictest baseline.
_LIST_METADATA = f"""
import http.client, json, os
connection = http.client.HTTPConnection(os.environ["VAULT_ADDR"].removeprefix("http://"))
connection.request("LIST", {LISTING_PATH!r}, headers={{"X-Vault-Token": os.environ["VAULT_TOKEN"]}})
json.loads(connection.getresponse().read())
"""
_WITH_USUAL_API = """
import os
from reconciler import model
model.DEFAULT_API_URL = os.environ["ZOF_API_URL"]
from reconciler.cli import main
main()
"""
_PLAN = ("plan", "--exit-code", "--no-progress")
_IMPORTS_ALONE = "import http.client, json, os"


def reconciler(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Command:
    """Return our own command line."""
    return Command((sys.executable, "-m", "reconciler", *arguments), folder, environ or {})


def plan(folder: Path, environ: Mapping[str, str]) -> Command:
    """Return a plan that fails if there are changes."""
    return reconciler(folder, *_PLAN, environ=environ)


def plan_of_the_usual_api(folder: Path, environ: Mapping[str, str]) -> Command:
    """Return a plan that takes the stand-in for the API at its usual URL.

    At any other URL, the API gets no request before all of Vault's answer is there.
    """
    return Command((sys.executable, "-c", _WITH_USUAL_API, *_PLAN), folder, environ)


def parse_yaml(folder: Path) -> Command:
    """Return PyYAML's `CSafeLoader` alone, over the same files. It checks nothing and keeps nothing."""
    return _python(folder, _PARSE_YAML)


def bare_click(folder: Path) -> Command:
    """Return a click program with nothing but `--help`."""
    return _python(folder, _CLICK)


def bare_python(folder: Path) -> Command:
    """Return Python that does nothing."""
    return _python(folder, "pass")


def list_metadata(folder: Path, environ: Mapping[str, str]) -> Command:
    """Return a program that fetches all metadata from OpenBao in one request and parses it."""
    return _python(folder, _LIST_METADATA, environ)


def list_nothing(folder: Path) -> Command:
    """Return a program with the imports of `list_metadata` and nothing else."""
    return _python(folder, _IMPORTS_ALONE)


def vaults_share_of(folder: Path, environ: Mapping[str, str]) -> dict[str, Command]:
    """Return the two programs whose difference is the time for Vault's answer, for `vaults_share`."""
    return {"listing": list_metadata(folder, environ), "nothing": list_nothing(folder)}


def vaults_share(samples: Mapping[str, Sample]) -> Sample:
    """Return the time to fetch all metadata and parse its JSON, without the start of a program."""
    return samples["listing"] - samples["nothing"]


def _python(folder: Path, code: str, environ: Mapping[str, str] | None = None) -> Command:
    return Command((sys.executable, "-c", code), folder, environ or {})
