"""octoDNS: as many records as webhooks, YAML on both sides, no changes.

Its records have four lines, our manifests seventeen. Its target is a file, ours are two servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measuring import Command

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import StandIns

_CONFIGURATION = """\
providers:
  source:
    class: octodns.provider.yaml.YamlProvider
    directory: ./source
  target:
    class: octodns.provider.yaml.YamlProvider
    directory: ./target
zones:
  bench.example.:
    sources: [source]
    targets: [target]
"""
_RECORD = """\
hook-{number:06}:
  ttl: 300
  type: CNAME
  value: hooks-{team:03}.example.com.
"""


def plan_nothing(programs: Path, parent: Path, size: int, _servers: StandIns) -> Command:
    """Return a dry run that finds no changes."""
    folder = parent / f"octodns-{size}"
    records = "".join(_RECORD.format(number=number, team=number % 100) for number in range(size))
    for side in ("source", "target"):
        (folder / side).mkdir(parents=True, exist_ok=True)
        (folder / side / "bench.example.yaml").write_text(records, encoding="utf-8")
    (folder / "config.yaml").write_text(_CONFIGURATION, encoding="utf-8")
    return Command((str(programs / "octodns-sync"), "--quiet", "--config-file", "config.yaml"), folder)
