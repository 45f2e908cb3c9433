"""Foreign text on a terminal: what would steer the terminal, or hide, becomes a visible escape."""

from __future__ import annotations


def visible(text: object) -> str:
    r"""Return `text` as one line that a terminal shows letter by letter.

    Control characters (so: newlines, ANSI sequences), bidirectional overrides, zero-width and other
    invisible characters, unusual spaces and lone surrogates become escapes such as `\x1b` or `\u202e`.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
