"""A real service: Ray, a twin, a gateway, a virtual plant's OPC UA server, what-if tasks."""

import asyncio
import os
import signal
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cluster.ports import (
    EndpointSpec,
    EndpointState,
    HistoryQuery,
    InputError,
    NotFound,
    RunState,
    TwinError,
)
from cluster.replay import replay
from cluster.whatif_tasks import PARK_WORK
from cluster.workers import RayWorkers, WorkerLost, WorkFailed
from connectors.clock import wall_us
from connectors.plant.process import free_ports
from twin.samples import sample_batch

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore::ResourceWarning")]

POWER = "small/acme/hall/l1/p01/active_power"
WHATIF = """
kind: WhatIf
id: slower
park: small
from: now
horizon: 6 h
ensemble: {replications: 48, seed: 5}
branches:
  base: []
  slow: [{change: cycle_time, asset: acme/hall/l1/p01, factor: 1.2}]
"""


def until(true, patience_s):
    last = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < last, f"not within {patience_s} s"
        time.sleep(0.05)


def value_of(running, path):
    found = [t for t in running.ask(running.service.tags("small", path)) if t.path == path]
    return found[0]


def test_values_of_the_plant_reach_the_twin(running):
    until(lambda: value_of(running, POWER).value is not None, 30)
    tag = value_of(running, POWER)
    assert (tag.unit, tag.quality, tag.origin) == ("kW", 0, "measured")
    assert tag.value > 0
    until(
        lambda: running.ask(running.service.frame("small")).values["park.endpoints_up"] == 1.0, 30
    )
    status = running.ask(running.service.endpoints("small"))
    assert [s.state for s in status] == [EndpointState.CONNECTED]


def test_state_and_history_agree_with_the_live_value(running):
    until(lambda: value_of(running, POWER).value is not None, 30)
    now_us = running.ask(running.service.parks())[0].now_us
    state = running.ask(running.service.state("small", None, None)).to_pylist()
    live = next(row for row in state if row["path"] == POWER)
    query = HistoryQuery(tags=(POWER,), since_us=now_us - 600_000_000, until_us=now_us + 10**7)
    raw = running.ask(running.service.history("small", query)).to_pylist()
    assert live["value"] in [row["value"] for row in raw]
    then = running.ask(running.service.state("small", now_us, None)).to_pylist()
    assert {row["path"] for row in then} <= {row["path"] for row in state}


def test_history_is_the_same_before_and_after_sealing(running):
    until(lambda: value_of(running, POWER).value is not None, 30)
    # Up to the value the twin holds: a later one of a time before now may be on its way.
    held_us = value_of(running, POWER).at_us
    query = HistoryQuery(tags=(POWER,), since_us=held_us - 600_000_000, until_us=held_us + 1)
    before = running.ask(running.service.history("small", query))
    assert before.num_rows
    running.ask(running.service._park("small").ask("seal"))
    assert running.ask(running.service.history("small", query)).equals(before)
    vitals = running.ask(running.service.vitals())[0]
    assert vitals.offset > 0


def test_wrong_questions_are_refused_with_a_remedy(running):
    now_us = running.ask(running.service.parks())[0].now_us
    query = HistoryQuery(tags=(POWER + "x",), since_us=now_us - 10**7, until_us=now_us)
    with pytest.raises(NotFound, match="did you mean"):
        running.ask(running.service.history("small", query))
    far = HistoryQuery(tags=(POWER,), since_us=now_us, until_us=now_us + 10**15)
    with pytest.raises(InputError, match="31 days"):
        running.ask(running.service.history("small", far))
    with pytest.raises(NotFound, match="did you mean 'small'"):
        running.ask(running.service.frame("smal"))


