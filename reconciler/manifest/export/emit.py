"""A live endpoint as a manifest: YAML that reads back as what was written, whatever the API wrote into it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import yaml
from msgspec import Struct

from reconciler.credentials.detector import known_secret, likely_secret, looks_secret
from reconciler.credentials.redaction import printable
from reconciler.manifest.lint import rules
from reconciler.manifest.lint.endpoint_url import check_endpoint_url
from reconciler.manifest.schema import packaged_schema
from reconciler.manifest.webhooks import unknown_events
from reconciler.manifest.yaml.scalars import NumberTooLong, plain_value
from reconciler.model import DeletionPolicy
from reconciler.texts import is_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.diagnostics import Rule
    from reconciler.model import Endpoint

_NEVER_FOLD = 1 << 30


class Export(Struct, frozen=True):
    """An endpoint, and what is known of it beside what the API says."""

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
    """Return the manifest, with comments that say what is to be decided; it ends in a newline.

    Args:
        export: what is written down.
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
        text += "  # labels: {owner: team-name}    # to decide: who answers for it\n"
    text += _dump({"spec": spec})
    if export.deletion_policy is DeletionPolicy.DELETE:
        text += "  # deletionPolicy: Delete    # to decide: Delete, Retain or Protect, once this file goes\n"
    return text + "  # secret: {overlap: 24h}    # to decide: how long a replaced secret stays valid\n"


def _about(export: Export) -> Iterator[str]:
    """Yield what the reader has to know before the manifest counts."""
    where = f"Endpoint {export.endpoint.id} of organization {export.organization}"
    if export.managed:
        yield f"{where}: live and managed under this name."
    elif export.released:
        yield f"{where}: live, released earlier under this name."
        yield "Its secret is in Vault: once this manifest is there, `reconciler apply` takes it up again."
    else:
        yield f"{where}: live and unmanaged."
        adopt = f"reconciler adopt {export.name} --id {shlex.quote(export.endpoint.id)}"
        yield "Until it is adopted `reconciler plan` shows a conflict. Where its signing secret is known:"
        yield f"  {adopt} --secret-stdin"
        yield "Where it is not, a new endpoint replaces it:"
        yield f"  {adopt} --rotate"
    if export.twin is not None:
        yield f"`reconciler validate` refuses it, WH022: {export.twin} has this URL too; keep one of the two."
    if looks_secret(export.endpoint.url):
        yield "The URL looks as if it held a token: whoever can read this file can read it."


def _problems(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield what `reconciler validate` is going to say: an endpoint can be live and break a rule."""
    url, events = manifest["spec"]["url"], manifest["spec"]["events"]
    if not all(map(is_text, (url, *events))):
        yield "`reconciler validate` refuses it: it holds half a surrogate pair, which is no text."
        return
    found: list[tuple[Rule, str]] = [(rule, message) for rule, message, _ in check_endpoint_url(url)]
    if known := known_secret(url, endpoint=True):
        message = f"`spec.url` holds what has the form of {known}; give the receiver an address without it"
        found.append((rules.KNOWN_SECRET, message))
    elif likely := likely_secret(url, endpoint=True):
        message = f"`spec.url` holds what looks like {likely}"
        silence = "if it is none, end the line of the URL with `# reconciler: ignore[WH031] why`"
        found.append((rules.LIKELY_SECRET, f"{message}; {silence}"))
    allow = "; --allow-unknown-events accepts it"
    found += [(rules.UNKNOWN_EVENT, message + allow) for _, message, _ in unknown_events(events)]
    schema = packaged_schema("manifest")
    if not schema.accepts(manifest):
        found += [(each.rule, each.message) for each in schema.explain(manifest)]
    for rule, message in found:
        yield f"`reconciler validate` refuses it, {rule.code}: {message}."


def _dump(value: dict[str, Any]) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=_NEVER_FOLD)


class _Dumper(yaml.SafeDumper):
    """Writes block style with indented lists, and quotes what YAML 1.2 would not read as a string."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 (PyYAML's signature)
        """Indent lists, as people write them."""
        super().increase_indent(flow, indentless=False)


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() and _reads_back(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _reads_back(text: str) -> bool:
    """Whether a plain scalar with this text is a string in YAML 1.2, as PyYAML knows it to be in 1.1."""
    try:
        return isinstance(plain_value(text), str)
    except NumberTooLong:
        return False


_Dumper.add_representer(str, _represent)
