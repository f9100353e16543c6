"""What the service reads of the past leaves out what nobody heard, sealed or not."""

from pathlib import Path

import pyarrow as pa
import pytest

from cluster.history import Dictionary, HistoryReader
from cluster.ports import HistoryQuery
from connectors.coverage import CoverageRow, coverage_batch
from twin.disk import OsDisk
from twin.memory.store import Memory
from twin.samples import sample_batch
from twin.shard import Shard
from twin.tags import Binding

S = 1_000_000
M, H = 60 * S, 3600 * S
T0 = 1_795_000_000_000_000 // H * H
POWER = Binding(path="p/power", unit="kW", endpoint="plc")


def live_two_hours(shard: Shard) -> None:
    """100 kW each minute, an outage from minute 10 to 50, another meter from minute 90 on."""
    shard.apply_park([POWER], "", T0)
    numbers = iter(range(1, 1000))
    for minute in range(120):
        at = T0 + minute * M
        if minute == 90:
            shard.apply_park([Binding(path=POWER.path, unit="kW", endpoint="other")], "", at)
        if minute in (10, 50):
            gone = CoverageRow(endpoint="plc", from_us=T0 + 10 * M, to_us=at, alive=False)
            back = CoverageRow(endpoint="plc", from_us=at, to_us=at + M, alive=True)
            rows = coverage_batch([gone] if minute == 10 else [gone, back])
            shard.cover("gw", 1, next(numbers), rows, at)
        if not 10 <= minute < 50:
            tag = shard.dictionary.of_path(POWER.path).tag
            batch = sample_batch(tag=tag, at_us=[at], value=100.0, seen_us=at)
            shard.deliver("gw", 1, next(numbers), batch, at)
    shard.tick(T0 + 2 * H)


@pytest.mark.parametrize("seal", [False, True])
def test_an_outage_and_a_closed_tag_hold_nothing(tmp_path: Path, seal: bool) -> None:
    memory = Memory.open(tmp_path / "memory")
    shard = Shard.open(tmp_path / "shard", "p", now_us=T0, disk=OsDisk(), memory=memory)
    live_two_hours(shard)
    if seal:
        shard.seal(T0 + 2 * H)
    reader, rows, cut = HistoryReader(tmp_path / "memory"), shard.dictionary.rows, shard.cut()
    found = reader.windows(cut, rows, T0, T0 + 2 * H, H)
    seconds: dict[int, float] = {}
    for row in found.to_pylist():
        seconds[row["tag"]] = seconds.get(row["tag"], 0.0) + row["good_s"]
    # the first tag: minutes 0 to 10 and 50 to 90; the second: 90 to 120
    old, new = sorted({row.tag for row in rows})
    assert seconds == {old: 3000.0, new: 1800.0}
    totals = shard.state.totals(T0 + 2 * H)
    live = totals.good_s[shard.state.index_of([old, new])]
    assert live.tolist() == [seconds[old], seconds[new]]
    query = HistoryQuery(tags=(POWER.path,), since_us=T0, until_us=T0 + 2 * H, every_us=H)
    closed = [row for row in rows if row.tag == old][-1:]
    chart = reader.history(cut, closed, Dictionary(rows).past(closed), query)
    assert isinstance(chart, pa.Table)
    assert chart.column("good_s").to_pylist() == [1200.0, 1800.0]
    shard.close()


def test_a_tag_that_was_away_for_a_while_held_nothing_meanwhile(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    shard = Shard.open(tmp_path / "shard", "p", now_us=T0, disk=OsDisk(), memory=memory)
    shard.apply_park([POWER], "", T0)
    tag = shard.dictionary.of_path(POWER.path).tag
    shard.deliver("gw", 1, 1, sample_batch(tag=tag, at_us=[T0], value=100.0, seen_us=T0), T0)
    shard.apply_park([], "", T0 + 10 * M)
    back_us = T0 + 40 * M
    shard.apply_park([POWER], "", back_us)
    again = sample_batch(tag=tag, at_us=[back_us], value=100.0, seen_us=back_us)
    shard.deliver("gw", 1, 2, again, back_us)
    shard.tick(T0 + H)
    dictionary = Dictionary(shard.dictionary.rows)
    rows = dictionary.of([POWER.path])
    assert [row.tag for row in rows] == [tag]
    query = HistoryQuery(tags=(POWER.path,), since_us=T0, until_us=T0 + H, every_us=H)
    reader, cut = HistoryReader(tmp_path / "memory"), shard.cut()
    chart = reader.history(cut, rows, dictionary.past(rows), query)
    assert chart.column("good_s").to_pylist() == [1800.0]
    shard.close()
