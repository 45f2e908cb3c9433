"""The signing secrets that a receiver accepts, which follow a rotation without a restart.

They are read on a schedule, and again when a signature does not match: a new endpoint signs with a secret
that was not there at the last read. Forged requests do not match either, so those reads are limited. If a
source does not answer, what was read before stays in use.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.model import Secret
from reconciler.receiver.allowance import Allowance
from reconciler.receiver.signature import candidate_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Source = Callable[[str], Mapping[str, object]]
    """Returns the fields of a webhook's Vault document, by the webhook's name; raises if it cannot."""
    OnRead = Callable[[str, str | None], object]
    """Gets the webhook's name, and why the read failed (None: it did not)."""

_READS_AFTER_MISMATCH = 6
_SECONDS_PER_READ = 10.0
_LONGEST_WAIT = 3.0
_READERS = 8


class Known(Struct, frozen=True):
    """What is known of a webhook's secrets."""

    secrets: tuple[Secret, ...] = ()
    began_at: float = float("-inf")
    """When the read began that found them, on a clock that only goes forward."""


class KnownSecrets:
    """The secrets of some webhooks, from one source. Thread-safe."""

    def __init__(
        self,
        source: Source,
        webhooks: Sequence[str],
        *,
        every: float = 60.0,
        on_read: OnRead = lambda _webhook, _problem: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing yet.

        Args:
            source: where the secrets are.
            webhooks: the names of the webhooks.
            every: the seconds between reads on schedule.
            on_read: gets the result of each read.
            monotonic: the clock.
        """
        self.webhooks = tuple(webhooks)
        """The names of the webhooks."""
        self._source = source
        self._every = every
        self._on_read = on_read
        self._monotonic = monotonic
        self._known = dict.fromkeys(webhooks, Known())
        self._allowances = {
            webhook: Allowance(_READS_AFTER_MISMATCH, _SECONDS_PER_READ) for webhook in webhooks
        }
        self._reading = {webhook: threading.Lock() for webhook in webhooks}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="secrets", daemon=True)

    def __contains__(self, webhook: object) -> bool:
        return webhook in self._known

    def of(self, webhook: str) -> Known:
        """Return what is known; nothing is read."""
        return self._known[webhook]

    @property
    def unknown(self) -> list[str]:
        """The webhooks whose secrets could not be read yet."""
        return [webhook for webhook, known in self._known.items() if not known.secrets]

    def start(self) -> None:
        """Read all secrets, and go on reading them on schedule in a thread."""
        self._read_all()
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()

    def read(self, webhook: str) -> None:
        """Read the secrets of a webhook now; if that fails, those that are known stay."""
        with self._reading[webhook]:
            self._read(webhook)

    def may_read_after_mismatch(self, webhook: str) -> bool:
        """Whether a signature that does not match may cause a read now; nothing is counted yet."""
        return self._allowances[webhook].is_left(self._monotonic())

    def read_after_mismatch(self, webhook: str) -> None:
        """Read the secrets because a signature did not match, if that is still allowed.

        While a read is under way that takes long, such as when Vault is down, give up after a few seconds.
        """
        if not self._reading[webhook].acquire(timeout=_LONGEST_WAIT):
            return
        try:
            if self._allowances[webhook].take(self._monotonic()):
                self._read(webhook)
        finally:
            self._reading[webhook].release()

    def _read(self, webhook: str) -> None:
        began_at = self._monotonic()
        problem = None
        secrets: tuple[Secret, ...] = ()
        try:
            secrets = tuple(Secret(text) for text in candidate_secrets(self._source(webhook)))
        except Exception as error:  # noqa: BLE001 (a source of others; its text might quote a secret)
            problem = getattr(error, "message", None) or type(error).__name__
        else:
            if not secrets:
                problem = "no signing secret found"
        before = self._known[webhook]
        self._known[webhook] = Known(secrets or before.secrets, began_at)
        self._on_read(webhook, problem)

    def _follow(self) -> None:
        while not self._stop.wait(self._every):
            self._read_all()

    def _read_all(self) -> None:
        """Side by side: a source that does not answer takes its time for each."""
        with ThreadPoolExecutor(_READERS, thread_name_prefix="secrets") as pool:
            for _ in pool.map(self.read, self.webhooks):
                pass
