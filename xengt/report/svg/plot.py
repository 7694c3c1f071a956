"""One panel of a picture: axes, lines labelled where they end, and dashed levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from xengt.report.html.elements import el
from xengt.report.svg.scale import Scale

WIDTH, HEIGHT = 360.0, 246.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 308.0, 12.0, 204.0
_LINE_HEIGHT = 13.0
_LABEL_GAP = 6.0
_VISIBLE = 0.4


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a panel.

    Args:
        scale: where its values lie.
        ticks: the values that get a line and a label, with the label.
        title: what the values are, and their unit where the labels have none.
    """

    scale: Scale
    ticks: Sequence[tuple[float, str]]
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel.

    Args:
        label: written where the line ends.
        kind: the class that gives it its colour.
        points: of the line, in values of the axes, left to right.
        steps: whether each value holds until the next.
        dots: whether the points themselves are shown: few measured points are, many are not.
    """

    label: str
    kind: str
    points: Sequence[tuple[float, float]]
    steps: bool = False
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """A dashed horizontal line.

    Args:
        value: of the vertical axis.
        label: written on it.
        kind: the class that gives it its colour; none is of nothing drawn in particular.
        under: whether the label stands under the line.
    """

    value: float
    label: str
    kind: str = ""
    under: bool = False


def panel(
    name: str,
    title: str,
    description: str,
    axes: tuple[Axis, Axis],
    *,
    lines: Sequence[Line],
    levels: Sequence[Level] = (),
) -> Element:
    """Draw one panel.

    Args:
        name: of the panel, unlike any other on the page.
        title: for who cannot see the picture.
        description: likewise: what the picture shows, in words.
        axes: the horizontal and the vertical one.
        lines: what is drawn, at least one.
        levels: dashed lines, such as the instrument's floor.
    """
    across, up = axes
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", description, id=f"{name}-desc"),
        *_grid(across, up),
        *(element for level in levels for element in _level(level, up.scale)),
        *(_drawn(line, across.scale, up.scale) for line in lines),
        *_labels(lines, up.scale),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _grid(across: Axis, up: Axis) -> list[Element]:
    drawn = []
    for value, label in up.ticks:
        y = up.scale(value)
        drawn.append(el("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_="grid"))
        drawn.append(el("text", label, x=LEFT - _LABEL_GAP, y=y + 4, class_="tick up"))
    for value, label in across.ticks:
        x = across.scale(value)
        drawn.append(el("line", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 4, class_="axis"))
        drawn.append(el("text", label, x=x, y=BOTTOM + 17, class_="tick across"))
    drawn.append(el("line", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM, class_="axis"))
    middle = (LEFT + RIGHT) / 2
    drawn.append(el("text", across.title, x=middle, y=HEIGHT - 6, class_="tick across"))
    return drawn


def _level(level: Level, scale: Scale) -> list[Element]:
    y = scale(level.value)
    label = min(y + 12, BOTTOM - 3) if level.under else y - 4
    return [
        el("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_=f"level {level.kind}".strip()),
        el("text", level.label, x=RIGHT, y=label, class_="level-label"),
    ]


def _drawn(line: Line, across: Scale, up: Scale) -> Element:
    places = [(across(x), up(y)) for x, y in line.points]
    dots = [el("circle", cx=x, cy=y, r=3.0) for x, y in places] if line.dots else []
    return el("g", el("path", d=_path(places, line.steps)), *dots, class_=f"mark {line.kind}")


def _path(places: Sequence[tuple[float, float]], steps: bool) -> str:
    last, *rest = places
    drawn = [f"M{last[0]:.1f} {last[1]:.1f}"]
    for x, y in rest:
        # Thousands of buckets fall on the same spot: draw only what can be seen.
        if max(abs(x - last[0]), abs(y - last[1])) >= _VISIBLE or (x, y) == rest[-1]:
            drawn.append(f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f} {y:.1f}")
            last = x, y
    return "".join(drawn)


def _labels(lines: Sequence[Line], up: Scale) -> list[Element]:
    """Label the lines at their ends, moved apart where they would overlap."""
    ordered = sorted(lines, key=lambda line: up(line.points[-1][1]))
    heights: list[float] = []
    for line in ordered:
        wanted = up(line.points[-1][1])
        heights.append(max(wanted, heights[-1] + _LINE_HEIGHT) if heights else wanted)
    excess = max(0.0, heights[-1] - BOTTOM)
    return [
        el(
            "text",
            line.label,
            x=RIGHT + _LABEL_GAP,
            y=height - excess + 4,
            class_=f"label {line.kind}",
        )
        for line, height in zip(ordered, heights, strict=True)
    ]
