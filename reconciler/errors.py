"""The errors, as one tree. Only `cli` turns them into exit codes.

    ReconcilerError               1   (network, permission, server, internal)
    ├── ApiError                  1   the Zof API refused or did not answer
    ├── StoreError                1   Vault refused or did not answer
    │   ├── StoreUnavailable      1   Vault did not answer: further requests will fail, too
    │   ├── CasConflict           1   another writer wrote first
    │   └── DocumentUnreadable    1   a document that is not ours or is damaged
    ├── InvalidInput              3   manifests, configuration, plan file
    │   └── ForeignDocument       3   another organization's or API's document
    ├── GuardRefused              4   a guard or a stale plan
    ├── LockHeld                  6   another run holds the lock
    └── UsageError               64

An error says what happened, in one sentence, and what to do next (`hint`). Neither ever contains a secret:
messages are built from names, ids, codes and numbers.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the command line; scripts depend on them."""

    OK = 0
    FAILED = 1
    PENDING = 2
    INVALID = 3
    REFUSED = 4
    PARTIAL = 5
    LOCKED = 6
    USAGE = 64


class ReconcilerError(Exception):
    """An expected failure, reported in one sentence with a hint."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep `message` (one sentence) and `hint` (the next thing to try)."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class ApiError(ReconcilerError):
    """The Zof API refused a request, sent an unusable response, or did not answer."""

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        """`status` is the HTTP status, or None without a usable response."""
        super().__init__(message, hint=hint)
        self.status = status


class StoreError(ReconcilerError):
    """Vault refused a request, sent an unusable response, or did not answer."""


class StoreUnavailable(StoreError):
    """Vault did not answer, or is sealed: further requests will fail, too."""


class TokenRefused(StoreUnavailable):
    """The Vault token is not valid, and the run cannot get another: each request will be refused."""


class CasConflict(StoreError):
    """A check-and-set write found another version than the one that it was to replace."""


class DocumentUnreadable(StoreError):
    """A document under our prefix that holds no ledger, or one that cannot be understood."""


class InvalidInput(ReconcilerError):
    """The manifests, the configuration, the environment or a plan file are invalid."""

    exit_code = ExitCode.INVALID


class ForeignDocument(InvalidInput):
    """A document under our prefix belongs to another organization or another API."""


class GuardRefused(ReconcilerError):
    """A guard refused the whole run; nothing was changed."""

    exit_code = ExitCode.REFUSED


class LockHeld(ReconcilerError):
    """Another run holds the organization's lock."""

    exit_code = ExitCode.LOCKED


class UsageError(ReconcilerError):
    """The command line asks for something impossible, for example a confirmation without a terminal."""

    exit_code = ExitCode.USAGE
