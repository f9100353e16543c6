"""Parts of the twin's OPC UA server that need no socket."""

import struct

import httpx
import orjson
import pytest
from asyncua.server.binary_server_asyncio import BinaryServer
from asyncua.server.server import Server
from floor_receiver import until
from hypothesis import given
from hypothesis import strategies as st
from twin_floor import AT_US, PARK, SPECS

from cluster.twin_feed import Paces, TwinFeed, alarm_of, forecasts_of, modes_of
from cluster.wire import to_json
from connectors.eu_codes import CODES, unit_id, unit_of_id
from connectors.twin_server.alarms import SEVERITY, changed, event_of
from connectors.twin_server.guard import Chunks
from connectors.twin_server.plan import FORECASTS, plan_space
from connectors.twin_server.quality import Link, status_of
from connectors.twin_server.settings import refuse_open
from connectors.twin_server.units import UNITS, eu_id
from models.errors import Conflict, InputError, Refused
from twin.alarms import Alarm, AlarmState, Priority
from twin.figure_kinds import FIGURE_KINDS
from twin.figures import FigureSpec
from twin.label import Label

LABEL = Label(vi="Quá tải", en="Overload")
NAN = float("nan")


def alarm(**more) -> Alarm:
    plain = {
        "id": "over@ss1/t1",
        "rule": "over",
        "asset": "ss1/t1",
        "label": LABEL,
        "priority": Priority.HIGH,
        "state": AlarmState.UNACKNOWLEDGED,
        "active": True,
        "raised_us": AT_US,
    }
    return Alarm(**plain | more)


@pytest.mark.parametrize(
    ("value", "quality", "measured", "link", "status"),
    [
        (1.0, 0, 1.0, Link.LIVE, 0x00000000),  # Good
        (1.0, 1, 0.7, Link.LIVE, 0x40950000),  # UncertainSubNormal: partly estimated
        (1.0, 1, 1.0, Link.LIVE, 0x40900000),  # UncertainLastUsableValue: its source is stale
        (1.0, 2, 1.0, Link.LIVE, 0x80000000),  # Bad
        (None, 0, 1.0, Link.LIVE, 0x809B0000),  # BadNoData
        (NAN, 0, 1.0, Link.LIVE, 0x809B0000),
        (1.0, 0, 1.0, Link.STALE, 0x40900000),
        (1.0, 2, 1.0, Link.STALE, 0x80000000),  # what was bad gets no better
        (1.0, 0, 1.0, Link.AWAY, 0x80310000),  # BadNoCommunication
    ],
)
def test_a_quality_becomes_the_status_the_standard_has_for_it(
    value, quality, measured, link, status
):
    assert status_of(value, quality, measured, link) == status


def test_units_carry_the_numbers_of_the_un_codes():
    # OPC 10000-8: the characters of the code as bytes, big-endian; "MMT" is 5066068 there.
    assert eu_id("MW") == struct.unpack(">I", b"\0MAW")[0] == 5062999
    assert eu_id("/h") == 4731184
    assert eu_id("%") == 20529
    assert eu_id("MVND") == eu_id("never heard of") == -1


def test_a_unit_has_one_code_and_a_code_one_unit():
    assert [unit_of_id(unit_id(unit)) for unit in CODES.values()] == list(CODES.values())
    assert len(set(CODES.values())) == len(CODES)
    assert {one.coded for one in UNITS.values()} <= {"", *CODES.values()}
    assert unit_of_id(None) == unit_of_id(-1) == unit_of_id(2**40) == ""


def test_every_unit_of_every_figure_is_known():
    shown = {kind.unit for kinds in FIGURE_KINDS.values() for kind in kinds}
    assert shown | {forecast.unit for forecast in FORECASTS} <= {"", *UNITS}


