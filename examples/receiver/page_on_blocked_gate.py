#!/usr/bin/env python3
"""Pages somebody when a release gate blocks: a command for `reconciler receive --exec`.

    export PAGER_URL=https://events.pager.example.com/v2/enqueue PAGER_KEY=…
    reconciler receive release-gates --exec examples/receiver/page_on_blocked_gate.py

The pager's own deduplication key is the event's id, so an event that is handed on twice pages once.
"""

import json
import os
import sys
import urllib.request

event = json.load(sys.stdin)
if event["type"] != "release.gate_blocked":
    sys.exit(0)

gate = event["data"]["object"]
alert = {
    "routing_key": os.environ["PAGER_KEY"],
    "event_action": "trigger",
    "dedup_key": event["id"],
    "payload": {
        "summary": f"Release gate blocked: {gate['id']}",
        "source": os.environ["ZOF_WEBHOOK"],
        "severity": "critical",
        "custom_details": gate,
    },
}
request = urllib.request.Request(  # noqa: S310 (the URL is our own)
    os.environ["PAGER_URL"], json.dumps(alert).encode(), {"Content-Type": "application/json"}
)
# Any error ends the program with another exit code than 0, so the receiver tries again later.
with urllib.request.urlopen(request, timeout=10):  # noqa: S310
    pass
