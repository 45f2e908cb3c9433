"""Addresses that are themselves the permission to post: anybody who knows one can use it.

Their paths may look like ordinary words, so they are known by their services.
"""

from __future__ import annotations

import re

_HOSTS = {
    "hooks.slack.com": "/",
    "hooks.slack-gov.com": "/",
    "discord.com": "/api/",
    "discordapp.com": "/api/",
    "hooks.zapier.com": "/",
    "make.com": "/",
    "make.celonis.com": "/",
    "hook.integromat.com": "/",
    "maker.ifttt.com": "/",
    "n8n.cloud": "/",
    "m.pipedream.net": "",
    "webhook.site": "/",
    "tines.com": "/webhook/",
    "webhooks.workato.com": "/",
    "webhook.office.com": "/",
    "outlook.office.com": "/webhook/",
    "outlook.office365.com": "/webhook/",
    "logic.azure.com": "/",
    "api.powerplatform.com": "/",
    "chat.googleapis.com": "/",
    "hooks.airtable.com": "/",
    "connect.pabbly.com": "/",
    "automation.atlassian.com": "/",
    "api-private.atlassian.com": "/",
    "api.netlify.com": "/build_hooks/",
    "api.render.com": "/deploy/",
    "api.vercel.com": "/v1/integrations/deploy/",
    "api.telegram.org": "/bot",
    "events.pagerduty.com": "/",
    "open.feishu.cn": "/",
    "open.larksuite.com": "/",
    "alert.victorops.com": "/integrations/",
}
"""The hosts of such services, which may have subdomains, and how the paths of the addresses begin."""
_OWN_HOST_PATH = (
    r"(?i)/hooks/(?:[a-z0-9]{17}/)?[a-z0-9]{20,64}(?![a-z0-9])"
    r"|/webhook(?:-test)?/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Paths of services that people run on hosts of their own: Mattermost, Rocket.Chat and n8n."""
_N8N = r"(?:[^.]+\.)*?n8n(?![a-z0-9])"
_N8N_PATH = ("/webhook/", "/webhook-test/")
_ADDRESS = r"(?i)https?://([^\s/?#\"'<>]{1,300})([/?#][^\s\"'<>]{0,4096})?"

TRACE = "|".join(re.escape(host) for host in _HOSTS) + r"|n8n|/webhook(?:-test)?/[0-9a-f]{8}-"
"""What each of these addresses has and few texts do, for a fast search without regard to case."""


def holds_capability(text: str) -> bool:
    """Return whether `text` contains such an address."""
    return any(_is_capability(host.lower(), path) for host, path in re.findall(_ADDRESS, text))


def _is_capability(authority: str, path: str) -> bool:
    host = authority.rpartition("@")[2].partition(":")[0].rstrip(".")
    begins = next((_HOSTS[name] for name in _domains(host) if name in _HOSTS), None)
    if begins is not None:
        return path.startswith(begins) and (not begins or len(path) > len(begins))
    if re.match(_N8N, host) and path.startswith(_N8N_PATH):
        return True
    return re.match(_OWN_HOST_PATH, path) is not None


def _domains(host: str) -> list[str]:
    """Return a host's name and the domains that it is in."""
    labels = host.split(".")[-4:]
    return [".".join(labels[number:]) for number in range(len(labels))]
