"""Writes and calls over HTTP: a desk with its trail, a gateway, and a real server behind it."""

import asyncio
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.methods import uamethod
from fastapi import FastAPI

from cluster import bindings
from cluster.control_host import ControlHost
from cluster.control_service import ControlService
from cluster.gateway_host import GatewayHostSettings
from cluster.metadata.upgrade import open_store
from cluster.routes import answers
from cluster.routes.control import control_router
from connectors.opcua import security
from models.errors import NotFound, Unavailable
from twin.delivery import Delivered
from twin.parkfile.load import read_park
from twin.tags import TagRow

sys.path.insert(0, str(Path(__file__).parents[1] / "connectors"))
from floor_plc import Plc, answering, free_port, running
from floor_receiver import until

pytestmark = [pytest.mark.floor, pytest.mark.asyncio(loop_scope="module")]

EXAMPLE = (Path(__file__).parents[2] / "examples" / "minimal.yaml").read_text("utf-8")
POWER, TEMPERATURE = "small/acme/hall/l1/p01/active_power", "small/acme/hall/l1/p01/temperature"
METHOD = "i=85 nsu=urn:a;s=Reset"
FILE = """endpoints:
  - id: plc
    url: "{url}"
    allow_insecure: true
    sampling: 0.1 s
    publishing: 0.1 s
    callable_by: {{"i=85 nsu=urn:a;s=Reset": [engineer]}}
    map:
      - {{match: "nsu=urn:a;s={{machine}}.Power", to: "acme/hall/l1/{{machine}}/active_power", unit: W, writable_by: [operator]}}
      - {{match: "nsu=urn:a;s={{machine}}.T", to: "acme/hall/l1/{{machine}}/temperature"}}
  - {{id: far, gateway: hall-2, url: "opc.tcp://10.0.0.9:4840", allow_insecure: true}}
"""  # noqa: E501 - YAML in one line, as in the example it follows


class Live:
    """A running park with a gateway that answers as over Ray: everything is pickled."""

    id, settings = "small", SimpleNamespace(urls={})

    def __init__(self, park, store, host):
        self.park, self.store, self.host = park, store, host
        self.rows = [
            TagRow(tag=n, binding=b, valid_from_us=0) for n, b in enumerate(park.bindings, start=1)
        ]
        self.lost = None

    @property
    def dictionary(self):
        return SimpleNamespace(open={row.tag: row for row in self.rows})

    @property
    def statuses(self):
        read_by = {"plc": "gateway", "far": "hall-2"}
        return [SimpleNamespace(id=name, gateway=by) for name, by in read_by.items()]

    @property
    def configs(self):
        return bindings.configs(self.park, (), self.rows, {})

    async def ask_gateway(self, method, *arguments):
        found = await getattr(self.host, method)(*pickle.loads(pickle.dumps(arguments)))
        if self.lost is not None:
            raise self.lost
        return pickle.loads(pickle.dumps(found))


class Service(ControlService):
    def __init__(self, live):
        self.live = live

    def _park(self, park):
        if park != "small":
            raise NotFound("park", park, ("small",))
        return self.live

    def _need_store(self):
        return self.live.store


