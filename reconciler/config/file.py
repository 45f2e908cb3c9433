"""Read and validate `reconciler.yaml`, and turn it into a `Config`."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct, convert
from msgspec.structs import replace

from reconciler.config.settings import (
    DEFAULT_MANIFESTS,
    Config,
    NotificationSettings,
    OrganizationSettings,
    default_prefix,
)
from reconciler.credentials.detector import looks_secret
from reconciler.credentials.redaction import shown
from reconciler.errors import InvalidInput
from reconciler.manifest import rules
from reconciler.manifest.files import Unreadable, display_path, leads_out_of, read_file
from reconciler.manifest.lint.selection import Selection, guarded_hint, unknown_code_hint
from reconciler.manifest.load import place_and_rule, unreadable
from reconciler.manifest.problems import Problem, Source
from reconciler.manifest.schema import Schema, packaged_schema
from reconciler.manifest.yaml.errors import YamlRefused
from reconciler.manifest.yaml.parsing import parse
from reconciler.model import Location
from reconciler.schemas import schema_text
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.yaml.parsing import YamlDocument

    _Path = tuple[str | int, ...]


_DEFAULT_RULES = Selection()
_MOST_GLOBS = 100
"""The schema's limit: each costs time for each file."""
_MOST_CODES = 100
"""The schema's limit: further codes are ignored, since suggestions for them would take seconds."""

_STAY = "copy the files into that folder, or move the configuration to the root of the repository"


class SalvagedManifests(Struct, frozen=True):
    """Where one organization of an invalid configuration has its manifests."""

    paths: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    """Globs below `paths` of what is not read."""


class Salvage(Struct, frozen=True):
    """The usable part of an invalid configuration: enough to check the manifests that it names."""

    manifests: tuple[SalvagedManifests, ...] = ()
    """Those of each organization that names some, or has some in the default folder."""
    policy: Path | None = None
    rules: Selection = _DEFAULT_RULES


_NO_SALVAGE = Salvage()
_LINKED = Unreadable(
    "it is a symbolic link that leads out of its folder", "write the file itself there, or name its real path"
)


class ConfigInvalid(InvalidInput):
    """The configuration file is invalid."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], salvage: Salvage = _NO_SALVAGE) -> None:
        """Keep the `diagnostics` (at least one, sorted by location) and the `salvage`."""
        super().__init__("the configuration is invalid", hint="`reconciler schema config` prints its schema")
        self.diagnostics = diagnostics
        self.salvage = salvage


def read_config(path: Path) -> Config:
    """Return the configuration in the file at `path`.

    Raises:
        ConfigInvalid: it cannot be read or is invalid; its diagnostics list every problem.
    """
    name = display_path(str(path))
    # Authors of the repository choose where a link leads, and nothing from elsewhere may be quoted.
    content = _LINKED if leads_out_of(path.parent, path) else read_file(str(path))
    if isinstance(content, Unreadable):
        raise ConfigInvalid((unreadable(name, content),))
    source = Source(name, content)
    documents, found = _documents(source, content)
    if documents:
        found += _problems(source, documents[0], path.parent)
    if found:
        salvage = _salvage(documents[0].value, path.parent) if documents else Salvage()
        raise ConfigInvalid(tuple(sorted(found, key=place_and_rule)), salvage)
    return _config(documents[0].value, path.parent)


@cache
def form_of(definition: tuple[str, ...]) -> tuple[Callable[[str], bool], str]:
    """Return a check for the form that the schema requires of a setting, and the form's description.

    Args:
        definition: the name of a definition, optionally followed by one of its properties.
    """
    schema = json.loads(schema_text("config"))["$defs"][definition[0]]
    for name in definition[1:]:
        schema = schema["properties"][name]
    return Schema(schema).accepts, schema["description"]


def _documents(source: Source, content: bytes) -> tuple[list[YamlDocument], list[Diagnostic]]:
    """Return the documents of a file that must have exactly one, and its YAML problems."""
    documents: list[YamlDocument] = []
    found: list[Diagnostic] = []
    try:
        for document in parse(content):
            documents.append(document)
            found += [source.yaml_problem(problem, document) for problem in document.problems]
    except YamlRefused as refused:
        found.append(source.yaml_problem(refused.problem))
    if len(documents) > 1 or not (documents or found):
        line = documents[1].line if documents else 1
        message = f"the configuration must be one YAML document, but the file has {len(documents)}"
        found.append(source.note(rules.CONFIG_DOCUMENTS, message, Location(source.path, line)))
    return documents, found


def _problems(source: Source, document: YamlDocument, folder: Path) -> Iterator[Diagnostic]:
    """Yield every problem of the document's content; its paths start at `folder`."""
    if document.problems:
        return
    schema = packaged_schema("config")
    violations = [] if schema.accepts(document.value) else schema.explain(document.value)
    pasted = list(_pasted_keys(document))
    known = {problem.path for problem in pasted}
    named = [*pasted, *(each for each in violations if each.path not in known)]
    yield from (source.diagnostic(each, document) for each in named)
    # Fixing one error must not uncover the next: settings that have the right form are checked anyway.
    broken = {each.path for each in violations}
    yield from _paths_outside(source, document, folder, broken)
    yield from _service_urls(source, document, broken)
    yield from _repeated_names(source, document, broken)
    yield from _rule_codes(source, document)


