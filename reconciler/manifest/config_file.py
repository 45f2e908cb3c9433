"""`reconciler.yaml`: read, validated with places, and turned into a `Config`."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.errors import InvalidInput
from reconciler.manifest import rules
from reconciler.manifest.config import (
    DEFAULT_MANIFESTS,
    ApiSettings,
    AuthSettings,
    Config,
    OrganizationConfig,
    VaultSettings,
    default_prefix,
)
from reconciler.manifest.files import Unreadable, display_path, read_file
from reconciler.manifest.load import unreadable
from reconciler.manifest.loader import parse
from reconciler.manifest.schema import Schema, packaged_schema
from reconciler.manifest.service_url import service_url_problem
from reconciler.manifest.source import Source
from reconciler.manifest.yaml_problem import YamlRefused
from reconciler.model import Location
from reconciler.plan.guards import GuardLimits
from reconciler.schemas import schema_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.document import YamlDocument


class ConfigInvalid(InvalidInput):
    """The configuration file is invalid."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        """Keep the `diagnostics`: at least one, sorted by place."""
        super().__init__("the configuration is invalid", hint="`reconciler schema config` prints its schema")
        self.diagnostics = diagnostics


def read_config(path: Path) -> Config:
    """Return what the file at `path` says.

    Raises:
        ConfigInvalid: it cannot be read, or is invalid; every problem is among its diagnostics.
    """
    name = display_path(str(path))
    content = read_file(str(path))
    if isinstance(content, Unreadable):
        raise ConfigInvalid((unreadable(name, content),))
    source = Source(name, content)
    document = _only_document(source, content)
    found = list(_problems(source, document))
    if found:
        raise ConfigInvalid(
            tuple(sorted(found, key=lambda each: (each.location or Location(name), each.rule)))
        )
    return _config(document.value, path.parent)


@cache
def form_of(definition: tuple[str, ...]) -> tuple[Callable[[str], bool], str]:
    """Return whether a text has the form that the schema asks of a setting, and that form in words.

    Args:
        definition: the name of a definition, and perhaps of a property of it.
    """
    schema = json.loads(schema_text("config"))["$defs"][definition[0]]
    for name in definition[1:]:
        schema = schema["properties"][name]
    return Schema(schema).accepts, schema["description"]


def _only_document(source: Source, content: bytes) -> YamlDocument:
    """Return the document of a file that must have exactly one."""
    documents: list[YamlDocument] = []
    try:
        documents += parse(content)
    except YamlRefused as refused:
        raise ConfigInvalid((source.yaml_problem(refused.problem),)) from None
    if len(documents) != 1:
        rule = rules.CONFIG_DOCUMENTS
        line = documents[1].line if documents else 1
        message = f"the configuration must be one YAML document, but the file has {len(documents)}"
        raise ConfigInvalid((source.note(rule, message, Location(source.path, line)),))
    return documents[0]


def _problems(source: Source, document: YamlDocument) -> Iterator[Diagnostic]:
    """Yield everything that is wrong with the document."""
    schema = packaged_schema("config")
    if document.problems:
        yield from (source.yaml_problem(problem, document) for problem in document.problems)
    elif not schema.accepts(document.value):
        yield from (source.violation(each, document) for each in schema.explain(document.value))
    else:
        yield from _service_urls(source, document)
        yield from _repeated_names(source, document)


def _service_urls(source: Source, document: YamlDocument) -> Iterator[Diagnostic]:
    """Yield the addresses that a key or token must not be sent to."""
    for index, organization in enumerate(document.value["organizations"]):
        for section, key in (("api", "url"), ("vault", "address")):
            url = organization.get(section, {}).get(key)
            if url is not None and (problem := service_url_problem(url)):
                path = ("organizations", index, section, key)
                yield source.finding(rules.SERVICE_URL, f"`{section}.{key}` {problem}", document, path)


def _repeated_names(source: Source, document: YamlDocument) -> Iterator[Diagnostic]:
    """Yield the organizations that have another's name."""
    first: dict[str, Location] = {}
    for index, organization in enumerate(document.value["organizations"]):
        path = ("organizations", index, "name")
        place = Location(source.path, *document.place(path))
        if first.setdefault(organization["name"], place) is not place:
            message = f"another organization has the name `{organization['name']}` already"
            also = (first[organization["name"]],)
            yield source.finding(rules.DUPLICATE_ORGANIZATION, message, document, path, also=also)


def _config(value: Mapping[str, Any], folder: Path) -> Config:
    """Return the configuration that a valid document declares; its paths start at `folder`."""
    policy = value.get("policy")
    return Config(
        tuple(_organization(each, folder) for each in value["organizations"]),
        None if policy is None else folder / policy,
    )


def _organization(value: Mapping[str, Any], folder: Path) -> OrganizationConfig:
    """Return one organization."""
    name = value["name"]
    api, vault, guards = value.get("api", {}), value.get("vault", {}), value.get("guards", {})
    auth = vault.get("auth", {})
    address = vault.get("address")
    given_api = {
        "url": api["url"].rstrip("/") if "url" in api else None,
        "key_env": api.get("keyEnv"),
        "requests_per_minute": _whole(api.get("requestsPerMinute")),
    }
    given_vault = {"namespace": vault.get("namespace"), "mount": vault.get("mount")}
    given_guards = {
        "max_deletes": _whole(guards.get("maxDeletes")),
        "max_delete_percent": _whole(guards.get("maxDeletePercent")),
        "approve": tuple(guards.get("approve", ())),
    }
    return OrganizationConfig(
        name,
        VaultSettings(
            vault.get("prefix", default_prefix(name)),
            None if address is None else address.rstrip("/"),
            auth=AuthSettings(auth.get("method"), auth.get("mount"), auth.get("role")),
            **_given(given_vault),
        ),
        tuple(os.path.join(folder, each) for each in value.get("manifests", [DEFAULT_MANIFESTS])),  # noqa: PTH118 - strings
        ApiSettings(**_given(given_api)),
        GuardLimits(**_given(given_guards)),
    )


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were given: the others keep the defaults of their classes."""
    return {name: value for name, value in settings.items() if value is not None}


def _whole(number: float | None) -> int | None:
    """Return a number that JSON Schema calls an integer, such as `10.0`, as one."""
    return None if number is None else int(number)
