"""What of a file may be shown: what is, or looks like, a secret never is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from reconciler.credentials.detector import is_sensitive, looks_secret, mentions_secrets
from reconciler.credentials.redaction import (
    key_text,
    mask_unreviewed,
    mask_url,
    printable,
    showable_line,
    shown,
    shown_path,
)
from reconciler.manifest.export import suggest_names
from reconciler.manifest.load import load_manifests
from reconciler.manifest.rules import RULES
from reconciler.model import Endpoint, Run
from reconciler.plan.plan import Plan
from reconciler.plan.status import StatusRow
from reconciler.report.diagnostics.github import diagnostics_github
from reconciler.report.diagnostics.json import diagnostics_json
from reconciler.report.diagnostics.sarif import diagnostics_sarif
from reconciler.report.diagnostics.text import diagnostics_text
from reconciler.report.pages.fleet import Fleet, fleet_html
from reconciler.report.pages.plan import PlanSection, plan_html
from reconciler.report.pages.templates import PageContext
from reconciler.report.plan.json import plan_json, to_json_text
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.summary import DRIFT, View
from reconciler.report.plan.text import plan_text
from reconciler.report.status import status_markdown, status_text, status_value
from tests.fixtures.plan import SERVERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconciler.diagnostics import Diagnostic

BASE64 = "Zq8vT3nW5xY7aB2cD4eF6gH8"
SECRETS = (
    "whsec_hunter2",
    "zof_live_hunter2",
    "hvs.hunter2",
    "ghp_hunter2",
    "sk_live_hunter2",
    "AKIAHUNTER2HUNTER2",
    "eyJhbGciOiJIUzI1NiJ9",
    "-----BEGIN PRIVATE KEY-----",
    "0123456789abcdef0123456789abcdef",
    BASE64,
    f"prefix:{BASE64}",
    "https://user:hunter2@example.com/",
    "https://hunter2@example.com/",
    "https://user:hun/ter2@example.com/",
    "https://user:hun#ter2@example.com/",
    "https://user:hunter 2@example.com",
    "user:hunter2@example.com",
    "https://example.com/?token=hunter2",
    "https://example.com/?a=1&X-Amz-Signature=hunter2",
    "https://example.com/?api_key=hunter2",
    "https://example.com/?code=hunter2",
)
HARMLESS = (
    "",
    "run.completed",
    "https://hooks.example.com/zof?a=1&b=2",
    "a very long text of ordinary words that says nothing at all",
    "the-name-of-a-webhook-that-is-rather-long",
    "2026-11-01T00:00:00Z",
    "team@example.com",
    "12:30",
)


@pytest.mark.parametrize("text", SECRETS)
def test_what_is_made_like_a_secret_is_never_quoted(text: str) -> None:
    """A secret is shown neither as a value, nor as a key, nor within a line."""
    assert looks_secret(text)
    assert shown(text) is None
    assert key_text(text) == "***"
    assert showable_line(f"  key: {text}") is None


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_texts_are_quoted(text: str) -> None:
    """A text that is nothing like a secret is shown: the reader needs it."""
    assert not looks_secret(text)
    assert shown(text) == f"`{text}`"
    assert showable_line(f"  key: {text}") == f"  key: {text}"


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        (None, (), "`null`"),
        (True, (), "`true`"),
        (1.5, (), "`1.5`"),
        ("x" * 120, (), f"`{'x' * 120}`"),
        ("x" * 121, (), None),
        ("a\x1b[31m\u202e\n", (), r"`a\x1b[31m\u202e\n`"),
        ("x", ("spec", "token"), None),
        (5, ("metadata", "annotations", "api-key", 0), None),
        ("24h", ("spec", "secret", "overlap"), "`24h`"),
        ("x", ("spec", "secret", "other"), None),
        ("x", ("spec", "secret"), None),
        ("password: hunter2", (), None),
        ("the TOKEN = hunter2", (), None),
        ('{"client_secret": "hunter2"}', (), None),
        ("no token at all", (), "`no token at all`"),
    ],
)
def test_a_value_is_shown_unless_its_key_or_its_text_forbids_it(
    value: object, path: tuple[str | int, ...], expected: str | None
) -> None:
    """A value of a key that can hold a secret, a long one, or one that names a secret stays unsaid."""
    assert shown(value, path) == expected


def test_paths_and_keys_are_written_as_people_do() -> None:
    """A path joins keys by dots and has numbers in brackets; control characters become visible."""
    assert shown_path(("spec", "events", 1)) == "`spec.events[1]`"
    assert shown_path((0, "a\n", BASE64)) == r"`[0].a\n.***`"
    assert key_text("k" * 121) == "***"
    assert printable("é\t") == r"é\t"
    assert not is_sensitive(("spec", "events", 1))


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [("a: b", False), ("my_password: x", True), (f"a: {BASE64[:13]}", True), ("a: " + "x" * 20, False)],
)
def test_a_file_that_cannot_be_parsed_is_judged_as_a_whole(text: str, mentioned: bool) -> None:
    """The name of a secret, or a part of one, anywhere in a text makes it one that shows nothing."""
    assert mentions_secrets(text) is mentioned


HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Webhook\n"
GOOD = "spec: {url: 'https://hooks.example.com/', events: [run.failed]}\n"
LINES = {
    "beside a value": "metadata: {name: A, annotations: {password: hunter2}}\n" + GOOD,
    "in a text beside it": "metadata: {name: A, annotations: {note: 'the token: hunter2'}}\n" + GOOD,
    "in a comment": "metadata: {name: A}  # password hunter2\n" + GOOD,
    "in a list": "metadata: {name: A, annotations: {secrets: [hunter2]}}\n" + GOOD,
    "in a mapping": "metadata: {name: A, labels: {token: {a: {b: hunter2}}}}\n" + GOOD,
    "as a key": "metadata: {name: A, labels: {token: {whsec_hunter2: 1}}}\n" + GOOD,
    "as the secret": "metadata: {name: a}\n" + GOOD.replace("]}", "], secret: hunter2}"),
    "in a user name": "metadata: {name: a}\n" + GOOD.replace("https://", "https://user:hunter2@"),
    "in a password with a slash": "metadata: {name: a}\n"
    + GOOD.replace("https://", "https://user:/hunter2@"),
    "without a scheme": "metadata: {name: a}\n" + GOOD.replace("https://", "user:hunter2@"),
    "in a parameter": "metadata: {name: a}\n"
    + GOOD.replace("https", "http").replace("/'", "/?token=hunter2'"),
    "in a host": "metadata: {name: a}\n" + GOOD.replace("hooks.example.com", "whsec_hunter2"),
    "in a block": "metadata:\n  name: a\n  labels:\n    token: |\n      hunter2\n      \x07\n" + GOOD,
    "before an error": "metadata: {name: a, token: hunter2\n" + GOOD,
    "in an unclosed quote": "metadata: {name: a}\nspec: {token: 'hunter2}\n",
    "as a duplicate": "metadata: {name: a, token: hunter2, token: hunter2}\n" + GOOD,
    "behind an anchor": "metadata: {name: a, token: &t hunter2}\n" + GOOD,
    "as an anchor": "metadata: {name: a, token: &hunter2 x}\n" + GOOD,
    "behind a tag": "metadata: {name: a, token: !hunter2 x}\n" + GOOD,
    "as a kind": "metadata: {name: a}\n" + GOOD + "---\nkind: whsec_hunter2\n",
    "as the document": "--- whsec_hunter2\n",
    "in an ignore comment": "metadata: {name: A}\n"
    + GOOD.replace("}\n", "}  # reconciler: ignore[whsec_hunter2] the password is hunter2\n"),
    "in a duplicate": "metadata: {name: a, annotations: {token: hunter2}}\n"
    + GOOD
    + "---\nkind: Webhook\napiVersion: webhooks.zof.ai/v1\n"
    + "metadata: {name: a, annotations: {token: hunter2}}\n"
    + GOOD,
    "beside advice": "metadata: {name: a, annotations: {password: hunter2}}  # reconciler: ignore[WH020]\n"
    + GOOD.replace("hooks.", "h\u043eoks."),
    "as a key of known form": "metadata: {name: a, labels: {ghp_hunter2hunter2hunter2hunter2hunter2x: x}}\n"
    + GOOD,
    "as random text": "metadata: {name: a, annotations: {n: Xy7Qz9Lm3Khunter2w5Rt8Bn}}\n" + GOOD,
}


def sarif(found: Sequence[Diagnostic]) -> str:
    return diagnostics_sarif(found, RULES)


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_no_report_echoes_a_secret(tmp_path: Path, text: str) -> None:
    """A broken manifest is reported in every format without the secret that stands near the problem."""
    file = tmp_path / "m.yaml"
    file.write_text(HEAD + text)
    loaded = load_manifests([file])
    assert not loaded.ok
    for render in (diagnostics_text, diagnostics_json, diagnostics_github, sarif):
        assert "hunter2" not in render(loaded.diagnostics)


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("://", False),
        ("a@", False),
        (":", False),
        ("?token", False),
        ("secret ", False),
        ("eyJ", True),
        ("=", False),
    ],
)
def test_a_long_text_is_judged_in_bearable_time(unit: str, expected: bool) -> None:
    """Megabytes of what a pattern begins with are judged: with quadratic time this would never end."""
    assert looks_secret(unit * 200_000) is expected
    assert shown(unit * 200_000) is None
    assert mentions_secrets(unit * 200_000) is bool({unit} & {"?token", "secret "})


NOW = datetime(2026, 11, 12, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/zof", "https://hooks.example.com/zof"),
        ("https://hooks.example.com:8443/zof-runs/v2/", "https://hooks.example.com:8443/zof-runs/v2/"),
        ("https://ada:hunter2@hooks.example.com/zof", "https://***@hooks.example.com/zof"),
        ("https://a@b:c@hooks.example.com", "https://***@hooks.example.com"),
        ("//ada:hunter2@hooks.example.com/", "//***@hooks.example.com/"),
        ("https://x.example.com/?token=hunter2&to=a", "https://x.example.com/?token=***&to=***"),
        ("https://x.example.com/?a=b=c?d=e", "https://x.example.com/?a=***"),
        ("https://hooks.slack.com/services/T0/B0/abcdefgh12345678ABCD", "https://hooks.slack.com/***"),
        ("https://x.example.com/in/0a1b2c3d-0000-4000-8000-0123456789ab/z", "https://x.example.com/in/***/z"),
        ("https://x.example.com/integrations-of-all-teams", "https://x.example.com/integrations-of-all-teams"),
        ("https://x.example.com/?abcdefgh12345678", "https://x.example.com/?***"),
        ("https://x.example.com/in/whsec_hunter2", "https://x.example.com/in/***"),
        ("https://x.example.com/?hvs.hunter2", "https://x.example.com/?***"),
        ("https://x.example.com/?hunter2&k=v;hunter2", "https://x.example.com/?***&k=***;***"),
        (
            "https://abcdefghijklmnopqrstuvwxyzabcdef.lambda-url.us-east-1.on.aws/",
            "https://***.lambda-url.us-east-1.on.aws/",
        ),
        ("https://internal-webhooks-production.example.com/", "https://internal-webhooks-production.example.com/"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)  # fmt: skip
def test_credentials_are_not_shown(url: str, shown: str) -> None:
    """Names, passwords, values and parts like tokens are hidden; host and path are not."""
    assert mask_url(url) == shown


# Made up, and put together here so that no scanner of the repository takes them for real.
TOKEN = "aBcDeFgHiJkLmNoPqRsTuVwX"
ADDRESSES = (
    f"https://hooks.slack.com/services/T{TOKEN[:8]}/B{TOKEN[:8]}/{TOKEN}",
    f"https://hooks.slack.com/workflows/T{TOKEN[:8]}/{TOKEN}",
    f"https://discord.com/api/webhooks/123456/{TOKEN}-{TOKEN}_x",
    f"https://canary.discord.com/api/v10/webhooks/123456/{TOKEN}",
    f"https://hooks.zapier.com/hooks/catch/123456/{TOKEN[:6]}/",
    f"https://hook.eu1.make.com/{TOKEN}",
    f"https://hook.integromat.com/{TOKEN.lower()}",
    f"https://maker.ifttt.com/trigger/run/with/key/{TOKEN}",
    f"https://chat.example.com/hooks/{TOKEN.lower()}yz",
    f"https://acme.app.n8n.cloud/webhook/{TOKEN[:5]}",
    f"https://n8n.example.com:8443/webhook-test/{TOKEN[:5]}",
    f"https://eo{TOKEN[:8]}.m.pipedream.net/{TOKEN[:5]}",
    f"https://acme.webhook.office.com/webhookb2/{TOKEN}",
    f"https://api.telegram.org/bot123456:{TOKEN}/sendMessage",
    f"https://x.example.com/in/{TOKEN}",
    f"https://x.example.com/in/{TOKEN[:9]}-{TOKEN[9:]}_x",
    f"https://x.example.com/in/{TOKEN.lower()}",
    f"https://x.example.com/in#{TOKEN}",
    f"https://x.example.com/in?{TOKEN}",
    f"https://x.example.com/in;k={TOKEN[:7]}",
)
CANARY = re.compile(f"{TOKEN[:5]}|{TOKEN[9:]}", re.IGNORECASE)


@pytest.mark.parametrize("url", ADDRESSES)
def test_tokens_of_all_kinds_are_hidden(url: str) -> None:
    """Without digits, with hyphens and underscores, or as words: the service decides, else the look."""
    assert not CANARY.search(mask_url(url))
    assert urlsplit(mask_url(url)).hostname is not None
    assert not CANARY.search(suggest_names({"we_1": url})["we_1"])


REVIEWED = "https://hooks.example.com/zof/runs?team=ci"


@pytest.mark.parametrize(
    ("live", "shown"),
    [
        (REVIEWED, REVIEWED),
        ("HTTPS://hooks.example.com:443/zof/runs?team=ci", "HTTPS://hooks.example.com:443/zof/runs?team=ci"),
        (f"{REVIEWED}#hunter2", f"{REVIEWED}#***"),
        ("https://ada:hunter2@hooks.example.com/zof/runs", "https://***@hooks.example.com/zof/runs"),
        ("https://hooks.example.com/zof/hunter2?team=hunter2", "https://hooks.example.com/zof/***?team=***"),
        ("https://other.example.com/plain-words", "https://other.example.com/***"),
        ("https://other.example.com/", "https://other.example.com/"),
        ("https://qwertyuiopasdfghjklzxcvb.on.aws/", "https://***.on.aws/"),
        ("https://" + "a" * 5000, "***"),
        ("hunter2", "/***"),
    ],
)
def test_what_nobody_reviewed_of_a_live_url_is_hidden(live: str, shown: str) -> None:
    """Of a URL that somebody changed, only the host and what the manifest contains, too, is shown."""
    assert mask_unreviewed(live, None, REVIEWED) == shown


@pytest.mark.parametrize("unit", ["a", "a1", "A", "1", "a-", "%", ":", "@", "/", "?a=", "https://a/", "."])
def test_a_long_url_is_masked_in_little_time(unit: str) -> None:
    """No URL of the API makes a run hang."""
    url = "https://x.example.com/" + unit * 100_000
    assert mask_url(url) == mask_unreviewed(url) == "***"
    short = url[:4096]
    assert mask_url(short)
    assert looks_secret(short) in {True, False}


def test_no_report_shows_an_unmanaged_endpoints_credentials() -> None:
    """Whatever is put into a comment, an issue or a page."""
    endpoint = Endpoint("we_1", "https://ada:hunter2@x.example.com/zof?token=hunter2", ("run.failed",), NOW)
    plan = Plan("acme", SERVERS, (), 0, 0, (endpoint,))
    row = StatusRow(endpoint.id, endpoint.id, endpoint.url, "unmanaged", unmanaged=True, endpoint=endpoint)
    occasion = PageContext(NOW, Run())
    view = View(verbose=True, now=NOW)
    texts = (
        plan_text(plan, title=DRIFT, view=view),
        plan_markdown(plan, title=DRIFT, view=view),
        plan_html([PlanSection(plan, (), view)], occasion),
        status_text("acme", [row], now=NOW),
        status_markdown("acme", [row], now=NOW),
        fleet_html([Fleet("acme", [row])], occasion, known_events=("run.failed",)),
        plan_json(plan),
        to_json_text(status_value("acme", [row], observed_at=NOW)),
    )
    for text in texts:
        assert "x.example.com/***" in text
        assert "hunter2" not in text
        assert "com/zof" not in text