def _paths_outside(
    source: Source, document: YamlDocument, folder: Path, broken: set[_Path]
) -> Iterator[Diagnostic]:
    """Yield the paths that lead out of the configuration's folder: what is there must not be quoted."""
    named: list[tuple[str, _Path, Any]] = [
        ("manifests", ("organizations", number, "manifests", index), path)
        for number, each in enumerate(_list(document.value, "organizations"))
        for index, path in enumerate(_list(each, "manifests"))
    ]
    if isinstance(document.value, dict):
        named.append(("policy", ("policy",), document.value.get("policy")))
    for key, place, path in named:
        if isinstance(path, str) and place not in broken and leads_out_of(folder, folder / path):
            message = f"this path of `{key}` leads out of the configuration's folder"
            yield source.diagnostic(Problem(rules.UNREADABLE, message, place, _STAY), document)


def _service_urls(source: Source, document: YamlDocument, broken: set[_Path]) -> Iterator[Diagnostic]:
    """Yield the addresses that a key or token must not be sent to."""
    for section, key in (("api", "url"), ("vault", "address")):
        for path, url in _settings(document.value, section, key):
            if path not in broken and (problem := service_url_problem(url)):
                yield source.diagnostic(
                    Problem(rules.SERVICE_URL, f"`{section}.{key}` {problem}", path), document
                )


def _repeated_names(source: Source, document: YamlDocument, broken: set[_Path]) -> Iterator[Diagnostic]:
    """Yield the organizations whose name is taken."""
    first: dict[str, _Path] = {}
    for path, name in _settings(document.value, "name"):
        if path not in broken and first.setdefault(name, path) is not path:
            message = f"duplicate organization name `{name}`"
            also = (source.related(document, first[name]),)
            yield source.diagnostic(Problem(rules.DUPLICATE_ORGANIZATION, message, path), document, also)


def _pasted_keys(document: YamlDocument) -> Iterator[Problem]:
    """Yield API keys in place of the variable's name, which we would print."""
    for path, name in _settings(document.value, "api", "keyEnv"):
        if looks_secret(name):
            message = "`api.keyEnv` looks like a key, not like the name of an environment variable"
            hint = "name the environment variable that holds the key; if this is a key, revoke it"
            yield Problem(rules.WRONG_FORM, message, path, hint)


def _rule_codes(source: Source, document: YamlDocument) -> Iterator[Diagnostic]:
    """Yield unknown rule codes, and ignored rules that may not be ignored."""
    settings = document.value.get("rules") if isinstance(document.value, dict) else None
    for key in ("select", "ignore"):
        for index, code in enumerate(_list(settings, key)[:_MOST_CODES]):
            path = ("rules", key, index)
            rule = rules.RULES.get(code) if isinstance(code, str) else None
            if isinstance(code, str) and rule is None:
                quoted = shown(code, path)
                message = f"no rule has the code {quoted}" if quoted else "no rule has this code"
                yield source.diagnostic(
                    Problem(rules.UNKNOWN_RULE, message, path, unknown_code_hint(code)), document
                )
            elif rule and key == "ignore" and not rule.ignorable:
                message = f"{code} ({rule.title[0].lower()}{rule.title[1:]}) may not be ignored"
                yield source.diagnostic(Problem(rules.GUARDED_RULE, message, path, guarded_hint()), document)


def _settings(value: Any, *keys: str) -> Iterator[tuple[_Path, str]]:
    """Yield the path and value of a setting of each organization that has it, in a document of any form."""
    for index, found in enumerate(_list(value, "organizations")):
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None  # noqa: PLW2901 (descends into the document)
        if isinstance(found, str):
            yield ("organizations", index, *keys), found


def _salvage(value: Any, folder: Path) -> Salvage:
    """Return the usable part of a document of any form; its paths start at `folder`."""
    if not isinstance(value, dict):
        return Salvage()
    usual = [DEFAULT_MANIFESTS] if (folder / DEFAULT_MANIFESTS).is_dir() else []
    manifests = []
    for each in _list(value, "organizations"):
        named = each.get("manifests", usual) if isinstance(each, dict) else None
        paths = [
            str(folder / path)
            for path in (named if isinstance(named, list) else [])
            if isinstance(path, str) and not leads_out_of(folder, folder / path)
        ]
        if paths:
            exclude = [glob for glob in _list(each, "exclude")[:_MOST_GLOBS] if isinstance(glob, str)]
            manifests.append(SalvagedManifests(tuple(paths), tuple(exclude)))
    policy = value.get("policy")
    return Salvage(
        tuple(manifests),
        folder / policy
        if isinstance(policy, str) and policy and not leads_out_of(folder, folder / policy)
        else None,
        _selection(value),
    )


def _selection(value: Mapping[str, Any]) -> Selection:
    """Return which rules a document selects and ignores; rules that may not be ignored stay on."""
    settings = value.get("rules")
    select, ignore = _list(settings, "select"), _list(settings, "ignore")
    return Selection(
        frozenset(code for code in rules.RULES if code in select),
        frozenset(code for code in rules.IGNORABLE if code in ignore),
    )


def _list(value: Any, key: str) -> list[Any]:
    """Return the list under a key of what should be a mapping; an empty list if there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _config(value: Mapping[str, Any], folder: Path) -> Config:
    """Return the configuration that a valid document declares; its paths start at `folder`."""
    policy = value.get("policy")
    config = Config(
        tuple(_organization(each, folder) for each in value["organizations"]),
        None if policy is None else folder / policy,
        _selection(value),
    )
    if "notifications" not in value:
        return config
    return replace(config, notifications=convert(value["notifications"], NotificationSettings))


def _organization(value: Mapping[str, Any], folder: Path) -> OrganizationSettings:
    """Return one organization."""
    vault = {"prefix": default_prefix(value["name"]), **value.get("vault", {})}
    # Not strict, since JSON Schema accepts `10.0` as an integer.
    settings = convert({**value, "vault": vault}, OrganizationSettings, strict=False)
    return replace(settings, manifests=tuple(str(folder / each) for each in settings.manifests))
