"""Manifests to desired: every file is read, every problem of every file is reported, in one run."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.diagnostics import Diagnostic, Severity
from reconciler.errors import InvalidInput
from reconciler.manifest import rules
from reconciler.manifest.endpoint_url import check_endpoint_url
from reconciler.manifest.files import Unreadable, display_path, read_all, read_file
from reconciler.manifest.loader import parse
from reconciler.manifest.schema import Schema, Violation, packaged_schema
from reconciler.manifest.source import Source
from reconciler.manifest.webhooks import BadValue, Builder, unknown_event
from reconciler.manifest.yaml_problem import YamlRefused
from reconciler.model import Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.manifest.document import YamlDocument
    from reconciler.model import Webhook

_NAME = ("metadata", "name")
_URL = ("spec", "url")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What manifests say, and what is wrong with them."""

    webhooks: tuple[Webhook, ...]
    """The sound ones, sorted by name."""
    diagnostics: tuple[Diagnostic, ...]
    """Sorted by place."""
    files: int
    """How many files were read or should have been."""

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(diagnostic.severity is not Severity.ERROR for diagnostic in self.diagnostics)


def load_manifests(
    paths: Sequence[str | os.PathLike[str]],
    *,
    policy: str | os.PathLike[str] | None = None,
    allow_unknown_events: bool = False,
) -> Loaded:
    """Return the webhooks that the manifests of one organization declare.

    Problems are values: nothing is raised for a bad file. A folder without manifests is fine; what an
    empty set means is for the guards to say.

    Args:
        paths: files and folders; folders are walked recursively.
        policy: a JSON file with a JSON Schema that every manifest must also satisfy.
        allow_unknown_events: whether event types that this version does not know are accepted.
    """
    loader = _Loader(allow_unknown_events=allow_unknown_events)
    if policy is not None:
        loader.use_policy(os.fspath(policy))
    with _without_gc():
        for path, content in read_all(paths):
            loader.add_file(display_path(path), content)
    return loader.loaded()


