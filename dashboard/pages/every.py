"""All pages, in the order of the navigation; of two that match an address the first one counts."""

from typing import Final

from dashboard.page import Page
from dashboard.pages import alarms, compare, energy, logistics, output, overview, run, whatif

PAGES: Final[tuple[Page, ...]] = (
    overview.PAGE,
    energy.PAGE,
    output.PAGE,
    logistics.PAGE,
    alarms.PAGE,
    whatif.PAGE,
    compare.PAGE,
    run.PAGE,
)
