"""The machine on which the measurements were taken."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from reconciler import __version__

_LIBRARIES = ("click", "httpx", "hvac", "jsonschema-rs", "pyyaml")


def describe_machine() -> dict[str, str]:
    """Return its properties in the order in which they are printed."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(terse=True),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "reconciler": __version__,
        **{name: version(name) for name in _LIBRARIES},
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
