"""One panel of a chart: axes, curves labelled at their right end, dashed reference lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from xengt.report.elements import el
from xengt.report.svg.scale import Scale

WIDTH, HEIGHT = 360.0, 246.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 308.0, 12.0, 204.0
"""The plotting area within a panel of `WIDTH` by `HEIGHT`, in the units of the SVG view box."""
_LINE_HEIGHT = 13.0
_LABEL_GAP = 6.0
_VISIBLE_DISTANCE = 0.4


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a panel.

    Args:
        scale: the scale from values to coordinates.
        ticks: the values that have a grid line and a label, with their labels.
        title: the quantity, and its unit if the labels have none.
    """

    scale: Scale
    ticks: Sequence[tuple[float, str]]
    title: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a panel.

    Args:
        label: the text at the right end of the curve.
        css_class: the CSS class that sets the colour.
        points: the points in values of the axes, from left to right.
        steps: whether each value holds until the next point.
        dots: whether each point is marked, for curves of few measured points.
    """

    label: str
    css_class: str
    points: Sequence[tuple[float, float]]
    steps: bool = False
    dots: bool = False


@dataclass(frozen=True, slots=True)
class ReferenceLine:
    """A dashed horizontal line at a value of the vertical axis.

    Args:
        value: the value of the vertical axis.
        label: the text at the right end of the line.
        css_class: the CSS class that sets the colour; "" for a neutral colour.
        label_below: whether the label is below the line instead of above it.
    """

    value: float
    label: str
    css_class: str = ""
    label_below: bool = False


def draw_panel(
    name: str,
    title: str,
    description: str,
    axes: tuple[Axis, Axis],
    *,
    curves: Sequence[Curve],
    reference_lines: Sequence[ReferenceLine] = (),
) -> Element:
    """Draw one panel.

    Args:
        name: a name that is unique on the page, the prefix of ids.
        title: the title for screen readers.
        description: the content in words, for screen readers.
        axes: the horizontal and the vertical axis.
        curves: the curves, at least one.
        reference_lines: dashed lines, such as the measurement overhead.
    """
    x_axis, y_axis = axes
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", description, id=f"{name}-desc"),
        *_draw_axes(x_axis, y_axis),
        *(
            element
            for line in reference_lines
            for element in _draw_reference_line(line, y_axis.scale)
        ),
        *(_draw_curve(curve, x_axis.scale, y_axis.scale) for curve in curves),
        *_draw_labels(curves, y_axis.scale),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _draw_axes(x_axis: Axis, y_axis: Axis) -> list[Element]:
    elements = []
    for value, label in y_axis.ticks:
        y = y_axis.scale(value)
        elements.append(el("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_="grid"))
        elements.append(el("text", label, x=LEFT - _LABEL_GAP, y=y + 4, class_="tick y-label"))
    for value, label in x_axis.ticks:
        x = x_axis.scale(value)
        elements.append(el("line", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 4, class_="axis"))
        elements.append(el("text", label, x=x, y=BOTTOM + 17, class_="tick x-label"))
    elements.append(el("line", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM, class_="axis"))
    middle = (LEFT + RIGHT) / 2
    elements.append(el("text", x_axis.title, x=middle, y=HEIGHT - 6, class_="tick x-label"))
    return elements


def _draw_reference_line(line: ReferenceLine, scale: Scale) -> list[Element]:
    y = scale(line.value)
    label_y = min(y + 12, BOTTOM - 3) if line.label_below else y - 4
    css_class = f"reference {line.css_class}".strip()
    return [
        el("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_=css_class),
        el("text", line.label, x=RIGHT, y=label_y, class_="reference-label"),
    ]


def _draw_curve(curve: Curve, x_scale: Scale, y_scale: Scale) -> Element:
    coordinates = [(x_scale(x), y_scale(y)) for x, y in curve.points]
    dots = [el("circle", cx=x, cy=y, r=3.0) for x, y in coordinates] if curve.dots else []
    path = el("path", d=_path(coordinates, curve.steps))
    return el("g", path, *dots, class_=f"mark {curve.css_class}")


def _path(coordinates: Sequence[tuple[float, float]], steps: bool) -> str:
    last, *rest = coordinates
    commands = [f"M{last[0]:.1f} {last[1]:.1f}"]
    for x, y in rest:
        # Thousands of histogram buckets may have the same coordinates: omit invisible segments.
        is_visible = max(abs(x - last[0]), abs(y - last[1])) >= _VISIBLE_DISTANCE
        if is_visible or (x, y) == rest[-1]:
            commands.append(f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f} {y:.1f}")
            last = x, y
    return "".join(commands)


def _draw_labels(curves: Sequence[Curve], y_scale: Scale) -> list[Element]:
    """Label the curves at their right ends, with overlapping labels moved apart."""
    ordered = sorted(curves, key=lambda curve: y_scale(curve.points[-1][1]))
    heights: list[float] = []
    for curve in ordered:
        end = y_scale(curve.points[-1][1])
        heights.append(max(end, heights[-1] + _LINE_HEIGHT) if heights else end)
    excess = max(0.0, heights[-1] - BOTTOM)
    return [
        el(
            "text",
            curve.label,
            x=RIGHT + _LABEL_GAP,
            y=height - excess + 4,
            class_=f"label {curve.css_class}",
        )
        for curve, height in zip(ordered, heights, strict=True)
    ]
