"""Errands of a gateway in a plant: real TLS, a real gateway, a real OPC UA server behind it."""

import asyncio
import contextlib
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson
import pytest

from cluster.edge import Edge, EdgeSettings
from cluster.edge_errands import EdgeErrands, Pace, _Doing
from cluster.edge_link import LinkSettings
from cluster.endpoint_desk import EndpointDesk
from cluster.errand import KINDS, Errand, error_of, fault_of, plain_arguments, read_arguments
from cluster.errand_report import Fault, Report
from cluster.errands import AWAY_S, OPEN_MOST, Errands
from cluster.onboarding_desk import OnboardingDesk
from cluster.plant_certificates import PlantCertificates
from cluster.ports import EndpointSpec, EndpointState
from connectors.gateway import GatewaySettings
from connectors.opcua import budget, reach, security
from connectors.opcua.config import EndpointConfig
from models.errors import Conflict, InputError, NotFound, Refused, TwinError, Unavailable

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "connectors"), str(ROOT / "tests" / "cluster")]
from floor_plc import Plc, free_port, running  # noqa: E402
from floor_receiver import until  # noqa: E402
from plant_side import Operations, authority, door, park_of  # noqa: E402

NODE = "nsu=urn:acme:plc;s=p02.active_power"
PATH = "small/acme/hall/l1/p01/temperature"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("tls") / "tls")


@pytest.fixture
def operations(tmp_path):
    made = Operations(tmp_path / "service", park_of("opc.tcp://127.0.0.1:4841", ""))
    yield made
    made.store.close()


@pytest.fixture(autouse=True)
def of_this_test(monkeypatch):
    """Where endpoints may lie and secrets are is told to a whole process."""
    for kept, name in ((security, "_places"), (reach, "_process"), (budget, "_folder")):
        monkeypatch.setattr(kept, name, list(getattr(kept, name)))


@contextlib.asynccontextmanager
async def plant(operations, tls, folder: Path, said: list[str] | None = None):
    """A gateway ``hall-2`` and the door it asks; it asks quickly."""
    port, token = free_port(), folder / "token"
    token.touch(mode=0o600)
    token.write_text(await operations.token())
    settings = EdgeSettings(
        link=LinkSettings(url=f"https://127.0.0.1:{port}", ca=tls[0]),
        token=token,
        folder=folder / "edge",
        gateway=GatewaySettings(drain_s=0.0),
        follow_s=30.0,
        pace=Pace(idle_s=0.05, busy_s=0.02, fault_s=0.05),
    )
    edge = Edge(settings, (said if said is not None else []).append)
    async with door(operations, tls, port):
        work = asyncio.create_task(edge.work())
        try:
            async with asyncio.timeout(30):
                while "hall-2" not in operations.errands._heard:
                    assert not work.done(), work.exception()
                    await asyncio.sleep(0.01)
            yield edge
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


@contextlib.asynccontextmanager
async def plc():
    async with running(Plc(free_port(), ("urn:acme:plc",))) as made:
        await made.add("urn:acme:plc", "p02.active_power", 7.5)
        yield made


def spec(url: str, **more) -> EndpointSpec:
    told = {"allow_insecure": True, "gateway": "hall-2", "sampling_ms": 50.0} | more
    return EndpointSpec(id="press", url=url, publishing_ms=50.0, **told)


# --- the whole way ---


