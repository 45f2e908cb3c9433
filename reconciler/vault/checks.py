"""The session's token, its capabilities and the mount's version: for `doctor`, and before the first write."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from hvac.utils import format_url
from msgspec import Struct

from reconciler.errors import StoreError
from reconciler.texts import as_count
from reconciler.vault.connection import ALL_METADATA
from reconciler.vault.metadata import entry_object, listing_object
from reconciler.vault.responses import Denied, NotFound, Purpose, Unsupported, unexpected_shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    import hvac

    from reconciler.http_client import Reply
    from reconciler.vault.session import VaultSession

_NEVER = ("", "0s", None, 0)
"""Values of `delete_version_after` that mean: never."""


class TokenDescription(Struct, frozen=True):
    """A token's policies and lifetime, without the token."""

    policies: tuple[str, ...]
    ttl: int
    """Seconds until it expires; 0: never."""
    renewable: bool


def describe_token(session: VaultSession) -> TokenDescription:
    """Describe the session's token.

    Raises:
        StoreError: Vault refused the token, or did not answer.
    """
    purpose = Purpose("read", "auth/token/lookup-self", harmless=True)
    data = session.call(lambda client: client.auth.token.lookup_self(), purpose).data
    policies, ttl = data.get("policies"), as_count(data.get("ttl"))
    if not isinstance(policies, list) or ttl is None:
        raise unexpected_shape(purpose)
    # Policies of the token's identity apply, too.
    inherited = data.get("identity_policies")
    names = [*policies, *(inherited if isinstance(inherited, list) else ())]
    return TokenDescription(tuple(sorted(map(str, names))), ttl, renewable=data.get("renewable") is True)


def capabilities(session: VaultSession, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the token's capabilities on each of `paths` (mount included).

    They are Vault's: `create`, `read`, `update`, `delete`, `list`, `deny`, `root`.

    Raises:
        StoreError: Vault refused the token, or did not answer.
    """
    wanted = list(paths)
    purpose = Purpose("update", "sys/capabilities-self", confidential=False, harmless=True)
    data = session.call(lambda client: client.sys.get_capabilities(wanted), purpose).data
    # For a single path, some servers do not repeat the path.
    found = {path: data.get(path, data.get("capabilities")) for path in wanted}
    if not all(isinstance(words, list) for words in found.values()):
        raise unexpected_shape(purpose)
    return {path: [str(word) for word in words or ()] for path, words in found.items()}


def mount_version(session: VaultSession, mount: str) -> int | None:
    """Return the version (1 or 2) of the KV secrets engine at `mount`; None: another kind of engine.

    Vault answers this for every token with any capability below the mount.

    Raises:
        StoreError: the mount does not exist or is hidden from the token, or Vault did not answer.
    """
    path = format_url("sys/internal/ui/mounts/{mount}", mount=mount)
    purpose = Purpose("read", path, confidential=False, harmless=True)
    try:
        data = session.call(lambda client: client.adapter.get(f"/v1/{path}"), purpose).data
    except Denied as error:
        raise StoreError(
            f"there is no secrets engine at mount '{mount}', or the token may not see it",
            hint="`vault secrets list` shows the mounts; the token needs a policy for paths in it",
        ) from error
    if data.get("type") not in ("kv", "generic"):
        return None
    options = data.get("options")
    return 2 if isinstance(options, dict) and options.get("version") == "2" else 1


def require_version_2(session: VaultSession, mount: str) -> None:
    """Make sure that `mount` is a KV secrets engine of version 2.

    Raises:
        StoreError: it is not, or `mount_version` fails.
    """
    version = mount_version(session, mount)
    if version is None:
        raise StoreError(
            f"the mount '{mount}' is not a KV secrets engine", hint="choose a mount of type kv, version 2"
        )
    if version == 1:
        raise StoreError(
            f"the KV secrets engine at mount '{mount}' is version 1, which has no check-and-set",
            hint=f"choose another mount, or upgrade this one: `vault kv enable-versioning {mount}`",
        )


class PlaceSettings(Struct, frozen=True):
    """Settings of a mount and of the paths below a prefix that get in our way."""

    mount_readable: bool
    """Whether the token may read the mount's own settings."""
    expiring: tuple[str, ...]
    """Where `delete_version_after` is set: the mount's `config` path, or paths of documents."""
    metadata_cas: tuple[str, ...]
    """Where `metadata_cas_required` is set, likewise."""


def place_settings(session: VaultSession, mount: str, prefix: str) -> PlaceSettings:
    """Read the settings of `mount` and of the documents below `prefix`, as far as the token may.

    Raises:
        StoreError: Vault did not answer.
    """
    found: dict[str, dict[str, Any]] = {}
    config = Purpose("read", f"{mount}/config", confidential=False, harmless=True)
    with contextlib.suppress(Denied, NotFound):
        found[config.path] = session.call(lambda client: _get(client, config.path), config).data
    mount_readable = bool(found)
    listing = Purpose("list", f"{mount}/detailed-metadata/{prefix}", confidential=False, harmless=True)
    with contextlib.suppress(Denied, NotFound, Unsupported):
        data = session.call(
            lambda client: _get(client, listing.path, list="true"),
            listing,
            listing_object,
            bounds=ALL_METADATA,
        ).data
        entries = data.get("key_info")
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            found[f"{mount}/metadata/{prefix}/{name}"] = entry_object(entry)
    return PlaceSettings(
        mount_readable,
        tuple(path for path, data in found.items() if data.get("delete_version_after", "0s") not in _NEVER),
        tuple(path for path, data in found.items() if data.get("metadata_cas_required") is True),
    )


def _get(client: hvac.Client, path: str, **query: str) -> Reply:
    response: Reply = client.adapter.get(format_url("/v1/{path}", path=path), params=query)
    return response
