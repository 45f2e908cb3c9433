"""Escape foreign text for a terminal: control and invisible characters become visible."""

from __future__ import annotations

_COMMAND = "##["
"""GitHub's runner accepts commands such as `##[add-mask]` anywhere in a log line."""


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
