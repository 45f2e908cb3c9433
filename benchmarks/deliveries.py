"""Sends signed deliveries over several connections, and prints how long they and each answer took."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from reconciler.receiver.signature import SIGNATURE_HEADER, sign

_CONNECTIONS = 64


def main() -> None:
    """Arguments: port, secret, prefix of the ids, how many, and how many a second (0: without pause)."""
    port, secret, prefix, count, rate = sys.argv[1:]
    requests = [_request(secret, f"evt_{prefix}_{number}") for number in range(int(count))]
    print(json.dumps(asyncio.run(_send(int(port), requests, float(rate)))))


def _request(secret: str, event_id: str) -> bytes:
    data = {"object": {"id": "x" * 24, "organization_id": "org_1", "run_id": "run_1"}}
    content = {"id": event_id, "type": "run.completed", "created": "2026-05-20T12:00:00Z", "data": data}
    body = json.dumps(content).encode()
    head = f"POST /ci HTTP/1.1\r\nHost: receiver\r\n{SIGNATURE_HEADER}: {sign(body, secret)}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _send(port: int, requests: list[bytes], rate: float) -> dict[str, float]:
    """Send the requests; return the seconds of all of them, and the 99th percentile of one."""
    latencies: list[float] = []
    waiting = iter(enumerate(requests))
    began = time.perf_counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, request in waiting:
            due = began + number / rate if rate else 0.0
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            # From when it was due: a receiver that falls behind is slow for those that wait, too.
            sent = due or time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"answered {head[:60]!r}")
            latencies.append(time.perf_counter() - sent)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(_CONNECTIONS)))
    seconds = time.perf_counter() - began
    latencies.sort()
    return {"seconds": seconds, "p99": latencies[int(0.99 * len(latencies))]}


if __name__ == "__main__":
    main()
