"""For each rule that a file alone can break: a file that does, and the same as it should be.

The rules' pages show them, and a test holds every one against its rule.
"""

from __future__ import annotations

_HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Webhook\n"
_METADATA = "metadata:\n  name: ci\n"
_SPEC = "spec:\n  url: https://hooks.example.com/zof\n  events: [run.completed, run.failed]\n"
_GOOD = _HEAD + _METADATA + _SPEC
_CONFIG = "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n  - name: acme\n"


def _changed(old: str, new: str, *, good: str = _GOOD) -> tuple[str, str]:
    """Return a file in which something else stands, and the good one."""
    return good.replace(old, new, 1), good


def _added(lines: str, instead: str, *, good: str = _GOOD) -> tuple[str, str]:
    """Return a file with more lines, and with others."""
    return good + lines, good + instead


def _url(url: str) -> tuple[str, str]:
    """Return a manifest with another URL, and a good one."""
    return _changed("https://hooks.example.com/zof", url)


EXAMPLES: dict[str, tuple[str, str]] = {
    "WH003": _added("  description: this: is no YAML\n", '  description: "this: is YAML"\n'),
    "WH004": _changed("  events: [", "  events: &events ["),
    "WH006": _added("  events: [run.started]\n", ""),
    "WH007": _changed("  name: ci\n", "  name: ci\n  1: one\n"),
    "WH010": _changed("events:", "event:"),
    "WH011": _changed("  events: [run.completed, run.failed]\n", ""),
    "WH012": _added("  test: no\n", "  test: false\n"),
    "WH013": _added("  deletionPolicy: Keep\n", "  deletionPolicy: Retain\n"),
    "WH014": _changed("name: ci", "name: CI_Results"),
    "WH015": _changed("[run.completed, run.failed]", "[]"),
    "WH020": _changed("run.completed", "run.complete"),
    "WH021": (
        f"{_GOOD}---\n{_GOOD.replace('/zof', '/other')}",
        f"{_GOOD}---\n{_GOOD.replace('/zof', '/other').replace('ci', 'cd')}",
    ),
    "WH022": (
        f"{_GOOD}---\n{_GOOD.replace('name: ci', 'name: cd').replace('hooks.', 'HOOKS.')}",
        f"{_GOOD}---\n{_GOOD.replace('name: ci', 'name: cd').replace('/zof', '/other')}",
    ),
    "WH023": _url("https://hooks.example.com\\zof"),
    "WH024": _url("http://hooks.example.com/zof"),
    "WH025": _url("https://user:password@hooks.example.com/zof"),
    "WH026": _url("https://hooks.example.com/zof#top"),
    "WH027": _url("https://169.254.169.254/zof"),
    "WH028": _added(
        "  secret:\n    createdAfter: 2026-02-30T00:00:00Z\n",
        "  secret:\n    createdAfter: 2026-03-01T00:00:00Z\n",
    ),
    "WH029": _added(
        "  secret:\n    createdAfter: 2026-03-01T00:00:00Z\n    overlap: 120d\n",
        "  secret:\n    createdAfter: 2026-03-01T00:00:00Z\n    overlap: 7d\n",
    ),
    "WH030": _changed(
        "  name: ci\n",
        "  name: ci\n  annotations:\n    key: whsec_EXAMPLEexampleEXAMPLE\n",
    ),
    "WH031": _url("https://hooks.example.com/zof?token=3xampl3-t0k3n-0f-n0b0dy"),
    "WH032": _url("https://hооks.example.com/zof"),  # noqa: RUF001 (that is the point)
    "WH033": _changed(
        "[run.completed, run.failed]",
        "\n"
        "    - agent.offline\n    - integration.error\n    - release.gate_blocked\n"
        "    - remediation.approved\n    - remediation.plan_pending\n"
        "    - run.completed\n    - run.failed\n    - run.started",
    ),
    "WH034": _changed(
        "  labels: {team: platform}\n",
        "",
        good=_GOOD.replace("name: ci\n", "name: ci\n  labels: {team: platform}\n"),
    ),
    "WH035": _added(
        "  secret:\n    overlap: 24h\n",
        "  secret:\n    createdAfter: 2026-11-01T00:00:00Z\n    overlap: 24h\n",
    ),
    "WH050": _added("---\nkind: Config\n", "", good=_CONFIG),
    "WH051": _added("  - name: acme\n", "  - name: acme-trial\n", good=_CONFIG),
    "WH052": _added(
        "    api: {url: http://api.example.com/v1}\n",
        "    api: {url: https://api.example.com/v1}\n",
        good=_CONFIG,
    ),
    "WH053": _added("rules: {select: [WH340]}\n", "rules: {select: [WH034]}\n", good=_CONFIG),
    "WH054": _added("rules: {ignore: [WH027]}\n", "rules: {ignore: [WH033]}\n", good=_CONFIG),
    "WH060": _changed("run.failed]", "run.failed]  # reconciler: ignore[WH33] the audit log wants all"),
    "WH061": _url("https://10.0.0.1/zof  # reconciler: ignore[WH027] our own network"),
    "WH062": (
        _HEAD + _METADATA + _SPEC + "  secret:\n    overlap: 24h  # reconciler: ignore[WH035]\n",
        _HEAD
        + _METADATA
        + _SPEC
        + "  secret:\n    overlap: 24h  # reconciler: ignore[WH035] for changes of the URL\n",
    ),
    "WH063": _changed("run.failed]", "run.failed]  # reconciler: ignore[WH033] the audit log wants all"),
}
