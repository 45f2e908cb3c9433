"""What `receive` and `inbox` share: the organization, and the URL of its inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.cli.options import Options
    from reconciler.config.settings import OrganizationSettings
    from reconciler.receiver.inbox.inbox import Inbox

INSTALL = "pip install 'webhook-reconciler[receiver]'"

inbox_option = click.option(
    "--inbox",
    envvar="RECONCILER_INBOX",
    metavar="URL",
    help="Where events are stored: sqlite:///PATH, or postgresql://USER:PASSWORD@HOST/DATABASE, which "
    "several machines can share. Default: RECONCILER_INBOX, or a SQLite file in the user's state folder.",
)


def one_organization(options: Options) -> OrganizationSettings:
    """Return the settings of the one organization that the options choose.

    Raises:
        InvalidInput: the configuration is invalid.
        UsageError: there are several.
    """
    from reconciler.cli.session import load_scope  # noqa: PLC0415 (`--help` loads click alone)

    organizations = load_scope(options, manifests=False).organizations
    if len(organizations) > 1:
        raise UsageError("a receiver is for one organization", hint="add --organization NAME")
    return organizations[0]


def inbox_url(url: str | None, settings: OrganizationSettings) -> str:
    """Return the URL of the inbox; the default is a file in the state folder."""
    from reconciler.cli.state import inbox_path  # noqa: PLC0415 (`--help` loads click alone)

    return url or f"sqlite:///{inbox_path(settings.organization).absolute()}"


def open_inbox(url: str | None, options: Options) -> Inbox:
    """Return the inbox, which the caller opens.

    Raises:
        UsageError: the extra is not installed, or the URL is not supported.
    """
    try:
        from reconciler.receiver.inbox.inbox import Inbox  # noqa: PLC0415 (an extra)
    except ImportError:
        raise not_installed() from None
    return Inbox(url or inbox_url(None, one_organization(options)))


def not_installed() -> UsageError:
    """Return the error for a missing extra."""
    return UsageError("the extra `receiver` is not installed", hint=INSTALL)
