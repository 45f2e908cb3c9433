"""Secrets in texts: each known shape is found, ordinary texts are not, and nothing takes long."""

from __future__ import annotations

import random
import string

import pytest

from reconciler.credentials.detector import known_secret, likely_secret, looks_secret, may_hold_secret

# Made up, and put together here so that no scanner of the repository takes them for real.
LETTERS = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1BcD4eFgH7iJkL0mNoP"
HEX = "0123456789abcdef" * 2
UPPER = "ABCDEFGHIJ234567"
KNOWN = {
    "whsec_" + LETTERS[:32]: "a webhook's signing secret",
    "zof_" + LETTERS[:20]: "a Zof API key",
    "AKIA" + UPPER: "an AWS access key id",
    "ghp_" + LETTERS[:36]: "a GitHub token",
    "github_pat_" + LETTERS[:30]: "a GitHub token",
    "glpat-" + LETTERS[:20]: "a GitLab token",
    "xoxb-" + "123456789012-" * 2: "a Slack token",
    "xapp-1-" + LETTERS[:30]: "a Slack token",
    "hvs." + LETTERS[:30]: "a Vault token",
    "s." + LETTERS[:24]: "a Vault or OpenBao token",
    "sk_live_" + LETTERS[:24]: "a Stripe key",
    "sk-ant-" + LETTERS[:40]: "an API key",
    "AIza" + LETTERS[:35]: "a Google API key",
    "npm_" + LETTERS[:36]: "an npm token",
    "pypi-AgE" + LETTERS[:40]: "a PyPI token",
    "SG." + LETTERS[:22] + "." + LETTERS[:43]: "a SendGrid key",
    "AGE-SECRET-KEY-1" + UPPER * 3: "an age key",
    "eyJ" + LETTERS[:20] + ".eyJ" + LETTERS[:20] + ".x": "a JSON Web Token",
    "SK" + HEX[:32]: "a Twilio key",
    "dop_v1_" + HEX * 2: "a DigitalOcean token",
    "dckr_pat_" + LETTERS[:27]: "a Docker token",
    "shpat_" + HEX[:32]: "a Shopify token",
    "hf_" + LETTERS[:34]: "a Hugging Face token",
    "glsa_" + LETTERS[:32]: "a Grafana token",
    "ATATT3x" + LETTERS[:40]: "an Atlassian token",
    "dapi" + HEX[:32]: "a Databricks token",
    "123456789:AA" + LETTERS[:33]: "a Telegram token",
    "-----BEGIN PRIVATE " + "KEY-----": "a private key",
    "-----BEGIN RSA PRIVATE " + "KEY-----": "a private key",
    "postgres://app:hunter2@db.example.com/x": "a password in a URL",
}
LIKELY = (
    LETTERS[:24],
    f"the key is {LETTERS[:30]}, do not tell",
    "https://hooks.example.com/in?token=abc123def456",
    "https://hooks.example.com/in?a=1&api_key=abc-123-def-456",
    "https://hooks.slack.com/services/T00/B00/x",
    "password: hunter2",
    '"api_key" = "abc123def"',
    "Authorization: Bearer abc123def456",
    "secret:\n  - abc123def",
    "AWS_SECRET_ACCESS_KEY=" + LETTERS[:20] + "/" + LETTERS[20:39],
    LETTERS[:13] + "/" + LETTERS[13:26] + "+" + LETTERS[26:38],
    "https://discord.com/api/webhooks/123/x",
)
HARMLESS = (
    "",
    "run.completed",
    "0123456789abcdef0123456789abcdef01234567",
    "sha256:" + "0123456789abcdef" * 4,
    "550e8400-e29b-41d4-a716-446655440000",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "2026-11-01T00:00:00Z",
    "arn:aws:iam::123456789012:role/GitHubActionsDeployRole2024Prod",
    "CamelCaseNamesWithNumbers123AndMore456",
    "https://docs.google.com/document/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit",
    "https://wiki.example.com/zof?page=2&token=no",
    "https://hooks.example.com/zof?channel=approvals",
    "https://hooks.example.com/zof?authority=platform-team-2026",
    "postgres://app:${PASSWORD}@db.example.com/x",
    "postgres://app:<password>@db.example.com/x",
    "http://localhost:8080/@scope/package",
    "team@example.com",
    "token: $ZOF_TOKEN1",
    "token: ${{ secrets.TOKEN1 }}",
    "secret: secret/data/webhooks/ci2",
    "secret: arn:aws:secretsmanager:eu-central-1:123456789012:secret:zof",
    "credentials: ci-webhook-2026",
    "token: see page 42",
    "secret:\n    createdAfter: 2026-11-01T00:00:00Z\n    overlap: 24h",
    "the token was rotated on 2026-11-01: all is well",
    "secretName: ci2webhook",
    "manifests/production/team/Webhooks2026ab1",
    "the whsec_ prefix marks a secret, hvs. a token, and eyJ a JSON Web Token",
    "hooks.abcdefghijklmnopqrstuvwx.example.com",
    "a-rather-long-name-of-a-webhook-2024-for-production-eu-west-1",
    "-----BEGIN CERTIFICATE-----",
)


