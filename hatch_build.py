"""The parts of the package's metadata that depend on where the project is hosted.

`PROJECT_URL` is the repository, such as https://github.com/OWNER/webhook-reconciler, and `PROJECT_REF` the
tag or commit that is built. With both, the metadata has the project's URLs, and the links of the README are
absolute, so that they work on a package index. Without them, as in a clone, there are no URLs and the README
is as it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s]+)")


class HostingHook(MetadataHookInterface):
    """Adds the URLs and the README."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add `urls` and `readme` to the metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        url, ref = os.environ.get("PROJECT_URL", "").rstrip("/"), os.environ.get("PROJECT_REF", "")
        if url and ref:
            text = _RELATIVE.sub(rf"{url}/blob/{ref}/\1", text)
            metadata["urls"] = {
                "Source": url,
                "Documentation": f"{url}/blob/{ref}/docs/README.md",
                "Changelog": f"{url}/blob/{ref}/CHANGELOG.md",
                "Issues": f"{url}/issues",
                "Security": f"{url}/blob/{ref}/SECURITY.md",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
