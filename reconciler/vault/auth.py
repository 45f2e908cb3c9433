"""The ways to get a token: a given one, or one of Vault's login methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from reconciler.credentials.known import KNOWN
from reconciler.errors import InvalidInput
from reconciler.model import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    import hvac

    from reconciler.http_client import Reply

KUBERNETES_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class TokenLogin(Struct, frozen=True):
    """A given token. It is used unchanged, and not revoked at the end."""

    token: Secret


class MethodLogin(Protocol):
    """A login method, which can log in again after its token has expired."""

    def __str__(self) -> str:
        """Return the method and its mount, for messages."""
        ...

    def log_in(self, client: hvac.Client) -> Reply:
        """Send the login request and return its response.

        Raises:
            InvalidInput: the credentials cannot be read.
        """
        ...


Login = TokenLogin | MethodLogin


class AppRoleLogin(Struct, frozen=True):
    """AppRole: a role id and a secret id, for machines."""

    role_id: Secret
    secret_id: Secret
    mount: str = "approle"

    def __str__(self) -> str:
        return f"AppRole login at auth/{self.mount}"

    def log_in(self, client: hvac.Client) -> Reply:
        """Send the login request."""
        KNOWN.add(self.role_id, self.secret_id)
        answer: Reply = client.auth.approle.login(
            self.role_id.reveal(), self.secret_id.reveal(), use_token=False, mount_point=self.mount
        )
        return answer


class JwtLogin(Struct, frozen=True):
    """JWT or OIDC: a token signed by another party, for example GitHub Actions."""

    role: str
    jwt: Callable[[], Secret]
    """Called for each login, since such tokens are valid for minutes."""
    mount: str = "jwt"

    def __str__(self) -> str:
        return f"JWT login with role {self.role} at auth/{self.mount}"

    def log_in(self, client: hvac.Client) -> Reply:
        """Send the login request."""
        token = self.jwt()
        KNOWN.add(token)
        answer: Reply = client.auth.jwt.jwt_login(self.role, token.reveal(), use_token=False, path=self.mount)
        return answer


class KubernetesLogin(Struct, frozen=True):
    """Kubernetes: the pod's service account token."""

    role: str
    token_path: Path = KUBERNETES_TOKEN
    """Read for each login, since the kubelet replaces the token while the pod runs."""
    mount: str = "kubernetes"

    def __str__(self) -> str:
        return f"Kubernetes login with role {self.role} at auth/{self.mount}"

    def log_in(self, client: hvac.Client) -> Reply:
        """Send the login request."""
        try:
            token = Secret(self.token_path.read_text("ascii").strip())
        except (OSError, UnicodeError):
            # The cause of a decoding error contains the token's bytes.
            raise InvalidInput(
                f"cannot read the service account token {self.token_path}",
                hint="run in a pod with a service account, or choose another login method",
            ) from None
        KNOWN.add(token)
        answer: Reply = client.auth.kubernetes.login(
            self.role, token.reveal(), use_token=False, mount_point=self.mount
        )
        return answer
