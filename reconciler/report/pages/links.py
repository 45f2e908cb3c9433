"""Addresses on the page: what may be a link, and what names a webhook in the page's own address."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from reconciler.report.format.escape import visible

_RUN_PAGE = re.compile(r"(https://[^/]+/[^/]+/[^/]+)/actions/runs/[0-9]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def is_link(url: str | None) -> bool:
    """Whether `url` may become a link: https alone, with a host, and nothing in it that hides."""
    if not url or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def commit_url(run_url: str | None, commit: str | None) -> str | None:
    """Return the commit's page, where the run's page tells which repository it is in."""
    repository = _RUN_PAGE.fullmatch(run_url or "")
    if repository is None or _COMMIT.fullmatch(commit or "") is None:
        return None
    return f"{repository[1]}/commit/{commit}"


def source_url(base: str | None, path: str, line: int) -> str | None:
    """Return the page of a manifest's line below `base`; None without one, or for a path that leaves it."""
    if base is None or path.startswith("/") or ".." in path.split("/"):
        return None
    return f"{base.rstrip('/')}/{quote(visible(path.removeprefix('./')))}#L{line}"


def key_of(organization: str, name: str, *, several: bool, unmanaged: bool = False) -> str:
    """Return what names a webhook in an address: letters, digits, `-._~%/` only.

    An unmanaged endpoint's id might be somebody's webhook name: a tilde, which no name has, sets it apart.
    """
    parts = [organization, name] if several else [name]
    key = "/".join(quote(visible(part), safe="") for part in parts)
    return f"~{key}" if unmanaged else key
