"""Layout of text reports."""

from __future__ import annotations

from reconciler.report.format.style import wrapped


def test_long_lines_are_broken_between_words() -> None:
    """The rest is indented by two more columns; short lines stay as they are."""
    text = "short\n  ! the endpoint was changed outside of the repository by somebody\n"
    assert wrapped(text, 40) == (
        "short\n  ! the endpoint was changed outside of\n    the repository by somebody\n"
    )


def test_a_command_stays_in_one_piece() -> None:
    """What is between backticks can be copied."""
    text = "fix: `reconciler adopt a --id we_1` or remove it"
    assert wrapped(text, 30) == "fix:\n  `reconciler adopt a --id we_1`\n  or remove it"


def test_colours_take_no_columns_and_long_words_are_not_broken() -> None:
    """A URL is as long as it is."""
    painted = "\x1b[31m" + "x" * 40 + "\x1b[0m"
    assert wrapped(painted, 40) == painted
    assert wrapped("a " + "x" * 50, 40) == "a\n  " + "x" * 50
