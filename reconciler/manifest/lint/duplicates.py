"""Detect manifests with the same name or URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.diagnostics import Related
from reconciler.manifest import rules
from reconciler.manifest.files import Unreadable, read_file
from reconciler.manifest.problems import FIRST, Problem, Source
from reconciler.manifest.yaml.errors import YamlRefused
from reconciler.manifest.yaml.parsing import parse
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.yaml.parsing import YamlDocument
    from reconciler.model import Location

_PATHS = {rules.DUPLICATE_NAME.code: ("metadata", "name"), rules.DUPLICATE_URL.code: ("spec", "url")}


class FirstUses:
    """Which document used a name or URL first."""

    def __init__(self) -> None:
        self._names: dict[str, Location] = {}
        self._urls: dict[str, Location] = {}

    def check_name(
        self, name: str, place: Location, source: Source, document: YamlDocument
    ) -> list[Diagnostic]:
        """Record the name of the manifest at `place`; return the problem if another manifest has it."""
        first = self._names.setdefault(name, place)
        if first is place:
            return []
        message = f"another manifest has the name `{name}`"
        hint = "a name is unique in its organization"
        problem = Problem(rules.DUPLICATE_NAME, message, _PATHS[rules.DUPLICATE_NAME.code], hint)
        return [source.diagnostic(problem, document, (Related(first, FIRST),))]

    def check_url(
        self, url: str, place: Location, source: Source, document: YamlDocument
    ) -> list[Diagnostic]:
        """Record the URL of the manifest at `place`; return the problem if another manifest has it."""
        first = self._urls.setdefault(normalize_url(url), place)
        if first is place:
            return []
        hint = "declare one webhook with the events of both"
        message = "another manifest has this URL"
        problem = Problem(rules.DUPLICATE_URL, message, _PATHS[rules.DUPLICATE_URL.code], hint)
        return [source.diagnostic(problem, document, (Related(first, FIRST),))]


def locate_first_uses(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics; those about duplicates with the exact position and line of the first use.

    Each file with a first use is read again, once: keeping every file until the end would cost far more, and
    few have duplicates. If the file has changed meanwhile, the position of its document stays.
    """
    result = list(diagnostics)
    # The indices of diagnostics by the file and line of the document with the first use.
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
