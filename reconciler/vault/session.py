"""A session with Vault: hvac, with guards that it lacks.

Redirects are not followed, only responses in Vault's own shape are accepted, idempotent requests are retried,
and no error contains a secret.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from typing import TYPE_CHECKING, Self, TypeVar

from hvac.exceptions import VaultError
from msgspec.structs import replace

from reconciler.credentials.known import KNOWN
from reconciler.errors import InvalidInput, StoreError
from reconciler.http_client import READ_TIMEOUT, HttpClient
from reconciler.model import Secret
from reconciler.network import Network
from reconciler.retry import retry
from reconciler.urls import service_url_problem
from reconciler.vault.auth import TokenLogin
from reconciler.vault.connection import ORDINARY, Connections, Route, Unanswered, new_client
from reconciler.vault.lifetime import from_login, from_lookup
from reconciler.vault.responses import (
    LONGEST_OPERATION,
    Denied,
    NoAnswer,
    NotExecuted,
    NotFound,
    Purpose,
    Rejected,
    interpret,
    json_object,
    refused_token,
    retry_delay,
)
from reconciler.vault.transport import no_answer, translate_hvac

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import hvac

    from reconciler.http_client import Reply, Transport
    from reconciler.ports import Clock
    from reconciler.vault.auth import Login
    from reconciler.vault.connection import Bounds
    from reconciler.vault.lifetime import Lifetime
    from reconciler.vault.responses import Answer, Parse

    Send = Callable[[hvac.Client], Reply]

_T = TypeVar("_T")
_HEADER_TEXT = re.compile(r"[!-~]+")
_LOG_IN = Purpose("update", "auth/.../login")
_LOOK_UP = Purpose("read", "auth/token/lookup-self", harmless=True)
_RENEW = Purpose("update", "auth/token/renew-self")


class VaultSession:
    """One login at one Vault, shared by threads, each with its own connection. A context manager."""

    def __init__(
        self,
        address: str,
        *,
        login: Login,
        clock: Clock,
        namespace: str = "",
        ca_cert: str | None = None,
        transport: Transport | None = None,
        read_timeout: float = READ_TIMEOUT,
        on_login: Callable[[Secret], object] = KNOWN.add,
    ) -> None:
        """Set the address and the login; nothing is sent yet.

        Args:
            address: the server's URL; plain `http` on loopback only.
            login: the source of the token.
            clock: for pauses between retries.
            namespace: Vault's namespace, empty for the root.
            ca_cert: the path of a PEM file with the trusted authorities; None: those of the environment.
            transport: what carries the requests; None: the network.
            read_timeout: seconds that the server may be silent.
            on_login: gets each token that a login returns, before it is used.

        Raises:
            InvalidInput: the address, the token, the namespace, or what the environment names as proxy or
                authorities, cannot be used.
        """
        if problem := service_url_problem(address):
            raise InvalidInput(f"the Vault address {problem}", hint="use one like https://vault.example.com")
        if namespace and not _HEADER_TEXT.fullmatch(namespace):
            raise InvalidInput("the Vault namespace contains invalid characters")
        self.address = address.rstrip("/")
        self._method = None if isinstance(login, TokenLogin) else login
        self._clock = clock
        self._namespace = namespace
        self._on_login = on_login
        self._http = HttpClient(
            self.address,
            Network.of(os.environ),
            clock=clock,
            transport=transport,
            read_timeout=read_timeout,
            ca_cert=ca_cert,
            ca_variable="VAULT_CACERT",
        )
        self._route = Route(self.address, self._http.proxy, self._http.authorities)
        self._token = _check_token(login.token) if isinstance(login, TokenLogin) else None
        self._lifetime: Lifetime | None = None
        """The token's, as far as it is known."""
        self._accepted = False
        """Whether Vault has accepted the token before."""
        self._mutex = threading.RLock()
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Revoke the token if it comes from a login, and close all connections."""
        token, self._token = self._token, None
        method, self._method = self._method, None
        if token is not None and method is not None:
            # If this fails, the token expires by itself; batch tokens cannot be revoked.
            with contextlib.suppress(StoreError):
                self._send_once(_revoke, Purpose("update", "auth/token/revoke-self"), token)
        self._http.close()

    @property
    def can_log_in(self) -> bool:
        """Whether the session can get another token by itself."""
        return self._method is not None

    def seconds_left(self, needed: float) -> float | None:
        """Return for how many seconds the token is valid, if that is less than `needed`.

        A token that can be renewed, or replaced by another login, lasts as long as needed. None is also
        returned where the token may not describe itself.

        Raises:
            StoreError: Vault refused the token, or did not answer.
        """
        if self.can_log_in:
            return None
        with self._mutex:
            if self._lifetime is None:
                try:
                    answer = self.call(lambda client: client.auth.token.lookup_self(), _LOOK_UP)
                except (Denied, NotFound, Rejected):
                    return None
                self._lifetime = from_lookup(answer.data, answer.at, self._clock.monotonic())
            lifetime = self._lifetime
            left = lifetime.left(self._clock.monotonic())
            if left is not None and left < needed and lifetime.renewable and self._token is not None:
                lifetime = self._renew(self._token, lifetime)
                left = lifetime.left(self._clock.monotonic())
        if left is None or left >= needed:
            return None
        if not lifetime.renewable:
            return left
        ends_at = lifetime.ends_at
        end = None if ends_at is None else ends_at - self._clock.monotonic()
        return end if end is not None and end < needed else None

    def call(
        self, send: Send, purpose: Purpose, parse: Parse = json_object, *, bounds: Bounds = ORDINARY
    ) -> Answer:
        """Send a request and return its answer.

        Args:
            send: sends the request with the given client, and returns the response.
            purpose: what the request is for.
            parse: reads the body's JSON object.
            bounds: how long one exchange may take, and how large its response may be.

        Raises:
            CasConflict: another writer was there first.
            StoreError: Vault refused, or did not answer.
        """

        def attempt(elapsed: float) -> Answer | NoAnswer:
            left = max(ORDINARY.seconds, LONGEST_OPERATION - elapsed)
            limits = replace(bounds, seconds=min(bounds.seconds, left))
            try:
                return self._send_logged_in(send, purpose, parse, limits)
            except NoAnswer as error:
                if not (error.retriable and (purpose.harmless or isinstance(error, NotExecuted))):
                    raise
                return error

        return until_answered(attempt, self._clock)

    def _send_logged_in(self, send: Send, purpose: Purpose, parse: Parse, bounds: Bounds) -> Answer:
        token = self._current_token()
        try:
            answer = self._send_once(send, purpose, token, parse, bounds)
        except Denied as denied:
            if not self._replace_token(token, purpose, denied):
                raise
            answer = self._send_once(send, purpose, self._current_token(), parse, bounds)
        self._accepted = True
        return answer

    def _current_token(self) -> Secret:
        with self._mutex:
            if self._token is None:
                self._token = self._log_in()
            elif self._lifetime is not None and self._lifetime.is_due(self._clock.monotonic()):
                self._renew(self._token, self._lifetime)
            return self._token

    def _renew(self, token: Secret, lifetime: Lifetime) -> Lifetime:
        """Renew the token, and return its lifetime; if that fails, it is used until it expires."""
        try:
            answer = self._send_once(lambda client: client.auth.token.renew_self(), _RENEW, token)
        except NoAnswer:
            # The next request tries again.
            return lifetime
        except StoreError:
            self._lifetime = replace(lifetime, renewable=False)
        else:
            self._lifetime = lifetime.renewed(answer.auth, self._clock.monotonic())
        return self._lifetime

    def _replace_token(self, refused: Secret, purpose: Purpose, denied: Denied) -> bool:
        """Log in again if `refused` may be invalid. False: it is valid, so policies forbid the request.

        Raises:
            TokenRefused: the token is invalid, and the login gives no other.
        """
        with self._mutex:
            if self._token is not refused:
                return True
            valid = False if denied.invalid_token else self._is_valid(refused)
            if valid or (valid is None and self._method is None):
                return False
            if self._method is None:
                raise refused_token(purpose, accepted_before=self._accepted) from None
            self._token = self._log_in()
            return True

    def _is_valid(self, token: Secret) -> bool | None:
        """Whether Vault knows the token; None: Vault does not say."""
        try:
            self._send_once(lambda client: client.auth.token.lookup_self(), _LOOK_UP, token)
        except Denied as denied:
            # A valid token may lack the permission to describe itself.
            return None if denied.by_policy else False
        return True

    def _log_in(self) -> Secret:
        method = self._method
        if method is None:
            raise StoreError("the Vault session is closed")
        try:
            answer = self._send_once(method.log_in, _LOG_IN, None)
        except (Denied, NotFound, Rejected):
            # Vault answers 400 for a wrong secret id, 403 or 404 for a wrong mount.
            raise StoreError(
                f"Vault refused the {method}", hint="check the credentials, the role and the mount"
            ) from None
        token = answer.auth.get("client_token")
        if not isinstance(token, str) or not _HEADER_TEXT.fullmatch(token):
            raise StoreError(
                f"the {method} returned no token",
                hint="use a login without a second factor",
            )
        self._lifetime = from_login(answer.auth, self._clock.monotonic())
        secret = Secret(token)
        self._on_login(secret)
        return secret

    def _send_once(
        self,
        send: Send,
        purpose: Purpose,
        token: Secret | None,
        parse: Parse = json_object,
        bounds: Bounds = ORDINARY,
    ) -> Answer:
        client, connections = self._client()
        client.token = token.reveal() if token else ""
        connections.bounds = bounds
        try:
            response = send(client)
        except Unanswered as error:
            raise no_answer(error.failure, self._route) from None
        except VaultError as error:
            # The original may contain the token (a header) or a secret (a body).
            raise translate_hvac(error, purpose) from None
        return interpret(response, purpose, parse)

    def _client(self) -> tuple[hvac.Client, Connections]:
        """Return this thread's client, since hvac's has one token at a time."""
        known: tuple[hvac.Client, Connections] | None = getattr(self._local, "client", None)
        if known is None:
            connections = Connections(self._http)
            known = new_client(self.address, connections, namespace=self._namespace), connections
            self._local.client = known
        return known


def until_answered(
    attempt: Callable[[float], _T | NoAnswer], clock: Clock, *, attempts: int | None = None
) -> _T:
    """Retry while `attempt` returns `NoAnswer`, at most so many `attempts`.

    Raises:
        NoAnswer: the last attempt had none either.
    """

    def decide(number: int, outcome: _T | NoAnswer, elapsed: float) -> float | None:
        if not isinstance(outcome, NoAnswer) or number == attempts:
            return None
        return retry_delay(number, outcome.wait, elapsed, not_executed=isinstance(outcome, NotExecuted))

    outcome = retry(attempt, decide, clock=clock)
    if isinstance(outcome, NoAnswer):
        raise outcome
    return outcome


def _revoke(client: hvac.Client) -> Reply:
    answer: Reply = client.auth.token.revoke_self()
    return answer


def _check_token(token: Secret) -> Secret:
    if not _HEADER_TEXT.fullmatch(token.reveal()):
        raise InvalidInput(
            "the Vault token is empty or contains invalid characters",
            hint="set VAULT_TOKEN to the token only, without quotes, spaces or line ends",
        )
    KNOWN.add(token)
    return token
