"""ansible: a loop of `uri` tasks with one request to the API for each webhook, the obvious first solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measuring import Command

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import StandIns

_PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{python}"
  tasks:
    - name: Look at each webhook
      ansible.builtin.uri:
        url: "{api}/v1/webhooks?limit=1&number={{{{ item }}}}"
      loop: "{{{{ range(0, {size}) | list }}}}"
"""


def ask_for_each(programs: Path, parent: Path, size: int, servers: StandIns) -> Command:
    """Return a playbook that sends one request for each webhook to the same API."""
    folder = parent / f"ansible-{size}"
    folder.mkdir(exist_ok=True)
    playbook = _PLAYBOOK.format(api=servers.api.origin, size=size, python=programs / "python")
    (folder / "playbook.yaml").write_text(playbook, encoding="utf-8")
    program = str(programs / "ansible-playbook")
    return Command((program, "--inventory", "localhost,", "playbook.yaml"), folder)
