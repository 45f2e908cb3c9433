"""Print the bill of materials (CycloneDX 1.6) of the locked dependencies: `python -m script.release.sbom`.

The same input and SOURCE_DATE_EPOCH give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler import __version__

NAME = "webhook-reconciler"
_LOCK = Path(__file__).resolve().parents[2] / "requirements.txt"
_PIN = re.compile(r"^([a-z0-9-]+)==([\w.!+]+)", re.MULTILINE)


def bill_of_materials(lock: str, created: datetime) -> dict[str, Any]:
    """Return the bill of materials of our package with the dependencies of `lock`.

    Args:
        lock: a requirements file with exact versions.
        created: when the release was made.
    """
    root = f"pkg:pypi/{NAME}@{__version__}"
    pins = {f"pkg:pypi/{name}@{version}": (name, version) for name, version in _PIN.findall(lock)}
    serial = uuid.UUID(hashlib.sha256(f"{root}\n{lock}".encode()).hexdigest()[:32], version=4)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": f"{created:%Y-%m-%dT%H:%M:%SZ}",
            "component": {
                "type": "application", "bom-ref": root, "name": NAME, "version": __version__, "purl": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [
            {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
            for purl, (name, version) in pins.items()
        ],
        "dependencies": [{"ref": root, "dependsOn": list(pins)}],
    }  # fmt: skip


if __name__ == "__main__":
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    bill = bill_of_materials(_LOCK.read_text(encoding="utf-8"), moment)
    sys.stdout.write(json.dumps(bill, indent=2) + "\n")