async def taken(source, session, seq, batch):
    return Delivered(session=session, acked_seq=seq, expect=None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc():
    async with running(Plc(free_port())) as plc:
        for name, value in (("p01.Power", 1200.0), ("p01.T", 40.0)):
            await (await plc.add("urn:a", name, value)).set_writable()
        span = ua.Variant(ua.Range(Low=0.0, High=45_000.0), ua.VariantType.ExtensionObject)
        await plc.nodes["urn:a", "p01.Power"].add_property(0, "EURange", span)
        index = await plc.server.get_namespace_index("urn:a")
        argument = ua.Argument(Name="parts", DataType=ua.NodeId(ua.VariantType.UInt16.value))

        @uamethod
        def reset(_, parts):
            return parts + 1

        await plc.server.nodes.objects.add_method(
            ua.NodeId(ua.String("Reset"), ua.Int16(index)),
            ua.QualifiedName("Reset", index),
            reset,
            [replace(argument, ValueRank=-1)],
            [ua.VariantType.UInt16],
        )
        yield plc


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(plc, tmp_path_factory):
    """The park with its gateway, connected."""
    folder, before = tmp_path_factory.mktemp("control"), list(security._places)
    (folder / "gateway").mkdir()
    park = read_park(EXAMPLE.partition("endpoints:")[0] + FILE.format(url=plc.url), "park.yaml")
    store = open_store(folder)
    settings = GatewayHostSettings(
        source="gateway", data=str(folder), database="", folder=str(folder / "gateway"),
        pki=str(folder / "pki"),
    )  # fmt: skip
    host = ControlHost(settings, taken)
    live = Live(park, store, host)
    await host.put_all(live.configs)
    await connected(host)
    yield live
    await host.stop()
    store.close()
    security._places[:] = before


async def connected(host):
    for _ in range(1500):
        if (await host.status())[0].state == "connected":
            return
        await asyncio.sleep(0.02)
    raise AssertionError(await host.status())


@pytest_asyncio.fixture(loop_scope="module")
async def live(served, plc):
    """The park as each test finds it."""
    await plc.write("urn:a", "p01.Power", 1200.0)
    await plc.write("urn:a", "p01.T", 40.0)
    park, rows = served.park, list(served.rows)
    yield served
    served.park, served.rows, served.lost = park, rows, None


@pytest_asyncio.fixture(loop_scope="module")
async def http(live):
    api = FastAPI()
    answers.install(api)
    api.include_router(control_router(Service(live)))
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def write(http, value, *, tag=POWER, role="operator", endpoint="plc", headers=None, **more):
    body = {"tag": tag, "value": value, "by": "lan", "role": role} | more
    route = f"/parks/small/endpoints/{endpoint}/write"
    return await http.post(route, json=body, headers=headers)


async def call(http, *arguments, method=METHOD, role="engineer", **more):
    body = {"method": method, "arguments": list(arguments), "by": "lan", "role": role} | more
    return await http.post("/parks/small/endpoints/plc/call", json=body)


class Trail:
    """Rows of the trail since the test began."""

    def __init__(self, store):
        self._store, self._before = store, len(store.audit_trail())

    @property
    def rows(self):
        return self._store.audit_trail()[self._before :]


@pytest.fixture
def trail(live):
    return Trail(live.store)


async def held(plc, name="p01.Power"):
    return await plc.nodes["urn:a", name].read_value()


async def test_an_allowed_write_reaches_the_plc_in_its_unit_and_is_one_record(http, plc, trail):
    found = (await write(http, "1.5")).json()
    assert await held(plc) == 1500.0
    assert (found["unit"], found["sent_unit"], found["data_type"]) == ("kW", "W", "Double")
    assert (found["before"], found["sent"], found["after"]) == ("1.2", "1500", "1.5")
    assert (found["low"], found["high"], found["result"]) == (0.0, 45.0, "Good")
    (row,) = trail.rows
    assert (row.who, row.action) == ("lan", "endpoint.write")
    assert row.subject == f"small/plc {POWER}"
    told = [row.detail[name] for name in ("role", "before", "asked", "after", "unit", "result")]
    assert told == ["operator", "1.2", "1.5", "1.5", "kW", "Good"]
    assert trail._store.verify_audit()


@pytest.mark.parametrize(
    ("asked", "status", "result", "told"),
    [
        ({"role": "viewer"}, 403, "refused", "by role viewer: only operator may"),
        ({"tag": TEMPERATURE}, 403, "refused", "nobody may"),
        ({"headers": {"x-forwarded-for": "10.1.1.1"}}, 403, "refused", "own machine only"),
        ({"headers": {"X-Forwarded-Proto": "https"}}, 403, "refused", "own machine only"),
        ({"tag": "acme/hall/l1/p01/power"}, 404, "failed", "no tag of endpoint plc"),
        ({"endpoint": "pcl"}, 404, "failed", "did you mean 'plc'"),
        ({"endpoint": "far"}, 409, "failed", "read by gateway hall-2 in its plant"),
        ({"value": "fast"}, 422, "failed", "is no Double"),
        ({"value": True}, 422, "failed", "true is no Double"),
        ({"value": "NaN"}, 422, "failed", "no number"),
        ({"value": 45.1}, 422, "failed", "write 0 to 45"),
    ],
)
async def test_what_is_not_allowed_or_does_not_fit_is_not_sent_and_is_one_record(
    http, plc, trail, asked, status, result, told
):
    answer = await write(http, asked.pop("value", 1.0), **asked)
    assert answer.status_code == status
    body = answer.json()
    assert told in f"{body['what']}: {body['remedy']}"
    (row,) = trail.rows
    assert (row.detail["result"], told in row.detail["cause"]) == (result, True)
    assert (await held(plc), await held(plc, "p01.T")) == (1200.0, 40.0)


async def test_what_the_server_refuses_is_recorded_with_its_status(http, plc, trail):
    async def refuse():
        return ua.StatusCodes.BadUserAccessDenied

    with answering(plc, "p01.Power", refuse):
        answer = await write(http, 2)
    assert answer.status_code == 403
    assert "BadUserAccessDenied" in answer.json()["what"]
    (row,) = trail.rows
    assert (row.detail["result"], row.detail["status"]) == ("refused", "BadUserAccessDenied")
    assert (row.detail["before"], row.detail["sent"], row.detail["after"]) == ("1.2", "2000", "")


async def test_a_dry_run_tells_and_leaves_neither_value_nor_record(http, plc, trail):
    found = (await write(http, 2, dry_run=True)).json()
    assert (found["result"], found["sent"], found["before"]) == ("dry run", "2000", "1.2")
    assert (await write(http, 2, role="viewer", dry_run=True)).status_code == 403
    assert (await held(plc), trail.rows) == (1200.0, [])


async def test_leave_that_was_taken_back_counts_although_the_gateway_was_not_told(
    http, plc, live, trail
):
    was = live.park.endpoints["plc"].map
    rows = [mapping.model_copy(update={"writable_by": ()}) for mapping in was]
    endpoint = live.park.endpoints["plc"].model_copy(update={"map": tuple(rows)})
    live.park = replace(live.park, endpoints={**live.park.endpoints, "plc": endpoint})
    assert (await write(http, 2)).status_code == 403
    assert await held(plc) == 1200.0
    assert len(trail.rows) == 1


async def test_a_new_leave_is_taken_over_without_a_new_session(live):
    (before,) = await live.host.status()
    config = live.configs[0]
    await live.host.put_all([replace(config, callable_by=())])
    await live.host.put_all([config])
    (after,) = await live.host.status()
    assert (after.since_us, after.state) == (before.since_us, "connected")


async def test_nothing_is_sent_while_it_cannot_be_recorded(http, plc, live, monkeypatch):
    def away(_):
        raise Unavailable("the metadata store does not answer")

    monkeypatch.setattr(live.store, "begin_deed", away)
    assert (await write(http, 2)).status_code == 503
    assert await held(plc) == 1200.0


async def test_a_gateway_that_is_lost_meanwhile_leaves_it_unknown(http, live, trail):
    live.lost = Unavailable("gateway is being restarted")
    answer = await write(http, 2)
    assert answer.status_code == 503
    assert "it may have been done" in answer.json()["remedy"]
    (row,) = trail.rows
    assert row.detail["result"] == "unknown"


async def test_an_endpoint_that_is_not_connected_is_told(http, live, trail):
    await live.host.put_all([replace(live.configs[0], enabled=False)])
    answer = await write(http, 2)
    assert (answer.status_code, "disabled" in answer.json()["what"]) == (503, True)
    # A server that cannot be reached: nobody listens there.
    nowhere = f"opc.tcp://127.0.0.1:{free_port()}/plc"
    await live.host.put_all([replace(live.configs[0], url=nowhere)])
    answer = await write(http, 2)
    assert (answer.status_code, "not connected" in answer.json()["what"]) == (503, True)
    assert [row.detail["result"] for row in trail.rows] == ["failed", "failed"]
    await live.host.put_all(live.configs)
    await connected(live.host)


async def test_a_write_that_waited_for_its_turn_counts_what_is_so_by_then(http, plc, live, trail):
    turn = live.host._turns["plc"]
    await turn.acquire()
    attempt = asyncio.create_task(write(http, 2))
    await until(lambda: turn._waiters)
    await live.host.put_all([replace(live.configs[0], enabled=False)])
    turn.release()
    answer = await attempt
    assert (answer.status_code, "disabled" in answer.json()["what"]) == (503, True)
    assert (await held(plc), [row.detail["result"] for row in trail.rows]) == (1200.0, ["failed"])
    await live.host.put_all(live.configs)
    await connected(live.host)


async def test_a_method_is_called_and_recorded_with_its_answer(http, trail):
    found = (await call(http, 41)).json()
    assert (found["sent"], found["after"], found["result"]) == ("parts=41", "42", "Good")
    refused = await call(http, 41, role="operator")
    assert (refused.status_code, "only engineer may" in refused.json()["what"]) == (403, True)
    assert (await call(http)).status_code == 422
    assert (await call(http, method="i=85 nsu=urn:a;s=Stop")).status_code == 403
    results = [(row.action, row.detail["result"]) for row in trail.rows]
    assert results == [("endpoint.call", r) for r in ("Good", "refused", "failed", "refused")]


async def test_the_trail_is_paged_filtered_and_checked(http, live):
    for number in range(5):
        live.store.audit(number, "minh", "alarm.shelve", f"small/{number}", {"minutes": number})
    first = (await http.get("/audit", params={"who": "minh", "limit": 3})).json()
    assert [row["subject"] for row in first["rows"]] == ["small/4", "small/3", "small/2"]
    assert first["rows"][0]["at"] == "1970-01-01T00:00:00.000004Z"
    asked = {"who": "minh", "limit": 3, "before": first["next"]}
    rest = (await http.get("/audit", params=asked)).json()
    assert ([row["subject"] for row in rest["rows"]], rest["next"]) == (
        ["small/1", "small/0"],
        None,
    )
    assert (await http.get("/audit", params={"since": "-1h", "action": "alarm."})).json()[
        "rows"
    ] == []
    assert (await http.get("/audit", params={"since": "yesterday"})).status_code == 422
    assert (await http.get("/audit/check")).json()["rows"] >= 5
