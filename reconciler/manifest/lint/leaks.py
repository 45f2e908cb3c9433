"""Find secrets in a file: in values, keys, comments, and in what could not be parsed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reconciler.credentials.detector import known_secret, likely_secret, names_secret
from reconciler.credentials.redaction import shown_path
from reconciler.manifest import rules
from reconciler.manifest.lint.endpoint_url import URL_PATH
from reconciler.manifest.problems import Problem
from reconciler.manifest.yaml.errors import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.problems import Source
    from reconciler.manifest.yaml.parsing import YamlDocument

    _Path = tuple[str | int, ...]

_COMMENT = re.compile(r"(?:^|\s)#.*")
# Ids of endpoints are not secrets, although they look like it: `reconciler export` writes them into comments.
_ENDPOINT_ID = re.compile(r"(?:--id|\bEndpoint) \S+|\bwe_[A-Za-z0-9_-]+")
_REVOKE = "revoke it, then remove it: anybody who can read the repository has it"
_IF_NOT = (
    "revoke it and remove it; if it is not a secret, end the line with `# reconciler: ignore[WH031] why`"
)


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
            is_endpoint = path == URL_PATH and not is_key
            where = "a key of " + shown_path(path[:-1]) if is_key else shown_path(path)
            problem = leaked_secret(where, path, text, endpoint=is_endpoint, is_key=is_key)
            # A password in the URL of an endpoint is reported by another rule.
            if problem or (is_endpoint and known_secret(text)):
                self._seen.update(document.lines(path, key=is_key))
            if problem:
                yield self._source.diagnostic(problem, document)

    def beside(self) -> Iterator[Diagnostic]:
        """Yield the secrets elsewhere: in comments, and those of known form in what could not be parsed."""
        for number, line in enumerate(self._source.lines, 1):
            if number in self._seen:
                continue
            hidden = frozenset({number})
            if kind := known_secret(line):
                message = f"this line contains {kind}"
                yield self._source.at(rules.KNOWN_SECRET, message, Span(number, 1), _REVOKE, hidden)
            elif (comment := _COMMENT.search(line)) and (
                kind := likely_secret(_ENDPOINT_ID.sub(" ", comment[0]))
            ):
                message = f"this comment contains what looks like {kind}"
                span = Span(number, line.index("#", comment.start()) + 1)
                yield self._source.at(rules.LIKELY_SECRET, message, span, _IF_NOT, hidden)


def leaked_secret(
    where: str, path: tuple[str | int, ...], text: str, *, endpoint: bool, is_key: bool = False
) -> Problem | None:
    """Return the problem of a text that contains a secret.

    Args:
        where: what contains it, in words.
        path: where it is; a value is judged by the name of its key, too.
        text: a value or a key of a document.
        endpoint: whether it is the URL of an endpoint.
        is_key: whether it is a key.
    """
    if known := known_secret(text, endpoint=endpoint):
        message = f"{where} contains {known}"
        return Problem(rules.KNOWN_SECRET, message, path, _REVOKE, is_key)
    likely = likely_secret(text, endpoint=endpoint)
    if not likely and not is_key:
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        likely = likely_secret(f"{name}: {text}") if names_secret(name) else None
    if likely:
        message = f"{where} contains what looks like {likely}"
        return Problem(rules.LIKELY_SECRET, message, path, _IF_NOT, is_key)
    return None


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