@pytest.mark.floor
async def test_an_endpoint_in_a_plant_is_tested_added_browsed_crawled_read_and_removed(
    operations, tls, tmp_path, monkeypatch
):
    monkeypatch.setattr("cluster.crawl_room._LOOKS", 1)
    live, desk = operations.live, EndpointDesk(operations.live)
    async with plc() as server, plant(operations, tls, tmp_path) as edge:
        await desk.add(spec(server.url, mapping=({"node": NODE, "path": PATH},)), force=False)
        tag = next(t for t, row in live.dictionary.open.items() if row.binding.node == NODE)
        # The gateway reads it at once, not at its next hello, half a minute from now.
        await until(lambda: 7.5 in operations.receiver.values(tag))
        (row,) = await desk.tags("press")
        assert (row["path"], row["values"]) == (PATH, 1)
        tried = await desk.test_again("press")
        assert [step.step for step in tried.steps if not step.ok] == []
        assert tried.namespaces[-1] == "urn:acme:plc"

        names = [node.name for node in await desk.browse("press", "")]
        assert "p02.active_power" in names
        fresh = OnboardingDesk(live)
        for address in ("press", f"hall-2@{server.url}"):
            async with asyncio.timeout(60):
                while (told := await fresh.crawl(address))["state"] == "running":
                    pass
            assert told["state"] == "done", told
            assert NODE in {node.node for node in await live.ask_gateway("crawled", address)}
            await fresh.propose(address)
        assert [node.name for node in await desk.browse(f"hall-2@{server.url}", "")] == names

        edge._news.set()  # its next hello tells how it is
        await until(lambda: live.edges.statuses(live._in_plants)[0].values > 0)
        await live._look_at_gateways()
        (status,) = live.statuses[-1:]
        assert (status.id, status.gateway) == ("press", "hall-2")
        assert status.state is EndpointState.CONNECTED

        await desk.remove("press")
        await until(lambda: not edge._gateways["small"].status())
        assert "press" not in [status.id for status in live.statuses]
        rows = live.dictionary.open.values()
        assert "press" not in {row.binding.endpoint for row in rows}


@pytest.mark.floor
async def test_a_test_in_a_plant_is_told_step_by_step_and_says_what_failed(
    operations, tls, tmp_path
):
    desk = EndpointDesk(operations.live)
    async with plc() as server, plant(operations, tls, tmp_path):
        name, seen = await desk.trial_begin(spec(server.url)), []
        async with asyncio.timeout(60):
            while not (told := await desk.trial(name))[1]:
                seen.append(len(told[0].steps))
                await asyncio.sleep(0.01)
        assert told[0].ok
        assert len(set(seen)) > 2
        assert seen == sorted(seen)
        gone = f"opc.tcp://127.0.0.1:{free_port()}"
        failed = (await desk.try_spec(spec(gone))).steps[-1]
        assert (failed.step, failed.ok) == ("tcp", False)
        with pytest.raises(InputError, match="tcp"):
            await desk.add(spec(gone), force=False)
        assert operations.store.endpoints("small") == []
        with pytest.raises(NotFound):
            await OnboardingDesk(operations.live).crawl("press")


async def test_where_a_gateway_may_reach_its_own_machine_says(
    operations, tls, tmp_path, monkeypatch
):
    monkeypatch.setenv("PARKTWIN_OPCUA_NETWORKS", "10.9.0.0/16")
    desk = EndpointDesk(operations.live)
    async with plant(operations, tls, tmp_path):
        step = (await desk.try_spec(spec("opc.tcp://127.0.0.1:4840"))).steps[-1]
        assert (step.step, step.ok) == ("address", False)
        with pytest.raises(Refused):
            await desk.browse("hall-2@opc.tcp://127.0.0.1:4840", "")


async def test_trust_is_given_in_the_plant_by_fingerprint(operations, tls, tmp_path):
    desk, audited = EndpointDesk(operations.live), []

    async def audit(action, subject, _):
        audited.append((action, subject))

    async with plant(operations, tls, tmp_path) as edge:
        pki = edge._settings.folder / "pki"
        ours = security.Pki(tmp_path / "server").own(datetime.now(UTC))
        (pki / "rejected").mkdir(parents=True, exist_ok=True)
        der = ours.certificate.read_bytes()
        (pki / "rejected" / f"{ours.fingerprint}.der").write_bytes(der)
        with pytest.raises(TwinError, match="F" * 16):
            await desk.trust("press", "f" * 64, "hall-2")
        await desk.trust("press", ours.fingerprint, "hall-2")
        assert [path.read_bytes() for path in (pki / "trusted").iterdir()] == [der]
        there = PlantCertificates("hall-2", operations.errands, audit)
        places = {one.place: one.fingerprint for one in await there.entries()}
        assert places["trusted"] == ours.fingerprint
        own = security.Pki(pki).own(datetime.now(UTC)).certificate.read_bytes()
        assert await there.der(staged=False) == own
        with pytest.raises(InputError, match="no new certificate"):
            await there.der(staged=True)
        await there.distrust(ours.fingerprint)
        assert not list((pki / "trusted").iterdir())
        renewal = await there.renew(force=False)
        assert renewal.used  # no server has to take it
        assert await there.der(staged=False) != own
        assert audited == [
            ("certificate.distrust", f"hall-2/{ours.fingerprint}"),
            ("certificate.renew", f"hall-2/{renewal.fingerprint}"),
        ]


