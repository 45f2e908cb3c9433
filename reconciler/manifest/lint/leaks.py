"""Secrets in a file: in its values and keys, and in what the values do not show, such as comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reconciler.credentials.detector import known_secret, likely_secret, names_secret
from reconciler.credentials.redaction import shown_path
from reconciler.manifest.lint import rules
from reconciler.manifest.yaml.problem import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.source import Source
    from reconciler.manifest.yaml.document import YamlDocument

    _Path = tuple[str | int, ...]

_URL = ("spec", "url")
_COMMENT = re.compile(r"(?:^|\s)#.*")
# Ids of endpoints are no secrets, whatever they look like: `reconciler export` writes them into comments.
_ENDPOINT_ID = re.compile(r"(?:--id|\bEndpoint) \S+|\bwe_[A-Za-z0-9_-]+")
_REVOKE = "revoke it: whoever reads the repository has it; signing secrets lie in Vault only"
_IF_NONE = "revoke it and remove it; if it is no secret, end the line with `# reconciler: ignore[WH031] why`"


class Leaks:
    """The search through one file."""

    def __init__(self, source: Source) -> None:
        """Search `source`."""
        self._source = source
        self._seen: set[int] = set()
        """The lines (from 1) with secrets that were found as values or keys."""

    def within(self, document: YamlDocument) -> Iterator[Diagnostic]:
        """Yield the secrets among the keys and values of a document."""
        for path, text, is_key in _texts(document.value):
            known = known_secret(text)
            is_target = path == _URL
            likely = None if known else _likely(path, text, is_key=is_key)
            if known or likely:
                self._seen.update(document.lines(path, key=is_key))
            if is_target and known:
                # A password before the host has a rule of its own.
                known = known_secret(text, endpoint=True)
                likely = None if known else likely_secret(text, endpoint=True)
            where = "a key of " + shown_path(path[:-1]) if is_key else shown_path(path)
            if known:
                message = f"{where} holds what has the form of {known}"
                yield self._source.finding(rules.KNOWN_SECRET, message, document, path, _REVOKE, key=is_key)
            elif likely:
                message = f"{where} holds what looks like {likely}"
                yield self._source.finding(rules.LIKELY_SECRET, message, document, path, _IF_NONE, key=is_key)

    def beside(self) -> Iterator[Diagnostic]:
        """Yield the secrets elsewhere: in comments, and those of known form in what could not be parsed."""
        for number, line in enumerate(self._source.lines, 1):
            if number in self._seen:
                continue
            hidden = frozenset({number})
            if kind := known_secret(line):
                message = f"this line holds what has the form of {kind}"
                yield self._source.at(rules.KNOWN_SECRET, message, Span(number, 1), _REVOKE, hidden)
            elif (comment := _COMMENT.search(line)) and (
                kind := likely_secret(_ENDPOINT_ID.sub(" ", comment[0]))
            ):
                message = f"this comment holds what looks like {kind}"
                span = Span(number, line.index("#", comment.start()) + 1)
                yield self._source.at(rules.LIKELY_SECRET, message, span, _IF_NONE, hidden)


def _likely(path: _Path, text: str, *, is_key: bool) -> str | None:
    """Return what the text at `path` looks like; a value is judged by the name of its key, too."""
    if likely := likely_secret(text, endpoint=path == _URL and not is_key):
        return likely
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    return likely_secret(f"{name}: {text}") if not is_key and names_secret(name) else None


def _texts(value: Any) -> Iterator[tuple[_Path, str, bool]]:
    """Yield path and text of every value and every key, and whether it is a key."""
    waiting: list[tuple[_Path, Any]] = [((), value)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, str):
            yield path, found, False
        elif isinstance(found, dict):
            yield from (((*path, key), key, True) for key in found)
            waiting += [((*path, key), inner) for key, inner in found.items()]
        elif isinstance(found, list):
            waiting += [((*path, index), inner) for index, inner in enumerate(found)]
