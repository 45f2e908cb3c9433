"""terraform: as many data sources as webhooks, of the only kind that needs no provider from the network.

The program is the build of 0.15 on PyPI, which always writes a trace to standard error. It reads files and
contacts no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measuring import Command

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import StandIns

_SOURCE = """\
data "terraform_remote_state" "hook_{number:06}" {{
  backend = "local"
  config = {{
    path = "other.tfstate"
  }}
}}
"""
_STATE = """\
{
  "version": 4, "terraform_version": "0.15.0", "serial": 1, "lineage": "benchmark",
  "outputs": {}, "resources": []
}
"""
_ARGUMENTS = ("plan", "-input=false", "-no-color", "-lock=false", "-detailed-exitcode")


def read_all(programs: Path, parent: Path, size: int, _servers: StandIns) -> Command:
    """Return a plan that reads all of them and finds no changes."""
    folder = parent / f"terraform-{size}"
    folder.mkdir(exist_ok=True)
    (folder / "other.tfstate").write_text(_STATE, encoding="utf-8")
    text = "".join(_SOURCE.format(number=number) for number in range(size))
    (folder / "main.tf").write_text(text, encoding="utf-8")
    found = next(programs.parent.glob("lib/*/site-packages/cloudrail/terraform_0_15/terraform"), None)
    program = str(found or "terraform")
    # Do not look for a newer version on the network.
    return Command((program, *_ARGUMENTS), folder, {"CHECKPOINT_DISABLE": "1"})
