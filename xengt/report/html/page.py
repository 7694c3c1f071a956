"""Pages and tables of HTML. All text is escaped when a page is written."""

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, tostring

from xengt.report.elements import el
from xengt.report.html.stylesheet import STYLE


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


def list_section(title: str, texts: Sequence[str]) -> Iterator[Element]:
    """Yield a heading and a list, or nothing if the list is empty.

    Args:
        title: the heading.
        texts: the items of the list.
    """
    if texts:
        yield el("h2", title)
        yield el("ul", *(el("li", text) for text in texts))
