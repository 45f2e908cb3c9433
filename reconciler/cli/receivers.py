"""Check the receivers of deliveries: name resolution, connection, TLS and certificate."""

from __future__ import annotations

import ipaddress
import itertools
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import ExitCode, ReconcilerError
from reconciler.manifest.lint.endpoint_url import is_public
from reconciler.report.checks import HTTPS, Certificate, Check, ReceiverCheck, ReceiverProblem
from reconciler.report.format.style import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconciler.model import Webhook

    Look = Callable[[str, int], Certificate]

PATIENCE = 10.0
"""Seconds that a delivery waits for an answer."""
_AT_A_TIME = 8
_NAMED = 3
_ADDRESSES = 4


def check_receivers(receivers: Iterable[ReceiverCheck], now: datetime) -> list[Check]:
    """Return a check for each receiver."""
    return [_check(receiver, now) for receiver in receivers]


def look_at_receivers(webhooks: Iterable[Webhook], look: Look | None = None) -> list[ReceiverCheck]:
    """Return the certificate or the problem of each receiver, by host and port; `look` connects to one."""
    names: dict[tuple[str, int], list[str]] = {}
    for webhook in webhooks:
        parts = urlsplit(webhook.normalized_url)
        names.setdefault((parts.hostname or "", parts.port or HTTPS), []).append(webhook.name)

    def seen(place: tuple[str, int]) -> ReceiverCheck:
        try:
            found: Certificate | ReceiverProblem = (look or examine)(*place)
        except ReconcilerError as error:
            found = ReceiverProblem(error.message, error.hint)
        return ReceiverCheck(*place, tuple(sorted(names[place])), found)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return list(pool.map(seen, sorted(names)))


def _check(receiver: ReceiverCheck, now: datetime) -> Check:
    title, seen = f"TLS {receiver.address}", receiver.result
    used = f"(used by {listed(receiver.names, _NAMED)})"
    if isinstance(seen, ReceiverProblem):
        detail, hint = f"{seen.message} {used}", seen.hint
    elif days := receiver.expires_in(now):
        detail = f"the certificate expires in {days} {used}"
        hint = "renew it: the API delivers only to receivers with a valid certificate"
    else:
        return Check(title, ok=True, detail=str(seen))
    return Check(title, ok=False, detail=detail, hint=hint, exit_code=ExitCode.FAILED)


def examine(host: str, port: int, *, only_public: bool = True) -> Certificate:
    """Connect to a receiver and return its certificate. Only the TLS handshake is sent.

    Args:
        host: its name or address.
        port: its port.
        only_public: whether an address that is not reachable from the internet counts as a failure.

    Raises:
        ReconcilerError: deliveries would fail there; the message says why.
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
                hint="install one from a public authority for this name, with its intermediate certificates",
            ) from None
        except (ssl.SSLError, OSError) as error:
            raise ReconcilerError(
                f"no TLS connection: {_words(error)}", hint="the receiver must speak TLS 1.2 or newer"
            ) from None
    seconds = ssl.cert_time_to_seconds(str(shown["notAfter"]))
    return Certificate(datetime.fromtimestamp(seconds, UTC), protocol)


def _connection(host: str, port: int, *, only_public: bool) -> socket.socket:
    """Return a connection to the first address of the host that accepts one."""
    trouble = "it has no address"
    for address in _addresses(host, port):
        if only_public and not is_public(ipaddress.ip_address(address)):
            trouble = f"its address {address} is not reachable from the internet"
            continue
        try:
            return socket.create_connection((address, port), timeout=PATIENCE)
        except OSError as error:
            trouble = f"cannot connect to {address}: {_words(error)}"
    raise ReconcilerError(trouble, hint="deliveries come from the internet: check DNS, firewall and receiver")


def _addresses(host: str, port: int) -> Iterator[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ReconcilerError(
            f"the name cannot be resolved: {_words(error)}", hint="check the host's spelling and its DNS"
        ) from None
    # A zone index is only valid on this machine.
    addresses = dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found)
    # Each may take as long as a delivery waits.
    yield from itertools.islice(addresses, _ADDRESSES)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:.0f} s"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
