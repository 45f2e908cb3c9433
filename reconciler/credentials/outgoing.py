"""The way out for all texts: masked, and without commands for a CI runner."""

from __future__ import annotations

import re

from reconciler.credentials.known import KNOWN

_ANY_COMMAND = re.compile(r"(##(?:vso|teamcity)?)\[")
"""GitHub's runner, Azure Pipelines and TeamCity accept these commands anywhere in a line."""
_COMMAND_LINE = re.compile(r"(?:^|(?<=\r))([^\S\r\n]*):(?=:)", re.MULTILINE)
"""A line that begins with `::`, after spaces of any kind, is a command for GitHub's runner."""


def outgoing(text: str, *, commands: bool = False) -> str:
    r"""Return `text` without the run's secrets and, unless it consists of our own, without commands.

    `::` at the beginning of a line becomes `\x3a:`. `##[` becomes `##\u005b`, which JSON reads as the same.
    """
    text = KNOWN.mask(text)
    if commands:
        return text
    text = _COMMAND_LINE.sub(r"\1\\x3a", text) if "::" in text else text
    return _ANY_COMMAND.sub(r"\1\\u005b", text) if "##" in text else text
