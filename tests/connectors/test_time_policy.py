"""A PLC whose clock is seven hours ahead: what it measured is billed when it was used."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from asyncua import ua

from connectors.opcua.config import Item
from connectors.opcua.decode import Decoder
from connectors.opcua.rows import Rows
from twin.samples import column_us, from_us
from twin.shard import Shard
from twin.sim_disk import SimDisk
from twin.tags import Binding

S = 1_000_000
NOW = 1_790_000_000 * S
AHEAD = timedelta(hours=7)
BINDING = Binding(path="p/m/power", unit="kW", endpoint="plc")


def told(policy: str, source: timedelta, server: timedelta) -> tuple[np.ndarray, float, int]:
    """Times, energy [kW s] and clock corrections of an hour of a power that changes every 10 s."""
    clock = [NOW]
    rows = Rows()
    decoder = Decoder(rows, policy, lambda: clock[0], S)
    decoder.bind(1, Item(tag=1, namespace="urn:a", identifier="s=P"))
    shard = Shard.open(Path("/park/shard"), "p", now_us=NOW, disk=SimDisk())
    shard.apply_park((BINDING,), "kind: Park", NOW)
    times, rejected = [], 0
    for number in range(360):
        clock[0] = NOW + number * 10 * S
        now = from_us(clock[0]).replace(tzinfo=None)
        value = ua.DataValue(
            ua.Variant(float(100 + number % 9)),
            SourceTimestamp=now + source,
            ServerTimestamp=now + server,
        )
        decoder.take([(1, value)])
        batch = rows.drain()
        times.append(column_us(batch, "at")[0])
        answer = shard.deliver("gw", 1, number + 1, batch, clock[0])
        rejected += sum(effect.kind == "clock.rejected" for effect in answer.effects)
    totals = shard.state.totals(NOW + 3600 * S)
    shard.close()
    return np.array(times), float(totals.integral[0]), rejected


TRUE_TIMES = NOW + np.arange(360) * 10 * S


@pytest.mark.parametrize(
    ("policy", "server"), [("receive", AHEAD), ("receive", timedelta()), ("server", timedelta())]
)
def test_a_clock_seven_hours_ahead_changes_no_time_and_no_energy(policy, server):
    times, energy, rejected = told(policy, AHEAD, server)
    right_times, right, _ = told("source", timedelta(), timedelta())
    assert times.tolist() == right_times.tolist() == TRUE_TIMES.tolist()
    assert energy == right
    assert rejected == 0


def test_by_its_own_clock_it_is_corrected_on_arrival_and_told_every_time():
    _, energy, rejected = told("source", AHEAD, AHEAD)
    _, right, _ = told("source", timedelta(), timedelta())
    assert rejected == 360
    # What was restamped is uncertain: it is not counted as measured.
    assert energy <= right
