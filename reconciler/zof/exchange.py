"""What a response looked like, without its values: for `doctor --probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.credentials.foreign import foreign_text
from reconciler.headers import read_date
from reconciler.ports import Exchange
from reconciler.untrusted_json import load_json

if TYPE_CHECKING:
    from reconciler.zof.wire import Response

_RATE_LIMIT = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
_MOST_FIELDS = 50
_LONGEST_FIELD = 64


def describe_exchange(method: str, response: Response) -> Exchange:
    """Return the shape of a response: names of fields and headers, never a value of the body."""
    return Exchange(
        method=method,
        status=response.status,
        rate_limit_headers=tuple(name for name in _RATE_LIMIT if name in response.headers),
        date=read_date(response.headers.get("date")),
        fields=_fields(response.body),
    )


def _fields(body: bytes) -> tuple[str, ...]:
    """Return the names of a JSON object's fields, or of the objects' in its `data`, sorted."""
    try:
        value: Any = load_json(body)
    except ValueError:
        return ()
    if not isinstance(value, dict):
        return ()
    data = value.get("data")
    objects = [each for each in data if isinstance(each, dict)] if isinstance(data, list) else [value]
    names = {foreign_text(name, limit=_LONGEST_FIELD) for each in objects for name in each}
    return tuple(sorted(filter(None, names)))[:_MOST_FIELDS]
