"""Load manifests: read every file and report every problem in one run."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from reconciler.credentials.detector import may_hold_secret
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.manifest import rules
from reconciler.manifest.files import Unreadable, display_path, read_all
from reconciler.manifest.lint.duplicates import FirstUses, locate_first_uses
from reconciler.manifest.lint.endpoint_url import URL_PATH, check_endpoint_url
from reconciler.manifest.lint.leaks import Leaks
from reconciler.manifest.lint.selection import Selection
from reconciler.manifest.lint.suppressions import NO_IGNORES, Ignores, ignores_of
from reconciler.manifest.lint.warnings import warnings_about
from reconciler.manifest.problems import Source
from reconciler.manifest.schema import packaged_schema
from reconciler.manifest.webhooks import BadValue, Builder, find_bad_values, unknown_events
from reconciler.manifest.yaml.errors import YamlRefused
from reconciler.manifest.yaml.parsing import parse
from reconciler.model import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from reconciler.manifest.exclusion import Exclusion
    from reconciler.manifest.lint.policy import Policy
    from reconciler.manifest.problems import Problem
    from reconciler.manifest.yaml.parsing import YamlDocument
    from reconciler.model import Webhook

_NAME = ("metadata", "name")
_EVENTS = ("spec", "events")
_ABOUT_KIND = {("kind",), ("apiVersion",)}
_DUPLICATES = {rules.DUPLICATE_NAME.code, rules.DUPLICATE_URL.code}
_DEFAULT = Selection()
MAX_PROBLEMS = 50_000
"""Problems of a file that are reported."""


class Outside(Struct, frozen=True):
    """The manifests outside of the paths that are meant: only what the scope of a run depends on."""

    names: frozenset[str]
    """The webhooks that they declare."""
    errors: tuple[Diagnostic, ...] = ()
    """Why some of them could not be read: `names` may lack theirs. Sorted by location."""


class Loaded(Struct, frozen=True):
    """The webhooks that manifests declare, and their problems."""

    webhooks: tuple[Webhook, ...]
    """Those without errors, sorted by name."""
    diagnostics: tuple[Diagnostic, ...]
    """Sorted by location."""
    paths: tuple[str, ...] = ()
    """The files, including those that could not be read."""
    outside: Outside | None = None
    """The manifests that were read beside the paths; None if there are none."""
    excluded: frozenset[str] = frozenset()
    """The real paths of the files and folders that the configuration excludes."""

    @property
    def ok(self) -> bool:
        """Whether all diagnostics are warnings."""
        return all(diagnostic.severity is not Severity.ERROR for diagnostic in self.diagnostics)


def load_manifests(
    paths: Sequence[str | os.PathLike[str]],
    *,
    policy: str | os.PathLike[str] | None = None,
    allow_unknown_events: bool = False,
    selection: Selection = _DEFAULT,
    exclusion: Exclusion | None = None,
    outside: Sequence[str] = (),
    recorded: Callable[[str], str] | None = None,
) -> Loaded:
    """Return the webhooks that the manifests of one organization declare.

    Problems are values: nothing is raised for a bad file. A folder without manifests is not a problem; the
    guards decide about an empty set.

    Args:
        paths: files and folders; folders are walked recursively.
        policy: a JSON file with a JSON Schema that every manifest must also satisfy.
        allow_unknown_events: whether event types that this version does not know are accepted.
        selection: which rules are checked.
        exclusion: the files of other tools, which are not read; it records them.
        outside: further paths, of which only names matter: a webhook that they declare must not be declared
            in `paths`, too. Their other problems are not among the diagnostics.
        recorded: returns a file's path from the root of its repository.
    """
    loader = Loader(allow_unknown_events=allow_unknown_events, selection=selection, recorded=recorded)
    if policy is not None:
        loader.use_policy(policy)
    seen: set[str] = set()
    for path, content in read_all(paths, exclusion=exclusion, seen=seen):
        loader.add_file(display_path(path), content)
    loaded = loader.loaded()
    if outside:
        for path, content in read_all(outside, exclusion=exclusion, seen=seen):
            loader.add_file(display_path(path), content)
        loaded = _beside(loaded, loader.loaded())
    return replace(loaded, excluded=frozenset(exclusion.paths if exclusion else ()))


def _beside(inside: Loaded, everything: Loaded) -> Loaded:
    """Return `inside` with what matters of the other manifests in `everything`."""
    known = {each.name for each in inside.webhooks}
    names = frozenset(each.name for each in everything.webhooks if each.name not in known)
    places, said = set(inside.paths), set(inside.diagnostics)
    found = [each for each in everything.diagnostics if each not in said and each.severity is Severity.ERROR]
    duplicates = [
        each
        for each in found
        if each.rule in _DUPLICATES and any(first.location.path in places for first in each.also)
    ]
    errors = tuple(each for each in found if each not in duplicates)
    diagnostics = tuple(sorted([*inside.diagnostics, *duplicates], key=place_and_rule))
    return replace(inside, diagnostics=diagnostics, outside=Outside(names, errors))


class Loader:
    """Collects the webhooks and diagnostics of files."""

    def __init__(
        self,
        *,
        allow_unknown_events: bool = False,
        selection: Selection = _DEFAULT,
        recorded: Callable[[str], str] | None = None,
    ) -> None:
        self._schema = packaged_schema("manifest")
        self._policy: Policy | None = None
        self._allow_unknown_events = allow_unknown_events
        self._selection = selection
        self._build = Builder()
        self._webhooks: list[Webhook] = []
        self._diagnostics: list[Diagnostic] = []
        self._first_uses = FirstUses()
        self._paths: list[str] = []
        self._recorded = recorded
        self._recorded_path: str | None = None

    def use_policy(self, path: str | os.PathLike[str]) -> None:
        """Check every manifest with the JSON Schema at `path`, too."""
        from reconciler.manifest.lint.policy import Policy, read_policy  # noqa: PLC0415 (few configurations have one)

        policy = read_policy(path)
        if isinstance(policy, Policy):
            self._policy = policy
        else:
            self._diagnostics.append(policy)

    def add_file(self, path: str, content: bytes | Unreadable) -> None:
        """Load one file."""
        self._paths.append(path)
        if isinstance(content, Unreadable):
            self._diagnostics.append(unreadable(path, content))
            return
        self._recorded_path = self._recorded(path) if self._recorded else None
        source = Source(path, content)
        ignores = ignores_of(content)
        leaks = Leaks(source) if may_hold_secret(content) else None
        self._diagnostics += map(source.yaml_problem, ignores.problems)
        before = len(self._diagnostics)
        is_parsed = True
        try:
            for document in parse(content):
                self._add_document(source, document, ignores, leaks)
                if len(self._diagnostics) - before > MAX_PROBLEMS:
                    message = f"this file has more than {MAX_PROBLEMS:,} problems; the rest is not checked"
                    place = Location(path, document.line)
                    self._diagnostics.append(source.note(rules.TOO_LARGE, message, place))
                    return
        except YamlRefused as refused:
            self._diagnostics.append(source.yaml_problem(refused.problem))
            is_parsed = False
        if leaks:
            self._diagnostics += self._kept(leaks.beside(), ignores)
        if is_parsed and ignores is not NO_IGNORES:
            # A comment can be called unused only if the whole file was parsed.
            self._diagnostics += self._kept(map(source.yaml_problem, ignores.unused()), ignores)

    def loaded(self) -> Loaded:
        """Return everything that was loaded."""
        if self._policy:
            self._diagnostics += self._policy.exceeded()
        return Loaded(
            tuple(sorted(self._webhooks, key=lambda webhook: webhook.name)),
            tuple(sorted(locate_first_uses(self._diagnostics), key=place_and_rule)),
            tuple(self._paths),
        )

    def _add_document(
        self, source: Source, document: YamlDocument, ignores: Ignores, leaks: Leaks | None
    ) -> None:
        """Load one document."""
        webhook: Webhook | None = None
        found: Iterable[Diagnostic]
        if document.problems:
            found = [source.yaml_problem(problem, document) for problem in document.problems]
        elif self._schema.accepts(document.value):
            webhook, found = self._examine(source, document)
        else:
            found = self._explain(source, document)
        if leaks:
            found = chain(found, leaks.within(document))
        # Most documents have none.
        problems = self._kept(found, ignores) if found else []
        self._diagnostics += problems
        if webhook and not any(each.severity is Severity.ERROR for each in problems):
            self._webhooks.append(webhook)

    def _kept(self, found: Iterable[Diagnostic], ignores: Ignores) -> list[Diagnostic]:
        """Return the diagnostics of selected rules, without those that a comment ignores."""
        return [each for each in found if self._selection.has(each.rule) and not ignores.cover(each)]

    def _explain(self, source: Source, document: YamlDocument) -> Iterator[Diagnostic]:
        """Yield how a document breaks the schema, and everything else that is wrong with it.

        Fixing one error must not uncover the next.
        """
        problems = self._schema.explain(document.value)
        if not _is_webhook(document.value):
            # All other problems follow from the wrong kind.
            about_kind = [each for each in problems if each.path in _ABOUT_KIND]
            yield from (source.diagnostic(each, document) for each in about_kind or problems)
            return
        reported = {each.path for each in problems}
        url = _part(document.value, URL_PATH)
        bad_url = check_endpoint_url(url) if isinstance(url, str) else []
        if bad_url:
            # The rules say more about a URL than the schema's pattern does.
            form = (URL_PATH, rules.WRONG_FORM)
            problems = [each for each in problems if (each.path, each.rule) != form] + bad_url
        problems += self._unknown_events(_part(document.value, _EVENTS))
        if self._policy:
            problems += self._policy.check(source, document, reported)
        problems += find_bad_values(document.value, reported)
        yield from (source.diagnostic(each, document) for each in problems)
        name, place = _part(document.value, _NAME), Location(source.path, document.line)
        if isinstance(name, str) and self._schema.accepts(_minimal(name)):
            yield from self._first_uses.check_name(name, place, source, document)
        if isinstance(url, str) and URL_PATH not in reported and not bad_url:
            yield from self._first_uses.check_url(url, place, source, document)

    def _examine(self, source: Source, document: YamlDocument) -> tuple[Webhook | None, list[Diagnostic]]:
        """Return the webhook of a manifest that satisfies the schema, if it has one, and its problems."""
        value, place = document.value, Location(source.path, document.line)
        url = value["spec"]["url"]
        problems = check_endpoint_url(url)
        found = [] if problems else self._first_uses.check_url(url, place, source, document)
        found += self._first_uses.check_name(value["metadata"]["name"], place, source, document)
        problems += self._unknown_events(value["spec"]["events"])
        if self._policy:
            problems += self._policy.check(source, document, counts=True)
        webhook: Webhook | None = None
        try:
            webhook = built = self._build(value, place, self._recorded_path)
        except BadValue:
            problems += find_bad_values(value)
        else:
            warnings = warnings_about(built, value)
            problems += [each for each in warnings if self._selection.has(each.rule.code)]
        if problems:
            found += [source.diagnostic(each, document) for each in problems]
        return webhook, found

    def _unknown_events(self, events: Any) -> list[Problem]:
        """Return the problems of event types that do not exist, unless they are allowed."""
        return [] if self._allow_unknown_events or not isinstance(events, list) else unknown_events(events)


def unreadable(path: str, reason: Unreadable) -> Diagnostic:
    """Return the diagnostic for a path that cannot be read."""
    rule = rules.TOO_LARGE if reason.too_large else rules.UNREADABLE
    message = f"this path cannot be read: {reason.message}"
    return Diagnostic(rule.severity, rule.code, message, Location(path), reason.hint)


def _part(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value at `path`, or None if there is none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _is_webhook(value: Any) -> bool:
    """Return whether a document is meant as a webhook manifest: without a kind it is."""
    return isinstance(value, dict) and str(value.get("kind") or "Webhook").lower() == "webhook"


def _minimal(name: str) -> dict[str, Any]:
    """Return a manifest that is valid if `name` is."""
    spec = {"url": "https://hooks.example.com/", "events": ["run.completed"]}
    return {"apiVersion": "webhooks.zof.ai/v1", "kind": "Webhook", "metadata": {"name": name}, "spec": spec}


def place_and_rule(diagnostic: Diagnostic) -> tuple[Location, str, str]:
    """Return the sort key of a diagnostic."""
    return diagnostic.location or Location(""), diagnostic.rule, diagnostic.message
