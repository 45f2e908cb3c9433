"""Templates of the HTML pages, and what they may link to. Everything that they print is escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from msgspec import Struct

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.report.format.escape import visible
from reconciler.report.format.style import age
from reconciler.report.plan.summary import elements
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from jinja2 import Environment

    from reconciler.model import Run

_FOLDER = Path(__file__).parent
_SHORT = 12
"""Digits of a commit that are shown."""
_RUN_PAGE = re.compile(r"(https://[^/]+/[^/]+/[^/]+)/actions/runs/[0-9]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


class PageContext(Struct, frozen=True):
    """When and by whom a page is made, and what it can link to."""

    now: datetime
    """Aware; ages are relative to it."""
    run: Run
    sources: str | None = None
    """The web address of the folder that manifests' paths are relative to."""


@functools.cache
def environment() -> Environment:
    """Return the templates. Everything that they print goes through `visible`, then HTML escaping."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only for HTML

    def shown(value: Any) -> Any:
        # Only output of a template, which is escaped already, has `__html__`.
        return value if hasattr(value, "__html__") else visible(value)

    templates = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = (_FOLDER / "page.css").read_text("utf-8"), (_FOLDER / "fleet.js").read_text("utf-8")
    templates.globals |= {
        # Our own files: the only texts that are not escaped. The page's policy allows only their hashes.
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "is_link": is_link,
        "commit_url": commit_url,
        "source_url": source_url,
        "key_of": key_of,
        "elements": elements,
    }
    templates.filters |= {
        "iso": to_timestamp,
        "minute": lambda moment: f"{moment:%Y-%m-%d %H:%M} UTC",
        "day": lambda moment: f"{moment:%Y-%m-%d}",
        "hour": lambda moment: f"{moment:%H:%M}",
        "age": age,
        "seconds": lambda moment: int(moment.timestamp()),
        "short": lambda commit: commit[:_SHORT],
        "commands": commands,
        "outside": mask_unreviewed,
    }
    return templates


def _hash(text: str) -> str:
    """Return the hash of an inline style or script, as a Content-Security-Policy expects it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def commands(text: str) -> list[tuple[str, bool]]:
    """Return the parts of a trusted text and whether each is a command, which backticks enclose."""
    return [(part, number % 2 == 1) for number, part in enumerate(text.split("`")) if part]


def is_link(url: str | None) -> bool:
    """Whether `url` may become a link: https with a host, printable ASCII, and no user name."""
    if not url or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def commit_url(run_url: str | None, commit: str | None) -> str | None:
    """Return the commit's page if the run's page shows which repository it is in."""
    repository = _RUN_PAGE.fullmatch(run_url or "")
    if repository is None or _COMMIT.fullmatch(commit or "") is None:
        return None
    return f"{repository[1]}/commit/{commit}"


def source_url(base: str | None, path: str, line: int) -> str | None:
    """Return the page of a manifest's line below `base`; None without `base` or for a path outside it."""
    if base is None or path.startswith("/") or ".." in path.split("/"):
        return None
    return f"{base.rstrip('/')}/{quote(visible(path.removeprefix('./')))}#L{line}"


def key_of(organization: str, name: str, *, several: bool, unmanaged: bool = False) -> str:
    """Return the part of an address that names a webhook, of letters, digits and `-._~%/`.

    A tilde, which no webhook's name has, marks the id of an unmanaged endpoint.
    """
    parts = [organization, name] if several else [name]
    key = "/".join(quote(visible(part), safe="") for part in parts)
    return f"~{key}" if unmanaged else key