def test_no_acknowledged_row_is_lost_when_the_twin_is_killed(running, record_property):
    """Batches are delivered one by one, each again until it is acknowledged, over two kills."""
    service = running.service
    tag = value_of(running, POWER).tag
    session = running.ask(service.gateway_session("small", "ledger"))
    start_us = running.ask(service.parks())[0].now_us - 60_000_000
    outages = []

    async def deliver(seq: int) -> None:
        at_us = start_us + seq * 1000
        batch = sample_batch(tag=[tag], at_us=at_us, value=float(seq), seen_us=wall_us())
        while True:
            try:
                answer = await service.ingest("small", "ledger", session, seq, batch)
            except TwinError:
                await asyncio.sleep(0.05)
            else:
                assert answer.expect is None
                return

    for seq in range(1, 41):
        if seq in {11, 26}:
            killed_s = time.monotonic()
            os.kill(service._park("small").pulse.pid, signal.SIGKILL)
            running.ask(deliver(seq))
            outages.append(time.monotonic() - killed_s)
            until(lambda: not service._park("small").fault, 20)
        else:
            running.ask(deliver(seq))
    record_property("outage_s", max(outages))
    query = HistoryQuery(tags=(POWER,), since_us=start_us, until_us=start_us + 50_000)
    rows = running.ask(service.history("small", query)).column("value").to_pylist()
    assert [v for v in rows if v in set(range(1, 41))] == [float(n) for n in range(1, 41)]
    assert max(outages) < 30


