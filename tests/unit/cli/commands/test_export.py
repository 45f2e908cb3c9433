"""Where exported manifests refer to their schema."""

from __future__ import annotations

from pathlib import Path

from reconciler.cli.commands.export import schema_path


def test_the_schema_is_found_from_the_folder() -> None:
    """The path leads to where `init` puts it, or, elsewhere, to where it would be."""
    assert schema_path(Path("manifests")) == "../schemas/webhook.schema.json"
    assert schema_path(Path("manifests/prod")) == "../../schemas/webhook.schema.json"
    assert schema_path(Path("/elsewhere")) == "../schemas/webhook.schema.json"
    assert schema_path(Path("../other")) == "../schemas/webhook.schema.json"
