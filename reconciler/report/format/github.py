"""GitHub's workflow commands, which annotate the lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from reconciler.model import Location


def command(
    level: str, title: str, message: str, place: Location | None = None, *, end_column: int | None = None
) -> str:
    """Return one workflow command and its newline.

    Args:
        level: `error`, `warning` or `notice`.
        title: the annotation's title.
        message: one or more lines.
        place: the file and line to annotate.
        end_column: the first column after the annotated text, if known.
    """
    properties = {"title": title}
    if place is not None:
        where = {"file": place.path, "line": str(place.line), "col": str(place.column)}
        end = {} if end_column is None else {"endColumn": str(end_column)}
        properties = {**where, **end, **properties}
    # A colon or comma would end a property.
    listed = ",".join(
        f"{name}={visible(value).replace('%', '%25').replace(':', '%3A').replace(',', '%2C')}"
        for name, value in properties.items()
    )
    data = "%0A".join(visible(line).replace("%", "%25") for line in message.splitlines())
    return f"::{level} {listed}::{data}\n"
