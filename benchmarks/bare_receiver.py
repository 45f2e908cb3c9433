"""A bare Starlette on uvicorn that checks the HMAC of deliveries and stores nothing: the baseline of P15."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from reconciler.receiver.signature import SIGNATURE_HEADER, verify

if TYPE_CHECKING:
    from starlette.requests import Request


def main() -> None:
    """Serve on the port of the first argument; the second is the secret."""
    secret = sys.argv[2]

    async def receive(request: Request) -> Response:
        body = await request.body()
        return Response(
            status_code=200 if verify(body, request.headers.get(SIGNATURE_HEADER), secret) else 401
        )

    app = Starlette(routes=[Route("/ci", receive, methods=["POST"])])
    uvicorn.run(app, port=int(sys.argv[1]), http="h11", log_level="critical", access_log=False)


if __name__ == "__main__":
    main()
