"""HTML and SVG elements: what is text can only ever become text."""

from xml.etree.ElementTree import Element, tostring

from xengt.report.html.stylesheet import STYLE


def el(tag: str, *children: Element | str, **attributes: object) -> Element:
    """Make an element.

    Args:
        tag: its name.
        children: elements and text, in order. Text is escaped when written.
        attributes: by name; `_` stands for `-`, one at the end is dropped
            (`class_`), numbers are rounded to what a picture can show, and
            None leaves the attribute out.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            made.set(name.rstrip("_").replace("_", "-"), str(text))
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + child
        else:
            made.text = (made.text or "") + child
    return made


def page(title: str, *body: Element) -> str:
    """Write a page that holds all it needs: no script, and nothing loaded from elsewhere.

    Args:
        title: of the window.
        body: what the page shows.
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        # Without it a browser asks the page's server for an icon.
        el("link", rel="icon", href="data:,"),
        el("title", title),
        el("style", STYLE),
    )
    html = el("html", head, el("body", el("main", *body)), lang="en")
    return "<!DOCTYPE html>\n" + tostring(html, encoding="unicode", method="html") + "\n"
