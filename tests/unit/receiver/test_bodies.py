"""Bodies in bounded memory and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.receiver.answers import Gone, Refused
from reconciler.receiver.bodies import Bodies
from reconciler.receiver.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def parts(*chunks: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Return what ASGI's `receive` returns for a body in these parts."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    return receive


async def never() -> dict[str, Any]:
    """Receive nothing, for ever."""
    await asyncio.Event().wait()
    raise AssertionError


async def gone() -> dict[str, Any]:
    """Learn that the sender has disconnected."""
    return {"type": "http.disconnect"}


async def refusal(bodies: Bodies, receive: Any) -> int | None:
    """Return the status with which a body is refused; None if it is not."""
    try:
        async with bodies.read([], receive):
            return None
    except Refused as refused:
        return refused.answer.status


def test_all_bodies_together_are_bounded() -> None:
    """While two bodies are held, there is no room for a third; afterwards there is."""
    bodies = Bodies(Limits(body_bytes=10, held_bytes=20))

    async def run() -> list[int | None]:
        statuses = []
        async with (
            bodies.read([], parts(b"x" * 10)) as first,
            bodies.read([], parts(b"y" * 9, b"y")) as second,
        ):
            assert (first, second) == (b"x" * 10, b"y" * 10)
            statuses.append(await refusal(bodies, parts(b"z")))
        statuses.append(await refusal(bodies, parts(b"z")))
        return statuses

    assert asyncio.run(run()) == [503, None]


def test_what_was_refused_is_not_held() -> None:
    """Bodies that are too large, too slow or cut off leave room for others."""
    bodies = Bodies(Limits(body_bytes=10, held_bytes=10, body_seconds=0.01))

    async def run() -> list[int | None]:
        statuses = [await refusal(bodies, parts(b"x" * 6, b"x" * 6)), await refusal(bodies, never)]
        with pytest.raises(Gone):
            await refusal(bodies, gone)
        return [*statuses, await refusal(bodies, parts(b"x" * 10))]

    assert asyncio.run(run()) == [413, 408, None]


@pytest.mark.parametrize(
    ("length", "status"), [(b"11", 413), (b"9" * 5000, 413), (b"-1", 400), (b"1_0", 400), (b"", 400)]
)
def test_a_length_is_checked_before_the_body_is_read(length: bytes, status: int) -> None:
    """A declared length that is too large, or not a number, is refused without waiting for the body."""

    async def run() -> None:
        async with Bodies(Limits(body_bytes=10)).read([(b"content-length", length)], never):
            pass

    with pytest.raises(Refused) as refused:
        asyncio.run(run())
    assert refused.value.answer.status == status