async def test_a_restart_of_the_service_ends_what_nobody_waits_for(operations, tls, tmp_path):
    async with plant(operations, tls, tmp_path) as edge:
        began = asyncio.Event()

        async def endless(*_):
            began.set()
            await asyncio.Event().wait()

        edge._hands["small"].browse = endless
        waiting = asyncio.create_task(
            EndpointDesk(operations.live).browse("hall-2@opc.tcp://x:1", "")
        )
        await began.wait()
        operations.begin_again()
        await until(lambda: "hall-2" in operations.errands._heard)
        await until(lambda: not edge._errands._doing)
        # Whoever waited for it hung on the process that is gone.
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_what_a_service_signed_for_another_question_is_not_done(
    operations, tls, tmp_path, caplog
):
    async with plant(operations, tls, tmp_path) as edge:
        real = operations.gateway_errands
        kept = await real(edge._link.token.text, "an-older-question", "run", [])

        async def stale(*_):
            return kept

        operations.gateway_errands = stale
        await until(lambda: "not signed" in edge._errands._fault)
        operations.gateway_errands = real
        await until(lambda: not edge._errands._fault)


@pytest.mark.parametrize("fault", [httpx.DecodingError("no gzip"), RuntimeError("odd")])
async def test_whatever_an_answer_is_errands_are_asked_for_again(
    operations, tls, tmp_path, fault, monkeypatch
):
    async with plant(operations, tls, tmp_path) as edge:
        http, broken = await edge._link._client(), asyncio.Event()
        real = http.post

        async def odd(path, **more):
            if path == "/gateway/errands" and not broken.is_set():
                broken.set()
                raise fault
            return await real(path, **more)

        monkeypatch.setattr(http, "post", odd)
        await broken.wait()
        operations.errands._heard.clear()
        await until(lambda: "hall-2" in operations.errands._heard)


