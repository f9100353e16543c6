"""The pages in a real browser: values move, things are done, nothing leaves the origin."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from visit import opened

pytestmark = pytest.mark.browser


def becomes(page: Page, truth: str) -> None:
    """Wait for an expression; the policy of the page forbids the way that evaluates text."""
    for _ in range(150):
        if page.evaluate(truth):
            return
        page.wait_for_timeout(100)
    raise AssertionError(truth)


def test_live_values_move_and_a_pause_holds_them(page: Page, site: str):
    opened(page, site, "/")
    clock = page.locator("[data-clock]")
    expect(clock).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    first = clock.inner_text()
    expect(clock).not_to_have_text(first)
    load = page.locator(".kpi [data-live='park.load_mw']")
    expect(load).to_have_text(re.compile(r"^\d\d\.\d$"))
    points = "document.querySelector('#overview-power .js-plotly-plot').data[0].x.length"
    before = page.evaluate(points)
    becomes(page, f"{points} > {before}")
    page.click("#pause-switch")
    expect(page.locator("html")).to_have_attribute("data-paused", "")
    held = clock.inner_text()
    page.wait_for_timeout(1500)
    expect(clock).to_have_text(held)
    page.click("#pause-switch")
    expect(clock).not_to_have_text(held)


def test_language_and_theme_switch_and_are_remembered(page: Page, site: str):
    opened(page, site, "/")
    expect(page.locator("h2").first).to_have_text("Headroom of the 110 kV station tonight")
    page.click("[data-language=vi]")
    expect(page.locator("h2").first).to_have_text("Trạm 110 kV tối nay còn tải thêm")
    expect(page.locator("html")).to_have_attribute("lang", "vi")
    expect(page).to_have_title(re.compile("Tổng quan"))
    expect(page.locator(".kpi [data-live='park.load_mw']")).to_have_text(re.compile(r"^\d\d,\d$"))
    line = "document.querySelector('#overview-power .js-plotly-plot').data[0].line.color"
    becomes(page, f"{line} === '#2F4858'")
    page.click("#theme-switch")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    becomes(page, f"{line}.toLowerCase() === '#c3d0d9'")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", "vi")


def test_pages_are_walked_without_loading_anew(page: Page, site: str):
    opened(page, site, "/")
    page.evaluate("window.stillHere = true")
    for name, title in (("energy", "Energy"), ("output", "Output"), ("alarms", "Alarms")):
        page.click(f"#nav-{name}")
        expect(page.locator("h1")).to_have_text(title)
    page.go_back()
    expect(page.locator("h1")).to_have_text("Output")
    assert page.evaluate("window.stillHere")


def test_a_span_is_kept_in_the_address(page: Page, site: str):
    opened(page, site, "/energy")
    page.click("text=Yesterday")
    expect(page).to_have_url(re.compile("span=yesterday"))
    expect(page.locator("h2", has_text="Station load (MVA), yesterday")).to_be_visible()


def test_an_alarm_is_acknowledged_with_name_and_note(page: Page, site: str):
    opened(page, site, "/alarms")
    row = page.locator(".ag-center-cols-container .ag-row", has_text="Feeder F07")
    expect(row).to_contain_text("not acknowledged")
    row_id = row.get_attribute("row-id")
    page.locator(f".ag-pinned-left-cols-container [row-id='{row_id}'] input").check()
    page.fill("#who", "Lan")
    page.fill("#alarms-note", "load moved to F08")
    page.click("#alarms-ack")
    expect(page.locator("#notice")).to_contain_text("Acknowledged: 1")
    expect(row).not_to_contain_text("not acknowledged")
    expect(row).to_contain_text("load moved to F08")


def test_shelving_without_a_reason_is_refused_with_a_remedy(page: Page, site: str):
    opened(page, site, "/alarms")
    page.locator(".ag-pinned-left-cols-container .ag-row input").first.check()
    page.click("#alarms-shelve")
    expect(page.locator("#notice")).to_contain_text("say why it is shelved")


def test_an_endpoint_is_tested_trusted_browsed_mapped_and_saved(page: Page, site: str):
    opened(page, site, "/endpoints/new")
    page.fill("#ep-url", "http://plc")
    page.fill("#ep-id", "new_plc")
    page.click("#ep-test")
    expect(page.locator("#ep-result")).to_contain_text("write opc.tcp://host:4840")
    page.fill("#ep-url", "opc.tcp://10.0.0.9:4840")
    page.get_by_role("button", name="Basic256Sha256").click()
    page.click("#ep-test")
    expect(page.locator("#ep-result")).to_contain_text("9F:86:D0:81")
    page.get_by_role("button", name="Trust it").click()
    expect(page.locator("#ep-result")).to_contain_text("Every step passed.")
    page.get_by_text("Browse by hand").click()
    page.click("#ep-browse")
    page.click(".tree-toggle >> text=Press")
    box = page.get_by_label("Tag path for Power")
    expect(box).to_have_value("acme/main/l1/p01/active_power")
    page.click("#ep-save")
    expect(page).to_have_url(re.compile("/endpoints/new_plc"))
    expect(page.locator("h1")).to_contain_text("new_plc")


def crawled(page: Page, site: str, name: str) -> None:
    """Walk the steps up to the proposals."""
    opened(page, site, "/endpoints/new")
    page.fill("#ep-url", f"opc.tcp://{name}:4840")
    page.fill("#ep-id", name)
    page.click("#ep-test")
    expect(page.locator("#ep-result")).to_contain_text("the strongest")
    page.get_by_role("button", name="Trust it").click()
    expect(page.locator("#ep-result")).to_contain_text("Every step passed.")
    page.click("#ep-crawl")
    expect(page.locator("#ep-crawl-view")).to_contain_text("Crawled")


def test_a_crawl_wants_a_tested_server_is_stopped_and_goes_on(page: Page, site: str):
    opened(page, site, "/endpoints/new")
    page.fill("#ep-url", "opc.tcp://stopped:4840")
    page.fill("#ep-id", "stopped")
    page.click("#ep-crawl")
    expect(page.locator("#ep-crawl-view")).to_contain_text("test it first")
    page.get_by_role("button", name="None (unprotected)").click()
    page.click("#ep-crawl")
    expect(page.locator("#ep-crawl-view")).to_contain_text("Crawling")
    expect(page.locator("#ep-crawl-view")).to_contain_text("412")
    page.click("#ep-crawl-stop")
    expect(page.locator("#ep-crawl-view")).to_contain_text("goes on from here")
    page.click("#ep-crawl")
    expect(page.locator("#ep-crawl-view")).to_contain_text("Crawled")
    expect(page.locator("#ep-proposals tbody tr")).to_have_count(15)


def test_proposals_are_filtered_accepted_refused_edited_and_undone(page: Page, site: str):
    crawled(page, site, "mapped_plc")
    tally = page.locator(".tally")
    expect(tally).to_contain_text("open: 96")
    page.click("#ep-accept-all")
    expect(tally).to_contain_text("accepted: 11")
    first = page.locator("#ep-proposals tbody tr").first
    expect(first).to_contain_text("kW")
    first.get_by_role("button", name="Refuse").click()
    expect(tally).to_contain_text("refused: 1")
    page.click("#ep-undo")
    expect(tally).not_to_contain_text("refused")
    unit = first.get_by_label(re.compile("Unit at source"))
    unit.fill("A")
    unit.press("Tab")
    page.click("#ep-review-run")
    review = page.locator("#ep-review")
    expect(review).to_contain_text("name the unit at the source")
    expect(review).to_contain_text("added: 11")
    expect(review).to_contain_text("Goes on under the new name, nothing is lost.")
    page.click("#ep-undo")
    expect(review).to_contain_text("Not checked yet")
    page.get_by_role("button", name="≥ 80 %").click()
    expect(page.locator("#ep-proposals")).to_contain_text("91 %")
    page.fill("#ep-find", "Máy ép 03")
    expect(page.locator("#ep-proposals tbody tr")).to_have_count(1)
    page.click("#ep-save")
    expect(page).to_have_url(re.compile("/endpoints/mapped_plc"))


def test_a_tag_list_is_compared_taken_over_and_downloaded(page: Page, site: str, tmp_path: Path):
    opened(page, site, "/endpoints/new?of=hoaphat-plc")
    page.fill("#ep-paste", "nothing we know")
    page.click("#ep-compare")
    expect(page.locator("#ep-list-view")).to_contain_text("name its columns")
    node, path = "nsu=urn:a;s=Lò 1.Điện", "vsip1/hoaphat/main/l1/p01/active_power"
    file = tmp_path / "tags.csv"
    file.write_text(f"node,path,unit\n{node},{path},W\nbroken\n", encoding="utf-8")
    page.set_input_files("#ep-file input[type=file]", file)
    expect(page.locator("#ep-list-view")).to_contain_text("1 changes, 0 the same, 1 rows left out")
    expect(page.locator("#ep-list-view")).to_contain_text("browse it")
    page.get_by_role("button", name="Take over").click()
    expect(page.locator("#ep-proposals")).to_contain_text("Lò 1.Điện")
    page.click("#ep-save")
    expect(page).to_have_url(re.compile("/endpoints/hoaphat-plc"))
    opened(page, site, "/endpoints/new?of=hoaphat-plc")
    with page.expect_download() as download:
        page.get_by_role("link", name="Tag list (CSV)").click()
    assert node in Path(download.value.path()).read_text(encoding="utf-8-sig")


def test_a_list_too_large_for_a_page_is_told_with_another_way(
    page: Page, site: str, tmp_path: Path
):
    opened(page, site, "/endpoints/new?of=hoaphat-plc")
    file = tmp_path / "large.csv"
    file.write_bytes(b"x" * 800_000)
    page.set_input_files("#ep-file input[type=file]", file)
    expect(page.locator("#ep-list-view")).to_contain_text("a page takes 700 kB")
    expect(page.locator("#ep-list-view")).to_contain_text("endpoint map ID --from FILE")


def test_a_certificate_is_trusted_taken_back_and_ours_renewed(page: Page, site: str):
    opened(page, site, "/certificates")
    expect(page.locator("#cert-cards")).to_contain_text("expired 1 days ago")
    expect(page.locator("#cert-cards")).to_contain_text("made for plc1, not for 10.0.0.5")
    assert page.get_by_role("link", name="Download (DER)").get_attribute("href").endswith("own.der")
    page.get_by_role("button", name="Trust", exact=True).click()
    expect(page.locator("#cert-result")).to_contain_text("is trusted")
    page.get_by_role("button", name="Trust no longer").click()
    expect(page.locator("#cert-result")).to_contain_text("is trusted no longer")
    expect(page.get_by_role("button", name="Trust", exact=True)).to_be_visible()
    page.get_by_role("button", name="Renew").click()
    expect(page.locator("#cert-result")).to_contain_text("1 server(s) do not take it yet")
    page.get_by_text("Siemens S7-1500").click()
    expect(page.get_by_text("add the certificate to the trusted clients")).to_be_visible()


def test_a_server_that_names_no_policy_is_tried_with_the_strongest(page: Page, site: str):
    opened(page, site, "/endpoints/new")
    page.fill("#ep-url", "opc.tcp://10.0.0.9:4840")
    page.fill("#ep-id", "strong_plc")
    page.click("#ep-test")
    expect(page.locator("#ep-result")).to_contain_text("9F:86:D0:81")
    page.get_by_role("button", name="Trust it").click()
    expect(page.locator("#ep-result")).to_contain_text("Every step passed.")


def test_a_what_if_is_mended_submitted_and_compared(page: Page, site: str):
    opened(page, site, "/whatif")
    expect(page.locator("#wf-yaml")).to_have_value(re.compile("energy: 40 MWh"))
    energy = page.get_by_role("textbox", name="Energy")
    energy.fill("40 apples")
    energy.press("Tab")
    expect(page.locator("#wf-yaml")).to_have_value(re.compile("40 apples"))
    page.click("#wf-submit")
    expect(page.locator(".field.bad")).to_contain_text("Energy")
    energy = page.get_by_role("textbox", name="Energy")
    energy.fill("60 MWh")
    energy.press("Tab")
    expect(page.locator("#wf-yaml")).to_have_value(re.compile("60 MWh"))
    page.click("#wf-submit")
    expect(page).to_have_url(re.compile(r"/whatif/run-\d+"))
    expect(page.locator("#run-body")).to_contain_text("clearly better", timeout=15_000)
    page.click("text=Compare with other runs")
    page.click(".choices >> text=t2-trip")
    expect(page.locator(".choices .current")).to_have_count(3)
    expect(page.locator("#compare-bands .legendtext")).to_have_count(4)


def test_branches_and_changes_are_added_and_removed(page: Page, site: str):
    opened(page, site, "/whatif")
    page.click("text=Add a branch")
    expect(page.locator("#wf-yaml")).to_have_value(re.compile("branch3: \\[\\]"))
    page.locator(".add-change").nth(2).locator("summary").click()
    page.locator(".add-change").nth(2).get_by_text("Gate lanes").click()
    expect(page.locator("#wf-yaml")).to_have_value(re.compile("change: gate_lanes"))
    page.get_by_label("Remove branch bess2x").click()
    expect(page.locator("#wf-yaml")).not_to_have_value(re.compile("bess2x"))


def test_the_form_follows_the_text(page: Page, site: str):
    opened(page, site, "/whatif")
    text = page.locator("#wf-yaml")
    expect(text).to_have_value(re.compile("horizon: 24 h"))
    text.fill(text.input_value().replace("horizon: 24 h", "horizon: 48 h"))
    text.blur()
    expect(page.get_by_label("Horizon", exact=True)).to_have_value("48 h")
    text.fill("kind: [")
    text.blur()
    expect(page.locator("#wf-problems")).to_contain_text("mend the YAML there")


def test_without_frames_the_page_says_so_and_recovers(page: Page, site: str):
    opened(page, site, "/")
    expect(page.locator("[data-clock]")).to_have_text(re.compile(r"\d"))
    page.context.set_offline(True)
    page.evaluate("window.parkLive.cut()")
    expect(page.locator("html")).to_have_attribute("data-stale", "", timeout=10_000)
    expect(page.locator("#pause-switch")).to_contain_text("No new data")
    page.context.set_offline(False)
    expect(page.locator("html")).not_to_have_attribute("data-stale", "", timeout=20_000)


def test_the_keyboard_reaches_the_page_and_its_notes(page: Page, site: str):
    opened(page, site, "/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#page")).to_be_focused()
    note = page.locator(".kpi details.info").first
    note.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(note.locator(".info-note")).to_be_visible()
    page.keyboard.press("Escape")
    expect(note.locator(".info-note")).to_be_hidden()
