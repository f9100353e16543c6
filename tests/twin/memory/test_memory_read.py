import threading
from pathlib import Path

import pytest
from memory_story import KINDS, NO_COVERAGE, T0, ACut, D, H, M, Row, S, cut_of, seal_all, table

from models.errors import InputError
from twin.memory.read import History, Reader
from twin.memory.settings import MemorySettings
from twin.memory.store import Memory
from twin.samples import Origin, from_us
from twin.status import BAD_NO_COMMUNICATION, GOOD_OVERLOAD, UNCERTAIN

NOW = T0 + 10 * H
DAY = from_us(T0).date()
GAUGE, COUNTER, STATE, EVENT = 1, 2, 3, 4


@pytest.fixture(params=["sealed", "tail", "half"])
def told(request: pytest.FixtureRequest, tmp_path: Path):
    """Return a function that makes a memory and a cut of rows: sealed, as tail, or half each."""

    def tell(rows: list[Row], now_us: int = NOW) -> tuple[Memory, ACut]:
        memory = Memory.open(tmp_path / "memory")
        sealed = {"sealed": len(rows), "tail": 0, "half": (len(rows) + 1) // 2}[request.param]
        seal_all(memory, rows[:sealed], now_us)
        return memory, cut_of(memory, now_us, rows[sealed:])

    return tell


def gauge(*points: tuple[int, float]) -> list[Row]:
    return [Row(tag=GAUGE, at_us=T0 + at, value=v) for at, v in points]


def only(memory: Memory, cut: ACut, tag: int, since: int, until: int, every: int, **more: object):
    found = memory.read_rollup(
        cut, [tag], T0 + since, T0 + until, every, kinds=KINDS, **more
    ).to_pylist()
    for row in found:
        row["at"] = (row["at"].timestamp() * S - T0) / M
    return found


def test_a_mean_is_weighted_by_the_time_each_value_held(told) -> None:
    # 10 for 6 min, 40 for 3 min, then 0 to the end of the hour: (60 + 120) / 60 = 3
    memory, cut = told(gauge((0, 10.0), (6 * M, 40.0), (9 * M, 0.0)))
    (hour,) = only(memory, cut, GAUGE, 0, H, H)
    assert hour["mean"] == pytest.approx(3.0)
    assert hour["integral"] == pytest.approx(180.0 * 60)
    assert (hour["min"], hour["max"], hour["first"], hour["last"]) == (0.0, 40.0, 10.0, 0.0)
    assert (hour["n"], hour["good_n"]) == (3, 3)
    assert hour["good_s"] == hour["covered_s"] == pytest.approx(3600)


def test_a_value_holds_through_windows_without_a_sample(told) -> None:
    memory, cut = told(gauge((90 * S, 5.0), (5 * M + 30 * S, 7.0)))
    rows = only(memory, cut, GAUGE, 0, 6 * M, M)
    assert [r["at"] for r in rows] == [1, 2, 3, 4, 5]
    assert [r["n"] for r in rows] == [1, 0, 0, 0, 1]
    assert [r["mean"] for r in rows] == pytest.approx([5, 5, 5, 5, 6])
    assert [r["covered_s"] for r in rows] == pytest.approx([30, 60, 60, 60, 60])
    assert [r["first"] for r in rows] == [5, None, None, None, 7]


def test_what_held_before_the_windows_counts_in_them(told) -> None:
    memory, cut = told(gauge((0, 8.0), (4 * H + 30 * M, 2.0)))
    (window,) = only(memory, cut, GAUGE, 4 * H, 5 * H, H)
    assert window["mean"] == pytest.approx(5.0)
    assert (window["min"], window["max"]) == (2.0, 8.0)
    assert window["first"] == 2.0


def test_windows_are_closed_on_the_left(told) -> None:
    memory, cut = told(gauge((0, 1.0), (10 * M, 3.0)))
    first, second = only(memory, cut, GAUGE, 0, 20 * M, 10 * M)
    assert (first["n"], first["mean"], first["max"]) == (1, 1.0, 1.0)
    assert (second["n"], second["mean"], second["min"]) == (1, 3.0, 3.0)


def test_the_open_sample_holds_to_now_and_no_further(told) -> None:
    memory, cut = told(gauge((0, 4.0)), now_us=T0 + 90 * M)
    rows = only(memory, cut, GAUGE, 0, 5 * H, H)
    assert [r["covered_s"] for r in rows] == pytest.approx([3600, 1800])


def test_the_open_sample_holds_only_while_its_endpoint_is_covered(told) -> None:
    memory, cut = told(gauge((0, 4.0)))
    rows = only(memory, cut, GAUGE, 0, 5 * H, H, covered_until={GAUGE: T0 + 75 * M})
    assert [r["good_s"] for r in rows] == pytest.approx([3600, 900])


@pytest.mark.parametrize("status", [BAD_NO_COMMUNICATION, UNCERTAIN, GOOD_OVERLOAD])
def test_what_is_not_good_is_covered_but_never_averaged(told, status: int) -> None:
    rows = gauge((0, 10.0), (10 * M, 1000.0), (20 * M, 30.0))
    rows[1] = Row(tag=GAUGE, at_us=rows[1].at_us, value=1000.0, status=status)
    memory, cut = told(rows)
    (window,) = only(memory, cut, GAUGE, 0, 30 * M, 30 * M)
    assert window["mean"] == pytest.approx(20.0)
    assert (window["good_s"], window["covered_s"]) == pytest.approx((1200, 1800))
    assert (window["n"], window["good_n"], window["max"]) == (3, 2, 30.0)


def test_a_window_of_bad_samples_has_no_mean(told) -> None:
    memory, cut = told([Row(tag=GAUGE, at_us=T0, value=5.0, status=BAD_NO_COMMUNICATION)])
    (window,) = only(memory, cut, GAUGE, 0, M, M)
    assert (window["mean"], window["min"], window["last"]) == (None, None, None)
    assert (window["good_s"], window["covered_s"], window["n"]) == (0.0, 60.0, 1)


def test_a_number_that_is_none_is_not_averaged(told) -> None:
    memory, cut = told(gauge((0, 2.0), (30 * S, float("nan"))))
    (window,) = only(memory, cut, GAUGE, 0, M, M)
    assert (window["mean"], window["good_s"], window["n"]) == (2.0, 30.0, 2)


def test_a_counter_grows_between_good_samples_and_over_a_reset(told) -> None:
    # 100 -> 104 (+4), bad, 110 (+6), reset to 3 (+3), 5 (+2)
    points = [(0, 100.0), (M, 104.0), (3 * M, 110.0), (61 * M, 3.0), (62 * M, 5.0)]
    rows = [Row(tag=COUNTER, at_us=T0 + at, value=v) for at, v in points]
    rows.insert(2, Row(tag=COUNTER, at_us=T0 + 2 * M, value=0.0, status=BAD_NO_COMMUNICATION))
    memory, cut = told(rows)
    first, second = only(memory, cut, COUNTER, 0, 2 * H, H)
    assert (first["increase"], first["resets"], first["last"]) == (10.0, 0, 110.0)
    assert (second["increase"], second["resets"], second["last"]) == (5.0, 1, 5.0)
    assert (first["mean"], first["max"]) == (None, None)


def test_a_counter_grows_from_its_last_good_reading_however_long_ago(told) -> None:
    rows = [
        Row(tag=COUNTER, at_us=T0, value=7.0),
        Row(tag=COUNTER, at_us=T0 + 3 * H, value=0.0, status=BAD_NO_COMMUNICATION),
        Row(tag=COUNTER, at_us=T0 + 5 * H, value=9.0),
    ]
    memory, cut = told(rows)
    assert only(memory, cut, COUNTER, 5 * H, 6 * H, H)[0]["increase"] == 2.0
    known = only(memory, cut, COUNTER, 5 * H, 6 * H, H, known_at_us=NOW)
    assert known[0]["increase"] == 2.0


def test_a_state_counts_the_seconds_of_each_code(told) -> None:
    points = [(0, 1.0), (10 * M, 3.0), (25 * M, 1.0), (90 * M, 2.0)]
    memory, cut = told([Row(tag=STATE, at_us=T0 + at, value=v) for at, v in points])
    first, second = only(memory, cut, STATE, 0, 2 * H, H)
    assert first["codes"] == [1, 3]
    assert first["code_s"] == pytest.approx([45 * 60, 15 * 60])
    assert second["codes"] == [1, 2]
    assert second["code_s"] == pytest.approx([1800, 1800])
    assert (first["last"], second["last"], first["increase"]) == (1.0, 2.0, None)


def test_an_event_is_counted_and_holds_nothing(told) -> None:
    memory, cut = told([Row(tag=EVENT, at_us=T0 + at * M, value=1.0) for at in (1, 2, 150)])
    first, third = only(memory, cut, EVENT, 0, 4 * H, H)
    assert (first["at"], first["n"], third["at"], third["n"]) == (0, 2, 120, 1)
    assert first["covered_s"] is None


def test_a_correction_replaces_the_sample_of_its_time(told) -> None:
    rows = gauge((0, 10.0), (5 * M, 900.0))
    rows.append(Row(tag=GAUGE, at_us=T0 + 5 * M, value=20.0, origin=Origin.CORRECTED, seen_us=NOW))
    memory, cut = told(rows)
    (window,) = only(memory, cut, GAUGE, 0, 10 * M, 10 * M)
    assert (window["mean"], window["max"], window["n"]) == (15.0, 20.0, 2)
    assert memory.latest_before(cut, [GAUGE], NOW).column("value").to_pylist() == [20.0]
    was = memory.read_rollup(cut, [GAUGE], T0, T0 + 10 * M, 10 * M, known_at_us=NOW - 1)
    assert was.column("max").to_pylist() == [900.0]


def test_known_at_sees_only_what_had_been_seen(told) -> None:
    rows = [
        Row(tag=GAUGE, at_us=T0, value=1.0, seen_us=T0),
        Row(tag=GAUGE, at_us=T0 + M, value=2.0, seen_us=T0 + H),
    ]
    memory, cut = told(rows)
    then = memory.read_raw(cut, [GAUGE], T0, NOW, known_at_us=T0 + 30 * M)
    assert then.column("value").to_pylist() == [1.0]
    before = memory.latest_before(cut, [GAUGE], T0 + 2 * M, known_at_us=T0 + 30 * M)
    assert before.column("value").to_pylist() == [1.0]
    assert memory.latest_before(cut, [GAUGE], T0 + 2 * M).column("value").to_pylist() == [2.0]


def test_the_last_value_before_a_time_is_at_or_before_it(told) -> None:
    memory, cut = told(gauge((0, 1.0), (H, 2.0), (3 * H, 3.0)))
    for at, value in ((0, 1.0), (H - 1, 1.0), (H, 2.0), (9 * H, 3.0)):
        found = memory.latest_before(cut, [GAUGE, 77], T0 + at)
        assert found.column("value").to_pylist() == [value]
    assert memory.latest_before(cut, [GAUGE], T0 - 1).num_rows == 0


def test_kinds_are_remembered_from_sealing(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    seal_all(memory, [Row(tag=STATE, at_us=T0, value=1.0)], NOW)
    cut = cut_of(memory, NOW, [Row(tag=STATE, at_us=T0 + M, value=2.0)])
    (row,) = memory.read_rollup(cut, [STATE], T0, T0 + 2 * M, 2 * M).to_pylist()
    assert row["codes"] == [1, 2]


def test_windows_may_start_at_local_midnight(told) -> None:
    # Vietnam's midnight is 17:00 UTC.
    memory, cut = told(gauge((6 * H, 1.0), (17 * H, 3.0)), now_us=T0 + 3 * D)
    rows = only(memory, cut, GAUGE, -7 * H, 41 * H, D)
    assert [r["mean"] for r in rows] == pytest.approx([1.0, 3.0])
    assert [r["covered_s"] for r in rows] == pytest.approx([11 * 3600, 24 * 3600])


def test_windows_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory", settings=MemorySettings(max_windows=10))
    cut = cut_of(memory, NOW)
    with pytest.raises(InputError, match="above 0"):
        memory.read_rollup(cut, [1], T0, T0 + H, 0)
    with pytest.raises(InputError, match="before since"):
        memory.read_rollup(cut, [1], T0 + H, T0, M)
    with pytest.raises(InputError, match="longer windows"):
        memory.read_rollup(cut, [1], T0, T0 + H, M)


def test_nothing_asked_or_nothing_there_is_an_empty_answer(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    cut = cut_of(memory, NOW)
    assert memory.read_raw(cut, [], T0, NOW).num_rows == 0
    assert memory.read_rollup(cut, [], T0, NOW, H).num_rows == 0
    assert memory.read_rollup(cut, [1, 2, 3, 4], T0, NOW, H, kinds=KINDS).num_rows == 0
    assert memory.read_rollup(cut, [1], T0, T0, H).num_rows == 0
    assert memory.latest_before(cut, [1], NOW).num_rows == 0


class Desk:
    """Stands in for the shard: tail and manifest row change in one step."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self._lock = memory, threading.Lock()
        self._cut = cut_of(memory, NOW)

    def take(self) -> ACut:
        with self._lock:
            return self._cut

    def _put(self, cut: ACut) -> None:
        with self._lock:
            self._cut = cut

    def work(self, rounds: int, portion: int) -> None:
        """Deliver, seal, and sometimes compact."""
        for i in range(rounds):
            numbers = range(i * portion, (i + 1) * portion)
            fresh = table(Row(tag=GAUGE, at_us=T0 + k * 7 * S, value=float(k)) for k in numbers)
            before = self._cut.manifest
            self._put(ACut(manifest=before, now_us=NOW, tail=fresh))
            after = self._memory.seal(fresh, NO_COVERAGE, KINDS, before.offset + 1, NOW)
            self._put(ACut(manifest=after, now_us=NOW))
            if i % 8 == 7:
                self._put(ACut(manifest=self._memory.compact(DAY, NOW), now_us=NOW))


def test_reads_while_another_thread_seals_have_no_hole_and_no_duplicate(tmp_path: Path) -> None:
    rounds, portion = 24, 9
    memory = Memory.open(tmp_path / "memory", settings=MemorySettings(checkpoint_every=3))
    desk = Desk(memory)
    outside = History(Reader(tmp_path / "memory", MemorySettings()))
    writer = threading.Thread(target=desk.work, args=(rounds, portion))
    writer.start()
    reads, faults, seen = 0, [], set()
    while reads < 100 or writer.is_alive():
        cut = desk.take()
        values = outside.read_raw(cut, [GAUGE], T0, NOW).column("value").to_pylist()
        counted = sum(outside.read_rollup(cut, [GAUGE], T0, NOW, 5 * M).column("n").to_pylist())
        whole = values == [float(k) for k in range(len(values))] and len(values) % portion == 0
        if not whole or counted != len(values):
            faults.append(values)
        seen.add(len(values))
        reads += 1
    writer.join()
    assert faults == []
    assert len(seen) > 3
    assert outside.read_raw(desk.take(), [GAUGE], T0, NOW).num_rows == rounds * portion
