"""The HTTP face with a fake service behind it: what it answers, and how it refuses."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import httpx
import orjson
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.ports import Unavailable
from cluster.routes.api import create_api
from connectors.opcua import budget as budgets
from connectors.opcua.budget import budget_of, share_sessions
from twin.samples import sample_batch

_SPEC = importlib.util.spec_from_file_location(
    "fake_service", Path(__file__).with_name("fake_service.py")
)
fake = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fake)


@pytest.fixture(scope="module")
def standing():
    """A played service and its routes, made once: they hold nothing but the service."""
    service = fake.FakeService()
    return service, create_api(service, service, "1.2.3")


@pytest.fixture
def service(standing):
    """The played service, as new."""
    made, _ = standing
    vars(made).clear()
    made.__init__()
    return made


@pytest.fixture
async def http(service, standing):
    _, api = standing
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/live",
        "/ready",
        "/health",
        "/parks",
        "/parks/small",
        "/parks/small/tags",
        "/parks/small/figures",
        "/parks/small/figures/specs",
        "/parks/small/figures/recent?ids=park.load_mw",
        "/parks/small/state",
        "/parks/small/history?tags=small/acme/active_power",
        "/parks/small/kpis",
        "/parks/small/energy",
        "/parks/small/alarms",
        "/alarms",
        "/endpoints",
        "/whatif",
        "/parks/small/endpoints",
        "/parks/small/whatif",
        "/whatif/schema",
        "/whatif/r1",
    ],
)
async def test_reading_routes_answer_json(http, path):
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    orjson.loads(answer.content)


async def test_every_route_is_in_the_document_with_its_errors(http):
    document = (await http.get("/openapi.json")).json()
    assert len(document["paths"]) >= 30
    history = document["paths"]["/api/v1/parks/{park}/history"]["get"]
    assert {"404", "422", "503"} <= set(history["responses"])
    frame = document["components"]["schemas"]["Frame"]["properties"]
    assert frame["now"]["anyOf"][0]["format"] == "date-time"


async def test_an_unknown_park_is_404_with_a_suggestion(http):
    answer = await http.get("/parks/smal")
    assert answer.status_code == 404
    assert answer.json()["remedy"] == "did you mean 'small'?"


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("tags=small/acme/active_power&since=1601-01-01T00:00:00Z", "since"),
        ("tags=small/acme/active_power&until=2099-01-01T00:00:00Z", "until"),
        ("tags=small/acme/active_power&since=now&until=-1h", "since"),
        ("tags=small/acme/active_power&every=often", "every"),
        ("tags=small/acme/active_power&every=1s&since=-300d", "every"),
        ("tags=,", "tags"),
        ("tags=small/acme/active_power&points=NaN", "query.points"),
        ("tags=small/acme/active_power&format=pdf", "query.format"),
        ("", "query.tags"),
    ],
)
async def test_bad_questions_name_the_argument_and_a_remedy(http, query, where):
    answer = await http.get(f"/parks/small/history?{query}")
    body = answer.json()
    assert answer.status_code == 422
    assert body["where"] == where
    assert body["remedy"]


async def test_an_unknown_tag_is_404(http):
    answer = await http.get("/parks/small/history?tags=small/acme/activepower")
    assert answer.status_code == 404
    assert "small/acme/active_power" in answer.json()["remedy"]


@pytest.mark.parametrize("form", ["json", "arrow", "csv", "xlsx", "parquet"])
async def test_history_comes_in_every_format(http, form):
    answer = await http.get(f"/parks/small/history?tags=small/acme/active_power&format={form}")
    assert answer.status_code == 200
    assert answer.headers["x-rows"] == "1"
    if form == "arrow":
        rows = pa.ipc.open_stream(answer.content).read_all()
        assert rows.column("value").to_pylist() == [1.25]


@pytest.mark.parametrize(
    ("asked", "told", "every_s", "points"),
    [
        ("", "raw", None, None),
        ("&every=raw&points=50", "raw", None, 50),
        ("&every=15min", "15min", 900, None),
        ("&since=-3h&points=500", "raw", None, 500),
        ("&since=-29d&points=500", "15min", 900, 500),
        ("&since=-365d&points=2000", "1h", 3_600, 2_000),
        ("&since=-365d&every=1min&points=2000", "1min", 60, 2_000),
        ("&since=-365d&every=auto", "1h", 3_600, 2_000),
        ("&since=-200d&until=-199d&every=auto", "1min", 60, 2_000),
        ("&since=-2500d&until=-2499d&every=auto", "1h", 3_600, 2_000),
    ],
)
async def test_history_says_which_windows_it_chose(http, service, asked, told, every_s, points):
    answer = await http.get(f"/parks/small/history?tags=small/acme/active_power{asked}")
    assert answer.status_code == 200
    query = service.asked[0][1]
    assert answer.headers["x-every"] == told
    assert query.every_us == (None if every_s is None else every_s * 1_000_000)
    assert query.points == points


async def test_the_chosen_window_is_documented(http):
    found = (await http.get("/openapi.json")).json()["paths"]
    route = next(there["get"] for path, there in found.items() if path.endswith("/history"))
    every = next(one for one in route["parameters"] if one["name"] == "every")
    assert "auto" in every["description"]
    assert "X-Every" in route["responses"]["200"]["headers"]


async def test_times_with_an_offset_become_utc(http, service):
    tags = "tags=small/acme/active_power&since=2026-11-22T17:00:00%2B07:00"
    await http.get(f"/parks/small/history?{tags}")
    assert service.asked[0][1].since_us == 1_795_341_600_000_000


async def test_what_is_not_ready_answers_503_and_when_to_come_back(http, service):
    service.ready = False
    assert (await http.get("/ready")).status_code == 503
    answer = await http.get("/parks/small/headroom")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_all_problems_of_a_text_are_listed(http):
    answer = await http.post("/whatif", content=b"kind: Park")
    assert answer.status_code == 422
    assert [p["suggestion"] for p in answer.json()["problems"]] == ["write one", "write one"]


async def test_a_text_that_is_not_utf8_is_refused(http):
    answer = await http.post("/whatif", content=b"\xff\xfe")
    assert (answer.status_code, answer.json()["where"]) == (422, "body")


async def test_a_what_if_is_accepted(http):
    answer = await http.post("/whatif?by=me&priority=3", content=b"kind: WhatIf")
    assert (answer.status_code, answer.json()["horizon_s"]) == (202, 86_400.0)


async def test_alarms_are_acknowledged_and_shelved_by_somebody(http, service):
    body = {"alarms": ["hot@acme"], "by": "an", "note": "seen"}
    assert (await http.post("/parks/small/alarms/acknowledge", json=body)).status_code == 204
    shelving = {"alarms": ["hot@acme"], "by": "an", "minutes": 30, "reason": "repair"}
    assert (await http.post("/parks/small/alarms/shelve", json=shelving)).status_code == 204
    assert [asked[0] for asked in service.asked] == ["acknowledge", "shelve"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"alarms": [], "by": "an", "minutes": 1}',
        b'{"alarms": ["x"], "by": "", "minutes": 1}',
        b'{"alarms": ["x"], "by": "an", "minutes": NaN}',
        b'{"alarms": ["x"], "by": "an", "minutes": 1e9}',
        b'{"alarms": ["x"], "by": "an", "minutes": 1, "hours": 2}',
        b"{",
        b"[]",
    ],
)
async def test_malformed_bodies_are_told_apart(http, service, body):
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/parks/small/alarms/shelve", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["problems"]
    assert service.asked == []


async def test_a_taken_id_is_409_and_a_refusal_403(http):
    body = {"id": "plc", "url": "opc.tcp://127.0.0.1:4840"}
    assert (await http.post("/parks/small/endpoints", json=body)).status_code == 409
    trust = {"fingerprint": "0" * 64}
    answer = await http.put("/parks/small/endpoints/plc/trust", json=trust)
    assert (answer.status_code, answer.json()["remedy"]) == (403, "ask the operator")


async def test_one_endpoint_tells_which_processes_have_a_session_to_its_server(http, tmp_path):
    share_sessions(tmp_path)
    try:
        found = (await http.get("/parks/small/endpoints/plc")).json()
        assert found["sessions"] == []
        budget = budget_of(found["url"])
        await budget.take("crawl", 1.0)
        (held,) = (await http.get("/parks/small/endpoints/plc")).json()["sessions"]
        assert (held["pid"], held["purpose"]) == (os.getpid(), "crawl")
        budget.give_back("crawl")
    finally:
        budgets._folder.clear()


@pytest.mark.parametrize(
    ("gateway", "told"), [("hall-2", 0), ("small-gateway", 1), ("small-gateway-2", 1)]
)
async def test_an_endpoint_in_a_plant_tells_no_session_to_the_same_address_here(
    http, service, tmp_path, monkeypatch, gateway, told
):
    known = service.endpoints

    async def read_by(park):
        return [replace(one, gateway=gateway) for one in await known(park)]

    monkeypatch.setattr(service, "endpoints", read_by)
    share_sessions(tmp_path)
    try:
        budget = budget_of((await http.get("/parks/small/endpoints/plc")).json()["url"])
        await budget.take("crawl", 1.0)
        assert len((await http.get("/parks/small/endpoints/plc")).json()["sessions"]) == told
        budget.give_back("crawl")
    finally:
        budgets._folder.clear()


async def test_one_endpoint_and_its_tags_are_told_in_full(http):
    told = (await http.get("/parks/small/endpoints/plc")).json()
    assert (told["id"], told["gaps"], told["certificate_until"]) == ("plc", 8, None)
    assert {"bad", "reconnects", "frozen", "suggested_policy", "last_gaps"} <= told.keys()
    tags = (await http.get("/parks/small/endpoints/plc/tags")).json()
    assert [(row["path"], row["bad"]) for row in tags] == [("small/a/p", 10)]
    events = (await http.get("/parks/small/endpoints/plc/events?since=-1h&limit=5")).json()
    assert [(row["what"], row["source"]) for row in events] == [("event", "Bồn 1")]
    assert (await http.get("/parks/small/endpoints/plc/events?limit=0")).status_code == 422
    missing = await http.get("/parks/small/endpoints/plcc")
    assert missing.status_code == 404
    # Names of other routes are no ids.
    assert (await http.get("/parks/small/endpoints/browse?endpoint=plc")).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"), [("deadband", "two"), ("bridge_s", 0), ("heartbeat_s", -1)]
)
async def test_a_wrong_part_of_an_endpoint_is_named(http, field, value):
    body = {"id": "new", "url": "opc.tcp://h:1", field: value}
    answer = await http.post("/parks/small/endpoints", json=body)
    assert answer.status_code == 422
    assert answer.json()["where"] == f"body.{field}"


async def test_a_password_is_a_reference_never_the_password(http):
    body = {"id": "new", "url": "opc.tcp://h:1", "user": "u", "password": "secret"}
    answer = await http.post("/parks/small/endpoints", json=body)
    assert answer.status_code == 422
    assert answer.json()["where"] == "body.password"


def stream(*batches: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


async def test_a_gateway_delivers_a_numbered_batch(http, service):
    batch = sample_batch(tag=[1, 2], at_us=fake.NOW_US, value=1.0, seen_us=fake.NOW_US)
    answer = await http.post("/ingest/small?source=edge&session=3&seq=1", content=stream(batch))
    assert answer.json() == {"session": 3, "acked_seq": 1, "expect": None}
    assert service.asked == [("ingest", "edge", 3, 1, 2)]


async def test_what_comes_over_a_proxy_needs_a_token(http):
    batch = sample_batch(tag=[1], at_us=fake.NOW_US, value=1.0, seen_us=fake.NOW_US)
    path = "/ingest/small?source=edge&session=3&seq=1"
    for header in ("X-Forwarded-For", "Forwarded", "Via"):
        answer = await http.post(path, content=stream(batch), headers={header: "10.0.0.9"})
        assert answer.status_code == 403
    assert (
        await http.post("/gateway/hello", json={"nonce": "0123456789abcdef"})
    ).status_code == 403


@pytest.mark.parametrize("body", [b"", b"no arrow", b"\x00" * 100])
async def test_bytes_that_are_no_batch_are_refused(http, body):
    answer = await http.post("/ingest/small?source=edge&session=1&seq=1", content=body)
    assert (answer.status_code, answer.json()["where"]) == (422, "body")


async def test_two_batches_in_one_delivery_are_refused(http):
    batch = sample_batch(tag=[1], at_us=fake.NOW_US, value=1.0, seen_us=fake.NOW_US)
    content = stream(batch, batch)
    answer = await http.post("/ingest/small?source=edge&session=1&seq=1", content=content)
    assert "2 or more batches" in answer.json()["what"]


@pytest.mark.parametrize("query", ["source=Edge&session=1&seq=1", "source=e&session=0&seq=1"])
async def test_numbers_of_a_delivery_are_checked(http, query):
    assert (await http.post(f"/ingest/small?{query}", content=b"")).status_code == 422


async def test_prometheus_reads_the_numbers(service):
    api = create_api(service, service, "1")
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        text = (await client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    expires = ("parktwin_certificate_not_after_timestamp_seconds", "AB" * 32, "own")
    assert found[(*expires, "parktwin gateway")] == fake.NOW_US / 1e6
    assert found[("parktwin_offset", "small")] == 7.0
    assert found[("parktwin_figure", "park.load_mw", "small")] == 1.5
    assert found[("parktwin_endpoint_lag_seconds", "plc", "small")] == 0.0125
    assert found[("parktwin_rows_total", "small")] == 10.0
    assert found[("parktwin_restarts_total", "small")] == 2.0
    assert found[("parktwin_seal_faults_total", "small")] == 1.0
    assert found[("parktwin_buffer_overflows_total", "small")] == 3.0
    assert found[("parktwin_endpoint_gaps_total", "plc", "small")] == 8.0
    assert found[("parktwin_endpoint_lost_values_total", "plc", "small")] == 9.0
    assert found[("parktwin_endpoint_frozen", "plc", "small")] == 0.0
    assert ("parktwin_endpoint_clock_offset_seconds", "plc", "small") not in found
    assert found[("parktwin_buffered_batches", "small")] == 6.0
    assert found[("parktwin_buffered_bytes", "small")] == 7000.0
    assert found[("parktwin_whatif_queued",)] == 4.0
    counters = {name for name, family in families.items() if family.type == "counter"}
    assert {"parktwin_rows", "parktwin_restarts", "parktwin_endpoint_lost_values"} <= counters
    assert all(len(family.documentation) > 15 for family in families.values())


async def test_a_park_that_is_starting_hides_no_number_of_the_others(service, monkeypatch):
    async def starting(*_: object):
        raise Unavailable("park small is starting", "wait some seconds")

    monkeypatch.setattr(service, "parks", starting)
    monkeypatch.setattr(service, "frame", starting)
    service.ready = False
    transport = httpx.ASGITransport(create_api(service, service, "1"))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert 'parktwin_part_up{part="engine"} 0.0' in answer.text
    assert 'parktwin_offset{park="small"} 7.0' in answer.text
    assert "park.load_mw" not in answer.text


async def test_an_address_that_is_none_says_where_to_look(http):
    answer = await http.get("/nothing")
    assert answer.status_code == 404
    assert "openapi.json" in answer.json()["remedy"]


async def test_a_surprise_is_told_without_its_inside(http, service, monkeypatch):
    async def broken(park):
        raise KeyError("inside")

    monkeypatch.setattr(service, "frame", broken)
    answer = await http.get("/parks/small/figures")
    assert answer.status_code == 500
    assert "inside" not in answer.text


async def test_a_path_that_is_none_is_told_and_never_answered_by_a_page(service):
    api = create_api(service, service, "1.2.3")

    @api.get("/{path:path}")  # what the pages put behind the interface
    async def page(path: str) -> str:
        return "a page"

    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/api/v1/alarmz")
        assert (await client.get("/energy")).json() == "a page"
    assert answer.status_code == 404
    assert "openapi.json" in answer.json()["remedy"]


async def test_lists_over_all_parks_say_the_park_of_each_row(http):
    rows = (await http.get("/endpoints")).json()
    assert rows
    assert {row["park"] for row in rows} == {"small"}


async def test_certificates_are_listed_downloaded_trusted_and_renewed(http, service):
    mark = "AB" * 32
    assert (await http.get("/certificates")).json() == [
        {
            "place": "own", "fingerprint": mark, "subject": "parktwin gateway",
            "application_uri": "", "hosts": [], "until": "2026-11-22T12:00:00Z",
            "days_left": 29.5, "due": 30, "endpoints": [], "remarks": [],
        }
    ]  # fmt: skip
    der = await http.get("/certificates/own.der")
    assert (der.content, der.headers["content-type"]) == (b"\x30old", "application/pkix-cert")
    assert 'filename="parktwin.der"' in der.headers["content-disposition"]
    assert (await http.get("/certificates/own.der?staged=true")).content == b"\x30new"
    assert (await http.put(f"/certificates/{mark}/trust?by=an")).status_code == 204
    assert (await http.delete(f"/certificates/{mark}/trust?by=an")).status_code == 204
    assert service.asked[-2:] == [
        ("certificate trust", mark, "an"),
        ("certificate distrust", mark, "an"),
    ]
    assert (await http.put("/certificates/nonsense/trust")).status_code in {400, 422}
    renewed = (await http.post("/certificates/renew")).json()
    assert (renewed["used"], renewed["refused"]) == (False, {"p/e": "not yet"})
