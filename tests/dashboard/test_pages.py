"""Every page renders in both languages, and every callback is short and asynchronous."""

import ast
import inspect
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pytest
from dash.development.base_component import Component
from fake_service import FakePark
from fastapi import FastAPI
from plotly.utils import PlotlyJSONEncoder

from cluster.ports import EndpointState, EndpointStatus, InvalidInput, Problem, Unavailable
from dashboard import shell
from dashboard.app import create_app
from dashboard.page import Desk
from dashboard.pages import every
from dashboard.pages.asset import shares, written
from dashboard.pages.energy import bars, covered, known
from dashboard.pages.every import PAGES
from dashboard.spans import Span
from dashboard.viewer import CURRENT, Viewer
from dashboard.words.book import words

PATHS = [
    "/",
    "/energy",
    "/output",
    "/logistics",
    "/alarms",
    "/endpoints",
    "/endpoints/new",
    "/certificates",
    "/endpoints/hoaphat-plc",
    "/whatif",
    "/whatif/run-0003",
    "/whatif/run-0004",
    "/whatif/run-0001",
    "/whatif/compare",
    "/asset/nippon/main/l1",
    "/asset/ss1/t1",
    "/asset/acme",
    "/asset/bess1",
    "/tag/acme/main/l1/p01/state",
]
ROOM = Path(every.__file__).parents[1]


@pytest.fixture(scope="module")
def app():
    api = FastAPI()
    create_app(FakePark(seconds=lambda: 0.0), api=api, default_park="vsip1")
    return api.state.dash


async def shown(park, path, language="vi", search="", theme="light"):
    CURRENT.set(Viewer(language=language, theme=theme))
    return await shell.render(Desk(park, None), PAGES, path, search)


