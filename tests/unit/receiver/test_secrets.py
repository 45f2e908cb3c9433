"""Secrets that follow a rotation: what is read when, and what stays when a source does not answer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reconciler.errors import StoreError
from reconciler.model import Secret
from reconciler.receiver.allowance import Allowance
from reconciler.receiver.secrets import KnownSecrets
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping


class Source:
    """A source that a test changes."""

    def __init__(self, **fields: object) -> None:
        self.fields: Mapping[str, object] | Exception = fields
        self.reads = 0

    def __call__(self, webhook: str) -> Mapping[str, object]:
        self.reads += 1
        if isinstance(self.fields, Exception):
            raise self.fields
        return self.fields


def known(source: Source) -> tuple[KnownSecrets, list[tuple[str, str | None]]]:
    """Return the secrets of `ci`, and the list of the reads that they report."""
    reads: list[tuple[str, str | None]] = []
    return KnownSecrets(
        source, ["ci"], on_read=lambda *read: reads.append(read), monotonic=lambda: 0.0
    ), reads


def test_all_current_secrets_are_known() -> None:
    """The current, the pending and the previous secrets are candidates."""
    secrets, _ = known(Source(signing_secret="a", pending_signing_secret="b", previous_signing_secret="c"))
    assert secrets.unknown == ["ci"]
    secrets.read("ci")
    assert secrets.of("ci").secrets == (Secret("a"), Secret("b"), Secret("c"))
    assert secrets.unknown == []


def test_a_source_that_does_not_answer_changes_nothing() -> None:
    """When Vault is down, or a document has no secret, those that were read before stay in use."""
    source = Source(signing_secret="a")
    secrets, reads = known(source)
    secrets.read("ci")
    for fields in (
        StoreError("Vault does not answer"),
        ValueError("whsec_quoted"),
        {},
        {"signing_secret": 5},
    ):
        source.fields = fields
        secrets.read("ci")
        assert secrets.of("ci").secrets == (Secret("a"),)
    assert reads == [
        ("ci", None),
        ("ci", "Vault does not answer"),
        ("ci", "ValueError"),
        ("ci", "no signing secret found"),
        ("ci", "no signing secret found"),
    ]


def test_reads_after_a_mismatch_are_limited() -> None:
    """However many signatures do not match, the secrets are read a few times only."""
    source = Source(signing_secret="a")
    secrets, _ = known(source)
    for _ in range(300):
        secrets.read_after_mismatch("ci")
    assert source.reads == 6
    assert not secrets.may_read_after_mismatch("ci")


def test_an_allowance_grows_back() -> None:
    """After the burst, one is allowed in each period, and never more than the burst."""
    allowance = Allowance(2, 10.0)
    assert [allowance.take(0.0) for _ in range(3)] == [True, True, False]
    assert [allowance.take(now) for now in (9.0, 10.0, 11.0)] == [False, True, False]
    assert [allowance.take(1000.0) for _ in range(3)] == [True, True, False]


def test_secrets_are_read_side_by_side() -> None:
    """When Vault is down, a receiver of several webhooks waits for it once, not once for each."""
    together = threading.Barrier(3)

    def source(_webhook: str) -> Mapping[str, object]:
        together.wait(PATIENCE)
        return {"signing_secret": "a"}

    secrets = KnownSecrets(source, ["a", "b", "c"])
    secrets.start()
    secrets.stop()
    assert secrets.unknown == []


def test_secrets_are_read_on_schedule() -> None:
    """A thread reads them again and again until it is stopped."""
    read = threading.Semaphore(0)
    secrets = KnownSecrets(Source(signing_secret="a"), ["ci"], every=0.001, on_read=lambda *_: read.release())
    secrets.start()
    assert all(read.acquire(timeout=PATIENCE) for _ in range(5))
    secrets.stop()
