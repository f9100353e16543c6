"""Every page in a real browser: it fits its screen, and people with aids can use it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from visit import opened, walked

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
OF_THE_THEME = ["color-contrast", "link-in-text-block"]
"""Rules of axe that look at colours; all others see the same in both themes."""
PATHS = [
    "/",
    "/energy",
    "/output",
    "/logistics",
    "/alarms",
    "/endpoints",
    "/endpoints/new",
    "/endpoints/new?of=hoaphat-plc",
    "/endpoints/hoaphat-plc",
    "/whatif",
    "/whatif/run-0003",
    "/whatif/compare",
    "/asset/nippon/main/l1",
    "/tag/acme/main/l1/p01/active_power",
    "/asset/ss1/t1",
]
NARROW = ("/energy", "/output", "/endpoints", "/whatif", "/whatif/run-0003", "/asset/ss1/t1")
"""Pages whose tables fit a small screen too; those of the others are scrolled there."""
WITH_TABLES = {*NARROW, "/logistics"}


def cut_off(page: Page, path: str) -> list[str]:
    """Tables that are wider than their place."""
    if path in WITH_TABLES:
        expect(page.locator(".table").first).to_be_visible()
    found: list[str] = page.evaluate(
        "Array.from(document.querySelectorAll('.table'))"
        ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute('aria-label'))"
    )
    return found


@pytest.mark.parametrize(
    ("width", "paths", "come"), [(390, PATHS, opened), (768, NARROW, walked), (1024, PATHS, walked)]
)
def test_no_page_is_wider_than_a_small_screen_and_no_table_is_cut_off_there(
    page: Page, site: str, width: int, paths, come
):
    page.set_viewport_size({"width": width, "height": 844})
    wide = []
    for path in paths:
        come(page, site, in_language(path, "vi"))
        cut = cut_off(page, path) if path in NARROW else []
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0 or cut:
            wide.append((path, over, cut))
    assert wide == []


@pytest.mark.parametrize("language", ["vi", "en"])
def test_axe_finds_nothing_serious_in_either_theme_and_no_table_is_cut_off_on_a_desk_screen(
    page: Page, site: str, language: str
):
    page.emulate_media(reduced_motion="reduce")
    found, cut = [], []
    for path in PATHS:
        walked(page, site, in_language(path, language))
        cut += [(path, table) for table in cut_off(page, path)]
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE)
        found += [(path, *each) for each in serious(page)]
        page.click("#theme-switch")
        found += [(path, "other theme", *each) for each in serious(page, *OF_THE_THEME)]
    assert (found, cut) == ([], [])


def in_language(path: str, language: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}lang={language}"


def serious(page: Page, *rules: str) -> list[tuple[str, str]]:
    """What axe finds, by all its rules or by some."""
    violations = page.evaluate(
        "async rules => (await axe.run(document, {resultTypes: ['violations'],"
        " ...(rules.length && {runOnly: rules})})).violations"
        ".filter(v => ['serious', 'critical'].includes(v.impact))"
        ".map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')])",
        list(rules),
    )
    return [tuple(each) for each in violations]
