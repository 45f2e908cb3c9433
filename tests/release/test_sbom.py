"""The bill of materials lists what a release installs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from reconciler import __version__
from script.release.sbom import bill_of_materials

LOCK = (Path(__file__).resolve().parents[2] / "requirements.txt").read_text(encoding="utf-8")
MOMENT = datetime(2026, 12, 1, 3, 4, 5, tzinfo=UTC)


def test_it_lists_every_locked_dependency() -> None:
    """With its exact version, by a package URL, and as a dependency of ours."""
    bill = bill_of_materials(LOCK, MOMENT)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["timestamp"] == "2026-12-01T03:04:05Z"
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/webhook-reconciler@{__version__}"
    pins = re.findall(r"^(\S+)==(\S+)", LOCK, re.MULTILINE)
    assert [(each["name"], each["version"]) for each in bill["components"]] == pins
    (ours,) = bill["dependencies"]
    assert ours["dependsOn"] == [each["bom-ref"] for each in bill["components"]]
    assert f"pkg:pypi/{pins[0][0]}@{pins[0][1]}" in ours["dependsOn"]


def test_it_is_reproducible() -> None:
    """The same input gives the same text, and another lock another serial number."""
    assert bill_of_materials(LOCK, MOMENT) == bill_of_materials(LOCK, MOMENT)
    other = bill_of_materials(LOCK + "x==1 \n", MOMENT)
    assert other["serialNumber"] != bill_of_materials(LOCK, MOMENT)["serialNumber"]
