"""How the embedded Zof API behaves: the answers that the vendor's documentation leaves open, as knobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from reconciler.errors import InvalidInput
from reconciler.sandbox.loopback import is_loopback_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SecretField = Literal["secret", "signing_secret"]
KeyMismatch = Literal["refuse", "replay"]
TestResult = Literal["deliver", "fail"]
TestAnswer = Literal["delivered", "success", "status_code", "empty"]
PublicDeliveries = Literal["assume", "refuse", "send"]


class Behavior(Struct, frozen=True, kw_only=True):
    """What the server does where the vendor's documentation is silent. The defaults are the likely answers.

    It is frozen: a server is given another one, and that takes effect with the next request.

    Raises:
        InvalidInput: a value makes no sense; the message names the knob.
    """

    honour_client_secret: bool = True
    """Whether a `secret` in the request becomes the signing secret; else the server makes its own."""
    secret_field: SecretField = "secret"
    """The field of a creation's answer that holds the signing secret."""
    replay_shows_secret: bool = True
    """Whether the answer to a repeated `Idempotency-Key` holds the signing secret again."""
    idempotency_ttl: float = 86_400.0
    """Seconds for which an idempotency key is remembered."""
    key_mismatch: KeyMismatch = "refuse"
    """What a known key with another body gets: a 409, or the original result."""
    replay_stored_errors: bool = False
    """Whether a 5xx is remembered under its idempotency key and answered again."""
    unique_urls: bool = False
    """Whether a second endpoint with the same URL is refused (409 with `param` `url`)."""
    delete_supported: bool = True
    """Whether endpoints can be deleted; else 405."""
    rate_limit: int = 100
    """Requests that a window allows for each organization and key."""
    rate_window: float = 60.0
    """Seconds of a rate limit's window."""
    listing_lag_requests: int = 0
    """A listing omits endpoints created within so many requests before it."""
    listing_lag_seconds: float = 0.0
    """A listing omits endpoints younger than this."""
    max_page_size: int | None = None
    """Pages hold at most so many endpoints, whatever was asked for."""
    latency: float = 0.0
    """Seconds that each answer takes longer."""
    test_result: TestResult = "deliver"
    """Whether test deliveries are made, or fail without being tried."""
    test_answer: TestAnswer = "delivered"
    """How the answer to a test says what came of it: the field, or 204 without a body."""
    deliver_to: str | Mapping[str, str] | None = None
    """Where deliveries go instead of the endpoint's own host: a loopback base URL, one for all or by host."""
    public_deliveries: PublicDeliveries = "assume"
    """Deliveries to hosts neither loopback nor in `deliver_to`: assumed to arrive, failed, or sent."""
    delivery_timeout: float = 10.0
    """Seconds that a receiver has to answer."""
    extra_fields: Mapping[str, Any] = field(default_factory=dict)
    """Undocumented fields that every endpoint object and listing carries."""
    extra_event_types: tuple[str, ...] = ()
    """Event types that this server knows beyond the documented ones."""
    sunset: str | None = None
    """The `Sunset` header of every answer, an HTTP date."""

    def __post_init__(self) -> None:
        for name, (is_valid, expected) in _VALID.items():
            if not is_valid(getattr(self, name)):
                raise InvalidInput(f"the sandbox's `{name}` must be {expected}")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `from_json` reads."""
        return asdict(self) | {"extra_event_types": list(self.extra_event_types)}

    def with_json(self, value: object) -> Self:
        """Return this behaviour with the knobs of a JSON object replaced.

        Raises:
            InvalidInput: no object, an unknown knob, or a value that makes no sense.
        """
        if not isinstance(value, dict):
            raise InvalidInput("a behaviour is a JSON object of knobs")
        known = set(self.__struct_fields__)
        for name in value:
            if name not in known:
                raise InvalidInput(
                    f"there is no knob `{name}`", hint=f"the knobs are {', '.join(sorted(known))}"
                )
        changes: dict[str, Any] = {
            name: tuple(part) if isinstance(part, list) else part for name, part in value.items()
        }
        return replace(self, **changes)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `to_json` wrote; knobs that are left out have their defaults. Raises as `with_json`."""
        return cls().with_json(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def is_number(value: object, least: float = 0.0) -> bool:
    """Whether `value` is a finite number, `least` or more."""
    # The upper bound refuses infinity and NaN: no header could tell them.
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= 1e9  # noqa: PLR2004 (a bound, used once)


def is_count(value: object, least: int = 0) -> bool:
    """Whether `value` is a whole number, `least` or more."""
    return isinstance(value, int) and is_number(value, least)


def _is_destination(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(host, str) and is_loopback_url(base) for host, base in value.items())
    return value is None or is_loopback_url(value)


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    # A list, since a value from outside may not be hashable.
    return (lambda value: value in list(choices)), "one of " + ", ".join(choices)


_FLAG = (_is_flag, "true or false")
_SECONDS = (is_number, "a number of seconds, 0 or more")
_VALID: dict[str, tuple[Callable[[Any], bool], str]] = {
    "honour_client_secret": _FLAG,
    "secret_field": _one_of("secret", "signing_secret"),
    "replay_shows_secret": _FLAG,
    "idempotency_ttl": _SECONDS,
    "key_mismatch": _one_of("refuse", "replay"),
    "replay_stored_errors": _FLAG,
    "unique_urls": _FLAG,
    "delete_supported": _FLAG,
    "rate_limit": (is_count, "a whole number, 0 or more"),
    "rate_window": (lambda value: is_number(value, 0.001), "a number of seconds above 0"),
    "listing_lag_requests": (is_count, "a whole number, 0 or more"),
    "listing_lag_seconds": _SECONDS,
    "max_page_size": (
        lambda value: value is None or is_count(value, 1),
        "null or a whole number, 1 or more",
    ),
    "latency": _SECONDS,
    "test_result": _one_of("deliver", "fail"),
    "test_answer": _one_of("delivered", "success", "status_code", "empty"),
    "deliver_to": (_is_destination, "null, a loopback URL, or an object of hosts and loopback URLs"),
    "public_deliveries": _one_of("assume", "refuse", "send"),
    "delivery_timeout": (lambda value: is_number(value, 0.001), "a number of seconds above 0"),
    "extra_fields": (lambda value: isinstance(value, dict), "an object"),
    "extra_event_types": (
        lambda value: isinstance(value, tuple) and all(isinstance(name, str) for name in value),
        "a list of strings",
    ),
    "sunset": (
        lambda value: value is None or (isinstance(value, str) and value.isascii() and value.isprintable()),
        "null or an HTTP date",
    ),
}
