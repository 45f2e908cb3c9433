"""The peers' own virtual environment, made once and kept in the user's cache."""

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
_LAST_WORDS = 400


@cache
def install() -> Path:
    """Return the environment's folder of programs, after installing the locked requirements where needed.

    Raises:
        CommandFailed: that did not succeed.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = caches / "webhook-reconciler" / f"bench-peers-{version}"
    finished = home / "finished"
    if not finished.exists():
        print(f"     installing octoDNS, ansible and terraform into {home}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(home))
        python = str(home / "bin" / "python")
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps")
        _run(python, "-m", "pip", "install", *options, "-r", str(_REQUIREMENTS))
        finished.touch()
    return home / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"the peers cannot be installed: {done.stderr.strip()[-_LAST_WORDS:]}")
