"""Manifests to desired: every file is read, every problem of every file is reported, in one run."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.credentials.detector import may_hold_secret
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.manifest.files import Unreadable, display_path, read_all
from reconciler.manifest.lint import rules
from reconciler.manifest.lint.duplicates import Claims, show_firsts
from reconciler.manifest.lint.endpoint_url import check_endpoint_url
from reconciler.manifest.lint.leaks import Leaks
from reconciler.manifest.lint.policy import Policy, read_policy
from reconciler.manifest.lint.selection import Selection
from reconciler.manifest.lint.suppressions import NO_IGNORES, Ignores, ignores_of
from reconciler.manifest.lint.warnings import advice_about
from reconciler.manifest.schema import packaged_schema
from reconciler.manifest.source import Source
from reconciler.manifest.webhooks import BadValue, Builder, find_bad_values, unknown_events
from reconciler.manifest.yaml.loader import parse
from reconciler.manifest.yaml.problem import YamlRefused
from reconciler.model import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from reconciler.manifest.yaml.document import YamlDocument
    from reconciler.model import Webhook

_NAME = ("metadata", "name")
_URL = ("spec", "url")
_EVENTS = ("spec", "events")
_ABOUT_KIND = {("kind",), ("apiVersion",)}
_DEFAULT = Selection()
MAX_PROBLEMS = 50_000
"""Problems a file: more only bury the first."""


class Loaded(Struct, frozen=True):
    """What manifests say, and what is wrong with them."""

    webhooks: tuple[Webhook, ...]
    """The sound ones, sorted by name."""
    diagnostics: tuple[Diagnostic, ...]
    """Sorted by place."""
    paths: tuple[str, ...] = ()
    """The files that were read or should have been."""

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self.paths)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(diagnostic.severity is not Severity.ERROR for diagnostic in self.diagnostics)


def load_manifests(
    paths: Sequence[str | os.PathLike[str]],
    *,
    policy: str | os.PathLike[str] | None = None,
    allow_unknown_events: bool = False,
    selection: Selection = _DEFAULT,
) -> Loaded:
    """Return the webhooks that the manifests of one organization declare.

    Problems are values: nothing is raised for a bad file. A folder without manifests is fine; what an
    empty set means is for the guards to say.

    Args:
        paths: files and folders; folders are walked recursively.
        policy: a JSON file with a JSON Schema that every manifest must also satisfy.
        allow_unknown_events: whether event types that this version does not know are accepted.
        selection: which rules hold.
    """
    loader = _Loader(allow_unknown_events=allow_unknown_events, selection=selection)
    if policy is not None:
        loader.use_policy(policy)
    for path, content in read_all(paths):
        loader.add_file(display_path(path), content)
    return loader.loaded()


class _Loader:
    """Collects webhooks and diagnostics, one file after the other."""

    def __init__(self, *, allow_unknown_events: bool, selection: Selection) -> None:
        self._schema = packaged_schema("manifest")
        self._policy: Policy | None = None
        self._allow_unknown_events = allow_unknown_events
        self._selection = selection
        self._build = Builder()
        self._webhooks: list[Webhook] = []
        self._diagnostics: list[Diagnostic] = []
        self._claims = Claims()
        self._paths: list[str] = []

    def use_policy(self, path: str | os.PathLike[str]) -> None:
        """Hold every manifest against the JSON Schema at `path`, too."""
        policy = read_policy(path)
        if isinstance(policy, Policy):
            self._policy = policy
        else:
            self._diagnostics.append(policy)

    def add_file(self, path: str, content: bytes | Unreadable) -> None:
        """Take in one file."""
        self._paths.append(path)
        if isinstance(content, Unreadable):
            self._diagnostics.append(unreadable(path, content))
            return
        source = Source(path, content)
        ignores = ignores_of(content)
        leaks = Leaks(source) if may_hold_secret(content) else None
        self._diagnostics += map(source.yaml_problem, ignores.problems)
        before = len(self._diagnostics)
        is_understood = True
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
            is_understood = False
        if leaks:
            self._diagnostics += self._kept(leaks.beside(), ignores)
        if is_understood and ignores is not NO_IGNORES:
            # What a comment is good for is known only where everything was understood.
            self._diagnostics += self._kept(map(source.yaml_problem, ignores.unused()), ignores)

    def loaded(self) -> Loaded:
        """Return everything that was taken in."""
        if self._policy:
            self._diagnostics += self._policy.exceeded()
        return Loaded(
            tuple(sorted(self._webhooks, key=lambda webhook: webhook.name)),
            tuple(sorted(show_firsts(self._diagnostics), key=place_and_rule)),
            tuple(self._paths),
        )

    def _add_document(
        self, source: Source, document: YamlDocument, ignores: Ignores, leaks: Leaks | None
    ) -> None:
        """Take in one document."""
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
        # An empty list, most often: then there is nothing to go through.
        problems = self._kept(found, ignores) if found else []
        self._diagnostics += problems
        if webhook and not any(each.severity is Severity.ERROR for each in problems):
            self._webhooks.append(webhook)

    def _kept(self, found: Iterable[Diagnostic], ignores: Ignores) -> list[Diagnostic]:
        """Return the diagnostics of rules that hold, without those that a comment silences."""
        return [each for each in found if self._selection.has(each.rule) and not ignores.cover(each)]

    def _explain(self, source: Source, document: YamlDocument) -> Iterator[Diagnostic]:
        """Yield how a document breaks the schema, and what else is wrong with it as far as can be told.

        Fixing one error must not uncover the next.
        """
        violations = self._schema.explain(document.value)
        if not _is_webhook(document.value):
            # Everything else follows from its being something else.
            about_kind = [each for each in violations if each.path in _ABOUT_KIND]
            yield from (source.violation(each, document) for each in about_kind or violations)
            return
        bad_url = _bad_url(source, document, _part(document.value, _URL))
        for each in violations:
            # The rules say more about a URL than the schema's pattern does.
            if not (bad_url and each.path == _URL and each.rule is rules.WRONG_FORM):
                yield source.violation(each, document)
        yield from bad_url
        yield from self._check_events(source, document, _part(document.value, _EVENTS))
        told = {each.path for each in violations}
        yield from self._breaks_policy(source, document, told)
        for bad in find_bad_values(document.value, told):
            yield source.finding(bad.rule, bad.message, document, bad.path, bad.hint)
        name, url = _part(document.value, _NAME), _part(document.value, _URL)
        place = Location(source.path, document.line)
        if isinstance(name, str) and self._schema.accepts(_minimal(name)):
            yield from self._claims.name(name, place, source, document)
        if isinstance(url, str) and not any(each.path == _URL for each in violations) and not bad_url:
            yield from self._claims.url(url, place, source, document)

    def _examine(self, source: Source, document: YamlDocument) -> tuple[Webhook | None, list[Diagnostic]]:
        """Return the webhook of a manifest that satisfies the schema, if it means one, and its problems."""
        value, place = document.value, Location(source.path, document.line)
        if self._policy:
            self._policy.count(source, document)
        problems = self._breaks_policy(source, document)
        url, events = value["spec"]["url"], value["spec"]["events"]
        problems += self._check_events(source, document, events)
        problems += self._claims.name(value["metadata"]["name"], place, source, document)
        problems += _bad_url(source, document, url) or self._claims.url(url, place, source, document)
        try:
            webhook = self._build(value, place)
        except BadValue:
            bad_values = find_bad_values(value)
            problems += [source.finding(b.rule, b.message, document, b.path, b.hint) for b in bad_values]
            return None, problems
        problems += [
            source.finding(each.rule, each.message, document, each.path, each.hint, key=each.at_key)
            for each in advice_about(webhook, value)
            if self._selection.has(each.rule.code)
        ]
        return webhook, problems

    def _breaks_policy(
        self, source: Source, document: YamlDocument, told: Collection[tuple[str | int, ...]] = ()
    ) -> list[Diagnostic]:
        """Return how a manifest breaks the policy, but for what is `told` of already, by its path."""
        return self._policy.check(source, document, told) if self._policy else []

    def _check_events(self, source: Source, document: YamlDocument, events: Any) -> list[Diagnostic]:
        """Return the event types of a manifest that do not exist."""
        if self._allow_unknown_events or not isinstance(events, list):
            return []
        return [
            source.finding(rules.UNKNOWN_EVENT, message, document, (*_EVENTS, index), hint)
            for index, message, hint in unknown_events(events)
        ]


def unreadable(path: str, reason: Unreadable) -> Diagnostic:
    """Return the diagnostic for a path that gave no bytes."""
    rule = rules.TOO_LARGE if reason.too_large else rules.UNREADABLE
    message = f"this path cannot be read: {reason.message}"
    return Diagnostic(rule.severity, rule.code, message, Location(path), reason.hint)


def _bad_url(source: Source, document: YamlDocument, url: Any) -> list[Diagnostic]:
    """Return what is wrong with a manifest's URL; nothing where it has none."""
    if not isinstance(url, str):
        return []
    return [
        source.finding(rule, message, document, _URL, hint) for rule, message, hint in check_endpoint_url(url)
    ]


def _part(value: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at `path`, or None where the mappings on the way are none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _is_webhook(value: Any) -> bool:
    """Return whether a document means to be a webhook manifest: one that does not say is one."""
    return isinstance(value, dict) and str(value.get("kind") or "Webhook").lower() == "webhook"


def _minimal(name: str) -> dict[str, Any]:
    """Return a manifest that is valid if its name is."""
    spec = {"url": "https://hooks.example.com/", "events": ["run.completed"]}
    return {"apiVersion": "webhooks.zof.ai/v1", "kind": "Webhook", "metadata": {"name": name}, "spec": spec}


def place_and_rule(diagnostic: Diagnostic) -> tuple[Location, str, str]:
    """Return what diagnostics are sorted by."""
    return diagnostic.location or Location(""), diagnostic.rule, diagnostic.message
