"""The keys of `custom_metadata` that are not ours, as Vault last showed them: a write must keep them."""

from __future__ import annotations

from reconciler.ledger.projection import other_keys
from reconciler.vault.metadata import entry_object


class OtherKeys:
    """Other people's keys, by document: reads and listings show them without a further request."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._by_name: dict[str, dict[str, str]] = {}
        self._all_listed = False

    def note(self, name: str, metadata: object) -> None:
        """Note the keys in a document's metadata, or in an entry of a listing."""
        self._by_name[name] = other_keys(entry_object(metadata).get("custom_metadata"))

    def note_listing(self) -> None:
        """Note that all documents were listed: a name that was not noted has no such keys."""
        self._all_listed = True

    def of(self, name: str) -> dict[str, str] | None:
        """Return a document's keys; None if nothing has shown them."""
        return self._by_name.get(name, {} if self._all_listed else None)
