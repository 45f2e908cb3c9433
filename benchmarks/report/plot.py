"""Plot the time of a command by fleet size, on logarithmic scales, as an SVG for light and dark pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.measuring import Sample

    Point = tuple[int, float]
    Series = Mapping[str, Sequence[Point]]

_WIDTH, _HEIGHT = 760, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 148, 62, 58
_LABEL_WIDTH, _LABEL_HEIGHT = 110, 15
_OPENING = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
    ' aria-labelledby="title desc">'
)
_TITLE = "Time of a whole command by fleet size"
# Colours for light and dark pages, and a dash pattern, so that nothing depends on colour alone.
_STYLES = {
    "plan": ("#0969da", "#58a6ff", "none"),
    "validate": ("#1a7f37", "#3fb950", "none"),
    "CSafeLoader": ("#57606a", "#9198a1", "6 3"),
    "octoDNS 1.22": ("#bc4c00", "#f0883e", "2 3"),
    "terraform 0.15": ("#8250df", "#bc8cff", "8 3 2 3"),
    "ansible's uri loop": ("#cf222e", "#ff7b72", "4 4"),
}
_OTHER = ("#57606a", "#9198a1", "1 2")
_CSS = """\
.paper {{ fill: #ffffff; }} .ink {{ fill: #1f2328; }} .grid {{ stroke: #d1d9e0; }}
text {{ font: 12px system-ui, sans-serif; }} .heading {{ font-size: 15px; font-weight: 600; }}
path {{ fill: none; stroke-width: 2; }}
{light}
@media (prefers-color-scheme: dark) {{
.paper {{ fill: #0d1117; }} .ink {{ fill: #f0f6fc; }} .grid {{ stroke: #3d444d; }}
{dark}
}}"""


def write_plot(path: Path, growth: Mapping[str, Mapping[int, Sample]]) -> None:
    """Write the plot of all series; without any measurement, write nothing."""
    series = {
        name: [(size, sample.seconds) for size, sample in sorted(points.items())]
        for name, points in growth.items()
    }
    if series:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(draw(series), encoding="utf-8")


def draw(series: Series) -> str:
    """Return the SVG of at least one series of at least one point: webhooks and seconds."""
    points = [point for those in series.values() for point in those]
    across = _Axis.over((size for size, _ in points), _LEFT, _WIDTH - _RIGHT)
    up = _Axis.over((seconds for _, seconds in points), _HEIGHT - _BOTTOM, _TOP)
    return "\n".join(
        [
            _OPENING,
            f'<title id="title">{_TITLE}</title>',
            f'<desc id="desc">{escape(_describe(series))}</desc>',
            f"<style>\n{_style(series)}\n</style>",
            f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
            _text(_LEFT, 28, _TITLE, "ink heading"),
            _text(_LEFT, 47, "both scales are logarithmic; lower is faster", "ink"),
            *_grid(across, up),
            *_lines(series, across, up),
            *_labels(series, across, up),
            "</svg>\n",
        ]
    )


@dataclass(frozen=True)
class _Axis:
    """A logarithmic scale over whole decades."""

    first: int
    """The power of ten at `begin`."""
    last: int
    begin: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], begin: float, end: float) -> _Axis:
        logs = [math.log10(value) for value in values]
        first = math.floor(min(logs))
        return cls(first, max(first + 1, math.ceil(max(logs))), begin, end)

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.first) / (self.last - self.first)
        return round(self.begin + share * (self.end - self.begin), 1)

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.first, self.last + 1)]


def _grid(across: _Axis, up: _Axis) -> list[str]:
    drawn = []
    for size in across.decades:
        x = across.place(size)
        drawn.append(_rule(x, up.begin, x, up.end))
        drawn.append(_text(x, up.begin + 18, f"{size:,.0f}", "ink", "middle"))
    for seconds in up.decades:
        y = up.place(seconds)
        drawn.append(_rule(across.begin, y, across.end, y))
        drawn.append(_text(across.begin - 8, y + 4, _duration(seconds), "ink", "end"))
    middle = (across.begin + across.end) / 2
    return [
        *drawn,
        _text(middle, up.begin + 42, "webhooks (records, data sources, requests)", "ink", "middle"),
    ]


def _lines(series: Series, across: _Axis, up: _Axis) -> list[str]:
    drawn = []
    for number, points in enumerate(series.values()):
        places = [f"{across.place(size)},{up.place(seconds)}" for size, seconds in points]
        drawn.append(f'<path class="s{number}" d="M{" L".join(places)}"/>')
        for place in places:
            x, y = place.split(",")
            drawn.append(f'<circle class="f{number}" cx="{x}" cy="{y}" r="3.5"/>')
    return drawn


def _labels(series: Series, across: _Axis, up: _Axis) -> list[str]:
    """Label each line beside its end, or above it if it ends early; move labels that would overlap."""
    ends = sorted(
        (up.place(points[-1][1]), across.place(points[-1][0]), number, name)
        for number, (name, points) in enumerate(series.items())
    )
    taken: list[tuple[float, float]] = []
    drawn = []
    for end_y, x, number, name in ends:
        early = x < across.end
        y = end_y - _LABEL_HEIGHT if early else end_y
        while any(abs(x - tx) < _LABEL_WIDTH and abs(y - ty) < _LABEL_HEIGHT for tx, ty in taken):
            y += 1
        taken.append((x, y))
        place, anchor = (x, "middle") if early else (x + 9, "start")
        drawn.append(_text(place, y + 4, name, f"f{number}", anchor))
    return drawn


def _style(series: Series) -> str:
    light, dark = [], []
    for number, name in enumerate(series):
        on_light, on_dark, dash = _STYLES.get(name, _OTHER)
        light.append(f".s{number} {{ stroke: {on_light}; stroke-dasharray: {dash}; }}")
        light.append(f".f{number} {{ fill: {on_light}; }}")
        dark.append(f".s{number} {{ stroke: {on_dark}; }} .f{number} {{ fill: {on_dark}; }}")
    return _CSS.format(light="\n".join(light), dark="\n".join(dark))


def _describe(series: Series) -> str:
    return " ".join(
        f"{name}: " + ", ".join(f"{size:,} in {_duration(seconds)}" for size, seconds in points) + "."
        for name, points in series.items()
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
