"""What a session may do and where it is: for `doctor`, and before the first write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvac.utils import format_url
from msgspec import Struct

from reconciler.errors import StoreError
from reconciler.vault.responses import Denied, Purpose, unexpected_shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.vault.session import VaultSession


class TokenDescription(Struct, frozen=True):
    """A token, without the token."""

    policies: tuple[str, ...]
    ttl: int
    """Seconds until it expires; 0: never."""
    renewable: bool


def describe_token(session: VaultSession) -> TokenDescription:
    """Return what Vault says about the session's token.

    Raises:
        StoreError: Vault refuses the token, or does not answer.
    """
    purpose = Purpose("read", "auth/token/lookup-self", harmless=True)
    data = session.call(lambda client: client.auth.token.lookup_self(), purpose).data
    policies, ttl = data.get("policies"), data.get("ttl")
    if not isinstance(policies, list) or type(ttl) is not int:
        raise unexpected_shape(purpose)
    # Policies that come from an identity count like the token's own.
    inherited = data.get("identity_policies")
    names = [*policies, *(inherited if isinstance(inherited, list) else ())]
    return TokenDescription(tuple(sorted(map(str, names))), ttl, renewable=data.get("renewable") is True)


def capabilities(session: VaultSession, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return what the session's token may do at each of `paths` (mount included).

    The words are Vault's: `create`, `read`, `update`, `delete`, `list`, `deny`, `root`.

    Raises:
        StoreError: Vault refuses the token, or does not answer.
    """
    wanted = list(paths)
    purpose = Purpose("update", "sys/capabilities-self", confidential=False, harmless=True)
    data = session.call(lambda client: client.sys.get_capabilities(wanted), purpose).data
    # Asked for one path alone, servers differ in whether they name it.
    found = {path: data.get(path, data.get("capabilities")) for path in wanted}
    if not all(isinstance(words, list) for words in found.values()):
        raise unexpected_shape(purpose)
    return {path: [str(word) for word in words or ()] for path, words in found.items()}


def mount_version(session: VaultSession, mount: str) -> int | None:
    """Return the version (1 or 2) of the KV secrets engine at `mount`; None: another kind of engine.

    Vault tells this to every token that may do anything at all below the mount.

    Raises:
        StoreError: there is no such mount, the token may not see it, or Vault does not answer.
    """
    path = format_url("sys/internal/ui/mounts/{mount}", mount=mount)
    purpose = Purpose("read", path, confidential=False, harmless=True)
    try:
        data = session.call(lambda client: client.adapter.get(f"/v1/{path}"), purpose).data
    except Denied as error:
        raise StoreError(
            f"there is no secrets engine at mount '{mount}' that this token may see",
            hint="`vault secrets list` shows the mounts; the token needs a policy for paths in it",
        ) from error
    if data.get("type") not in ("kv", "generic"):
        return None
    options = data.get("options")
    return 2 if isinstance(options, dict) and options.get("version") == "2" else 1


def require_version_2(session: VaultSession, mount: str) -> None:
    """Make sure that `mount` is what we need.

    Raises:
        StoreError: it is something else, or `mount_version` fails.
    """
    version = mount_version(session, mount)
    if version is None:
        raise StoreError(
            f"the mount '{mount}' is no KV secrets engine", hint="choose a mount of type kv, version 2"
        )
    if version == 1:
        raise StoreError(
            f"the KV secrets engine at mount '{mount}' is version 1, which has no check-and-set",
            hint=f"choose another mount, or upgrade this one: `vault kv enable-versioning {mount}`",
        )
