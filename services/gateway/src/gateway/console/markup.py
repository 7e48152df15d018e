"""HTML, made of elements: the one place where text becomes markup, and where it is escaped.

Names, metadata, addresses and documents come from Nacos, and whoever may write there chooses them.
Whatever is no `Markup` is escaped here, bounded, and rid of characters that change how the text
around them is shown. So a page that is built by `element` has no way past the escaping.
"""

import unicodedata
from collections.abc import Iterable
from html import escape

MAX_TEXT = 2000
"""Characters of one text; of a longer one the beginning is shown."""
_VOID = frozenset({"br", "input", "link", "meta"})
_PLAIN = frozenset("\n\t")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Part = Markup | str | int | float | None | Iterable["Part"]
"""What an element can hold: markup as it is, all other text escaped, nothing for None."""


def element(tag: str, /, *parts: Part, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    Args:
        tag: name of the element.
        parts: what it holds.
        attributes: by name, where `class_` stands for `class` and `data_x` for `data-x`; True is
            an attribute without a value, False and None are none.
    """
    told = "".join(
        f" {name}" if value is True else f' {name}="{_escaped(str(value))}"'
        for name, value in ((_spelled(key), value) for key, value in attributes.items())
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Markup(f"<{tag}{told}>")
    return Markup(f"<{tag}{told}>{joined(parts)}</{tag}>")


def joined(parts: Iterable[Part]) -> Markup:
    """Return parts one after the other."""
    return Markup("".join(map(_rendered, parts)))


def visible(text: str) -> str:
    """Return text whose invisible characters are spelled, and whose length is bounded.

    Controls, and the marks that turn the direction of the text after them, could make one name
    look like another.
    """
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{ord(one):04x}" if unicodedata.category(one)[0] == "C" and one not in _PLAIN else one
        for one in text
    )


def _rendered(part: Part) -> str:
    match part:
        case Markup():
            return part
        case None:
            return ""
        case str() | int() | float():
            return _escaped(str(part))
        case _:
            return joined(part)


def _escaped(text: str) -> str:
    return escape(visible(text))


def _spelled(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