@contextmanager
def _without_gc() -> Iterator[None]:
    """Keep the cyclic garbage collector away: loading makes no cycles, and it would walk all webhooks."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Loader:
    """Collects webhooks and diagnostics, one file after the other."""

    def __init__(self, *, allow_unknown_events: bool) -> None:
        self._schema = packaged_schema("manifest")
        self._policy: Schema | None = None
        self._allow_unknown_events = allow_unknown_events
        self._build = Builder()
        self._webhooks: list[Webhook] = []
        self._diagnostics: list[Diagnostic] = []
        self._names: dict[str, Location] = {}
        self._urls: dict[str, Webhook] = {}
        self._files = 0

    def use_policy(self, path: str) -> None:
        """Hold every manifest against the JSON Schema at `path`, too."""
        try:
            self._policy = read_policy(path)
        except InvalidInput as error:
            place = Location(display_path(path))
            rule = rules.POLICY_UNUSABLE
            self._diagnostics.append(Diagnostic(rule.severity, rule.code, error.message, place, error.hint))

    def add_file(self, path: str, content: bytes | Unreadable) -> None:
        """Take in one file."""
        self._files += 1
        if isinstance(content, Unreadable):
            self._diagnostics.append(unreadable(path, content))
            return
        source = Source(path, content)
        try:
            for document in parse(content):
                self._add_document(source, document)
        except YamlRefused as refused:
            self._diagnostics.append(source.yaml_problem(refused.problem))

    def loaded(self) -> Loaded:
        """Return everything that was taken in."""
        return Loaded(
            tuple(sorted(self._webhooks, key=lambda webhook: webhook.name)),
            tuple(sorted(self._diagnostics, key=_place_and_rule)),
            self._files,
        )

    def _add_document(self, source: Source, document: YamlDocument) -> None:
        """Take in one document."""
        if document.problems:
            self._diagnostics += [source.yaml_problem(problem, document) for problem in document.problems]
        elif not self._schema.accepts(document.value):
            violations = _relevant(self._schema.explain(document.value), document.value)
            self._diagnostics += [source.violation(violation, document) for violation in violations]
            self._claim_name_of_invalid(source, document)
        else:
            self._add_manifest(source, document)

    def _add_manifest(self, source: Source, document: YamlDocument) -> None:
        """Take in a manifest that satisfies the schema, if it satisfies the rules."""
        place = Location(source.path, document.line)
        problems = [
            *self._breaks_policy(source, document),
            *self._check_events(source, document),
            *self._claim_name(document.value["metadata"]["name"], place, source, document),
        ]
        bad_url = [
            source.finding(rule, message, document, _URL, hint)
            for rule, message, hint in check_endpoint_url(document.value["spec"]["url"])
        ]
        try:
            webhook = self._build(document.value, place)
        except BadValue as bad:
            problems.append(source.finding(bad.rule, bad.message, document, bad.path, bad.hint))
        else:
            bad_url += [] if bad_url else self._claim_url(webhook, source, document)
            if not problems and not bad_url:
                self._webhooks.append(webhook)
        self._diagnostics += problems + bad_url

    def _breaks_policy(self, source: Source, document: YamlDocument) -> list[Diagnostic]:
        """Return how a manifest breaks the policy."""
        if self._policy is None or self._policy.accepts(document.value):
            return []
        violations = self._policy.explain(document.value)
        return [source.violation(violation, document, rules.POLICY) for violation in violations]

    def _check_events(self, source: Source, document: YamlDocument) -> list[Diagnostic]:
        """Return the event types of a manifest that do not exist."""
        events = document.value["spec"]["events"]
        if self._allow_unknown_events or self._build.knows(events):
            return []
        return [
            source.finding(rules.UNKNOWN_EVENT, message, document, ("spec", "events", index), hint)
            for index, (message, hint) in unknown_event(events)
        ]

    def _claim_name(
        self, name: str, place: Location, source: Source, document: YamlDocument
    ) -> list[Diagnostic]:
        """Take a name for a manifest; return the problem that another has it already."""
        first = self._names.setdefault(name, place)
        if first is place:
            return []
        message = f"another manifest has the name `{name}` already, at {first}"
        hint = "a name is unique in its organization"
        return [source.finding(rules.DUPLICATE_NAME, message, document, _NAME, hint, (first,))]

    def _claim_name_of_invalid(self, source: Source, document: YamlDocument) -> None:
        """Take the name of a manifest that breaks the schema: fixing it must not uncover the next error."""
        if self._schema_allows_name(document.value):
            name = document.value["metadata"]["name"]
            place = Location(source.path, document.line)
            self._diagnostics += self._claim_name(name, place, source, document)

    def _schema_allows_name(self, value: Any) -> bool:
        """Return whether `value` is a manifest with a usable name, whatever else is wrong with it."""
        metadata = value.get("metadata") if isinstance(value, Mapping) else None
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        return (
            isinstance(name, str) and value.get("kind") == "Webhook" and self._schema.accepts(_minimal(name))
        )

    def _claim_url(self, webhook: Webhook, source: Source, document: YamlDocument) -> list[Diagnostic]:
        """Take a URL for a webhook; return the problem that another has it already."""
        first = self._urls.setdefault(webhook.normalized_url, webhook)
        if first is webhook:
            return []
        message = f"the webhook `{first.name}` has this URL already, at {first.location}"
        hint = "declare one webhook with the events of both"
        return [source.finding(rules.DUPLICATE_URL, message, document, _URL, hint, (first.location,))]


def read_policy(path: str) -> Schema:
    """Return the policy at `path`, compiled.

    Raises:
        InvalidInput: the file cannot be read, or is no JSON Schema that stands on its own.
    """
    content = read_file(path)
    if isinstance(content, Unreadable):
        raise InvalidInput(f"the policy cannot be read: {content.message}", hint=content.hint)
    try:
        schema = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidInput("the policy is not JSON") from None
    if not isinstance(schema, dict):
        raise InvalidInput("the policy is no JSON object")
    return Schema(schema)


def unreadable(path: str, reason: Unreadable) -> Diagnostic:
    """Return the diagnostic for a path that gave no bytes."""
    rule = rules.TOO_LARGE if reason.too_large else rules.UNREADABLE
    message = f"this path cannot be read: {reason.message}"
    return Diagnostic(rule.severity, rule.code, message, Location(path), reason.hint)


def _relevant(violations: list[Violation], value: Any) -> list[Violation]:
    """Leave out what follows from a document being no webhook manifest at all."""
    kinds = [violation for violation in violations if violation.path in {("kind",), ("apiVersion",)}]
    is_other = (
        isinstance(value, Mapping) and isinstance(value.get("kind"), str) and value["kind"] != "Webhook"
    )
    return kinds if is_other else violations


def _minimal(name: str) -> dict[str, Any]:
    """Return a manifest that is valid if its name is."""
    spec = {"url": "https://hooks.example.com/", "events": ["run.completed"]}
    return {"apiVersion": "webhooks.zof.ai/v1", "kind": "Webhook", "metadata": {"name": name}, "spec": spec}


def _place_and_rule(diagnostic: Diagnostic) -> tuple[Location, str, str]:
    """Return what diagnostics are sorted by."""
    return diagnostic.location or Location(""), diagnostic.rule, diagnostic.message