@pytest.mark.parametrize(("text", "kind"), KNOWN.items(), ids=KNOWN.values())
def test_each_known_shape_is_found_within_a_text(text: str, kind: str) -> None:
    """A secret is recognised by its shape, alone and within a sentence, and is never shown."""
    assert known_secret(text) == known_secret(f"note: {text} (old)") == kind
    assert may_hold_secret(f"a: {text}\n".encode())
    assert looks_secret(text)


@pytest.mark.parametrize("text", LIKELY)
def test_what_looks_like_a_secret_is_found(text: str) -> None:
    """Random letters and digits, named parameters and addresses that are permissions look like secrets."""
    assert known_secret(text) is None
    assert likely_secret(text) is not None
    assert may_hold_secret(text.encode())
    assert looks_secret(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_texts_are_no_secrets(text: str) -> None:
    """Digests, UUIDs, dates, names, addresses of documents and placeholders are normal in manifests."""
    assert (known_secret(text), likely_secret(text)) == (None, None)


def test_the_path_of_an_endpoint_is_judged_that_of_a_document_is_not() -> None:
    """A random path is a token in the URL of an endpoint, and an ordinary id in a link to a document."""
    url = f"https://hooks.example.com/in/{LETTERS[:24]}"
    assert likely_secret(url) is None
    assert likely_secret(url, endpoint=True) == "a random text, as keys and tokens are"


def test_a_password_before_the_host_of_an_endpoint_has_a_rule_of_its_own() -> None:
    """Only elsewhere is it a known secret: WH025 reports it for endpoints."""
    url = "https://user:hunter2@hooks.example.com/"
    assert known_secret(url) == "a password in a URL"
    assert known_secret(url, endpoint=True) is None


def test_random_texts_are_mostly_found_and_random_names_are_not() -> None:
    """Of random keys of 32 characters nearly all are found; of names made of words, none."""
    chance = random.Random(1)
    alphabet = string.ascii_letters + string.digits
    keys = ["".join(chance.choices(alphabet, k=32)) for _ in range(1000)]
    assert sum(likely_secret(key) is not None for key in keys) > 850
    words = ("Webhook", "release", "Gate", "prod", "EU", "2026", "On", "Call", "alerts", "V2")
    for separator in "", "-", "_", ".", "/":
        for _ in range(300):
            name = separator.join(chance.sample(words, k=6))
            assert likely_secret(name) is None, name


def test_an_ordinary_manifest_needs_no_closer_look() -> None:
    """The fast search spares what has neither a long run nor a mark."""
    assert not may_hold_secret(
        b"apiVersion: webhooks.zof.ai/v1\nmetadata: {name: a, labels: {team: x}}\n"
        b"spec:\n  url: https://hooks.example.com/zof/runs\n  deletionPolicy: Delete\n"
        b"  allowEventGap: false\n"
    )


@pytest.mark.untraced
@pytest.mark.parametrize(
    "unit",
    [
        "eyJ",
        "://",
        "password:",
        "token: a-",
        "secret=a1",
        "://a:",
        "a:b@",
        "?token=",
        "whsec_",
        "-----BEGIN ",
        "s.",
        "Aa1",
        "xox",
        "=",
    ],
)
def test_a_long_text_is_judged_in_bearable_time(unit: str) -> None:
    """Megabytes of what a pattern begins with are judged: with quadratic time this would never end."""
    text = unit * 200_000
    known_secret(text)
    likely_secret(text)
    likely_secret(text, endpoint=True)
    unmarked = {"password:", "token: a-", "://", "://a:", "s.", "xox", "-----BEGIN "}
    assert may_hold_secret(text.encode()) or unit in unmarked


@pytest.mark.parametrize("text", KNOWN, ids=KNOWN.values())
def test_the_fast_search_misses_no_known_shape(text: str) -> None:
    """Hyphens in the middle of a secret, where its shape has them, do not hide it from the fast search."""
    broken_up = "".join("-" if number % 9 == 8 and number > 8 else char for number, char in enumerate(text))
    if known_secret(broken_up):
        assert may_hold_secret(broken_up.encode())