def test_the_gateway_comes_back_with_its_endpoints(running):
    live = running.service._park("small")
    pid = running.ask(live.ask_gateway("begin"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: _gateway_pid(running) not in {None, pid}, 30)
    until(
        lambda: (
            [s.state for s in running.ask(running.service.endpoints("small"))]
            == [EndpointState.CONNECTED]
        ),
        30,
    )
    seen_us = wall_us()
    until(lambda: (value_of(running, POWER).seen_us or 0) > seen_us, 30)


def _gateway_pid(running):
    try:
        return running.ask(running.service._park("small").ask_gateway("begin"))
    except TwinError:
        return None


def test_an_endpoint_is_tried_added_mapped_and_removed_while_the_service_runs(running):
    service = running.service
    url = running.ask(service.endpoints("small"))[0].url
    spec = EndpointSpec(id="second", url=url, allow_insecure=True)
    tried = running.ask(service.endpoint_test(spec))
    assert tried.ok, tried
    running.ask(service.endpoint_add("small", spec))
    until(lambda: len(running.ask(service.endpoints("small"))) == 2, 20)
    nodes = running.ask(service.endpoint_browse("small", "second", ""))
    assert all(node.node.startswith("nsu=") for node in nodes)
    scrap = "small/acme/hall/l1/p01/vibration"
    running.ask(service.endpoint_map("small", "second", {"nsu=urn:x;s=V": scrap}))
    bound = next(t for t in running.ask(service.tags("small", "vibration")) if t.path == scrap)
    assert (bound.endpoint, bound.unit) == ("second", "mm/s")
    running.ask(service.endpoint_remove("small", "second"))
    until(lambda: len(running.ask(service.endpoints("small"))) == 1, 20)
    with pytest.raises(NotFound):
        running.ask(service.endpoint_remove("small", "second"))


def test_a_park_with_more_endpoints_than_a_gateway_holds_gets_another_one(running):
    service, live = running.service, running.service._park("small")
    before = live.gateways.settings
    live.gateways.settings = replace(before, limit=1)
    url = running.ask(service.endpoints("small"))[0].url
    running.ask(
        service.endpoint_add("small", EndpointSpec(id="more", url=url, allow_insecure=True))
    )

    def readers():
        found = running.ask(service.endpoints("small"))
        return {s.id: s.gateway for s in found if s.state is EndpointState.CONNECTED}

    until(lambda: readers() == {"plc": "small-gateway", "more": "small-gateway-2"}, 60)
    assert {part.name for part in running.ask(service.parts()) if part.ok} >= {
        "small-gateway",
        "small-gateway-2",
    }
    live.gateways.settings = before
    running.ask(live.connect())
    until(lambda: readers() == dict.fromkeys(("plc", "more"), "small-gateway"), 60)
    running.ask(service.endpoint_remove("small", "more"))


def test_an_endpoint_that_does_not_answer_is_not_saved(running):
    (port,) = free_ports(1)
    spec = EndpointSpec(id="dead", url=f"opc.tcp://127.0.0.1:{port}", allow_insecure=True)
    with pytest.raises(InputError, match="force"):
        running.ask(running.service.endpoint_add("small", spec))
    assert "dead" not in {s.id for s in running.ask(running.service.endpoints("small"))}


def test_a_what_if_from_now_is_simulated_and_compared(running):
    service = running.service
    run = running.ask(service.whatif_submit(WHATIF, "me"))
    until(lambda: _state(running, run.id) in {RunState.DONE, RunState.FAILED}, 90)
    done = running.ask(service.whatif_run(run.id))
    assert done.state == RunState.DONE, done.error
    outcome = running.ask(service.whatif_outcome(run.id))
    assert outcome.provenance.result_hash == done.result_hash
    assert outcome.kpis.num_rows > 0
    assert {row["branch"] for row in outcome.pairs.to_pylist()} == {"slow"}


def _state(running, run):
    return running.ask(running.service.whatif_run(run)).state


def test_the_result_is_the_same_on_one_and_on_two_workers(running):
    service = running.service
    run = running.ask(service.whatif_submit(WHATIF, "me"))
    until(lambda: _state(running, run.id) in {RunState.DONE, RunState.FAILED}, 90)
    row = service._store.run(run.id)

    async def alone() -> str:
        workers = RayWorkers(1)
        shared = workers.share(row.plan)
        pieces = await workers.call(PARK_WORK.compile, row.plan, limit_s=60)
        parts = [await workers.call(PARK_WORK.run, shared, p, limit_s=60) for p in pieces]
        outcome = await workers.call(PARK_WORK.combine, shared, parts, limit_s=60)
        return outcome.provenance.result_hash

    assert running.ask(alone()) == row.result_hash


@pytest.mark.parametrize(
    ("function", "arguments", "limit_s", "error"),
    [
        (time.sleep, (600,), 1.0, WorkFailed),
        (bytearray, (64 << 30,), 60.0, WorkFailed),
        (os.abort, (), 60.0, WorkerLost),
        (os._exit, (1,), 60.0, WorkerLost),
    ],
    ids=["endless", "hungry", "abort", "exit"],
)
def test_a_bad_piece_of_work_harms_nobody(running, function, arguments, limit_s, error):
    workers = RayWorkers(2)
    pid = running.service._park("small").pulse.pid
    with pytest.raises(error):
        running.ask(workers.call(function, *arguments, limit_s=limit_s))
    assert running.ask(workers.call(np.sum, [1, 2], limit_s=60)) == 3
    assert running.service._park("small").pulse.pid == pid


def test_a_worker_is_kept_warm_and_a_lost_one_is_replaced_warm(running, tmp_path):
    workers = RayWorkers(1, partial(tempfile.mkdtemp, dir=str(tmp_path)))

    async def pids() -> tuple[int, int, int]:
        first = await workers.call(os.getpid, limit_s=60)
        again = await workers.call(os.getpid, limit_s=60)
        with pytest.raises(WorkerLost):
            await workers.call(os._exit, 1, limit_s=60)
        return first, again, await workers.call(os.getpid, limit_s=60)

    first, again, other = running.ask(pids())
    assert first == again != other
    assert len(list(tmp_path.iterdir())) == 2
    assert running.ask(workers.call(os.nice, 0, limit_s=60)) == 10


def test_cancelling_a_call_ends_its_process_and_leaves_the_pool_usable(running):
    workers = RayWorkers(1)

    async def cancelled() -> int:
        sleeping = asyncio.create_task(workers.call(time.sleep, 600, limit_s=600))
        await asyncio.sleep(0)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        return await workers.call(sum, [1, 2], limit_s=60)

    assert running.ask(cancelled()) == 3


def test_a_what_if_that_fits_nothing_is_refused_before_it_is_queued(running):
    wrong = WHATIF.replace("acme/hall/l1/p01", "acme/hall/l1/p99")
    with pytest.raises(InputError, match=r"did you mean|no "):
        running.ask(running.service.whatif_submit(wrong, "me"))


def test_the_twin_equals_its_replay(running):
    (proof,) = replay(running.service.settings.folder)
    assert proof.equal, proof


def test_ray_asks_for_a_token_only_we_can_read(running):
    token = running.service.settings.folder.ray_token
    assert token.stat().st_mode & 0o077 == 0
    assert Path(os.environ["RAY_AUTH_TOKEN_PATH"]) == token