def walk(node):
    if isinstance(node, Component):
        yield node
        for child in vars(node).values():
            yield from walk(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from walk(child)


def text_in(node):
    if isinstance(node, Component):
        return text_in(getattr(node, "children", None))
    if isinstance(node, (list, tuple)):
        return " ".join(filter(None, (text_in(child) for child in node)))
    return "" if node is None else str(node)


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("path", PATHS)
async def test_every_page_renders_with_one_heading_and_unique_ids(park, path, language):
    around, page = await shown(park, path, language)
    parts = [*walk(around), *walk(page)]
    ids = Counter(str(part.id) for part in parts if getattr(part, "id", None))
    assert [name for name, n in ids.items() if n > 1] == []
    assert sum(type(part).__name__ == "H1" for part in parts) == 1
    assert "state-error" not in str(page)


@pytest.mark.parametrize("path", PATHS)
async def test_every_page_can_be_sent(park, path):
    _, page = await shown(park, path)
    PlotlyJSONEncoder().encode(page)


@pytest.mark.parametrize("path", PATHS)
async def test_no_chart_offers_itself_to_the_cloud_and_every_chart_says_what_it_is(park, path):
    _, page = await shown(park, path)
    for part in walk(page):
        if type(part).__name__ == "Graph":
            assert part.config["showSendToCloud"] is False
            assert part.config["plotlyServerURL"] == ""
    images = [p for p in walk(page) if getattr(p, "role", None) == "img"]
    assert all(getattr(p, "aria-label", "") for p in images)


async def test_headroom_comes_first_and_in_minutes(park):
    _, page = await shown(park, "/", "en")
    first = next(p for p in walk(page) if getattr(p, "className", "") == "hero-number num")
    assert first.children == "118"
    assert text_in(page).index("118") < text_in(page).index("Park load")


async def test_a_page_says_where_each_kpi_comes_from(park):
    _, page = await shown(park, "/", "en")
    said = text_in(page)
    assert "How it is computed" in said
    assert "QĐ 1279" not in said  # the overview shows no cost
    assert any(getattr(p, "data-measured", "") == "park.load_mw" for p in walk(page))


async def test_an_unknown_address_is_told_with_a_way_out(park):
    _, page = await shown(park, "/nowhere", "en")
    assert "There is no such page" in text_in(page)


@pytest.mark.parametrize("path", ["/asset/acmee", "/tag/none/at/all", "/whatif/run-9999"])
async def test_something_that_is_not_there_gets_cause_and_remedy(park, path):
    _, page = await shown(park, path, "en")
    assert "Not found" in text_in(page)


async def test_an_unknown_park_is_told(park):
    around, page = await shown(park, "/", "en", "?park=nowhere")
    assert around is None
    assert "nowhere" in text_in(page)


async def test_a_service_that_is_not_there_yet_is_a_state_of_the_page(park):
    async def nothing(*_args, **_more):
        raise Unavailable("the shard restarts", "wait some seconds")

    park.energy = nothing
    _, page = await shown(park, "/energy", "vi")
    assert "Hiện chưa có" in text_in(page)
    assert "chờ vài giây" in text_in(page)


async def test_an_empty_park_has_empty_states(park):
    async def none(*_args, **_more):
        return []

    park.assets = park.alarms = park.endpoints = park.whatif_runs = park.tags = none
    for path in ("/", "/output", "/alarms", "/endpoints", "/whatif", "/whatif/compare", "/energy"):
        _, page = await shown(park, path, "en")
        assert "That did not work" not in text_in(page)


async def test_an_endpoint_in_trouble_says_cause_and_remedy(park):
    _, page = await shown(park, "/endpoints", "en")
    said = text_in(page)
    assert "connection refused. Check its power and network" in said


async def test_an_endpoint_that_knows_nothing_yet_is_shown(park):
    park._endpoints = {"new": EndpointStatus(id="new", url="opc.tcp://x:4840")}
    _, page = await shown(park, "/endpoints", "en")
    assert "connecting" in text_in(page)


@pytest.mark.parametrize(
    ("language", "gone", "said"),
    [
        ("en", 0, "3 new nodes match a rule"),
        ("vi", 0, "3 nút mới khớp quy tắc"),
        ("en", 21, "21 mapped nodes are gone from the server"),
        ("vi", 21, "21 nút đã gán không còn trên máy chủ"),
    ],
)
async def test_what_rules_found_stands_beneath_the_state(park, language, gone, said):
    up = EndpointStatus(
        id="p", url="opc.tcp://x:4840", state=EndpointState.CONNECTED, new_nodes=3, gone=gone
    )
    park._endpoints = {"p": up}
    _, page = await shown(park, "/endpoints", language)
    assert said in text_in(page)


def test_the_address_of_a_page_is_matched_to_its_end():
    found = {path: shell.find(PAGES, path) for path in ("/asset/a/b", "/asset/", "/whatif/compare")}
    assert found["/asset/a/b"][1] == {"id": "a/b"}
    assert found["/asset/"][0] is None
    assert found["/whatif/compare"][0].title == "nav.compare"


def test_every_server_callback_is_a_coroutine(app):
    app._setup_server()
    functions = {
        name: inspect.unwrap(entry["callback"])
        for name, entry in app.callback_map.items()
        if "callback" in entry
    }
    assert len(functions) > 12
    assert [n for n, f in functions.items() if not inspect.iscoroutinefunction(f)] == []


def test_callbacks_are_short():
    long = []
    for file in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and any(
                "callback" in ast.unparse(d) for d in node.decorator_list
            ):
                lines = node.body[-1].end_lineno - node.body[0].lineno + 1
                if lines > 10:
                    long.append((file.name, node.name, lines))
    assert long == []


def test_the_browser_is_not_told_to_open_a_socket_of_dash(app):
    assert "websocket" not in app._config()


async def test_problems_of_a_what_if_are_data(park):
    with pytest.raises(InvalidInput) as caught:
        await park.whatif_submit("kind: WhatIf\n", "me")
    assert all(isinstance(p, Problem) for p in caught.value.problems)


def test_no_asset_names_another_origin():
    own = "http://www.w3.org"
    for file in (ROOM / "assets").glob("*"):
        if file.suffix in (".css", ".js") and not file.name.startswith("00-plotly"):
            found = re.findall(r"https?://[\w.]+", file.read_text())
            assert [address for address in found if not address.startswith(own)] == [], file.name


def test_the_words_of_the_index_are_valid_json():
    orjson.loads((ROOM / "words" / "vi.json").read_bytes())


async def test_units_are_written_in_the_language_of_the_page(park):
    _, vietnamese = await shown(park, "/output", "vi")
    _, english = await shown(park, "/output", "en")
    assert "sp/giờ" in text_in(vietnamese)
    assert "units/h" in text_in(english)
    assert "sp/giờ" not in text_in(english)
    assert not any(" /h" in text_in(page) for page in (vietnamese, english))


async def test_a_virtual_plant_s_clock_tells_no_lag(park):
    _, page = await shown(park, "/tag/acme/active_power", "en")
    assert "system time" in text_in(page)
    assert " ms" not in text_in(page)


async def test_a_tag_leads_to_the_asset_that_has_it(park):
    path = "/tag/acme/main/l1/p01/active_power"
    _, page = await shown(park, path, "en")
    ways = [p.href for p in walk(page) if getattr(p, "href", "").startswith("/asset/")]
    known = {a.id for a in await park.assets("vsip1")}
    assert "/asset/acme/main/l1/p01" in ways
    assert {way.removeprefix("/asset/") for way in ways} <= known


async def test_lines_stand_under_their_factory(park):
    _, page = await shown(park, "/output", "en")
    rows = next(p for p in walk(page) if type(p).__name__ == "Tbody").children
    groups = [r for r in rows if getattr(r.children, "className", "") == "group"]
    assert text_in(rows[0]) == "ACME Plastics"
    assert len(groups) == len({text_in(g) for g in groups}) == 12


@pytest.mark.parametrize(
    ("written_so", "vi", "en"),
    [
        ("118 parts/h", "118 sp/giờ", "118 units/h"),
        ("0.97", "0,97", "0.97"),
        ("7600 m3/d", "7.600 m³/ngày", "7,600 m³/d"),
        ("three_shift", "three_shift", "three_shift"),
        ("1, 1", "1, 1", "1, 1"),
    ],
)
def test_quantities_of_the_park_file_are_read_in_both_languages(written_so, vi, en):
    assert [written(words(language), written_so) for language in ("vi", "en")] == [vi, en]


def energy_rows(*kwh):
    """Quarter hours of grid energy in off-peak and normal hours; None where nothing is known."""
    noon = 1_790_000_100_000_000
    return pa.table(
        {
            "at": pa.array([noon + i * 900_000_000 for i in range(len(kwh))], "int64"),
            "flow": ["grid"] * len(kwh),
            "kwh": pa.array(kwh, "float64"),
            "measured": [0.0 if each is None else 1.0 for each in kwh],
            "window": ["off_peak" if i < 2 else "normal" for i in range(len(kwh))],
        }
    ), Span(
        name="today",
        since_us=noon,
        until_us=noon + len(kwh) * 900_000_000,
        every_us=900_000_000,
        bar_us=1_800_000_000,
        chart_us=60_000_000,
        tickformat="%H:%M",
    )


def test_energy_of_unknown_quarters_is_left_out_and_told_not_counted_as_zero():
    flows, span = energy_rows(None, None, 2000.0, None)
    _, mwh = bars(flows, span)
    assert known(mwh["normal"]) == 2.0
    assert np.isnan(known(mwh["off_peak"]))
    assert np.isnan(known(mwh["peak"]))
    assert covered(flows, span) == 0.25


async def test_the_first_page_after_a_start_has_its_style_and_its_live_values():
    fresh = create_app(FakePark(seconds=lambda: 0.0), api=FastAPI(), default_park="vsip1")
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def next_event():
        return events.pop(0)

    async def answered(message):
        assert message["type"].endswith(".complete")

    await fresh({"type": "lifespan", "asgi": {"version": "3.0"}}, next_event, answered)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=fresh), base_url="http://127.0.0.1"
    ) as browser:
        first = await browser.get("/output")
    assert "assets/20-style.css" in first.text
    assert "assets/live.js" in first.text


