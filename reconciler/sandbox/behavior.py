"""How the embedded Zof API behaves: settings for what the vendor's documentation leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from enum import EnumMeta
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert, field, json

from reconciler.errors import InvalidInput
from reconciler.sandbox import is_loopback_url
from reconciler.sandbox.spelling import Spelling

SecretField = Literal["secret", "signing_secret"]
KeyMismatch = Literal["refuse", "replay"]
TestResult = Literal["deliver", "fail"]
TestAnswer = Literal["delivered", "success", "status_code", "empty"]
CreatedField = Literal["created", "created_at", "none"]
CreatedFormat = Literal["utc", "no_zone", "unix"]
PublicDeliveries = Literal["assume", "refuse", "send"]
StateField = Literal["status", "enabled"]
CapStatus = Literal[402, 403, 409, 422]

_LARGEST = 1_000_000_000
# The upper bound also excludes infinity and NaN, which no header can express.
Seconds = Annotated[float, Meta(ge=0, le=_LARGEST)]
PositiveSeconds = Annotated[float, Meta(ge=0.001, le=_LARGEST)]
Count = Annotated[int, Meta(ge=0, le=_LARGEST)]
PositiveCount = Annotated[int, Meta(ge=1, le=_LARGEST)]
HeaderText = Annotated[str, Meta(pattern=r"^[ -~]*\Z")]
"""Printable ASCII: it cannot start another header."""


class JsonSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that `/_sandbox` reads and shows as a JSON object."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON object; fields that are left out have their defaults.

        Raises:
            InvalidInput: not an object, an unknown field or an invalid value; the message names the field.
        """
        try:
            return convert(value, cls)
        except ValidationError as error:
            fields = ", ".join(sorted(_describe(*each) for each in get_type_hints(cls).items()))
            raise InvalidInput(f"invalid {cls.__name__}: {error}", hint=f"the fields are {fields}") from error

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `from_json` reads."""
        fields: dict[str, Any] = json.decode(json.encode(self))
        return fields


def _describe(name: str, hint: Any) -> str:
    """Return the name of a field, with its values if there are only a few."""
    choices = get_args(hint) if get_origin(hint) is Literal else hint if isinstance(hint, EnumMeta) else ()
    return f"{name} ({' | '.join(map(str, choices))})" if choices else name


class Behavior(JsonSettings, frozen=True, kw_only=True):
    """What the server does where the vendor's documentation is silent. The defaults are the likely answers.

    Assign a new value to a server's `behavior`; it applies from the next request.

    Raises:
        InvalidInput: `deliver_to` names another machine.
    """

    honour_client_secret: bool = True
    """Whether a `secret` in the request becomes the signing secret; otherwise the server generates one."""
    secret_field: SecretField = "secret"
    """The field with the signing secret in the answer to a creation."""
    secret_suffix: Annotated[str, Meta(max_length=10)] = ""
    """What each signing secret ends with, such as a line break."""
    replay_shows_secret: bool = True
    """Whether the answer to a repeated `Idempotency-Key` contains the signing secret again."""
    idempotency_ttl: Seconds = 86_400.0
    """Seconds for which an idempotency key is remembered."""
    key_mismatch: KeyMismatch = "refuse"
    """The answer to a known key with another body: a 409, or the original result."""
    replay_stored_errors: bool = False
    """Whether a 5xx is stored under its idempotency key and repeated."""
    unique_urls: bool = False
    """Whether a second endpoint with the same URL is refused (409 with `param` `url`)."""
    max_endpoints: Count | None = None
    """The most endpoints of an organization; a creation beyond it is refused. None: no limit."""
    cap_status: CapStatus = 403
    """The status of that refusal."""
    listing_spelling: Spelling = "as_sent"
    """How the listing writes URLs and events; the answer to a creation writes them as they were sent."""
    state_field: StateField = "status"
    """How an endpoint object says whether it is enabled: `status` (`enabled`, `disabled`) or `enabled`."""
    delete_supported: bool = True
    """Whether endpoints can be deleted; otherwise the answer is 405."""
    delete_status: Literal[200, 202, 204] = 204
    """The status of a successful deletion."""
    created_field: CreatedField = "created"
    """The field with the time of creation in endpoint objects."""
    created_format: CreatedFormat = "utc"
    """The time of creation: RFC 3339 in UTC, the same without a time zone, or Unix time."""
    rate_limit: Count = 100
    """Requests per window for each organization and key."""
    rate_window: PositiveSeconds = 60.0
    """Seconds in a rate limit window."""
    listing_lag_requests: Count = 0
    """A listing omits endpoints that this many preceding requests created."""
    listing_lag_seconds: Seconds = 0.0
    """A listing omits endpoints younger than this."""
    deletion_lag_seconds: Seconds = 0.0
    """The last page of a listing still has the endpoints that were deleted less than this ago."""
    test_lag_seconds: Seconds = 0.0
    """A test of an endpoint younger than this is answered with a 404."""
    extra_entries: tuple[Any, ...] = ()
    """Entries at the end of each listing, exactly as they are written here: odd ones, for example."""
    max_page_size: PositiveCount | None = None
    """The most endpoints on a page, whatever `limit` the request has."""
    latency: Seconds = 0.0
    """Seconds of delay before each answer."""
    test_result: TestResult = "deliver"
    """Whether test deliveries are sent, or fail without being sent."""
    test_answer: TestAnswer = "delivered"
    """How the answer to a test reports the result: the name of the field, or 204 without a body."""
    deliver_to: str | Mapping[str, str] | None = None
    """Where deliveries go instead of the endpoint's host: a loopback base URL, for all hosts or by host."""
    public_deliveries: PublicDeliveries = "assume"
    """Deliveries to hosts neither loopback nor in `deliver_to`: assumed to arrive, failed, or sent."""
    delivery_timeout: PositiveSeconds = 10.0
    """Seconds within which a receiver must answer."""
    extra_fields: Mapping[str, Any] = field(default_factory=dict)
    """Undocumented fields in every endpoint object and listing."""
    extra_event_types: tuple[str, ...] = ()
    """Event types that this server accepts in addition to the documented ones."""
    sunset: HeaderText | None = None
    """The `Sunset` header of every answer, an HTTP date."""

    def __post_init__(self) -> None:
        targets = self.deliver_to.values() if isinstance(self.deliver_to, Mapping) else [self.deliver_to]
        if not all(target is None or is_loopback_url(target) for target in targets):
            raise InvalidInput(
                "invalid Behavior: `deliver_to` must be null, a loopback URL,"
                " or an object of hosts and loopback URLs"
            )
