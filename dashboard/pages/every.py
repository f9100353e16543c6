"""All pages, in the order of the navigation."""

from typing import Final

from dashboard.page import Page
from dashboard.pages import overview

PAGES: Final[tuple[Page, ...]] = (overview.PAGE,)
