"""Elements of HTML and SVG."""

from xml.etree.ElementTree import Element


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
