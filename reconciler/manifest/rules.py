"""The rules for manifests and the configuration, with stable codes, and an example of each."""

from __future__ import annotations

from types import MappingProxyType

from reconciler.diagnostics import Rule, Severity

UNREADABLE = Rule(
    "WH001",
    "A path cannot be read",
    "A path on the command line or in the configuration is missing, cannot be opened, or is not a regular "
    "file. Below a folder, every file that ends in `.yaml` or `.yml` (in any case) must be readable, and a "
    "symbolic link must lead to a place inside the folder. Otherwise a manifest would seem to be gone, and "
    "its webhook would be deleted. Hidden names are skipped, `exclude` in `reconciler.yaml` excludes files "
    "of other tools, and a link that is named on the command line is followed. The configuration, and the "
    "paths in it, must not lead out of its folder: nothing from elsewhere may be quoted.",
)
ENCODING = Rule(
    "WH002",
    "A file is not plain UTF-8 text",
    "Files are UTF-8, with or without a byte order mark at the beginning, and contain no control characters, "
    "no characters that change the direction of text, and no line breaks that reviews do not show: a "
    "reviewer must see what the parser sees.",
)
SYNTAX = Rule(
    "WH003",
    "A file is not YAML",
    "The rest of the file cannot be parsed and is not checked; other files are.",
)
UNSUPPORTED_YAML = Rule(
    "WH004",
    "Anchors, aliases, tags and complex keys are not supported",
    "A value is written where it is used, so that a reviewer sees it in the diff.",
)
TOO_LARGE = Rule(
    "WH005",
    "A limit is exceeded",
    "A file has at most 8 MiB and 50,000 problems, a document 10,000 problems, 65,536 nodes and 32 levels, a "
    "number 64 characters, and there are at most 100,000 manifests and folders below one path. Anything "
    "beyond a limit is not checked.",
)
DUPLICATE_KEY = Rule(
    "WH006",
    "A mapping has a duplicate key",
    "YAML forbids it, and most parsers silently keep the last one.",
)
KEY_NOT_TEXT = Rule(
    "WH007", "A key is not a string", "Quote a key that reads as a number, a boolean or null."
)
UNKNOWN_KEY = Rule(
    "WH010",
    "A key is not known",
    "Unknown keys are not ignored: a misspelt key would otherwise have no effect.",
)
MISSING_KEY = Rule("WH011", "A required key is missing", "Add the key.")
WRONG_TYPE = Rule(
    "WH012",
    "A value has the wrong type",
    "Types are those of YAML 1.2: `on`, `no` and dates are strings, `true` and `12` are not; quotes make a "
    "string.",
)
WRONG_VALUE = Rule(
    "WH013", "A value is not one of the allowed ones", "Use one of the values that the message lists."
)
WRONG_FORM = Rule(
    "WH014", "A value does not have the required form", "The hint says which form it must have."
)
WRONG_COUNT = Rule(
    "WH015", "Too few, too many or repeated entries", "Lists of events need at least one entry, each once."
)
UNKNOWN_EVENT = Rule(
    "WH020",
    "An event type is not known",
    "The API would refuse it, or never deliver it. A type that is newer than this version can be allowed "
    "with `--allow-unknown-events`, or with a comment on its line.",
    ignorable=True,
)
DUPLICATE_NAME = Rule(
    "WH021",
    "Two manifests have the same name",
    "A name is unique in its organization: it names the secret in Vault.",
)
DUPLICATE_URL = Rule(
    "WH022",
    "Two manifests have the same URL",
    "URLs are compared in their normal form (RFC 3986). Declare one webhook with the events of both.",
)
URL_MALFORMED = Rule(
    "WH023",
    "A URL is malformed",
    "It must be an absolute URL without spaces, backslashes or control characters, and the API must accept "
    "it: no IPv6 address, and at most 2048 characters in the form in which it is sent.",
)
URL_NOT_HTTPS = Rule("WH024", "A URL is not https", "Deliveries go to https endpoints only.")
URL_CREDENTIALS = Rule(
    "WH025",
    "A URL contains a user name or password",
    "Manifests must not contain secrets. Receivers verify the signature instead.",
)
URL_FRAGMENT = Rule(
    "WH026", "A URL has a fragment", "The part after `#` is never sent to a server; remove it."
)
URL_NOT_PUBLIC = Rule(
    "WH027",
    "A URL's host is not public",
    "Deliveries come from the internet: loopback, private and link-local addresses, single-label and local "
    "names cannot be reached.",
)
BAD_TIME = Rule("WH028", "A time does not exist", "The date, the time of day or the offset is out of range.")
OVERLAP_TOO_LONG = Rule(
    "WH029", "An overlap is too long", "A replaced secret stays valid for at most 90 days."
)
KNOWN_SECRET = Rule(
    "WH030",
    "A file contains a secret",
    "A value, a key or a comment has the shape of a key, token, password or private key. Anybody who can "
    "read the repository has it, now and in its history: revoke it first, then remove it. The reconciler "
    "creates signing secrets and keeps them in Vault only. The value is never shown.",
)
LIKELY_SECRET = Rule(
    "WH031",
    "A value looks like a secret",
    "A value or a comment is as random as keys and tokens are, or has the name of a secret, such as the key "
    "`password` or the parameter `?token=`. Digests, commits, UUIDs, addresses of documents and references "
    "such as `$TOKEN` are accepted. If it is a secret, revoke it, then remove it; if it is not, ignore the "
    "rule with a comment on its line. The value is never shown.",
    ignorable=True,
)
DECEPTIVE_HOST = Rule(
    "WH032",
    "A URL's host is hard to recognise",
    "The host mixes letters of several scripts, has only letters that look like Latin ones, or is written in "
    "punycode. The message shows both forms: check that it is the intended host. Its owner receives the "
    "deliveries.",
    Severity.WARNING,
    ignorable=True,
)
EVERY_EVENT = Rule(
    "WH033",
    "A webhook subscribes to every event type",
    "Each delivery costs the receiver a request and hands it data. List only the types that it acts on.",
    Severity.WARNING,
    ignorable=True,
)
NO_OWNER = Rule(
    "WH034",
    "A webhook has no owner",
    "The label `owner`, or else `team`, names the owner of a webhook; `reconciler status` shows it. The rule "
    "is off until `rules: {select: [WH034]}` in the configuration turns it on.",
    Severity.WARNING,
    ignorable=True,
    default=False,
)
OVERLAP_WITHOUT_ROTATION = Rule(
    "WH035",
    "An overlap without a rotation",
    "`secret.overlap` says how long a replaced endpoint and its secret stay valid. It applies whenever an "
    "endpoint is replaced: by a later `secret.createdAfter`, by `reconciler rotate`, and by a change of URL "
    "or events. Without `createdAfter` no manifest rotates the secret. The rule is off until `rules: "
    "{select: [WH035]}` in the configuration turns it on, where manifests are to rotate secrets.",
    Severity.WARNING,
    ignorable=True,
    default=False,
)
POLICY = Rule(
    "WH040",
    "A manifest breaks the policy",
    "The configured policy is a JSON Schema that every manifest must satisfy, perhaps with caps on all of "
    "them together (docs/reference/policy.md).",
)
POLICY_UNUSABLE = Rule(
    "WH041",
    "The policy cannot be used",
    "It must be a JSON file with a JSON Schema (draft 2020-12) that refers to nothing outside itself.",
)
CONFIG_DOCUMENTS = Rule(
    "WH050", "The configuration is not one document", "The file must hold exactly one YAML document."
)
DUPLICATE_ORGANIZATION = Rule(
    "WH051",
    "Two organizations have the same name",
    "The name of an organization must be unique.",
)
SERVICE_URL = Rule(
    "WH052",
    "A service address is not safe to use",
    "Requests to the API and Vault use https, or plain http on loopback only. An address must not contain "
    "credentials.",
)

