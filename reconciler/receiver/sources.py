"""Where signing secrets come from, apart from Vault: files that another program writes, and the environment.

Each returns the fields of a Vault document. A text that is not a JSON object is a signing secret itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import ReconcilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.receiver.secrets import Source

_FIELDS = (
    "signing_secret",
    "pending_signing_secret",
    "previous_signing_secret",
    "previous_signing_secrets",
)
_SIZE_MAX = 1024 * 1024
_NAME = "{name}"


def file_source(pattern: str) -> Source:
    """Return a source that reads a file, or a folder with one file for each field.

    The Vault Agent writes a file. The Secrets Store CSI driver and a mounted Kubernetes secret (External
    Secrets) are folders.

    Args:
        pattern: the path; `{name}` in it is the webhook's name.
    """

    def read(webhook: str) -> Mapping[str, object]:
        path = Path(pattern.replace(_NAME, webhook))
        try:
            if path.is_dir():
                fields = {name: _read_text(path / name) for name in _FIELDS if (path / name).exists()}
            else:
                return _fields_of(_read_text(path))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not a text in UTF-8"
            raise ReconcilerError(f"cannot read the secrets from {path}: {why}") from None
        return fields

    return read


def environment_source(pattern: str, environ: Mapping[str, str] = os.environ) -> Source:
    """Return a source that reads a variable, which only a restart can change.

    Args:
        pattern: the variable; `{name}` in it is the webhook's name in capitals, with `_` for `-`.
        environ: the environment.
    """

    def read(webhook: str) -> Mapping[str, object]:
        variable = pattern.replace(_NAME, webhook.upper().replace("-", "_"))
        if not environ.get(variable):
            raise ReconcilerError(f"the variable {variable} is not set")
        return _fields_of(environ[variable])

    return read


def parse_source(text: str) -> Source | None:
    """Return the source that an option names, `file:PATH` or `env:VARIABLE`; None for `vault`.

    Raises:
        UsageError: it names none of them.
    """
    kind, _, rest = text.partition(":")
    match kind, rest:
        case "vault", "":
            return None
        case "file", path if path:
            return file_source(path)
        case "env", variable if variable:
            return environment_source(variable)
    raise UsageError(f"{kind} is not a source of secrets", hint="use vault, file:PATH or env:VARIABLE")


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_SIZE_MAX).decode()


def _fields_of(text: str) -> Mapping[str, object]:
    """Return the fields in a text: a JSON object, also as `vault kv get -format=json` prints it, or a secret.

    A line break at the end of a secret may be part of it, or of the file: both are accepted.
    """
    value: Any = None
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, dict):
        while isinstance(value.get("data"), dict):
            value = value["data"]
        fields: dict[str, object] = value
        return fields
    return {"signing_secret": text, "pending_signing_secret": text.rstrip("\r\n")}
