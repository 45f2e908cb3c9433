"""Hosts that are not what they look like: letters of several scripts, and punycode that nobody can read.

In the spirit of Unicode's Technical Standard 39 (restriction level "moderately restrictive"): within one
label Latin goes with any other script but Cyrillic and Greek; Chinese, Japanese and Korean mix as they do.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import idna

from reconciler.credentials.detector import looks_secret
from reconciler.credentials.redaction import printable
from reconciler.patterns import matcher
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Callable

# The other recommended scripts of UAX 31: their letters look like no Latin ones.
_WITH_LATIN = (
    *(
        "Arabic",
        "Armenian",
        "Bengali",
        "Devanagari",
        "Ethiopic",
        "Georgian",
        "Gujarati",
        "Gurmukhi",
        "Hebrew",
    ),
    *("Kannada", "Khmer", "Lao", "Malayalam", "Myanmar", "Oriya", "Sinhala", "Tamil", "Telugu", "Thaana"),
    *("Thai", "Tibetan"),
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


def deceptive_host(url: str) -> str | None:
    """Return why the host of a URL may not be the one that it looks like, with both its forms; or None."""
    if url.isascii() and "xn--" not in url.lower():
        return None
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    ascii_form = urlsplit(normalize_url(url)).hostname or ""
    unicode_form = ".".join(map(_unicode_label, ascii_form.split(".")))
    if not ascii_form.isascii() or unicode_form == ascii_form:
        # Another rule reports what is no valid name.
        return None
    if why := _suspicion(unicode_form):
        pass
    elif any(label.startswith("xn--") for label in host.split(".")):
        why = "is written in punycode, which nobody can read"
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
    if any(not label.isascii() and _LATIN_LOOKALIKES.issuperset(_letters(label)) for label in labels):
        return "has only letters that look like Latin ones and are none"
    return None


def _letters(label: str) -> str:
    """Return the letters of a label."""
    return "".join(filter(str.isalpha, label))


def _unicode_label(label: str) -> str:
    """Return what a label in punycode means; one that means nothing stays as it is."""
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