@pytest.mark.parametrize(("language", "text"), [("vi", "10 %–95 %"), ("en", "10 %–95 %")])
async def test_the_limits_of_a_battery_are_shares(park, language, text):
    _, page = await shown(park, "/asset/bess1", language)
    assert text in text_in(page)
    assert shares(words(language), "0.125, 0.95") == (
        "12,5 %–95 %" if language == "vi" else "12.5 %–95 %"
    )
    assert shares(words(language), "all") == "all"


async def test_the_bottleneck_is_a_machine_not_a_number(park):
    _, page = await shown(park, "/asset/nippon/main/l1", "vi")
    (place,) = [
        part for part in walk(page) if str(getattr(part, "data-live", "")).endswith(".bottleneck")
    ]
    names = orjson.loads(getattr(place, "data-names"))
    machines = [a for a in await park.assets("vsip1") if a.parent == "nippon/main/l1"]
    assert names == [words("vi").label(machine.label) for machine in machines]
    pickers = [p.href for p in walk(page) if "figure=" in str(getattr(p, "href", ""))]
    assert pickers
    assert not any("bottleneck" in href for href in pickers)


@pytest.mark.parametrize("path", ["/whatif", "/whatif/run-0001"])
async def test_the_time_of_submission_of_a_demo_is_called_ours(park, path):
    _, page = await shown(park, path, "vi")
    assert "Lúc gửi (giờ hệ thống)" in text_in(page)


