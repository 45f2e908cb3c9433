"""The API and Vault through a real proxy that ends TLS with an authority of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import certifi
import pytest

from reconciler.cli.system import SystemClock
from reconciler.errors import ApiError, StoreError
from reconciler.vault.auth import TokenLogin
from reconciler.vault.checks import describe_token
from reconciler.vault.session import VaultSession
from reconciler.zof.client import ZofApi
from tests.fakes.world import SilentReporter
from tests.fixtures.tunnel import Tunnel

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.openbao import VaultSettings

HOST = "api.example.com"
IPV6_RANGES = "localhost,127.0.0.1,[::1],fd00::/8,10.0.0.0/8"
_VARIABLES = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_VARIABLES, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class _BriefClock(SystemClock):
    """The machine's time, without its pauses."""

    def sleep(self, seconds: float) -> None:
        """Go on at once."""


def _api(zof: ZofServer) -> ZofApi:
    return ZofApi(f"https://{HOST}/v1", zof.key, clock=_BriefClock(), reporter=SilentReporter())


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_api_through_a_proxy(
    zof: ZofServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """With IPv6 ranges in NO_PROXY, and the proxy's authority in either variable, the API is listed."""
    with Tunnel(zof.url, tmp_path, HOST) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", IPV6_RANGES)
        monkeypatch.setenv(variable, str(proxy.ca_file))
        with _api(zof) as api:
            assert list(api.list_pages()) == [[]]
        assert proxy.connects == [f"{HOST}:443"]


def test_a_proxy_with_an_unknown_authority(
    zof: ZofServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint names the variables for the authority, and not the proxy."""
    with Tunnel(zof.url, tmp_path, HOST) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with _api(zof) as api, pytest.raises(ApiError, match="certificate verify failed") as refused:
            list(api.list_pages())
    assert "SSL_CERT_FILE or REQUESTS_CA_BUNDLE" in (refused.value.hint or "")
    assert zof.requests == ()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_is_away(zof: ZofServer, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Message and hint name the variable, and the hint NO_PROXY."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with _api(zof) as api, pytest.raises(ApiError, match=f"through the proxy of {variable}") as refused:
        list(api.list_pages())
    assert variable in (refused.value.hint or "")
    assert "NO_PROXY" in (refused.value.hint or "")


def _vault(settings: VaultSettings, ca_cert: str | None = None) -> VaultSession:
    login = TokenLogin(settings.token)
    return VaultSession(f"https://{HOST}", login=login, clock=_BriefClock(), ca_cert=ca_cert)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "VAULT_CACERT"])
def test_vault_through_a_proxy(
    vault_settings: VaultSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The same policy as for the API; VAULT_CACERT takes precedence over the others."""
    with Tunnel(vault_settings.address, tmp_path, HOST) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", IPV6_RANGES)
        own = str(proxy.ca_file) if variable == "VAULT_CACERT" else None
        monkeypatch.setenv(
            "SSL_CERT_FILE" if own else variable, certifi.where() if own else str(proxy.ca_file)
        )
        with _vault(vault_settings, own) as vault:
            assert describe_token(vault).policies == ("root",)
        assert proxy.connects == [f"{HOST}:443"]


@pytest.mark.parametrize("exception", [HOST, ".example.com", "*"])
def test_vault_without_the_proxy(
    vault_settings: VaultSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    """What NO_PROXY lists is not sent to the proxy."""
    with Tunnel(vault_settings.address, tmp_path, HOST) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", f"{IPV6_RANGES},{exception}")
        with _vault(vault_settings) as vault, pytest.raises(StoreError, match="not reachable"):
            describe_token(vault)
        assert proxy.connects == []


def test_vault_behind_an_unknown_authority(
    vault_settings: VaultSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint names the variables; if one of them is set, that one."""
    with Tunnel(vault_settings.address, tmp_path, HOST) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with _vault(vault_settings) as vault, pytest.raises(StoreError, match="no trusted TLS") as refused:
            describe_token(vault)
        assert "VAULT_CACERT" in (refused.value.hint or "")
        assert "SSL_CERT_FILE or REQUESTS_CA_BUNDLE" in (refused.value.hint or "")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
        with _vault(vault_settings) as vault, pytest.raises(StoreError, match="no trusted TLS") as refused:
            describe_token(vault)
        assert (refused.value.hint or "").startswith("REQUESTS_CA_BUNDLE must name")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_vaults_proxy_that_is_away(
    vault_settings: VaultSettings, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Message and hint name the variable, and the hint NO_PROXY."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with (
        _vault(vault_settings) as vault,
        pytest.raises(StoreError, match=f"the proxy of {variable}") as refused,
    ):
        describe_token(vault)
    assert variable in (refused.value.hint or "")
    assert "NO_PROXY" in (refused.value.hint or "")
