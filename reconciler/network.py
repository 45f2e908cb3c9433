"""How connections leave this machine: the proxy and the certificate authorities that the environment names.

One policy for every server. httpx and requests each have another one: the first stops at an IPv6 range in
NO_PROXY and ignores REQUESTS_CA_BUNDLE, the second ignores SSL_CERT_FILE.
"""

from __future__ import annotations

import ipaddress
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from msgspec import Struct

from reconciler.errors import InvalidInput
from reconciler.texts import read_count
from reconciler.urls import is_loopback, normalize_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    _Range = ipaddress.IPv4Network | ipaddress.IPv6Network

_PROXIES = ("https_proxy", "HTTPS_PROXY"), ("all_proxy", "ALL_PROXY")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
_AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
_DEFAULT_PORTS = {"https": 443, "http": 80}
_SEPARATORS = re.compile(r"[,;\s]+")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::(\d{1,5}))?")
_NAME = re.compile(r"(?:[a-z0-9_*-]+\.)*[a-z0-9_*-]+")
_CERTIFICATE = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")
_SHOWN = 60
_VISIBLE = re.compile(r"[!-~]+")


class Proxy(Struct, frozen=True):
    """A proxy. Its URL may contain a password: it is never shown."""

    url: str
    variable: str
    """The variable that names it."""

    def __repr__(self) -> str:
        return f"<the proxy of {self.variable}>"


class Authorities(Struct, frozen=True):
    """The certificate authorities to trust instead of the public ones: a PEM file, or a folder."""

    path: str
    variable: str
    """The variable that names them."""
    is_folder: bool = False


class _Exception(Struct, frozen=True):
    """An entry of NO_PROXY: names, or addresses, and perhaps only one port."""

    name: str | None = None
    network: _Range | None = None
    port: int | None = None

    def covers(self, host: str, address: _Address | None, port: int | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        name = self.name or ""
        return host == name or host.endswith(f".{name}") or ("*" in name and fnmatchcase(host, name))


class Network(Struct, frozen=True):
    """The policy that the environment describes. Nothing is checked until it is needed for a server."""

    ignored: tuple[str, ...]
    """The entries of NO_PROXY that cannot be read: they have no effect."""
    _exceptions: tuple[_Exception, ...]
    _proxies: tuple[tuple[str, str], ...]
    _authorities: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment. Of a variable in lower and upper case the first counts, as in curl."""
        entries = next((environ[name] for name in _EXCEPTIONS if name in environ), "")
        read = [(entry, _read_exception(entry)) for entry in _SEPARATORS.split(entries) if entry]
        found = (next((name for name in names if name in environ), None) for names in _PROXIES)
        return cls(
            ignored=tuple(entry for entry, exception in read if exception is None),
            _exceptions=tuple(exception for _, exception in read if exception is not None),
            _proxies=tuple((name, environ[name].strip()) for name in found if name and environ[name].strip()),
            _authorities=tuple((name, environ[name]) for name in _AUTHORITIES if environ.get(name)),
        )

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy for the server at `url`; None: connect directly, as always on loopback.

        Raises:
            InvalidInput: the proxy cannot be used; the message names the variable, not its value.
        """
        parts = urlsplit(normalize_url(url))
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
        # A proxy would see what plain HTTP carries.
        if not self._proxies or is_loopback(host):
            return None
        address = _read_address(host)
        if any(exception.covers(host, address, port) for exception in self._exceptions):
            return None
        variable, proxy = self._proxies[0]
        return Proxy(_check_proxy(proxy if "://" in proxy else f"http://{proxy}", variable), variable)

    def authorities(self, own: str | None = None, own_variable: str = "") -> Authorities | None:
        """Return the certificate authorities to trust; None: the public ones.

        Args:
            own: a path that takes precedence, for one of the servers.
            own_variable: the variable that names it.

        Raises:
            InvalidInput: the certificates are missing; the message names the variable.
        """
        named = ((own_variable, own), *self._authorities) if own else self._authorities
        for variable, path in named:
            return _check_authorities(path, variable)
        return None

    def warning(self) -> str | None:
        """Return what in NO_PROXY has no effect; None: nothing, or no proxy is set."""
        if not self.ignored or not self._proxies:
            return None
        shown = ", ".join(f"`{''.join(_VISIBLE.findall(entry))[:_SHOWN]}`" for entry in self.ignored)
        return f"ignored in NO_PROXY: {shown}; expected are hosts, suffixes, addresses and ranges"


def _read_exception(entry: str) -> _Exception | None:
    """Read an entry of NO_PROXY; None: it is not a host, an address or a range."""
    _, _, rest = entry.lower().rpartition("://")
    text = rest.removesuffix("/")
    if "/" in text:
        network = _read_range(text.replace("[", "").replace("]", ""))
        return None if network is None else _Exception(network=network)
    if bracketed := _BRACKETED.fullmatch(text):
        host, port = bracketed[1], bracketed[2]
    elif text.count(":") > 1:
        host, port = text, None
    else:
        host, _, port = text.partition(":")
    number = read_count(port)
    if port and number is None:
        return None
    address = _read_address(host)
    if address is not None:
        return _Exception(network=ipaddress.ip_network(address), port=number)
    if bracketed or ":" in host:
        return None
    name = _normalize_name(host.removeprefix("*.").removeprefix("."))
    return _Exception(name=name, port=number) if _NAME.fullmatch(name) else None


def _normalize_name(host: str) -> str:
    """Return a host name as `normalize_url` writes it: A-labels, without a dot at the end."""
    return host.removesuffix(".") if host.isascii() else urlsplit(normalize_url(f"https://{host}/")).netloc


def _read_address(host: str) -> _Address | None:
    """Read an IP address, without a zone; an IPv4 address in IPv6 is the IPv4 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _read_range(text: str) -> _Range | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _check_proxy(url: str, variable: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _VISIBLE.fullmatch(url):
        raise InvalidInput(
            f"cannot use the proxy that {variable} names: it is not an http or https URL",
            hint=f"set {variable} to a URL such as http://proxy:3128, or list the server in NO_PROXY",
        )
    return url


def _check_authorities(path: str, variable: str) -> Authorities:
    hint = f"set {variable} to a file of certificates in PEM format, or unset it"
    try:
        if Path(path).is_dir():
            return Authorities(path, variable, is_folder=True)
        content = Path(path).read_bytes()
    except (OSError, ValueError):
        raise InvalidInput(f"cannot read the certificates that {variable} names", hint=hint) from None
    if not _CERTIFICATE.search(content):
        raise InvalidInput(f"the file that {variable} names has no certificates", hint=hint)
    return Authorities(path, variable)
