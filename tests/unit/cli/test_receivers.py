"""What a delivery meets at a receiver: real TLS on loopback, under an authority of the test's own."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme
from msgspec.structs import replace

from reconciler.cli.receivers import check_receivers, examine, look_at_receivers
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.report.checks import Certificate
from reconciler.report.pages.fleet import Fleet, fleet_html
from tests.fakes.world import webhook
from tests.fixtures.fleet import OCCASION, row
from tests.fixtures.page import read_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Give the only authority that is trusted: OpenSSL takes it from the environment."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    return authority


@contextmanager
def receiver(certificate: trustme.LeafCert | None) -> Iterator[int]:
    """Serve TLS with a certificate, or plain text without one, on a port of loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        certificate.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if certificate is None:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    return
                # The client may not like what it sees.
                with suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def refused(port: int, host: str = "localhost") -> str:
    """Return why a delivery could not be made."""
    with pytest.raises(ReconcilerError) as caught:
        examine(host, port, only_public=False)
    assert caught.value.hint
    return caught.value.message


def test_a_good_receiver_shows_its_certificate(authority: trustme.CA) -> None:
    """Protocol and expiry are those of the certificate."""
    until = datetime(2037, 1, 2, 3, 4, 5, tzinfo=UTC)
    with receiver(authority.issue_cert("localhost", not_after=until)) as port:
        assert examine("localhost", port, only_public=False) == Certificate(until, "TLSv1.3")


def test_an_untrusted_certificate_is_told(authority: trustme.CA) -> None:
    """Another authority's, one for another name, and an expired one: in OpenSSL's words."""
    with receiver(trustme.CA().issue_cert("localhost")) as port:
        assert "the certificate is not trusted: " in refused(port)
    with receiver(authority.issue_cert("other.example.com")) as port:
        assert "Hostname mismatch" in refused(port)
    past = datetime.now(UTC) - timedelta(days=1)
    with receiver(
        authority.issue_cert("localhost", not_before=past - timedelta(days=9), not_after=past)
    ) as port:
        assert "expired" in refused(port)


def test_what_speaks_no_tls_is_told(authority: trustme.CA) -> None:
    """Plain HTTP on the port is no TLS."""
    with receiver(None) as port:
        assert refused(port).startswith("no TLS connection: ")


def test_a_closed_port_is_told() -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "cannot connect to 127.0.0.1: " in refused(port, "127.0.0.1")


def test_an_unknown_name_is_told() -> None:
    """A name that DNS does not know, or that cannot be one."""
    assert "cannot be resolved" in refused(443, "nowhere.invalid")
    assert "cannot be resolved" in refused(443, "x" * 64)


def test_few_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with thousands of addresses does not take a timeout for each of them."""
    tried: list[str] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(address[0])
        raise TimeoutError

    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"8.8.{i}.8", 443)) for i in range(200)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: places)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ReconcilerError, match=r"cannot connect to 8\.8\.3\.8: no answer within 10 s"):
        examine("receiver.example.com", 443)
    assert len(tried) == 4


def test_an_address_that_the_internet_cannot_reach_is_told() -> None:
    """A name of an internal zone may be well from here, and takes no delivery all the same."""
    with pytest.raises(ReconcilerError, match="not reachable from the internet"):
        examine("localhost", 443)


def test_the_fleets_page_tells_what_receivers_show(authority: trustme.CA) -> None:
    """Of real TLS servers one is well, one's certificate expires soon, one's has, one's is another's."""
    now = datetime.now(UTC)
    certificates = {
        "well": authority.issue_cert("localhost", not_after=now + timedelta(days=60)),
        "soon": authority.issue_cert("localhost", not_after=now + timedelta(days=5, hours=1)),
        "late": authority.issue_cert(
            "localhost", not_before=now - timedelta(9), not_after=now - timedelta(1)
        ),
        "other": authority.issue_cert("other.example.com"),
    }
    with ExitStack() as servers:
        ports = {name: servers.enter_context(receiver(each)) for name, each in certificates.items()}
        webhooks = [webhook(n, url=f"https://{n}.example.com:{port}/") for n, port in ports.items()]
        receivers = look_at_receivers(webhooks, lambda _, port: examine("localhost", port, only_public=False))
    fleet = Fleet("acme", [row(name, ("run.failed",)) for name in ports], receivers=receivers)
    root = read_page(fleet_html([fleet], replace(OCCASION, now=now), known_events=KNOWN_EVENTS))
    risks = {each.one("h3").words: each for each in root.all("details", class_="risk unreachable")}
    told = [item.words for item in risks["Cannot take deliveries"].all("li")]
    assert [each.split()[0] for each in told] == ["late", "other"]
    assert "certificate has expired" in told[0]
    assert "Hostname mismatch" in told[1]
    (soon,) = root.one("details", class_="risk expiring").all("li")
    assert soon.words == f"soon soon.example.com:{ports['soon']}: in 5 days"
    looked = root.one("p", class_="looked muted").words
    assert looked == "4 receivers checked: 2 cannot take deliveries, 1 certificate must be renewed."
    details = root.one("tbody", id="webhook=well").one("details").words
    until = f"{now + timedelta(days=60):%Y-%m-%d}"
    assert f"Receiverwell.example.com:{ports['well']}: TLSv1.3, certificate valid until {until}" in details
    assert "status --endpoints --format html" in root.one("footer").words


def test_each_receiver_is_checked_once() -> None:
    """Webhooks of one host share a check; another port is another receiver."""
    asked: list[tuple[str, int]] = []

    def look(host: str, port: int) -> Certificate:
        asked.append((host, port))
        return Certificate(NOW + timedelta(days=90), "TLSv1.3")

    webhooks = [webhook("a"), webhook("b"), webhook("c", url="https://hooks.example.com:8443/c")]
    checks = check_receivers(look_at_receivers(webhooks, look), NOW)
    assert sorted(asked) == [("hooks.example.com", 443), ("hooks.example.com", 8443)]
    assert [(each.name, each.ok, each.detail) for each in checks] == [
        ("TLS hooks.example.com", True, "TLSv1.3, certificate valid until 2027-01-30"),
        ("TLS hooks.example.com:8443", True, "TLSv1.3, certificate valid until 2027-01-30"),
    ]


@pytest.mark.parametrize(("left", "ok"), [(timedelta(days=15), True), (timedelta(days=14), False)])
def test_a_certificate_that_expires_soon_is_not_well(left: timedelta, ok: bool) -> None:
    """Two weeks before, it is told with the days that are left and the webhooks that need it."""
    webhooks = [webhook(name, url=f"https://hooks.example.com/{name}") for name in "dabce"]
    (check,) = check_receivers(
        look_at_receivers(webhooks, lambda *_: Certificate(NOW + left, "TLSv1.2")), NOW
    )
    assert check.ok is ok
    if not ok:
        assert check.detail == "the certificate expires in 14 days (used by a, b, c and 2 others)"
        assert check.exit_code is ExitCode.FAILED


def test_a_receiver_that_cannot_be_reached_is_not_well() -> None:
    """The check says why, what to do, and who is affected."""

    def look(host: str, port: int) -> Certificate:
        raise ReconcilerError("it is down", hint="start it")

    (check,) = check_receivers(look_at_receivers([webhook("a")], look), NOW)
    assert (check.ok, check.detail, check.hint) == (False, "it is down (used by a)", "start it")
