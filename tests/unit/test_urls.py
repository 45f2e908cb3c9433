"""URLs: their normal form, and which ones may be sent a key or a token."""

from __future__ import annotations

import httpx
import pytest

from reconciler.urls import normalize_url, service_url_problem, spelling_key

GOOD = (
    "https://api.zof.ai/v1",
    "HTTPS://Vault.example.com:8200/",
    "https://vault_1.vault.svc.cluster.local.",
    "https://vault",
    "https://10.0.0.1:8200",
    "https://[2001:db8::1]:8200/path",
    "http://localhost:8200",
    "http://LOCALHOST",
    "http://127.0.0.1:8200/v1",
    "http://127.255.255.254",
    "http://[::1]:8200",
)
CHARACTER = "contains a space, a backslash or a character outside ASCII"
SCHEME = "must begin with `https://`"
USER = "contains a user name or password"
HOST = "names no host"
TAIL = "has a query or a fragment"
PLAIN = "uses plain http, which is accepted for loopback only"
NO_URL = "is not a URL"
BAD = {
    "": CHARACTER,
    " https://api.zof.ai": CHARACTER,
    "https://api.zof.ai/\n": CHARACTER,
    "https://api.zof.ai\\@example.com": CHARACTER,
    "https://bücher.example": CHARACTER,
    "https://api.zof.ai\0": CHARACTER,
    "api.zof.ai": SCHEME,
    "ftp://api.zof.ai": SCHEME,
    "file:///etc/passwd": SCHEME,
    "unix:/run/vault.sock": SCHEME,
    "localhost:8200": SCHEME,
    "https://user:hunter2@api.zof.ai": USER,
    "http://127.0.0.1@example.com": USER,
    "https://@api.zof.ai": USER,
    "https://": HOST,
    "https:api.zof.ai": HOST,
    "https:///v1": HOST,
    "https://:8200": HOST,
    "https://a..b": HOST,
    "https://.": HOST,
    "https://api<zof": HOST,
    "https://api.zof%2eai": HOST,
    "https://[fe80::1%25eth0]": HOST,
    "https://[v1.vault]": HOST,
    "https://2130706433": HOST,
    "https://127.1": HOST,
    "https://127.0.0.256": HOST,
    "https://0x7f.0.0.1": HOST,
    "https://0x7f000001": HOST,
    f"https://{'a' * 64}.example": HOST,
    "https://api.zof.ai/v1?": TAIL,
    "https://api.zof.ai/v1?key=hunter2": TAIL,
    "https://api.zof.ai/#": TAIL,
    "http://localhost#.example.com": TAIL,
    "http://api.zof.ai/v1": PLAIN,
    "http://localhost.example.com": PLAIN,
    "http://127.0.0.1.example.com": PLAIN,
    "http://10.0.0.1": PLAIN,
    "http://0.0.0.0": PLAIN,
    "http://[::ffff:10.0.0.1]": PLAIN,
    "https://api.zof.ai:x": NO_URL,
    "https://api.zof.ai:65536": NO_URL,
    "https://[::1": NO_URL,
}


@pytest.mark.parametrize("url", GOOD)
def test_https_and_plain_http_on_loopback_are_accepted(url: str) -> None:
    """An address over https, or over http to this machine, is accepted, and the client can parse it."""
    assert service_url_problem(url) is None
    assert httpx.URL(url).host


@pytest.mark.parametrize("url", BAD, ids=ascii)
def test_any_other_address_is_refused_without_being_quoted(url: str) -> None:
    """An unsafe address, or a text that is not one, is refused with the reason and never quoted."""
    assert service_url_problem(url) == BAD[url]


def test_a_query_is_accepted_where_it_is_allowed() -> None:
    """A URL with a query may be signed or carry an API version; a fragment is refused all the same."""
    assert service_url_problem("https://api.zof.ai/v1?key=1", query=True) is None
    assert service_url_problem("https://api.zof.ai/v1?key=1#x", query=True) == TAIL
    assert service_url_problem("http://api.zof.ai/v1?key=1", query=True) == PLAIN


@pytest.mark.parametrize(
    ("spelt", "normal"),
    [
        ("https://Example.COM:443/a", "https://example.com/a"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com./", "https://example.com/"),
        ("https://example.com/a/../b/./c/..", "https://example.com/b/"),
        ("https://example.com/%7eme%2fx", "https://example.com/~me%2Fx"),
        ("https://example.com/a#frag", "https://example.com/a"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://example.com:8443/?q=%41", "https://example.com:8443/?q=A"),
        ("HTTPS://straße.example.com:0443/x?f[a]=1", "https://xn--strae-oqa.example.com/x?f%5Ba%5D=1"),
        ("https://example.com:/x[%5b]", "https://example.com/x%5B%5B%5D"),
        ("https://[::1]/", "https://[::1]/"),
        ("https://[2606:4700:0:0::0001]:443/", "https://[2606:4700::1]/"),
        ("https://[fe80::1%25eth0]/", "https://[fe80::1%25eth0]/"),
        ("https://example.com:port/", "https://example.com:port/"),
        ("nonsense", "nonsense"),
    ],
)
def test_one_url_has_one_spelling(spelt: str, normal: str) -> None:
    """Different spellings of one URL compare equal, and the normal form is stable."""
    assert normalize_url(spelt) == normal
    assert normalize_url(normal) == normal


@pytest.mark.parametrize(
    "other",
    [
        "https://hooks.example.com/a/?x=1&y=2",
        "https://hooks.example.com/a?y=2&x=1",
        "https://HOOKS.example.com:443/a?x=***&y=***",
    ],
)
def test_the_spellings_that_apis_use_for_one_url_have_one_key(other: str) -> None:
    """A final slash, the order of a query and its values do not matter."""
    assert spelling_key("https://hooks.example.com/a?x=1&y=2") == spelling_key(other)


@pytest.mark.parametrize(
    "other",
    ["https://hooks.example.com/b?x=1", "https://hooks.example.com/a?y=1", "https://hooks.example.com/a"],
)
def test_other_paths_and_other_parameters_have_another_key(other: str) -> None:
    """A path and the names in a query do."""
    assert spelling_key("https://hooks.example.com/a?x=1") != spelling_key(other)
