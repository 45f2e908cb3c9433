"""Which addresses may be sent a key or a token."""

from __future__ import annotations

import httpx
import pytest

from reconciler.manifest.service_url import service_url_problem

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
CHARACTER = "holds a space, a backslash or a letter outside ASCII"
SCHEME = "must begin with `https://`"
USER = "holds a user name or password"
HOST = "names no host"
TAIL = "has a query or a fragment"
PLAIN = "uses plain http, which is accepted for loopback only"
NO_URL = "is no URL"
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
    """An address that is not safe, or no address, is refused with the reason and never quoted."""
    assert service_url_problem(url) == BAD[url]