UNKNOWN_RULE = Rule(
    "WH053",
    "The configuration names a rule that does not exist",
    "`rules: {select: [], ignore: []}` lists codes of rules, such as `WH034`.",
)
GUARDED_RULE = Rule(
    "WH054",
    "The configuration ignores a rule that may not be ignored",
    "Rules about form, safety and policy always apply: a change that breaks one must not switch it off.",
)
BAD_IGNORE = Rule(
    "WH060",
    "A comment that ignores a rule is malformed",
    "Write `# reconciler: ignore[WH033] why` at the end of the line with the problem; several codes are "
    "joined by commas. Each must be the code of a rule.",
)
GUARDED_IGNORE = Rule(
    "WH061",
    "A comment ignores a rule that may not be ignored",
    "Rules about form, safety and policy always apply: a change that breaks one must not switch it off.",
)
IGNORE_WITHOUT_REASON = Rule(
    "WH062",
    "A comment ignores a rule without a reason",
    "Reviewers and later readers need to know why: write the reason after the bracket.",
)
UNUSED_IGNORE = Rule(
    "WH063",
    "A comment ignores a rule that its line does not break",
    "A comment applies to its own line only, or to a text of several lines that ends on it. Remove one that "
    "is not needed: it would hide the next problem.",
    Severity.WARNING,
    ignorable=True,
)

RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {value.code: value for value in list(globals().values()) if isinstance(value, Rule)}
)
"""Every rule by its code, for the docs and for SARIF."""
IGNORABLE = tuple(code for code, rule in RULES.items() if rule.ignorable)

# For each rule that a file alone can break: a file that breaks it, and a valid one. The rules' pages show
# them, and a test checks them.
_HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Webhook\n"
_METADATA = "metadata:\n  name: ci\n"
_SPEC = "spec:\n  url: https://hooks.example.com/zof\n  events: [run.completed, run.failed]\n"
_GOOD = _HEAD + _METADATA + _SPEC
_CONFIG = "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n  - name: acme\n"


def _changed(old: str, new: str, *, good: str = _GOOD) -> tuple[str, str]:
    """Return the good file with a replacement, and the good file."""
    return good.replace(old, new, 1), good


def _added(lines: str, instead: str, *, good: str = _GOOD) -> tuple[str, str]:
    """Return the good file with `lines` added, and with `instead` added."""
    return good + lines, good + instead


def _url(url: str) -> tuple[str, str]:
    """Return a manifest with this URL, and a good one."""
    return _changed("https://hooks.example.com/zof", url)


EXAMPLES: dict[str, tuple[str, str]] = {
    "WH003": _added("  description: this: is not YAML\n", '  description: "this: is YAML"\n'),
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
