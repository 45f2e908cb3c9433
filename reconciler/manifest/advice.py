"""What is allowed and still worth a word: warnings about a manifest that is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.manifest import rules
from reconciler.manifest.hosts import deceptive_host
from reconciler.manifest.webhooks import KNOWN_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.diagnostics import Rule
    from reconciler.model import Webhook

Advice = tuple["Rule", str, tuple[str, ...], str | None]
"""A rule, a sentence, the path that it is about, a hint."""

_EVERY_EVENT = frozenset(KNOWN_EVENTS)


def advice_about(webhook: Webhook, manifest: Any) -> Iterator[Advice]:
    """Yield what could be better about a webhook.

    Args:
        webhook: what the manifest declares.
        manifest: the manifest, for what a webhook does not tell.
    """
    if why := deceptive_host(webhook.url):
        hint = "check that it is the host that is meant"
        yield rules.DECEPTIVE_HOST, why, ("spec", "url"), hint
    if len(webhook.events) >= len(_EVERY_EVENT) and _EVERY_EVENT.issubset(webhook.events):
        hint = "list the types that the receiver acts upon: each delivery costs it a request"
        yield rules.EVERY_EVENT, "the webhook subscribes to every event type", ("spec", "events"), hint
    if webhook.owner is None:
        path = ("metadata", "labels") if "labels" in manifest["metadata"] else ("metadata",)
        hint = "add the label `owner` or `team`"
        yield rules.NO_OWNER, "nobody is named who answers for this webhook", path, hint
    if webhook.overlap and webhook.created_after is None:
        yield (
            rules.OVERLAP_WITHOUT_ROTATION,
            "no `createdAfter` rotates this secret: the overlap counts when URL or events change, and for "
            "`reconciler rotate`, only",
            ("spec", "secret", "overlap"),
            "add `createdAfter`, or remove `overlap` where it was meant for rotations",
        )
