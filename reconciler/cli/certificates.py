"""What a delivery meets at a receiver: name resolution, the connection, TLS and its certificate."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import ExitCode, ReconcilerError
from reconciler.manifest.endpoint_url import is_public
from reconciler.report.checkup_text import Check
from reconciler.report.style import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconciler.model import Webhook

PATIENCE = 10.0
"""Seconds: what a delivery waits for an answer."""
SOON = timedelta(days=14)
"""A certificate that expires within this is not well: somebody must still have time to renew it."""
_HTTPS = 443
_AT_A_TIME = 8
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a receiver showed, and was trusted by."""

    expires_at: datetime
    """Aware, UTC."""
    protocol: str
    """For example `TLSv1.3`."""


def check_receivers(
    webhooks: Iterable[Webhook], now: datetime, look: Callable[[str, int], Certificate] | None = None
) -> list[Check]:
    """Return a check for each receiver that manifests name, by host and port; `look` asks one."""
    names: dict[tuple[str, int], list[str]] = {}
    for webhook in webhooks:
        parts = urlsplit(webhook.normalized_url)
        names.setdefault((parts.hostname or "", parts.port or _HTTPS), []).append(webhook.name)

    def check(receiver: tuple[str, int]) -> Check:
        return _check(*receiver, names[receiver], now, look or examine)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return list(pool.map(check, sorted(names)))


def _check(
    host: str, port: int, names: list[str], now: datetime, look: Callable[[str, int], Certificate]
) -> Check:
    title = f"TLS {host}" + (f":{port}" if port != _HTTPS else "")
    try:
        certificate = look(host, port)
    except ReconcilerError as error:
        detail = f"{error.message} ({_listed(names)})"
        return Check(title, ok=False, detail=detail, hint=error.hint, exit_code=error.exit_code)
    left = certificate.expires_at - now
    detail = f"{certificate.protocol}, certificate valid until {certificate.expires_at:%Y-%m-%d}"
    if left > SOON:
        return Check(title, ok=True, detail=detail)
    return Check(
        title,
        ok=False,
        detail=f"the certificate expires in {count(max(0, left.days), 'day')} ({_listed(names)})",
        hint="renew it: the API delivers to receivers with a valid certificate only",
        exit_code=ExitCode.FAILED,
    )


def examine(host: str, port: int, *, only_public: bool = True) -> Certificate:
    """Connect to a receiver and return what it shows. Nothing is sent but the TLS handshake.

    Args:
        host: its name or address.
        port: its port.
        only_public: whether an address that the internet cannot reach counts as a failure.

    Raises:
        ReconcilerError: a delivery could not be made there, and why.
    """
    trust = ssl.create_default_context()
    with _connection(host, port, only_public=only_public) as connection:
        try:
            with trust.wrap_socket(connection, server_hostname=host) as secured:
                shown = secured.getpeercert() or {}
                protocol = secured.version() or "TLS"
        except ssl.SSLCertVerificationError as error:
            raise ReconcilerError(
                f"the certificate is not trusted: {error.verify_message}",
                hint="install one of a public authority for this name, with its intermediate certificates",
            ) from None
        except (ssl.SSLError, OSError) as error:
            raise ReconcilerError(
                f"no TLS connection: {_words(error)}", hint="the receiver must speak TLS 1.2 or newer"
            ) from None
    seconds = ssl.cert_time_to_seconds(str(shown["notAfter"]))
    return Certificate(datetime.fromtimestamp(seconds, UTC), protocol)


def _connection(host: str, port: int, *, only_public: bool) -> socket.socket:
    """Return a connection to the first of a host's addresses that takes one."""
    trouble = "it has no address"
    for address in _addresses(host, port):
        if only_public and not is_public(ipaddress.ip_address(address)):
            trouble = f"it is at {address}, which the internet cannot reach"
            continue
        try:
            return socket.create_connection((address, port), timeout=PATIENCE)
        except OSError as error:
            trouble = f"{address} takes no connection: {_words(error)}"
    raise ReconcilerError(trouble, hint="deliveries come from the internet: check DNS, firewall and receiver")


def _addresses(host: str, port: int) -> Iterator[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ReconcilerError(
            f"the name cannot be resolved: {_words(error)}", hint="check the host's spelling and its DNS"
        ) from None
    # A zone index belongs to this machine.
    yield from dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:.0f} s"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    others = f" and {count(more, 'other')}" if more > 0 else ""
    return f"used by {', '.join(sorted(names)[:_NAMED])}{others}"
