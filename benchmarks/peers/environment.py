"""The virtual environment of the peers, created once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.measuring import CommandFailed

_REQUIREMENTS = Path(__file__).parents[1] / "requirements-peers.txt"
_ERROR_LENGTH = 400


def install() -> Path:
    """Install the locked requirements if necessary, and return the folder of the programs.

    Raises:
        CommandFailed: the installation failed. It is not tried again in this run.
    """
    installed = _install()
    if isinstance(installed, CommandFailed):
        raise installed
    return installed


@cache
def _install() -> Path | CommandFailed:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = caches / "webhook-reconciler" / f"bench-peers-{version}"
    finished = home / "finished"
    if not finished.exists():
        print(f"     installing octoDNS, ansible and terraform into {home}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        python = str(home / "bin" / "python")
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps")
        steps = (
            (sys.executable, "-m", "venv", str(home)),
            (python, "-m", "pip", "install", *options, "-r", str(_REQUIREMENTS)),
        )
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                return CommandFailed(f"the peers cannot be installed: {done.stderr.strip()[-_ERROR_LENGTH:]}")
        finished.touch()
    return home / "bin"
