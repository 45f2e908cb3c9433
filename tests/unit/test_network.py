"""Which proxy and which certificate authorities a connection uses, by the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

from reconciler.errors import InvalidInput
from reconciler.network import Authorities, Network

if TYPE_CHECKING:
    from pathlib import Path

PROXY = "http://me:passw0rd@proxy.example.com:3128"
API = "https://api.example.com/v1"


def is_direct(url: str, no_proxy: str) -> bool:
    return Network.of({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}).proxy_for(url) is None


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", API),
        ("api.example.com", API),
        ("API.Example.COM.", API),
        ("example.com", API),
        (".example.com", API),
        ("*.example.com", API),
        (".example.com", "https://example.com/"),
        ("api.*.com", API),
        ("api.example.com:443", API),
        ("example.com:8200", "https://vault.example.com:8200"),
        ("https://api.example.com/", API),
        ("localhost, 10.0.0.0/8 ,example.com", API),
        ("fd00::/8,example.com", API),
        ("bücher.example", "https://xn--bcher-kva.example/"),
        ("10.1.2.3", "https://10.1.2.3:8200"),
        ("10.1.2.3:8200", "https://10.1.2.3:8200"),
        ("10.0.0.0/8", "https://10.1.2.3:8200"),
        ("10.1.2.3/8", "https://10.9.9.9"),
        ("fd00::/8", "https://[fd12::1]:8200"),
        ("[fd00::]/8", "https://[fd12::1]:8200"),
        ("[fd00::/8]", "https://[fd12::1]:8200"),
        ("fd12::1", "https://[fd12:0::1]"),
        ("[fd12::1]", "https://[fd12::1]:8200"),
        ("[fd12::1]:8200", "https://[fd12::1]:8200"),
        ("fe80::1%eth0", "https://[fe80::1]"),
        ("10.0.0.0/8", "https://[::ffff:10.1.2.3]"),
        ("fd00::/200 example.com", API),
    ],
)
def test_a_server_without_a_proxy(no_proxy: str, url: str) -> None:
    """NO_PROXY lists hosts, suffixes, addresses and ranges of both versions, with or without a port."""
    assert is_direct(url, no_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", API),
        ("pi.example.com", API),
        ("example.co", API),
        ("other.example.com,fd00::/8,[::1]", API),
        ("api.example.com:8443", API),
        ("[fd12::1]:443", "https://[fd12::1]:8200"),
        ("fd00::/8", "https://[fe80::1]"),
        ("fd00::/8", "https://10.1.2.3"),
        ("10.0.0.0/8", "https://11.1.2.3"),
        ("10.0.0.0/8", "https://10.example.com"),
        ("::/200", "https://[::2]"),
        (",, ;", API),
    ],
)
def test_a_server_behind_the_proxy(no_proxy: str, url: str) -> None:
    """Whatever NO_PROXY does not list is reached through the proxy."""
    assert not is_direct(url, no_proxy)


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/v1", "https://localhost:1", "http://[::1]:1/v1"])
def test_loopback_has_no_proxy(url: str) -> None:
    """A proxy never sees what is sent to this machine, and a bad one does not matter there."""
    assert Network.of({"HTTPS_PROXY": "gopher://x"}).proxy_for(url) is None


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, "https_proxy"),
        ({"ALL_PROXY": PROXY}, "ALL_PROXY"),
        ({"HTTPS_PROXY": "", "all_proxy": PROXY}, "all_proxy"),
        ({"HTTP_PROXY": PROXY}, None),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "example.com", "NO_PROXY": ""}, None),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "", "NO_PROXY": "example.com"}, "HTTPS_PROXY"),
    ],
)
def test_the_variable_that_counts(environ: dict[str, str], variable: str | None) -> None:
    """HTTPS_PROXY counts before ALL_PROXY, and lower case before upper case, even if it is empty."""
    proxy = Network.of(environ).proxy_for(API)
    assert (proxy and proxy.variable) == variable
    assert proxy is None or proxy.url == PROXY
    assert "passw0rd" not in repr(proxy)


def test_a_proxy_without_a_scheme() -> None:
    """A host and a port are enough."""
    proxy = Network.of({"HTTPS_PROXY": "proxy.example.com:3128"}).proxy_for(API)
    assert proxy is not None
    assert proxy.url == "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    "url", ["gopher://passw0rd@p/", "socks5://passw0rd@p:1", "http://", "http://p:99999", "a b"]
)
def test_a_proxy_that_cannot_be_used(url: str) -> None:
    """The message names the variable and does not repeat a password."""
    for name in ("HTTPS_PROXY", "all_proxy"):
        with pytest.raises(InvalidInput, match=f"the proxy that {name} names") as refused:
            Network.of({name: url, "NO_PROXY": "fd00::/8"}).proxy_for(API)
        assert "passw0rd" not in refused.value.message + (refused.value.hint or "")


@pytest.mark.parametrize(
    "entry", ["fd00::/200", "10.0.0.0/33", "host:port", "[example.com]", "a/b", "1:2:3", "\x1b[31m"]
)
def test_an_entry_that_cannot_be_read(entry: str) -> None:
    """It is ignored, and named in a warning if there is a proxy at all."""
    network = Network.of({"HTTPS_PROXY": PROXY, "NO_PROXY": f"example.com,{entry}"})
    assert network.proxy_for(API) is None
    assert network.ignored == (entry,)
    warning = network.warning() or ""
    assert warning.startswith("ignored in NO_PROXY: `")
    assert warning.isprintable()
    assert Network.of({"NO_PROXY": entry}).warning() is None


def test_nothing_to_warn_of() -> None:
    """A NO_PROXY that can be read is not mentioned."""
    assert Network.of({"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8,[::1],10.0.0.0/8,.x"}).warning() is None


def test_the_authorities_that_count(tmp_path: Path) -> None:
    """The server's own come first, then SSL_CERT_FILE, REQUESTS_CA_BUNDLE and the others."""
    files = {}
    for name in ("VAULT_CACERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        files[name] = str(tmp_path / name)
        trustme.CA().cert_pem.write_to_path(files[name])
    network = Network.of({**files, "SSL_CERT_DIR": str(tmp_path)})
    assert network.authorities(files["VAULT_CACERT"], "VAULT_CACERT") == Authorities(
        files["VAULT_CACERT"], "VAULT_CACERT"
    )
    assert network.authorities() == Authorities(files["SSL_CERT_FILE"], "SSL_CERT_FILE")
    rest = {"REQUESTS_CA_BUNDLE": files["REQUESTS_CA_BUNDLE"], "SSL_CERT_FILE": ""}
    assert Network.of(rest).authorities() == Authorities(files["REQUESTS_CA_BUNDLE"], "REQUESTS_CA_BUNDLE")
    folder = Network.of({"SSL_CERT_DIR": str(tmp_path)}).authorities()
    assert folder == Authorities(str(tmp_path), "SSL_CERT_DIR", is_folder=True)
    assert Network.of({}).authorities() is None


@pytest.mark.parametrize("name", ["VAULT_CACERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_authorities_that_are_missing(tmp_path: Path, name: str, content: bytes | None) -> None:
    """The message names the variable that is at fault."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    is_own = name == "VAULT_CACERT"
    network = Network.of({} if is_own else {name: str(path)})
    with pytest.raises(InvalidInput, match=f"that {name} names") as refused:
        network.authorities(str(path) if is_own else None, name)
    assert name in (refused.value.hint or "")
