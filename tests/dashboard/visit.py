"""How a test comes to a page: by its address, or on from another one."""

from urllib.parse import urlsplit

from playwright.sync_api import Page

LEAVE = """to => {
    document.querySelector('.view').dataset.left = '';
    history.pushState({}, '', to);
    dispatchEvent(new PopStateEvent('popstate'));
}"""


def opened(page: Page, site: str, path: str) -> None:
    """Load a page."""
    page.goto(site + path)
    page.wait_for_selector(".view h1", state="attached")


def walked(page: Page, site: str, path: str) -> None:
    """Go on to a page as a link does; the first one, and another query of the same, is loaded."""
    if not page.url.startswith(site) or urlsplit(page.url).path == urlsplit(path).path:
        opened(page, site, path)
        return
    page.evaluate(LEAVE, path)
    page.wait_for_selector(".view:not([data-left]) h1", state="attached")
