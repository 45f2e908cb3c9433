"""Foreign text on a terminal: what would steer the terminal, or hide, becomes a visible escape."""

from __future__ import annotations

_COMMAND = "##["
"""What GitHub's runner takes for a command wherever in a line of a log it stands, such as `##[add-mask]`."""


def visible(text: object) -> str:
    r"""Return `text` as one line that a terminal shows letter by letter.

    Control characters (so: newlines, ANSI sequences), bidirectional overrides, zero-width and other
    invisible characters, unusual spaces and lone surrogates become escapes such as `\x1b` or `\u202e`.
    So does what would begin a command to GitHub's runner in the middle of a line: `##\x5b`.
    """
    text = str(text)
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
        )
    return text.replace(_COMMAND, "##\\x5b")