def test_the_tree_follows_the_park_with_parents_first_and_no_figure_lost():
    plan = plan_space(PARK, SPECS)
    seen = {""}
    for node in plan.objects:
        assert node.parent in seen, node
        seen.add(node.id)
    levels = {node.id: node.level for node in plan.objects if node.level}
    line = next(node for node in PARK.of_type("line"))
    assert [levels["park"], levels[line.id.split("/")[0]], levels[line.id]] == [
        "Enterprise",
        "Site",
        "ProductionLine",
    ]
    assert {figure.key for figure in plan.figures} == {spec.id for spec in SPECS}
    assert all(figure.parent in seen for figure in plan.figures)
    machine = PARK.of_type("machine")[0]
    power = next(f for f in plan.figures if f.key == f"machine.{machine.id}.kw")
    assert power.id == f"{machine.id}/kw"
    assert not power.label.vi.startswith(machine.label.vi)


def test_two_nodes_of_one_name_are_refused_with_the_name():
    twice = (*SPECS, FigureSpec(id="park.load_mw", label=LABEL))
    with pytest.raises(Conflict, match="park/load_mw"):
        plan_space(PARK, twice)


def test_an_alarm_is_told_when_a_client_would_see_a_difference():
    first = alarm()
    assert changed({}, [first]) == ([first], [])
    held = {first.id: first}
    assert changed(held, [alarm(value=3.0)]) == ([], [])
    acked = alarm(state=AlarmState.ACKNOWLEDGED, acknowledged_us=AT_US + 5)
    assert changed(held, [acked]) == ([acked], [])
    assert changed(held, []) == ([], [first])


def test_an_alarm_as_an_event_says_active_acknowledged_and_how_severe():
    event = event_of(alarm(), 2, lambda _: True)
    assert (event.Severity, event.Retain) == (700, True)
    assert getattr(event, "ActiveState/Id") is True
    assert getattr(event, "AckedState/Id") is False
    assert event.SourceNode.Identifier == "ss1/t1"
    assert "Quá tải" in event.Message.Text
    assert "Overload" in event.Message.Text
    gone = event_of(alarm(), 2, lambda _: False, ended=True)
    assert (gone.SourceNode.Identifier, gone.Retain) == ("park", False)
    assert getattr(gone, "ActiveState/Id") is False
    assert event_of(alarm(), 2, lambda _: True).EventId == event.EventId != gone.EventId
    assert sorted(SEVERITY.values(), reverse=True) == [SEVERITY[p] for p in Priority]


def chunk(size: int, announced: int | None = None, kind: bytes = b"MSGF") -> bytes:
    return (
        kind + (size if announced is None else announced).to_bytes(4, "little") + b"x" * (size - 8)
    )


@given(st.lists(st.integers(9, 60), max_size=8), st.lists(st.integers(1, 40), max_size=40))
def test_chunks_within_the_limit_pass_however_they_are_cut(sizes, cuts):
    stream, guard = b"".join(map(chunk, sizes)), Chunks(60)
    for cut in cuts:
        part, stream = stream[:cut], stream[cut:]
        assert guard.take(part)
    assert guard.take(stream)


@given(
    st.lists(st.integers(9, 60), max_size=4),
    st.sampled_from(
        [(61, b"MSGF"), (2**32 - 1, b"OPNF"), (8, b"MSGF"), (0, b"HELF"), (20, b"GET ")]
    ),
    st.integers(1, 30),
)
def test_a_chunk_that_announces_too_much_or_is_no_opc_ua_is_refused_at_its_header(sizes, bad, cut):
    announced, kind = bad
    stream, guard = b"".join(map(chunk, sizes)) + chunk(8, announced, kind), Chunks(60)
    parts = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    assert [guard.take(part) for part in parts][-1] is False


@pytest.mark.parametrize(
    ("host", "security", "user", "password", "error", "text"),
    [
        ("0.0.0.0", "None", "", "", Refused, "anybody could read"),
        ("10.0.0.5", "None", "", "", Refused, "loopback|127.0.0.1"),
        ("127.0.0.1", "Basic256", "", "", InputError, "Aes256Sha256RsaPss"),
        ("127.0.0.1", "", "scada", "", InputError, "env:PARKTWIN_NAME"),
    ],
)
def test_what_would_be_open_to_others_is_refused_with_what_to_do(
    host, security, user, password, error, text
):
    with pytest.raises(error, match=text):
        refuse_open(host, security, user, password)


