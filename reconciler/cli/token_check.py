"""Whether the Vault token lives as long as an apply needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import GuardRefused
from reconciler.report.format.style import duration
from reconciler.vault.documents import VaultDocuments

if TYPE_CHECKING:
    from reconciler.usecases.plan import Planned

_MARGIN, _MARGIN_SHARE = 60.0, 1.2
"""Responses take time, too: a minute, or a fifth of the quota's own time."""


def check_token(planned: Planned) -> None:
    """Refuse a plan that takes longer than the Vault token is valid; warn if it may take longer.

    Raises:
        GuardRefused: the token expires before the API's quota lets the plan end.
        StoreError: Vault refused the token, or did not answer.
    """
    session, store = planned.session, planned.session.store
    assert isinstance(store, VaultDocuments)  # noqa: S101 (from `open_session`)
    least = planned.plan.cost.minimum_seconds
    left = store.seconds_left(max(least + _MARGIN, least * _MARGIN_SHARE))
    if left is None:
        return
    if left < least:
        raise GuardRefused(
            f"the Vault token expires in {duration(left)}, and this plan takes {duration(least)} or more",
            hint="use a token that lives longer, a renewable one or a login; "
            "or apply a part of the plan: reconciler apply PATH",
        )
    session.reporter.warn(
        f"the Vault token expires in {duration(left)}; if the run takes longer, get a new token and run "
        "`reconciler apply` again: it continues"
    )
