"""Asks in a chat to approve remediation plans: Python functions by event type.

    export CHAT_URL=https://hooks.chat.example.com/services/… APPROVAL_PAGE=https://app.zof.example.com/remediations/{id}
    export VAULT_SECRETS=/vault/secrets/{name}.json
    python examples/receiver/approve_from_chat.py

Zof documents no API for approvals, so the button opens the page on which a person approves, under that
person's own name. The message that follows `remediation.approved` tells the channel that it is done.
"""

import json
import os
import signal
import threading
import urllib.request

from reconciler.receiver.handlers.functions import Functions
from reconciler.receiver.logs import log_to
from reconciler.receiver.server import ReceiverServer
from reconciler.receiver.service import Receiver
from reconciler.receiver.sources import file_source

handlers = Functions()


@handlers.on("remediation.plan_pending")
def ask(event):
    """Post the plan with a button."""
    plan = event.content["data"]["object"]["id"]
    page = os.environ["APPROVAL_PAGE"].replace("{id}", urllib.request.quote(plan, safe=""))
    button = {"type": "button", "text": {"type": "plain_text", "text": "Review and approve"}, "url": page}
    post(f"Remediation plan {plan} waits for approval.", [{"type": "actions", "elements": [button]}])


@handlers.on("remediation.approved")
def confirm(event):
    """Say that the plan was approved."""
    post(f"Remediation plan {event.content['data']['object']['id']} was approved.", [])


def post(text, blocks):
    """Post a message; an error lets the receiver try again later."""
    section = {"type": "section", "text": {"type": "plain_text", "text": text}}
    message = json.dumps({"text": text, "blocks": [section, *blocks]}).encode()
    request = urllib.request.Request(  # noqa: S310 (the URL is our own)
        os.environ["CHAT_URL"], message, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass


if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    log_to()
    receiver = Receiver(
        ["remediation-approvals"],
        secrets=file_source(os.environ["VAULT_SECRETS"]),
        inbox=os.environ.get("RECONCILER_INBOX", "sqlite:///inbox.db"),
        handler=handlers,
    )
    ReceiverServer(receiver, os.environ.get("LISTEN", "127.0.0.1:8080"), stop).run()