async def test_a_probability_and_a_peak_claim_no_more_than_is_known(park):
    head = await park.headroom("vsip1")
    now = (await park.parks())[0].now_us

    async def headroom(_park):
        return replace(head, p_over=(0.0, 1.0), p_least=0.05, peak_at_us=now)

    park.headroom = headroom
    _, page = await shown(park, "/", "vi")
    text = text_in(page)
    assert "< 5 %" in text
    assert "> 95 %" in text
    assert "lúc này" in text


async def test_an_overload_that_no_replication_saw_is_told_with_its_bound(park):
    outcome = await park.whatif_outcome("run-0003")
    rows = outcome.kpis.to_pylist()
    for row in rows:
        if row["kpi"] == "p_over":
            row |= {"mean": 0.0, "low": 0.0, "high": 0.0457, "n": 64}

    async def told(_run):
        return replace(outcome, kpis=pa.Table.from_pylist(rows, schema=outcome.kpis.schema))

    park.whatif_outcome = told
    _, page = await shown(park, "/whatif/run-0003", "vi")
    assert "< 4,6" in text_in(page)
    assert "0/64 lần mô phỏng" in text_in(page)


@pytest.mark.parametrize("language", ["vi", "en"])
async def test_a_value_that_is_not_known_says_why(park, language):
    _, page = await shown(park, "/output", language)
    assert getattr(page, "data-unknown") == words(language)("quality.unknown_hint")


async def test_one_endpoint_tells_what_it_delivered_and_why_values_are_missing(park):
    (ours, _) = await park.certificates()
    theirs = replace(ours, place="trusted", endpoints=("vsip1/hoaphat-plc",))

    async def certificates():
        return [ours, theirs]

    park.certificates = certificates
    _, page = await shown(park, "/endpoints/hoaphat-plc", "vi")
    text = text_in(page)
    assert "2.409 (0,20 %)" in text  # 2,409 of 1,204,311
    assert "máy chủ từ chối kết nối" in text
    assert text.index("15:31:00") < text.index("15:02:11")  # 08:31Z and 08:02Z in Binh Duong
    assert "Nên dùng thời điểm" in text
    assert "12/12/2026 · còn 20 ngày" in text


async def test_remarks_on_certificates_are_in_the_language_of_the_page(park):
    around, page = await shown(park, "/certificates", "vi")
    assert "chứng thư số cấp cho plc1, không phải 10.0.0.5" in text_in(page)
    marked = [p.href for p in walk(around) if "current" in str(getattr(p, "className", ""))]
    assert marked == ["/endpoints"]
