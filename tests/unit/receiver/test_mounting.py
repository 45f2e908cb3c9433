"""A receiver inside other applications: Starlette and FastAPI by ASGI, Flask and Django by WSGI."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest
from a2wsgi import ASGIMiddleware
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from reconciler.receiver.service import Receiver
from reconciler.receiver.signature import sign
from tests.fixtures.deliveries import client, deliver, fields
from tests.fixtures.inbox import SECRET, event_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Give a receiver for `ci` and for `zof`, which is also the name of the mount point."""
    receiver = Receiver(
        ["ci", "zof"],
        secrets=lambda _: fields(),
        inbox=f"sqlite:///{tmp_path}/inbox.db",
        handler=lambda _: None,
    )
    with receiver:
        yield receiver


def test_in_starlette(receiver: Receiver) -> None:
    """Deliveries go to the mount point's path, also through a proxy with a path of its own."""
    app = Starlette(routes=[Mount("/zof", app=receiver)])

    async def run() -> list[int]:
        plain, behind_proxy = client(app), client(app, root_path="/public")
        answers = [
            await deliver(plain, event_body("evt_1"), webhook="zof/ci"),
            await deliver(plain, event_body("evt_1"), webhook="zof/zof"),
            await deliver(plain, event_body("evt_1"), webhook="zof/ci/"),
            await deliver(plain, event_body("evt_1"), webhook="zof/ci/more"),
            await plain.get("/zof/healthz"),
            await deliver(behind_proxy, event_body("evt_1"), webhook="public/zof/ci"),
        ]
        return [answer.status_code for answer in answers]

    assert asyncio.run(run()) == [200, 200, 200, 404, 200, 200]


def test_in_a_wsgi_application(receiver: Receiver) -> None:
    """Through a2wsgi, the same receiver works below a path of a WSGI application."""

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("418 I'm a teapot", [])
        return [b""]

    asgi: Any = receiver
    wsgi: Any = ASGIMiddleware(asgi)
    app: Any = DispatcherMiddleware(application, {"/zof": wsgi})

    def post(path: str, body: bytes, signature: str) -> str:
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)), "HTTP_X_ZOF_SIGNATURE": signature,
            "wsgi.input": io.BytesIO(body), "wsgi.url_scheme": "http",
        }  # fmt: skip
        list(app(environ, lambda status, *_: statuses.append(status)))
        return statuses[-1]

    body = event_body("evt_1")
    assert post("/zof/ci", body, sign(body, SECRET)) == "200 OK"
    assert post("/zof/zof", body, sign(body, SECRET)) == "200 OK"
    assert post("/zof/ci", body, "0" * 64) == "401 Unauthorized"
    # The phrase depends on the version of Python.
    assert post("/zof/ci", b"x" * 1_048_577, "").startswith("413 ")
    assert post("/other", body, "").startswith("418")
    assert len(receiver.inbox.find()) == 2
