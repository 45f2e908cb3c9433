"""How long a token is valid, from Vault's descriptions of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.vault.lifetime import Lifetime, from_login, from_lookup

NOW = 1000.0
AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"lease_duration": 600, "renewable": True}, Lifetime(1600.0, 600, renewable=True)),
        ({"lease_duration": 600, "renewable": False}, Lifetime(1600.0, 600)),
        ({"lease_duration": 0, "renewable": True}, Lifetime(None)),
        ({"lease_duration": "600"}, Lifetime(None)),
        ({"lease_duration": 10**400}, Lifetime(None)),
        ({}, Lifetime(None)),
    ],
)
def test_a_login_says_how_long_its_token_is_valid(auth: dict[str, Any], expected: Lifetime) -> None:
    """A lease of 0 seconds never ends; anything odd counts as unknown."""
    assert from_login(auth, NOW) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"ttl": 0}, Lifetime(None)),
        ({"ttl": 10**400}, Lifetime(None)),
        (
            {"ttl": 90, "creation_ttl": 10**400, "explicit_max_ttl": 10**400, "creation_time": 10**400},
            Lifetime(1090.0, 90),
        ),
        ({"ttl": 90, "creation_ttl": 600, "renewable": True}, Lifetime(1090.0, 600, renewable=True)),
        ({"ttl": 900, "creation_ttl": 600, "renewable": True}, Lifetime(1900.0, 900, renewable=True)),
        (
            {
                "ttl": 90,
                "creation_ttl": 90,
                "explicit_max_ttl": 300,
                "creation_time": int(AT.timestamp()) - 60,
            },
            Lifetime(1090.0, 90, ends_at=1240.0),
        ),
    ],
)
def test_a_description_says_when_it_ends(data: dict[str, Any], expected: Lifetime) -> None:
    """The longest lifetime counts from the token's creation, by Vault's clock."""
    assert from_lookup(data, AT, NOW) == expected


def test_without_vaults_time_the_end_is_unknown() -> None:
    """Our own clock does not count."""
    data = {"ttl": 90, "explicit_max_ttl": 300, "creation_time": int(AT.timestamp())}
    assert from_lookup(data, None, NOW).ends_at is None


def test_a_renewal_is_due_after_half_of_the_lease() -> None:
    """Not before, not once it is expired, and never for one that cannot be renewed."""
    lifetime = Lifetime(1600.0, 600, renewable=True)
    assert [lifetime.is_due(now) for now in (1000, 1299, 1300, 1599, 1600)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert not Lifetime(1600.0, 600).is_due(1500)
    assert not Lifetime(None, renewable=True).is_due(1500)


def test_a_renewal_for_less_than_before_is_the_last() -> None:
    """Near the end of the longest lifetime the lease shrinks: further renewals are in vain."""
    lifetime = Lifetime(1600.0, 600, renewable=True, ends_at=1900.0)
    extended = lifetime.renewed({"lease_duration": 600, "renewable": True}, 1300.0)
    assert extended == Lifetime(1900.0, 600, renewable=True, ends_at=1900.0)
    # A renewal of a token that has just been issued is as good as any.
    assert lifetime.renewed({"lease_duration": 600, "renewable": True}, 1001.0).renewable
    assert not extended.renewed({"lease_duration": 300, "renewable": True}, 1600.0).renewable
    assert extended.renewed({"lease_duration": 0}, 1600.0).expires_at is None
