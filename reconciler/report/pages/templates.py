"""The templates of the pages, and the words they are written in. Whatever they print is escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.credentials.redaction import mask_url
from reconciler.report.format.escape import visible
from reconciler.report.format.style import age
from reconciler.report.pages.links import commit_url, is_link, key_of, source_url
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from jinja2 import Environment

    from reconciler.plan.plan import FieldChange

_FOLDER = Path(__file__).parent
_SHORT = 12
"""So many letters of a commit are unique enough to read."""


@functools.cache
def environment() -> Environment:
    """Return the templates. Whatever they print goes through `visible`, then through HTML's escaping."""
    # Only this format needs it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - lazy on purpose

    def shown(value: Any) -> Any:
        # Only what a template has escaped already knows how to be HTML.
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
        # Our own files, the only texts that are not escaped: their hashes are all that the page may run.
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
        "age": age,
        "seconds": lambda moment: int(moment.timestamp()),
        "short": lambda commit: commit[:_SHORT],
        "commands": commands,
        "outside": mask_url,
    }
    return templates


def _hash(text: str) -> str:
    """Return the hash of an inline style or script, as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def commands(text: str) -> list[tuple[str, bool]]:
    """Return the parts of a text of ours and whether each is a command: those stand between backticks."""
    return [(part, number % 2 == 1) for number, part in enumerate(text.split("`")) if part]


def elements(field: FieldChange) -> list[tuple[str, str]]:
    """Return the elements of a list, or the one value, before and after: `-` goes, `+` comes, else blank."""
    old, new = _texts(field.old), _texts(field.new)
    ordered = sorted({*old, *new}) if isinstance(field.old, list | tuple) else [*old, *new]
    return [("+" if each not in old else "-" if each not in new else "", each) for each in ordered]


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]