async def test_a_service_that_is_away_is_asked_at_its_pace_although_much_is_to_be_told(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("cluster.edge_errands.REPORT_MOST", 10)
    asked = []

    class Away:
        async def send(self, *_, **__):
            asked.append(1)
            raise Unavailable("the service does not answer")

    made = EdgeErrands(Away(), {}, tmp_path, lambda: None, Pace(fault_s=60.0))
    for name in "ab":
        errand = Errand(id=name, park="p", method="certificates", arguments=(), limit_s=1.0)
        made._doing[name] = _Doing(errand, report=Report(id=name, over=True, found="x" * 20))
    asking = asyncio.create_task(made.run())
    await until(lambda: asked)
    for _ in range(50):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert len(asked) == 1


# --- who waits, and until when ---


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def errands(clock, monkeypatch):
    monkeypatch.setattr("cluster.errands._LOOK_S", 0.001)
    return Errands(clock)


async def begun(errands, *asked) -> tuple[asyncio.Task, Errand]:
    """An errand of a gateway that is there, and how it was given to it."""
    errands.take("hall-2", "r1", [])
    waiting = asyncio.create_task(errands.ask("hall-2", "small", *asked))
    await asyncio.sleep(0)
    return waiting, errands.take("hall-2", "r1", []).errands[-1]


async def test_a_gateway_that_is_away_is_told_at_once(errands, clock):
    with pytest.raises(Unavailable, match="not asked for errands since the service started"):
        await errands.ask("hall-2", "small", "browse", "plc", "")
    errands.take("hall-2", "r1", [])
    clock.s += AWAY_S + 1
    with pytest.raises(Unavailable, match="silent for 21 s"):
        errands.trial_begin("hall-2", "small", EndpointConfig(
            id="a", url="opc.tcp://x:1", allow_insecure=True
        ))  # fmt: skip


async def test_a_gateway_that_falls_silent_leaves_nobody_waiting(errands, clock):
    waiting, _ = await begun(errands, "browse", "plc", "")
    clock.s += AWAY_S + 1
    with pytest.raises(Unavailable, match="silent"):
        await waiting
    assert errands.take("hall-2", "r1", []).errands == ()


async def test_an_errand_that_takes_too_long_is_given_up_on_both_sides(errands, clock):
    waiting, errand = await begun(errands, "browse", "plc", "")
    for _ in range(8):
        clock.s += 9
        errands.take("hall-2", "r1", [])
    with pytest.raises(Unavailable, match="not finished within 60 s"):
        await waiting
    assert errand.limit_s == 60
    assert errands.take("hall-2", "r1", []).errands == ()


async def test_a_gateway_that_was_restarted_says_that_it_forgot(errands):
    waiting, _ = await begun(errands, "browse", "plc", "")
    assert errands.take("hall-2", "r2", []).errands == ()
    with pytest.raises(Unavailable, match="was restarted"):
        await waiting


async def test_a_lost_answer_is_made_up_for_and_a_second_report_does_no_harm(errands):
    waiting, errand = await begun(errands, "crawl_stop", "plc")
    assert errands.take("hall-2", "r1", []).errands == (errand,)
    done = Report(id=errand.id, over=True, found={"state": "stopped"})
    assert errands.take("hall-2", "r1", [done]).errands == ()
    errands.take("hall-2", "r1", [done])
    assert await waiting == {"state": "stopped"}


async def test_no_gateway_reports_for_another_one(errands):
    waiting, errand = await begun(errands, "crawl_stop", "plc")
    errands.take("hall-3", "r1", [Report(id=errand.id, over=True, found={})])
    await asyncio.sleep(0.01)
    assert not waiting.done()
    errands.take("hall-2", "r1", [Report(id=errand.id, over=True, found={"state": "done"})])
    assert (await waiting)["state"] == "done"


async def test_who_waits_no_longer_is_taken_from_the_list(errands):
    waiting, _ = await begun(errands, "browse", "plc", "")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert errands.take("hall-2", "r1", []).errands == ()


async def test_what_nobody_understands_is_no_result(errands):
    waiting, errand = await begun(errands, "browse", "plc", "")
    errands.take("hall-2", "r1", [Report(id=errand.id, over=True, found=[{"nodes": 3}])])
    with pytest.raises(Unavailable, match="nobody here understands"):
        await waiting


async def test_a_gateway_has_a_few_errands_at_once(errands):
    tasks = [(await begun(errands, "browse", "plc", ""))[0] for _ in range(OPEN_MOST)]
    with pytest.raises(Unavailable, match="8 errands under way"):
        await errands.ask("hall-2", "small", "browse", "plc", "")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_renewal_whose_answer_is_lost_is_in_the_trail_too():
    class Silent:
        async def ask(self, *_):
            raise Unavailable("gateway hall-2 has been silent for 21 s")

    audited = []

    async def audit(action, subject, detail):
        audited.append((action, subject, detail["result"]))

    with pytest.raises(Unavailable):
        await PlantCertificates("hall-2", Silent(), audit).renew(force=False)
    assert audited == [("certificate.renew", "hall-2/", "unknown")]


async def test_nodes_of_a_crawl_come_in_pages_and_once(errands, monkeypatch):
    monkeypatch.setattr("cluster.errands.PAGE", 2)
    nodes = [{"node": f"nsu=urn:a;s=V{n}", "path": f"V{n}"} for n in range(5)]
    asked = []

    async def gateway():
        while True:
            for errand in errands.take("hall-2", "r1", []).errands:
                asked.append(errand.arguments)
                first, count = errand.arguments[1:]
                found = nodes[first : first + count]
                errands.take("hall-2", "r1", [Report(id=errand.id, over=True, found=found)])
            await asyncio.sleep(0)

    errands.take("hall-2", "r1", [])
    answering = asyncio.create_task(gateway())
    for _ in range(2):
        found = await errands.ask_of("hall-2", "small", "crawled", "plc")
        assert [node.name for node in found] == [f"V{n}" for n in range(5)]
    assert asked == [("plc", 0, 2), ("plc", 2, 2), ("plc", 4, 2)]
    answering.cancel()


# --- what travels ---


def test_an_errand_carries_references_and_never_a_password():
    config = EndpointConfig(
        id="a", url="opc.tcp://x:1", policy="Basic256Sha256", mode="Sign", user="reader",
        password="file:press",
    )  # fmt: skip
    (plain,) = plain_arguments([config])
    assert plain["password"] == "file:press"
    there = orjson.loads(orjson.dumps({"arguments": [plain]}))["arguments"]
    errand = Errand(id="1", park="p", method="try_endpoint", arguments=there, limit_s=1.0)
    assert read_arguments(errand) == (config,)
    clear = Errand(
        id="1", park="p", method="try_endpoint", limit_s=1.0,
        arguments=({**plain, "password": "secret"},),
    )  # fmt: skip
    with pytest.raises(InputError, match="by reference only"):
        read_arguments(clear)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("stop", ()), ("put_all", ([],)), ("browse", (3, [])), ("try_endpoint", ({"id": "a"},))],
)
def test_only_errands_that_are_known_are_done(method, arguments):
    with pytest.raises(InputError):
        read_arguments(Errand(id="1", park="p", method=method, arguments=arguments, limit_s=1.0))
    assert "stop" not in KINDS


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("a", "b", "c"), InputError),
        (Conflict("a", "b", "c"), Conflict),
        (NotFound("node", "x", ("y",)), InputError),
        (Refused("a", "b"), Refused),
        (Unavailable("a", "b"), Unavailable),
        (TwinError("a"), Unavailable),
    ],
)
def test_an_error_says_here_what_it_said_there(error, kind):
    again = error_of(fault_of(error))
    assert type(again) is kind
    assert str(again) == str(error) if kind is type(error) else again.what
    assert isinstance(error_of(Fault(error="Exit", what="a")), Unavailable)
    assert len(error_of(Fault(error="Refused", what="a" * 10**6)).what) == 4000