def test_the_names_of_asyncua_that_are_not_public_are_still_there():
    """An upgrade that moves one of them must not start a server without its guard."""
    assert callable(BinaryServer._make_protocol)
    assert callable(Server._setup_server_nodes)
    assert "_policies" in Server().__dict__


class Service:
    """What the routes would answer."""

    def __init__(self) -> None:
        self.frame: dict[str, object] | None = frame(1)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        self.asked.append(name)
        if self.frame is None:
            raise httpx.ConnectError("down")
        if name == "figures":
            return httpx.Response(200, content=orjson.dumps(self.frame))
        if name == "alarms":
            return httpx.Response(200, content=to_json([alarm()]))
        return httpx.Response(503, content=b'{"what": "starting", "remedy": ""}')


def frame(seq: int) -> dict[str, object]:
    return {
        "seq": seq,
        "now": "2026-11-23T10:00:00Z",
        "speed": 60.0,
        "values": {"park.load_mw": 41.5, "park.cos_phi": None},
        "quality": {"park.cos_phi": 2},
        "measured": {},
        "alarms": {"high": seq},
    }


async def test_the_feed_tells_a_silent_twin_from_a_service_that_is_away_and_hears_both_return():
    service, news, lost = Service(), [], []

    async def take(one):
        news.append(one)

    async def lose(link):
        lost.append(link)

    paces = Paces(stale_s=0.0, away_s=1e9, mute_s=0.0)
    told = []
    transport = httpx.MockTransport(service)
    feed = TwinFeed("http://s", "p", take, lose, paces, told.append, transport)
    try:
        await feed.step()
        assert news[0].figures.values["park.load_mw"] == 41.5
        assert (news[0].figures.speed, lost, feed.fault) == (60.0, [], "")
        await until(lambda: {"alarms", "tags", "headroom"} <= set(service.asked))
        await until(lambda: len(news) == 2)
        assert [one.id for one in news[1].alarms] == ["over@ss1/t1"]
        await feed.step()
        assert lost == [Link.STALE]
        service.frame = None
        await feed.step()
        assert lost[-1] is Link.AWAY
        assert "does not answer" in feed.fault
        service.frame = frame(1)
        await feed.step()
        assert feed.fault == ""
        assert [one.figures.seq for one in news if one.figures] == [1, 1]
        service.frame = {"seq": 2}
        await feed.step()
        assert "no parktwin" in feed.fault
        assert [line.partition(":")[0] for line in told] == [
            "the twin of p is heard",
            "the twin of p is not heard",
            "the twin of p is heard",
            "the twin of p is not heard",
        ]
    finally:
        await feed.close()


def test_an_alarm_comes_through_the_routes_as_it_was():
    kept = alarm(acknowledged_us=AT_US + 1, acknowledged_by="Lan", note="đang xem", members=3)
    assert alarm_of(orjson.loads(to_json(kept))) == kept


def test_modes_are_read_from_the_tags_of_machines():
    rows = [
        {"path": "p/a/m1/operation_mode", "at": "2026-11-23T10:00:00Z", "value": 3.0, "quality": 0},
        {"path": "p/a/m2/operation_mode", "at": None, "value": None, "quality": 1},
    ]
    found = modes_of("p", rows)
    assert {name: (one.value, one.quality) for name, one in found.items()} == {"a/m1": (3.0, 0)}


def test_a_forecast_without_an_end_is_a_whole_day_and_the_peak_counts_from_park_now():
    headroom = {
        "at": ["2026-11-23T10:00:00Z"],
        "peak_at": "2026-11-23T12:30:00Z",
        "peak_mva": 76.0,
        "n1_minutes": None,
        "n1_minutes_low": 120.0,
        "over_minutes": 45.0,
        "p_over": [0.02, 0.5],
    }
    found = forecasts_of(headroom, 1_795_428_000_000_000)  # 2026-11-23 10:00 UTC
    assert {name: one.value for name, one in found.items()} == {
        "peak_mva": 76.0,
        "minutes_to_peak": 150.0,
        "n1_minutes": 1440.0,
        "n1_minutes_low": 120.0,
        "over_minutes": 45.0,
        "p_over_pct": 2.0,
        "p_over_n1_pct": 50.0,
    }
    assert set(found) == {forecast.key for forecast in FORECASTS}
