"""Warnings about valid manifests.

Hosts are checked in the spirit of Unicode's Technical Standard 39 (restriction level "moderately
restrictive"): within one label Latin goes with any other script but Cyrillic and Greek; Chinese, Japanese and
Korean mix as they do.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import idna

from reconciler.credentials.detector import looks_secret
from reconciler.credentials.redaction import printable
from reconciler.manifest import rules
from reconciler.manifest.problems import Problem
from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.patterns import matcher
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.model import Webhook

_EVERY_EVENT = frozenset(KNOWN_EVENTS)
# The other recommended scripts of UAX 31: none of their letters looks like a Latin one.
_WITH_LATIN = (
    *("Arabic", "Armenian", "Bengali", "Devanagari", "Ethiopic", "Georgian", "Gujarati", "Gurmukhi"),
    *("Hebrew", "Kannada", "Khmer", "Lao", "Malayalam", "Myanmar", "Oriya", "Sinhala", "Tamil", "Telugu"),
    *("Thaana", "Thai", "Tibetan"),
)
_TOGETHER = (
    ["Latin", "Han", "Hiragana", "Katakana"],
    ["Latin", "Han", "Bopomofo"],
    ["Latin", "Han", "Hangul"],
    ["Cyrillic"],
    ["Greek"],
    *(["Latin", script] for script in _WITH_LATIN),
)
# Letters of other scripts that are drawn like Latin ones.
_LATIN_LOOKALIKES = frozenset("авсԁеԍһіјкӏмоорԛгѕтѵԝхуѡьαβγικνορτυχω")


def warnings_about(webhook: Webhook, manifest: Any) -> Iterator[Problem]:
    """Yield the warnings about a webhook.

    Args:
        webhook: what the manifest declares.
        manifest: its manifest, for what the webhook does not contain.
    """
    if why := deceptive_host(webhook.url):
        hint = "check that this is the intended host"
        yield Problem(rules.DECEPTIVE_HOST, why, ("spec", "url"), hint)
    if len(webhook.events) >= len(_EVERY_EVENT) and _EVERY_EVENT.issubset(webhook.events):
        message = "the webhook subscribes to every event type"
        hint = "list only the types that the receiver acts on: each delivery costs it a request"
        yield Problem(rules.EVERY_EVENT, message, ("spec", "events"), hint, at_key=True)
    if webhook.owner is None:
        path = ("metadata", "labels") if "labels" in manifest["metadata"] else ("metadata",)
        message = "the webhook has no owner"
        yield Problem(rules.NO_OWNER, message, path, "add the label `owner` or `team`", at_key=True)
    if webhook.overlap and webhook.created_after is None:
        message = (
            "`overlap` without `createdAfter`: it applies only when the URL or the events change, "
            "and to `reconciler rotate`"
        )
        hint = "add `createdAfter`, or remove `overlap` if it was meant for rotations"
        yield Problem(rules.OVERLAP_WITHOUT_ROTATION, message, ("spec", "secret", "overlap"), hint)


def deceptive_host(url: str) -> str | None:
    """Return why the host of a URL may not be the one it looks like, with both of its forms; or None."""
    if url.isascii() and "xn--" not in url.lower():
        return None
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    ascii_form = urlsplit(normalize_url(url)).hostname or ""
    unicode_form = ".".join(map(_unicode_label, ascii_form.split(".")))
    if not ascii_form.isascii() or unicode_form == ascii_form:
        # Another rule reports invalid names.
        return None
    if why := _suspicion(unicode_form):
        pass
    elif any(label.startswith("xn--") for label in host.split(".")):
        why = "is written in punycode, which people cannot read"
    else:
        return None
    if looks_secret(ascii_form):
        return f"the URL's host {why}"
    return f"the URL's host {why}: `{printable(unicode_form)}` is `{ascii_form}`"


def _suspicion(host: str) -> str | None:
    """Return what is deceptive about the letters of a host."""
    labels = host.split(".")
    if not all(map(_scripts_go_together(), labels)):
        return "mixes letters of several scripts"
    letters = ({char for char in label if char.isalpha()} for label in labels if not label.isascii())
    if any(each <= _LATIN_LOOKALIKES for each in letters):
        return "has only letters that look like Latin ones but are not"
    return None


def _unicode_label(label: str) -> str:
    """Return what a label in punycode means; an invalid one stays as it is."""
    try:
        return idna.decode(label) if label.startswith("xn--") else label
    except idna.IDNAError:
        return label


@cache
def _scripts_go_together() -> Callable[[str], bool]:
    """Return whether the scripts of a label go together: unlike Python's, Rust's patterns know them."""
    sets = ("".join(rf"\p{{scx={script}}}" for script in scripts) for scripts in _TOGETHER)
    pattern = "|".join(rf"^[\p{{Common}}\p{{Inherited}}{letters}]*$" for letters in sets)
    return matcher(pattern)
