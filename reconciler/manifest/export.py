"""Export live endpoints as manifests: YAML that reads back as what was written, whatever the API contains."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from msgspec import Struct
from msgspec.structs import replace

from reconciler.credentials.detector import looks_secret
from reconciler.credentials.known import MASK
from reconciler.credentials.redaction import mask_url, printable
from reconciler.manifest import rules
from reconciler.manifest.lint.endpoint_url import URL_PATH, check_endpoint_url
from reconciler.manifest.lint.leaks import leaked_secret
from reconciler.manifest.schema import packaged_schema
from reconciler.manifest.webhooks import unknown_events
from reconciler.manifest.yaml.plain import NumberTooLong, plain_value
from reconciler.model import DeletionPolicy
from reconciler.texts import is_text
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from reconciler.model import Endpoint

_NEVER_FOLD = 1 << 30
_LONGEST_NAME = 63
_NO_LETTER = re.compile(r"[^a-z0-9]+")
# Digits of the id's digest: more only if fewer are not unique.
_DIGITS = (8, 16, 40)


class Export(Struct, frozen=True):
    """An endpoint, and what the ledger knows about it."""

    endpoint: Endpoint
    name: str
    organization: str
    managed: bool = False
    released: bool = False
    owner: str | None = None
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    twin: str | None = None
    """The name of another live endpoint with the same URL."""


def manifest_text(export: Export, schema: str) -> str:
    """Return the manifest, with comments about what must be decided; it ends in a newline.

    Args:
        export: the endpoint.
        schema: where editors find the JSON Schema, relative to the file.
    """
    endpoint = export.endpoint
    metadata: dict[str, Any] = {"name": export.name}
    if export.owner is not None:
        metadata["labels"] = {"owner": export.owner}
    spec: dict[str, Any] = {"url": endpoint.url, "events": list(endpoint.events)}
    if export.deletion_policy is not DeletionPolicy.DELETE:
        spec["deletionPolicy"] = export.deletion_policy.value
    head = {"apiVersion": "webhooks.zof.ai/v1", "kind": "Webhook"}
    problems = _problems({**head, "metadata": metadata, "spec": spec})
    lines = [f"# yaml-language-server: $schema={schema}"]
    lines += [f"# {printable(line)}".rstrip() for line in (*_about(export), *problems)]
    text = "\n".join(lines) + "\n" + _dump(head) + _dump({"metadata": metadata})
    if export.owner is None:
        text += "  # labels: {owner: team-name}    # to decide: who owns it\n"
    text += _dump({"spec": spec})
    if export.deletion_policy is DeletionPolicy.DELETE:
        text += "  # deletionPolicy: Delete    # to decide: Delete, Retain or Protect, once this file goes\n"
    return text + "  # secret: {overlap: 24h}    # to decide: how long a replaced secret stays valid\n"


def _about(export: Export) -> Iterator[str]:
    """Yield what the reader must know about the endpoint."""
    where = f"Endpoint {export.endpoint.id} of organization {export.organization}"
    if export.managed:
        yield f"{where}: live and managed under this name."
    elif export.released:
        yield f"{where}: live, released earlier under this name."
        yield "Its secret is in Vault: `reconciler apply` with this manifest manages it again."
    else:
        yield f"{where}: live and unmanaged."
        adopt = f"reconciler adopt {export.name} --id {shlex.quote(export.endpoint.id)}"
        yield "Until it is adopted, `reconciler plan` shows a conflict. If its signing secret is known:"
        yield f"  {adopt} --secret-stdin"
        yield "If it is not, replace the endpoint with a new one:"
        yield f"  {adopt} --rotate"
    if export.twin is not None:
        yield f"`reconciler validate` refuses it, WH022: {export.twin} has this URL too; keep one of the two."
    if looks_secret(export.endpoint.url):
        yield "The URL looks as if it contained a token: anybody who can read this file can read it."


def _problems(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield what `reconciler validate` will report: a live endpoint can break a rule."""
    url, events = manifest["spec"]["url"], manifest["spec"]["events"]
    if not all(map(is_text, (url, *events))):
        yield "`reconciler validate` refuses it: it contains half a surrogate pair, which is not text."
        return
    found = list(check_endpoint_url(url))
    if leaked := leaked_secret("`spec.url`", URL_PATH, url, endpoint=True):
        if leaked.rule is rules.KNOWN_SECRET:
            leaked = replace(leaked, hint="give the receiver an address without it")
        found.append(leaked)
    allow = "; --allow-unknown-events accepts it"
    found += [replace(each, message=each.message + allow) for each in unknown_events(events)]
    schema = packaged_schema("manifest")
    if not schema.accepts(manifest):
        found += schema.explain(manifest)
    for each in found:
        hint = f"; {each.hint}" if each is leaked else ""
        yield f"`reconciler validate` refuses it, {each.rule.code}: {each.message}{hint}."


def suggest_names(urls: Mapping[str, str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return a valid and unique name for each endpoint, by id.

    Names come from host and path, in any order of the listing the same. If several endpoints would have one
    name, or it is taken, each gets a digest of its id at its end.

    Args:
        urls: the endpoints' URLs by id.
        taken: names that are in use.
    """
    wished = {endpoint_id: _wish(url) for endpoint_id, url in urls.items()}
    wishes = Counter([*wished.values(), *taken])
    alone = {endpoint_id: wish for endpoint_id, wish in wished.items() if wishes[wish] == 1}
    names = alone
    for digits in _DIGITS:
        others = wished.keys() - alone.keys()
        names = alone | {each: _with_digest(wished[each], each, digits) for each in others}
        if len({*names.values(), *taken}) == len(names) + len(set(taken)):
            break
    return names


def _wish(url: str) -> str:
    """Return host and path as a name, without the query and without what may not be shown."""
    try:
        parts = urlsplit(mask_url(normalize_url(url)))
        host = parts.hostname or ""
    except ValueError:
        return "webhook"
    words = [host, *(part for part in parts.path.split("/") if MASK not in part)]
    return _trim("-".join(words), _LONGEST_NAME) or "webhook"


def _with_digest(wish: str, endpoint_id: str, digits: int) -> str:
    digest = hashlib.sha256(endpoint_id.encode(errors="surrogatepass")).hexdigest()[:digits]
    return f"{_trim(wish, _LONGEST_NAME - digits - 1)}-{digest}"


def _trim(text: str, length: int) -> str:
    return _NO_LETTER.sub("-", text.lower()).strip("-")[:length].rstrip("-")


def _dump(value: dict[str, Any]) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=_NEVER_FOLD)


class _Dumper(yaml.SafeDumper):
    """Writes block style with indented lists, and quotes what YAML 1.2 would not read as a string."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 (PyYAML's signature)
        """Indent lists, as people write them."""
        super().increase_indent(flow, indentless=False)


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        # Whether it is a string in YAML 1.2, too: PyYAML itself checks 1.1.
        is_string = isinstance(plain_value(text), str)
    except NumberTooLong:
        is_string = False
    style = None if is_string and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)
