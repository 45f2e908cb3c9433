"""`reconciler adopt`: take over an unmanaged endpoint."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from reconciler.cli.completion import complete_webhook
from reconciler.cli.options import ApplyOptions, Options, apply_options, shared_options
from reconciler.errors import ExitCode, InvalidInput, UsageError
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.cli.session import Scope
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned

_LONGEST = 1024
"""Characters: a signing secret has fewer than a hundred."""
_MASKS = ("***", "...", "…", "•")
_OTHER_CREDENTIALS = {"ZOF_API_KEY": "the API key", "VAULT_TOKEN": "the Vault token"}
_HINT = "enter only the endpoint's signing secret, as it was shown when the endpoint was created"


@click.command("adopt")
@click.argument("name", metavar="NAME", shell_complete=complete_webhook)
@click.option("--id", "endpoint_id", required=True, metavar="ID", help="The live endpoint.")
@click.option(
    "--secret-stdin",
    is_flag=True,
    help="Its signing secret is known: read it from stdin, or ask for it on a terminal.",
)
@click.option("--rotate", is_flag=True, help="Its signing secret is not known: replace the endpoint.")
@apply_options
@shared_options(actor=True, output=False, formats=("text", "json", "markdown"))
def command(
    options: Options,
    applying: ApplyOptions,
    *,
    name: str,
    endpoint_id: str,
    secret_stdin: bool,
    rotate: bool,
) -> ExitCode:
    """Take over the unmanaged endpoint ID as the webhook NAME, whose manifest must match the endpoint.

    The API does not show an endpoint's signing secret again. With --secret-stdin the endpoint stays and its
    secret is stored in Vault; with --rotate a new endpoint is created first, and the old one is deleted after
    the manifest's overlap. PATH names manifests, as for `apply`. Exit codes: as `apply`, and 3 for a name
    without a manifest or an invalid secret.

    \b
    Examples:
      reconciler adopt ci-run-results --id we_123 --secret-stdin
      reconciler adopt ci-runs --id we_123 --secret-stdin --yes < secret.txt
      reconciler adopt ci-run-results --id we_123 --rotate
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.application import apply_plans, require_confirmation
    from reconciler.cli.session import load_scope
    from reconciler.model import Secret
    from reconciler.plan.protocol.state import Adoption
    from reconciler.usecases.adopt import plan_adoption

    if secret_stdin == rotate:
        example = f"reconciler adopt {visible(name)} --id {visible(endpoint_id)}"
        raise UsageError(
            "use either --secret-stdin or --rotate: the API does not show an endpoint's signing secret",
            hint=f"`{example} --secret-stdin` if the secret is known, `{example} --rotate` if it is not",
        )
    require_confirmation(applying)
    adoption = Adoption(name, endpoint_id, Secret(_read_secret()) if secret_stdin else None)

    def make_plan(session: Session) -> Planned:
        return plan_adoption(session, adoption)

    return apply_plans(_narrowed(load_scope(options), name), applying, make_plan)


def _narrowed(scope: Scope, name: str) -> Scope:
    """Return the scope with the one organization whose manifests declare `name`.

    Raises:
        UsageError: several do, or none of several.
    """
    from msgspec.structs import replace

    declaring = tuple(
        each
        for each in scope.organizations
        if any(webhook.name == name for webhook in scope.desired[each.name])
    )
    if len(declaring) != 1 and scope.several:
        raise UsageError(
            f"{'several organizations have' if declaring else 'no organization has'} a manifest for {name}",
            hint="add --organization NAME",
        )
    return replace(scope, organizations=declaring or scope.organizations)


def _read_secret() -> str:
    """Return the signing secret: from a hidden prompt on a terminal, else all of stdin.

    Raises:
        InvalidInput: it is not a signing secret. The message quotes nothing of it.
    """
    if sys.stdin.isatty():
        text = click.prompt("Signing secret", hide_input=True, err=True)
    else:
        try:
            text = sys.stdin.buffer.read(4 * _LONGEST + 1).decode()
        except UnicodeDecodeError:
            raise InvalidInput("stdin is not UTF-8 text", hint=_HINT) from None
    text = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    if problem := _problem(text, os.environ):
        raise InvalidInput(problem, hint=_HINT)
    return str(text)


def _problem(text: str, environ: Mapping[str, str]) -> str | None:
    """Return why a text is not a signing secret; None if it may be one."""
    if not text:
        return "stdin holds no secret"
    if len(text) > _LONGEST:
        return f"stdin holds more than {_LONGEST:,} characters"
    if not text.isprintable() or any(char.isspace() for char in text):
        return "the secret on stdin holds spaces, line breaks or control characters"
    if any(mask in text for mask in _MASKS):
        return "the secret on stdin is partly masked"
    for variable, what in _OTHER_CREDENTIALS.items():
        if text == environ.get(variable, "").strip():
            return f"the secret on stdin is {what}"
    return None
