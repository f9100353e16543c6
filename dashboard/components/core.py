"""Dash's interactive components, taken the same way as the HTML elements."""

from typing import Final, cast

from dash import dcc

from dashboard.components.html import Element

Graph: Final = cast("Element", dcc.Graph)
Input: Final = cast("Element", dcc.Input)
Interval: Final = cast("Element", dcc.Interval)
Link: Final = cast("Element", dcc.Link)
Location: Final = cast("Element", dcc.Location)
Store: Final = cast("Element", dcc.Store)
Textarea: Final = cast("Element", dcc.Textarea)
Upload: Final = cast("Element", dcc.Upload)
