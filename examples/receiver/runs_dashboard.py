#!/usr/bin/env python3
"""A dashboard of runs: a small service for `reconciler receive --forward`.

    python3 examples/receiver/runs_dashboard.py runs.db 9000
    reconciler receive ci-run-results --forward http://127.0.0.1:9000/

It listens on loopback only. The runs' states are stored by event id, so an event that is handed on twice
counts once. Open http://127.0.0.1:9000/ in a browser.
"""

import html
import json
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

STATES = {"run.started": "running", "run.completed": "completed", "run.failed": "failed"}
COLORS = {"running": "#06c", "completed": "#080", "failed": "#c00"}
# A run can fail and complete: the worst state is shown.
LATEST = """
    SELECT run_id, max(created),
           CASE WHEN max(state = 'failed') THEN 'failed'
                WHEN max(state = 'completed') THEN 'completed'
                ELSE 'running' END
    FROM states GROUP BY run_id ORDER BY max(created) DESC LIMIT 100
"""


class Dashboard(BaseHTTPRequestHandler):
    """POST stores an event, GET shows the runs."""

    def do_POST(self):
        """Store the state of a run."""
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state = STATES.get(event["type"])
        if state is not None:
            row = (event["id"], event["data"]["object"]["run_id"], state, event["created"])
            with self.server.runs:
                self.server.runs.execute("INSERT OR IGNORE INTO states VALUES (?, ?, ?, ?)", row)
        self.answer(204, b"")

    def do_GET(self):
        """Show the latest runs."""
        rows = "".join(
            f'<tr><td>{html.escape(run)}<td style="color:{COLORS[state]}">{state}<td>{html.escape(created)}'
            for run, created, state in self.server.runs.execute(LATEST)
        )
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
            "<title>Runs</title>"
            "<style>body{font:16px sans-serif}td,th{padding:4px 16px;text-align:left}</style>"
            f"<h1>Runs</h1><table><tr><th>Run<th>State<th>Since{rows}</table>"
        )
        self.answer(200, page.encode())

    def answer(self, status, body):
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[2])), Dashboard)
    server.runs = sqlite3.connect(sys.argv[1])
    server.runs.execute("CREATE TABLE IF NOT EXISTS states (event_id PRIMARY KEY, run_id, state, created)")
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
