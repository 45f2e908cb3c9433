"""What is allowed and still worth a word: warnings about a manifest that is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.manifest.lint import rules
from reconciler.manifest.lint.hosts import deceptive_host
from reconciler.manifest.webhooks import KNOWN_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.diagnostics import Rule
    from reconciler.model import Webhook

_EVERY_EVENT = frozenset(KNOWN_EVENTS)


class Advice(NamedTuple):
    """One warning."""

    rule: Rule
    message: str
    path: tuple[str, ...]
    """What it is about."""
    hint: str
    at_key: bool = False
    """Whether the key at `path` is meant: on its line a comment can ignore the rule for the whole value."""


def advice_about(webhook: Webhook, manifest: Any) -> Iterator[Advice]:
    """Yield what could be better about a webhook.

    Args:
        webhook: what the manifest declares.
        manifest: the manifest, for what a webhook does not tell.
    """
    if why := deceptive_host(webhook.url):
        hint = "check that it is the host that is meant"
        yield Advice(rules.DECEPTIVE_HOST, why, ("spec", "url"), hint)
    if len(webhook.events) >= len(_EVERY_EVENT) and _EVERY_EVENT.issubset(webhook.events):
        message = "the webhook subscribes to every event type"
        hint = "list the types that the receiver acts upon: each delivery costs it a request"
        yield Advice(rules.EVERY_EVENT, message, ("spec", "events"), hint, at_key=True)
    if webhook.owner is None:
        path = ("metadata", "labels") if "labels" in manifest["metadata"] else ("metadata",)
        message = "nobody is named who answers for this webhook"
        yield Advice(rules.NO_OWNER, message, path, "add the label `owner` or `team`", at_key=True)
    if webhook.overlap and webhook.created_after is None:
        message = (
            "no `createdAfter` rotates this secret: the overlap counts only when URL or events change, "
            "and for `reconciler rotate`"
        )
        hint = "add `createdAfter`, or remove `overlap` where it was meant for rotations"
        yield Advice(rules.OVERLAP_WITHOUT_ROTATION, message, ("spec", "secret", "overlap"), hint)
