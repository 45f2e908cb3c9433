"""What a child process inherits: it needs none of our credentials, so only the variables listed here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TMPDIR|TZ|XDG_CONFIG_HOME"
    # Where git's repository and configuration are; not GIT_CONFIG_VALUE_*, which may hold a token.
    r"|GIT_(?:DIR|WORK_TREE|CEILING_DIRECTORIES|CONFIG_(?:GLOBAL|SYSTEM|NOSYSTEM))"
)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that a child process gets."""
    return {name: value for name, value in environ.items() if _INHERITED.fullmatch(name)}
