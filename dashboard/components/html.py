"""HTML elements that take any attribute.

Dash types each element's attributes one by one, which shuts out ``data-*`` and ``aria-*`` given as
a mapping; here an element is simply a function to a component.
"""

from collections.abc import Callable
from typing import Final, TypeAlias, cast

from dash import html
from dash.development.base_component import Component

Element: TypeAlias = Callable[..., Component]


def _element(name: str) -> Element:
    return cast("Element", getattr(html, name))


A: Final = _element("A")
B: Final = _element("B")
Button: Final = _element("Button")
Br: Final = _element("Br")
Code: Final = _element("Code")
Datalist: Final = _element("Datalist")
Dd: Final = _element("Dd")
Details: Final = _element("Details")
Div: Final = _element("Div")
Dl: Final = _element("Dl")
Dt: Final = _element("Dt")
Fieldset: Final = _element("Fieldset")
H1: Final = _element("H1")
H2: Final = _element("H2")
H3: Final = _element("H3")
Header: Final = _element("Header")
I: Final = _element("I")  # noqa: E741 - the element's name
Label: Final = _element("Label")
Legend: Final = _element("Legend")
Li: Final = _element("Li")
Main: Final = _element("Main")
Nav: Final = _element("Nav")
Ol: Final = _element("Ol")
Option: Final = _element("Option")
P: Final = _element("P")
Pre: Final = _element("Pre")
Progress: Final = _element("Progress")
Section: Final = _element("Section")
Small: Final = _element("Small")
Span: Final = _element("Span")
Strong: Final = _element("Strong")
Summary: Final = _element("Summary")
Table: Final = _element("Table")
Tbody: Final = _element("Tbody")
Td: Final = _element("Td")
Th: Final = _element("Th")
Thead: Final = _element("Thead")
Tr: Final = _element("Tr")
Ul: Final = _element("Ul")
