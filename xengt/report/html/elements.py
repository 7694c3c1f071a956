"""HTML and SVG elements. All text is escaped when a page is written."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, tostring

from xengt.report.html.stylesheet import STYLE


def el(tag: str, *children: Element | str, **attributes: object) -> Element:
    """Make an element.

    Args:
        tag: the name of the element.
        children: elements and text, in order.
        attributes: the attributes by name. `_` stands for `-`, and one at the end of a name is
            dropped (`class_`). Floating-point values are rounded to two decimals. None omits the
            attribute.
    """
    element = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            element.set(name.rstrip("_").replace("_", "-"), str(text))
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    return element


def page(title: str, *body: Element) -> str:
    """Return a self-contained page, without scripts and without external resources.

    Args:
        title: the title of the browser window.
        body: the elements of the page.
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        # Without an icon, a browser requests /favicon.ico from the server.
        el("link", rel="icon", href="data:,"),
        el("title", title),
        el("style", STYLE),
    )
    html = el("html", head, el("body", el("main", *body)), lang="en")
    return "<!DOCTYPE html>\n" + tostring(html, encoding="unicode", method="html") + "\n"


def table(caption: str, head: Element, rows: Sequence[Element]) -> Element:
    """Make a table that scrolls horizontally on a narrow screen.

    Args:
        caption: the text above the table.
        head: the row of column titles.
        rows: the other rows.
    """
    scrolling_table = el(
        "div",
        el("table", el("thead", head), el("tbody", *rows)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )
    return el("div", el("p", caption, class_="note"), scrolling_table)
