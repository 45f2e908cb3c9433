"""What each manifest must have for itself: its name and its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.diagnostics import Related
from reconciler.manifest.files import Unreadable, read_file
from reconciler.manifest.lint import rules
from reconciler.manifest.source import Source
from reconciler.manifest.yaml.loader import parse
from reconciler.manifest.yaml.problem import YamlRefused
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.diagnostics import Diagnostic, Rule
    from reconciler.manifest.yaml.document import YamlDocument
    from reconciler.model import Location

_PATHS = {rules.DUPLICATE_NAME.code: ("metadata", "name"), rules.DUPLICATE_URL.code: ("spec", "url")}


class Claims:
    """Who was first with a name or URL, by the document that holds it."""

    def __init__(self) -> None:
        self._names: dict[str, Location] = {}
        self._urls: dict[str, Location] = {}

    def name(self, name: str, place: Location, source: Source, document: YamlDocument) -> list[Diagnostic]:
        """Take a name for the manifest at `place`; return the problem that another has it already."""
        first = self._names.setdefault(name, place)
        if first is place:
            return []
        message = f"another manifest has the name `{name}` already"
        hint = "a name is unique in its organization"
        return [_clash(rules.DUPLICATE_NAME, message, hint, source, document, first)]

    def url(self, url: str, place: Location, source: Source, document: YamlDocument) -> list[Diagnostic]:
        """Take a URL for the manifest at `place`; return the problem that another has it already."""
        first = self._urls.setdefault(normalize_url(url), place)
        if first is place:
            return []
        message = "another manifest has this URL already"
        hint = "declare one webhook with the events of both"
        return [_clash(rules.DUPLICATE_URL, message, hint, source, document, first)]


def _clash(
    rule: Rule, message: str, hint: str, source: Source, document: YamlDocument, first: Location
) -> Diagnostic:
    """Return the problem that something is taken. So far only the document that has it is known."""
    also = (Related(first, "the first one is here"),)
    return source.finding(rule, message, document, _PATHS[rule.code], hint, also)


def show_firsts(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics; those about duplicates with the exact place and line of the first, too.

    For that each file with a first is read again, once: keeping every file until the end would cost far
    more, as nearly none has a duplicate. One that has changed meanwhile is left at its document's place.
    """
    result = list(diagnostics)
    # The numbers of the diagnostics by file and line of the document with the first.
    waiting: dict[str, dict[int, list[int]]] = {}
    for number, each in enumerate(result):
        if each.rule in _PATHS:
            first = each.also[0].location
            waiting.setdefault(first.path, {}).setdefault(first.line, []).append(number)
    for path, by_line in waiting.items():
        for document, source in _documents(path):
            for number in by_line.get(document.line, ()):
                where = _PATHS[result[number].rule]
                if document.value is not None:
                    result[number] = replace(result[number], also=(source.related(document, where),))
    return result


def _documents(path: str) -> Iterator[tuple[YamlDocument, Source]]:
    """Yield the documents of a file, as far as it can be read."""
    content = read_file(path)
    if isinstance(content, Unreadable):
        return
    source = Source(path, content)
    try:
        for document in parse(content):
            yield document, source
    except YamlRefused:
        return
