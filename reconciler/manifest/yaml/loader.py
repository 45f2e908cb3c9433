"""YAML to plain values and their places: `plain` reads most files, and libyaml judges the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.manifest.yaml.document import YamlDocument
from reconciler.manifest.yaml.plain import parse_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"


def parse(data: bytes) -> Iterator[YamlDocument]:
    """Yield the documents of one file, without the empty ones.

    Raises:
        YamlRefused: the file is not UTF-8 or not YAML, or exceeds a limit; after the documents before it.
    """
    data = data.removeprefix(_BOM)
    plain = parse_plain(data)
    if plain is None:
        from reconciler.manifest.yaml.nodes import parse_nodes  # noqa: PLC0415 (loads libyaml; few files need it)

        yield from parse_nodes(data)
        return
    for value, text, before, above in plain:
        yield YamlDocument.of_text(value, text, before, above + 1)
