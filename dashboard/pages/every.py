"""All pages, in the order of the navigation."""

from typing import Final

from dashboard.page import Page
from dashboard.pages import alarms, energy, logistics, output, overview

PAGES: Final[tuple[Page, ...]] = (
    overview.PAGE,
    energy.PAGE,
    output.PAGE,
    logistics.PAGE,
    alarms.PAGE,
)
