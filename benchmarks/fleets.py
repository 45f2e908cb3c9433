"""Generated fleets: manifests of 17 lines, one a file or 100 a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.manifest.load import load_manifests

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model import Webhook

MANY_A_FILE = 100
_MANIFEST = """\
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata:
  name: hook-{number:06}
  labels:
    team: team-{team:03}
    tier: standard
  annotations:
    runbook: https://wiki.example.com/zof/{number}
spec:
  url: https://hooks-{team:03}.example.com/zof/{number}
  events:
    - run.completed
    - run.failed
    - agent.offline
  deletionPolicy: Delete
  test: true
"""


@dataclass(frozen=True)
class Fleet:
    """A folder with `manifests/` in it."""

    folder: Path
    size: int
    per_file: int

    @property
    def manifests(self) -> Path:
        """The folder of the manifests."""
        return self.folder / "manifests"

    @property
    def title(self) -> str:
        """Size and shape as text."""
        shape = "one a file" if self.per_file == 1 else f"{self.per_file} a file"
        return f"{self.size:,} webhooks, {shape}"

    def webhooks(self) -> tuple[Webhook, ...]:
        """Return the webhooks in the manifests."""
        return load_manifests([self.manifests]).webhooks


def make_fleet(parent: Path, size: int, per_file: int = MANY_A_FILE) -> Fleet:
    """Return the fleet of `size` below `parent`; write it if it does not exist."""
    fleet = Fleet(parent / f"{size}-by-{per_file}", size, per_file)
    if not fleet.folder.exists():
        fleet.manifests.mkdir(parents=True)
        write_manifests(fleet.manifests, range(size), per_file)
    return fleet


def write_manifests(folder: Path, numbers: range, per_file: int = MANY_A_FILE) -> None:
    """Write the manifests of the webhooks with these numbers."""
    texts = [_MANIFEST.format(number=number, team=number % 100) for number in numbers]
    for first in range(0, len(texts), per_file):
        text = "---\n".join(texts[first : first + per_file])
        (folder / f"{numbers[first]:06}.yaml").write_text(text, encoding="utf-8")
