"""The credentials and secrets that this run knows, and their masking in every text, however it spells them.

A server can quote what it was sent in capitals, spread with spaces, in base64, in hexadecimal digits or with
the escapes of URLs, JSON, HTML and programming languages. So texts are compared in a form without these
differences: escapes are resolved, and only letters and digits are kept, in small letters.
"""

from __future__ import annotations

import base64
import re
import string
import threading
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model import Secret

MASK = "***"
_GRAM = 8
"""The search compares this many characters: a part of a secret that has twice as many is found."""
_SHORTEST_RUN = 12
"""A shorter part of a secret is not masked: it may be an ordinary word."""
_SHORTEST = 6
"""A shorter secret is not masked: it may be an ordinary word."""
_ESCAPES = ("%", "\\", "&")
_ESCAPE = (
    r"%(?P<url>[0-9A-Fa-f]{2})|\\u(?P<json>[0-9A-Fa-f]{4})|\\x(?P<byte>[0-9A-Fa-f]{2})"
    r"|\\U(?P<long>[0-9A-Fa-f]{8})|\\[ux]\{0*(?P<braced>[0-9A-Fa-f]{1,6})\}|\\(?P<octal>[0-3][0-7]{2})"
    r"|&#[xX]0*(?P<hex>[0-9A-Fa-f]{1,6});?|&#0*(?P<decimal>[0-9]{1,7});?|&(?P<name>amp|lt|gt|quot|apos);"
    r"|(?P<pair>\\\\)"
)
_BASES = {"decimal": 10, "octal": 8}
_ESCAPED = re.compile(_ESCAPE)
_UNIT = re.compile(rf"{_ESCAPE}|[^\W_]")
_DROPPED = re.compile(r"[\W_]+")
_LAST_CHARACTER = 0x10FFFF
_KEPT = string.ascii_letters + string.digits
_SMALL = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_DELETED = bytes(set(range(128)) - set(_KEPT.encode()))
_LONG = 10_000
"""In a longer text, Rust searches: a report of a large fleet has megabytes."""
_MOST_ALTERNATIVES = 1_000
"""The most runs of characters that Rust searches for at the same time."""


class KnownSecrets:
    """Secrets that must not be shown, and the search for them. Thread-safe."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: set[str] = set()
        self._grams: dict[str, list[tuple[str, int]]] = {}
        """The spellings that contain a run of characters, and where; only each eighth run of a spelling."""
        self._literal: set[str] = set()
        """Secrets with few letters and digits, which are only found as they are."""

    def add(self, *secrets: Secret | None) -> None:
        """Mask these secrets from now on."""
        for secret in secrets:
            text = "" if secret is None else secret.reveal()
            if len(text) < _SHORTEST or text in self._known:
                continue
            with self._mutex:
                self._known.add(text)
                spellings = [each for each in _spellings(text) if len(each) >= _GRAM]
                if len(_plain(text)) < _GRAM:
                    self._literal.add(text)
                for spelling in spellings:
                    for start in range(0, len(spelling) - _GRAM + 1, _GRAM):
                        gram = spelling[start : start + _GRAM]
                        self._grams.setdefault(gram, []).append((spelling, start))

    def clear(self) -> None:
        """Forget all secrets, at the beginning of a run."""
        with self._mutex:
            self._known, self._grams, self._literal = set(), {}, set()

    def mask(self, text: str) -> str:
        """Return `text` with a mask for every secret, and for every long part of one."""
        for literal in tuple(self._literal):
            text = text.replace(literal, MASK)
        return self._mask_runs(text) if self._grams and self._may_hold_one(_plain(text)) else text

    def _may_hold_one(self, plain: str) -> bool:
        grams = self._grams
        if len(plain) > _LONG and len(grams) <= _MOST_ALTERNATIVES:
            from reconciler.patterns import matcher  # noqa: PLC0415 (`--help` writes no long text)

            return matcher("|".join(grams))(plain)
        return any(plain[i : i + _GRAM] in grams for i in range(len(plain) - _GRAM + 1))

    def _mask_runs(self, text: str) -> str:
        units = list(_units(text))
        plain = "".join(char for char, _, _ in units)
        parts: list[str] = []
        shown = done = 0
        for start, end in self._runs(plain):
            if start >= done:
                between = text[shown : units[start][1]]
                parts += [between, MASK] if between or not parts else []
            if end > done:
                shown, done = units[end - 1][2], end
        return "".join(parts) + text[shown:]

    def _runs(self, plain: str) -> Iterator[tuple[int, int]]:
        """Yield the first character and the end of each run that belongs to a secret, in their order."""
        found = []
        for at in range(len(plain) - _GRAM + 1):
            for spelling, offset in self._grams.get(plain[at : at + _GRAM], ()):
                start, end = _extent(plain, at, spelling, offset)
                if end - start >= min(_SHORTEST_RUN, len(spelling)):
                    found.append((start, end))
        return iter(sorted(found))


KNOWN = KnownSecrets()
"""What this run knows. There is one, since every output of the program must be masked."""


def _extent(plain: str, at: int, spelling: str, offset: int) -> tuple[int, int]:
    """Return how far a text and a spelling agree around a place where they do."""
    start, first = at, offset
    while start and first and plain[start - 1] == spelling[first - 1]:
        start, first = start - 1, first - 1
    end, last = at + _GRAM, offset + _GRAM
    while end < len(plain) and last < len(spelling) and plain[end] == spelling[last]:
        end, last = end + 1, last + 1
    return start, end


def _spellings(secret: str) -> set[str]:
    """Return a secret, and its base64 and hexadecimal digits, in the form in which texts are compared."""
    data = secret.encode(errors="surrogatepass")
    texts = {secret, data.decode("latin-1"), data.hex()}
    for shift in range(3):
        # Where it is within a longer text decides how its bytes are divided.
        encoded = base64.b64encode(bytes(shift) + data).decode()
        texts.add(encoded[(0, 2, 3)[shift] : (shift + len(data)) * 8 // 6])
    return {_plain(text) for text in texts}


def _plain(text: str) -> str:
    """Return the letters and digits of `text`, in small letters; its escapes are resolved."""
    if any(escape in text for escape in _ESCAPES):
        text = _ESCAPED.sub(_resolve, text)
    if text.isascii():
        return text.encode().translate(_SMALL, _DELETED).decode()
    return _letters(text)


def _letters(text: str) -> str:
    """Return the letters and digits of `text` in small letters; of full-width ones, the usual ones."""
    return _DROPPED.sub("", normalize("NFKD", text)).lower()


def _units(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the letters and digits of `text`, in small letters, with their beginnings and ends."""
    for found in _UNIT.finditer(text):
        char = found[0] if found.lastgroup is None else _resolve(found)
        # Some characters have two in small letters.
        for small in _letters(char):
            yield small, found.start(), found.end()


def _resolve(escape: re.Match[str]) -> str:
    """Return the character that an escape stands for; nothing for one that is neither letter nor digit."""
    kind = escape.lastgroup or ""
    if kind in {"name", "pair"}:
        return ""
    number = int(escape[kind], _BASES.get(kind, 16))
    return chr(number) if number <= _LAST_CHARACTER else ""
