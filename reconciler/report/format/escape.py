"""Escape foreign text for a terminal: control and invisible characters become visible."""

from __future__ import annotations

import re

_COMMAND = "##["
"""GitHub's runner accepts commands such as `##[add-mask]` anywhere in a log line."""
_ANY_COMMAND = re.compile(r"(##(?:vso|teamcity)?)\[")
"""Those of Azure Pipelines and TeamCity, too."""
_COMMAND_LINE = re.compile(r"(?:^|(?<=\r))([^\S\r\n]*):(?=:)", re.MULTILINE)
"""A line that begins with `::`, after spaces of any kind, is a command for GitHub's runner."""


def visible(text: object) -> str:
    r"""Return `text` as one line of printable characters.

    Control characters (including newlines and ANSI sequences), bidirectional overrides, zero-width and
    other invisible characters, unusual spaces and lone surrogates become escapes such as `\x1b` or
    `\u202e`. `##[`, which starts a command for GitHub's runner, becomes `##\x5b`.
    """
    text = str(text)
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
        )
    return text.replace(_COMMAND, "##\\x5b")


def without_commands(text: str) -> str:
    r"""Return a text of several lines in which none is a command for a CI runner.

    `::` at the beginning of a line becomes `\x3a:`. `##[` becomes `##\u005b`, which JSON reads as the same.
    """
    text = _COMMAND_LINE.sub(r"\1\\x3a", text) if "::" in text else text
    return _ANY_COMMAND.sub(r"\1\\u005b", text) if "##" in text else text
