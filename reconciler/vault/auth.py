"""How a session comes to its token: one that is given, or one of Vault's login methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from reconciler.errors import InvalidInput
from reconciler.model import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    import hvac
    import requests

KUBERNETES_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class TokenLogin(Struct, frozen=True):
    """A token that somebody gave us: it is used as it is, and it is not ours to revoke."""

    token: Secret


class MethodLogin(Protocol):
    """A login method: it can be asked again when its token has expired."""

    def __str__(self) -> str:
        """Say which method at which mount, for messages."""
        ...

    def log_in(self, client: hvac.Client) -> requests.Response:
        """Send the login request and return its answer, whatever it is.

        Raises:
            InvalidInput: the credentials cannot be found.
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

    def log_in(self, client: hvac.Client) -> requests.Response:
        """As the protocol says."""
        answer: requests.Response = client.auth.approle.login(
            self.role_id.reveal(), self.secret_id.reveal(), use_token=False, mount_point=self.mount
        )
        return answer


class JwtLogin(Struct, frozen=True):
    """JWT or OIDC: a token that another party signs, for example GitHub Actions."""

    role: str
    jwt: Callable[[], Secret]
    """Called for each login, since such tokens live for minutes."""
    mount: str = "jwt"

    def __str__(self) -> str:
        return f"JWT login with role {self.role} at auth/{self.mount}"

    def log_in(self, client: hvac.Client) -> requests.Response:
        """As the protocol says."""
        answer: requests.Response = client.auth.jwt.jwt_login(
            self.role, self.jwt().reveal(), use_token=False, path=self.mount
        )
        return answer


class KubernetesLogin(Struct, frozen=True):
    """Kubernetes: the pod's service account token."""

    role: str
    token_path: Path = KUBERNETES_TOKEN
    """Read for each login, since the kubelet replaces the token while the pod runs."""
    mount: str = "kubernetes"

    def __str__(self) -> str:
        return f"Kubernetes login with role {self.role} at auth/{self.mount}"

    def log_in(self, client: hvac.Client) -> requests.Response:
        """As the protocol says."""
        try:
            token = Secret(self.token_path.read_text("ascii").strip())
        except (OSError, UnicodeError):
            # The cause of a decoding error holds the token's bytes.
            raise InvalidInput(
                f"the service account token {self.token_path} cannot be read",
                hint="run in a pod with a service account, or choose another login method",
            ) from None
        answer: requests.Response = client.auth.kubernetes.login(
            self.role, token.reveal(), use_token=False, mount_point=self.mount
        )
        return answer
