"""The rules that manifests and configuration are held to: stable codes, as users and docs quote them."""

from __future__ import annotations

from types import MappingProxyType

from reconciler.diagnostics import Rule, Severity

UNREADABLE = Rule(
    "WH001",
    "A path cannot be read",
    "A path that was named is missing, cannot be opened, or is no regular file. Symbolic links and hidden "
    "files below a folder are passed over; a link that is named itself is followed.",
)
ENCODING = Rule(
    "WH002",
    "A file is not plain UTF-8 text",
    "Files are UTF-8, with or without a byte order mark at the beginning, and hold no control characters, no "
    "characters that turn the direction of reading, and no line breaks that reviews do not show: a parser "
    "must not see anything else than a reviewer.",
)
SYNTAX = Rule(
    "WH003",
    "A file is not YAML",
    "The rest of the file after the place cannot be understood and is not checked; other files are.",
)
UNSUPPORTED_YAML = Rule(
    "WH004",
    "Anchors, aliases, tags and complex keys are not supported",
    "A manifest says in place what it means, so that a reviewer sees it in the diff.",
)
TOO_LARGE = Rule(
    "WH005",
    "A limit is exceeded",
    "A file has at most 8 MiB and 50,000 problems, a document 10,000 problems, 65,536 nodes and 32 levels, "
    "a number 64 characters, and there are at most 100,000 manifests and folders below one path. What is "
    "beyond a limit is not checked.",
)
DUPLICATE_KEY = Rule(
    "WH006",
    "A mapping has a key twice",
    "YAML forbids it, and most parsers silently keep the last one.",
)
KEY_NOT_TEXT = Rule(
    "WH007", "A key is not a string", "Quote a key that reads as a number, a boolean or null."
)
UNKNOWN_KEY = Rule(
    "WH010",
    "A key is not known",
    "Nothing is ignored silently: a misspelt key would otherwise change nothing.",
)
MISSING_KEY = Rule("WH011", "A required key is missing", "Add the key.")
WRONG_TYPE = Rule(
    "WH012",
    "A value has the wrong type",
    "Types are those of YAML 1.2: `on`, `no` and dates are strings, `true` and `12` are not; quotes make "
    "a string.",
)
WRONG_VALUE = Rule(
    "WH013", "A value is none of the allowed ones", "Use one of the values that the message lists."
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
    "The API would refuse it, or never deliver it. A type newer than this version can be allowed with "
    "`--allow-unknown-events`, or on its line with a comment.",
    ignorable=True,
)
DUPLICATE_NAME = Rule(
    "WH021",
    "Two manifests have one name",
    "A name is unique in its organization: it names the secret in Vault.",
)
DUPLICATE_URL = Rule(
    "WH022",
    "Two manifests have one URL",
    "URLs are compared in their normal form (RFC 3986). Declare one webhook with the events of both.",
)
URL_MALFORMED = Rule(
    "WH023",
    "A URL is malformed",
    "It must be an absolute URL without spaces, backslashes or control characters.",
)
URL_NOT_HTTPS = Rule("WH024", "A URL is not https", "Deliveries go to https endpoints only.")
URL_CREDENTIALS = Rule(
    "WH025",
    "A URL holds a user name or password",
    "Manifests are no place for secrets; receivers verify the signature instead.",
)
URL_FRAGMENT = Rule("WH026", "A URL has a fragment", "No server ever sees the part after `#`; remove it.")
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
    "A file holds a secret",
    "Something in the file, be it in a comment, has the shape of a key, token, password or private key. "
    "Whoever can read the repository has it, now and in its history: revoke it first, then remove it. "
    "Signing secrets are made by the reconciler and lie in Vault only. The value is never shown.",
)
LIKELY_SECRET = Rule(
    "WH031",
    "A value looks like a secret",
    "A value or a comment is random as keys and tokens are, or is named for a secret: by the key `password`, "
    "by the parameter `?token=`. Digests, commits, UUIDs, addresses of documents and references such as "
    "`$TOKEN` are no such thing. If it is a secret, revoke it, then remove it; if it is none, say so in a "
    "comment on its line. The value is never shown.",
    ignorable=True,
)
DECEPTIVE_HOST = Rule(
    "WH032",
    "A URL's host is hard to recognise",
    "The host mixes letters of several scripts, has only letters that look like Latin ones, or is written in "
    "punycode. The message shows both forms: check that the host is the one that is meant. Whoever owns it "
    "receives the deliveries.",
    Severity.WARNING,
    ignorable=True,
)
EVERY_EVENT = Rule(
    "WH033",
    "A webhook subscribes to every event type",
    "Each delivery costs the receiver a request and hands it data. List the types that it acts upon.",
    Severity.WARNING,
    ignorable=True,
)
NO_OWNER = Rule(
    "WH034",
    "A webhook has no owner",
    "The label `owner`, else `team`, says who answers for a webhook: `reconciler status` shows it. The "
    "rule is off until `rules: {select: [WH034]}` in the configuration turns it on.",
    Severity.WARNING,
    ignorable=True,
    default=False,
)
OVERLAP_WITHOUT_ROTATION = Rule(
    "WH035",
    "An overlap without a rotation",
    "`secret.overlap` says how long a replaced endpoint and its secret stay valid. It counts whenever an "
    "endpoint is replaced: by a later `secret.createdAfter`, by `reconciler rotate`, and by a change of "
    "URL or events. Without `createdAfter` no manifest rotates the secret, so an overlap that was meant "
    "for rotations waits in vain; one that is meant for changes of URL and events is fine, and a comment "
    "says so.",
    Severity.WARNING,
    ignorable=True,
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
    "Two organizations have one name",
    "Each organization needs a name of its own.",
)
SERVICE_URL = Rule(
    "WH052",
    "A service address is not safe to use",
    "The API and Vault are asked over https, over plain http on loopback only; an address holds no "
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
    "Rules about form, safety and policy hold for everybody: a change that breaks one must not switch it "
    "off.",
)
BAD_IGNORE = Rule(
    "WH060",
    "A comment that ignores a rule cannot be understood",
    "Write `# reconciler: ignore[WH033] why` at the end of the line with the problem; several codes are "
    "joined by commas. Each must be the code of a rule.",
)
GUARDED_IGNORE = Rule(
    "WH061",
    "A comment ignores a rule that may not be ignored",
    "Rules about form, safety and policy hold for everybody: a change that breaks one must not switch it "
    "off.",
)
IGNORE_WITHOUT_REASON = Rule(
    "WH062",
    "A comment ignores a rule without a reason",
    "Whoever reviews the change, or meets the line in a year, has to know why: write it after the bracket.",
)
UNUSED_IGNORE = Rule(
    "WH063",
    "A comment ignores a rule that its line does not break",
    "A comment counts for its own line only. One that is of no use any more hides the next problem: "
    "remove it.",
    Severity.WARNING,
    ignorable=True,
)

RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {value.code: value for value in list(globals().values()) if isinstance(value, Rule)}
)
"""Every rule by its code, for the docs and for SARIF."""
IGNORABLE = tuple(code for code, rule in RULES.items() if rule.ignorable)
