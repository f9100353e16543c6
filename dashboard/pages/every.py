"""All pages, in the order of the navigation; of two that match an address the first one counts."""

from typing import Final

from dashboard.page import Page
from dashboard.pages import (
    alarms,
    asset,
    certificates,
    compare,
    endpoints,
    energy,
    logistics,
    output,
    overview,
    register,
    run,
    tag,
    whatif,
)

PAGES: Final[tuple[Page, ...]] = (
    overview.PAGE,
    energy.PAGE,
    output.PAGE,
    logistics.PAGE,
    alarms.PAGE,
    endpoints.PAGE,
    whatif.PAGE,
    register.PAGE,
    certificates.PAGE,
    endpoints.DETAIL,
    compare.PAGE,
    run.PAGE,
    asset.PAGE,
    tag.PAGE,
)
