"""`reconciler adopt`: where the secret comes from; the rest is an apply like any other."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import carry_out
from reconciler.errors import InvalidInput, UsageError
from reconciler.model import Secret
from reconciler.plan.protocol.state import Adoption
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.cli.options import Settings
    from reconciler.errors import ExitCode

_LONGEST = 1024
"""Characters: a signing secret has fewer than a hundred."""
_NEWLINES = ("\r\n", "\n")
_MASKS = ("***", "...", "…", "•")
_NOT_TO_BE_PASTED = {"ZOF_API_KEY": "the API key", "VAULT_TOKEN": "the Vault token"}
_HINT = "give the endpoint's signing secret and nothing else, as it was shown when the endpoint was created"


def adopt(
    settings: Settings,
    name: str,
    endpoint_id: str,
    *,
    secret_stdin: bool,
    rotate: bool,
    options: Mapping[str, Any],
) -> ExitCode:
    """Take the endpoint over.

    Raises:
        UsageError: it is not said what becomes of the secret, or there is nobody to ask.
        InvalidInput: what came from stdin is no signing secret; nothing was sent.
    """
    if secret_stdin == rotate:
        command = f"reconciler adopt {visible(name)} --id {visible(endpoint_id)}"
        raise UsageError(
            "an endpoint's signing secret cannot be asked for: say whether it is known",
            hint=f"`{command} --secret-stdin` if it is, `{command} --rotate` if it is not",
        )
    if not options["yes"]:
        carry_out.require_terminal()
    secret = _read_secret() if secret_stdin else None
    adoption = Adoption(name, endpoint_id, secret)
    return carry_out.apply(settings, carry_out.Options(plan_file=None, adoption=adoption, **options))


def _read_secret() -> Secret:
    """Return the signing secret: asked for without an echo on a terminal, else all of stdin.

    Raises:
        InvalidInput: it is no signing secret. The message quotes nothing of it.
    """
    if sys.stdin.isatty():
        text = click.prompt("Signing secret", hide_input=True, err=True)
    else:
        raw = sys.stdin.buffer.read(4 * _LONGEST + 1)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise InvalidInput("what came from stdin is no UTF-8 text", hint=_HINT) from None
    for newline in _NEWLINES:
        if text.endswith(newline):
            text = text.removesuffix(newline)
            break
    if problem := _problem(text, os.environ):
        raise InvalidInput(problem, hint=_HINT)
    return Secret(text)


def _problem(text: str, environ: Mapping[str, str]) -> str | None:
    """Return why a text is no signing secret; None where it may be one."""
    if not text:
        return "no secret came from stdin"
    if len(text) > _LONGEST:
        return f"what came from stdin has more than {_LONGEST:,} characters"
    if not text.isprintable() or any(char.isspace() for char in text):
        return "what came from stdin holds spaces, line breaks or control characters"
    if any(mask in text for mask in _MASKS):
        return "what came from stdin is a secret with a part of it masked"
    for variable, what in _NOT_TO_BE_PASTED.items():
        if text == environ.get(variable, "").strip():
            return f"what came from stdin is {what}"
    return None