def test_a_fault_with_a_name_that_is_no_utf_8_can_be_told():
    name = b"urn:M\xe1y".decode(errors="surrogateescape")  # as asyncua reads what a server says
    told = fault_of(Refused(f"the server calls itself {name}", f"rename {name}"))
    assert orjson.loads(orjson.dumps(told)) == {
        "error": "Refused", "what": "the server calls itself urn:M?y",
        "remedy": "rename urn:M?y", "where": "",
    }  # fmt: skip


async def test_an_endpoint_is_given_to_a_gateway_that_has_a_token_and_room(operations):
    desk = EndpointDesk(operations.live)
    with pytest.raises(InputError, match="gateway-token create hall-2 --park small"):
        await desk.add(spec("opc.tcp://10.0.0.5:4840"), force=True)
    text = await operations.token()
    await desk.add(spec("opc.tcp://10.0.0.5:4840"), force=True)
    answer = await operations.gateway_hello(text, "question-0000001", {})
    (park,) = orjson.loads(answer.body)["parks"]
    assert [endpoint["id"] for endpoint in park["endpoints"]] == ["press"]
    other = replace(spec("opc.tcp://10.0.0.5:4840"), id="mill")
    with pytest.raises(InputError, match="did you mean 'hall-2'"):
        await desk.add(replace(other, gateway="hall-3"), force=True)
