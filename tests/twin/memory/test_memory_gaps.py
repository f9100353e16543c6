"""History leaves out what was not heard: it counts of a stretch what the live state counted."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_story import KINDS, NO_COVERAGE, T0, H, M, Row, S, cut_of, table

from twin.coverage import RECOVERED
from twin.memory.blind import Blind, blinds_of
from twin.memory.read import History, Reader
from twin.memory.store import Memory
from twin.samples import COVERAGE, SAMPLES, TIME
from twin.state import ShardState
from twin.status import BAD_SENSOR_FAILURE, GOOD
from twin.tags import Binding, TagRow

GAUGE, COUNTER, STATE = 1, 2, 3
TAGS = [GAUGE, COUNTER, STATE]


def sealed(folder: Path, rows: list[Row], parts: int = 2) -> Memory:
    memory = Memory.open(folder)
    whole = table(rows)
    size = -(-len(rows) // parts)
    for offset in range(parts):
        part = whole.slice(offset * size, size)
        memory.seal(part, NO_COVERAGE, KINDS, offset + 1, T0 + 6 * H)
    return memory


def test_an_outage_is_not_called_measured(tmp_path: Path) -> None:
    # 100 kW each minute for two hours, but nothing from minute 10 to 50: 80 of 120 minutes
    rows = [Row(tag=GAUGE, at_us=T0 + k * M, value=100.0) for k in range(121) if not 10 < k < 50]
    memory = sealed(tmp_path / "memory", rows)
    blinds = {GAUGE: Blind.of([(T0 + 10 * M, T0 + 50 * M)])}
    for every in (2 * H, H, 30 * M, M, 77 * S):
        found = memory.read_rollup(
            cut_of(memory, T0 + 2 * H), [GAUGE], T0, T0 + 2 * H, every, blinds=blinds
        )
        sums = {n: sum(found.column(n).to_pylist()) for n in ("good_s", "covered_s", "integral")}
        assert sums == {"good_s": 4800.0, "covered_s": 4800.0, "integral": 480_000.0}
        if every == M:
            at = (np.array(found.column("at").cast(pa.int64())) - T0) // M
            # minute 10 has its own sample and no time
            assert at.tolist() == [k for k in range(120) if not 10 < k < 50]
            means = dict(zip(at.tolist(), found.column("mean").to_pylist(), strict=True))
            assert (means.pop(10), set(means.values())) == (None, {100.0})


def test_an_endpoint_that_is_away_leaves_its_last_value_out_until_a_sample_comes(
    tmp_path: Path,
) -> None:
    rows = [Row(tag=GAUGE, at_us=T0, value=1.0), Row(tag=COUNTER, at_us=T0 + 40 * M, value=1.0)]
    memory = sealed(tmp_path / "memory", rows, 1)
    away = Blind.of([(T0 + 10 * M, T0 + 20 * M)], open_us=T0 + 20 * M)
    found = memory.read_rollup(
        cut_of(memory, T0 + H), [GAUGE, COUNTER], T0, T0 + H, H, blinds={GAUGE: away, COUNTER: away}
    )
    assert found.column("covered_s").to_pylist() == [600.0, 1200.0]


def coverage(start_us: int, end_us: int, *, alive: bool, cause: str = "cut") -> pa.RecordBatch:
    times = [pa.array([us]).cast(TIME) for us in (start_us, end_us)]
    rest = [pa.array([alive]), pa.array([cause]), pa.array([None], pa.int64())]
    return pa.record_batch([pa.array(["plc"]), *times, *rest], schema=COVERAGE)


seconds = st.integers(0, 4 * 3600 - 1)
some_row = st.builds(
    Row,
    tag=st.sampled_from(TAGS),
    at_us=seconds.map(lambda s: T0 + s * S),
    value=st.sampled_from([0.0, 1.0, 2.0, 7.0, 3.4e38, float("nan")]),
    status=st.sampled_from([GOOD, GOOD, GOOD, BAD_SENSOR_FAILURE]),
)
dense = st.builds(
    lambda tag, start, step, n: [
        Row(tag=tag, at_us=T0 + (start + k * step) * S, value=float(k % 5)) for k in range(n)
    ],
    st.sampled_from(TAGS), st.integers(0, 9000), st.sampled_from([1, 20, 61]), st.integers(1, 60),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@example(
    loose=[Row(tag=GAUGE, at_us=T0 + k * S, value=1.0) for k in (0, 20)],
    runs=[],
    edges=[1],
    every=4 * H,
    parts=1,
)
@given(
    loose=st.lists(some_row, max_size=30),
    runs=st.lists(dense, max_size=3),
    edges=st.lists(seconds, max_size=8, unique=True).map(sorted),
    every=st.sampled_from([4 * H, H, 15 * M, M, 1000 * S]),
    parts=st.integers(1, 3),
)
def test_history_of_a_stretch_is_what_the_live_state_counted(
    tmp_path_factory: pytest.TempPathFactory,
    loose: list[Row],
    runs: list[list[Row]],
    edges: list[int],
    every: int,
    parts: int,
) -> None:
    now = T0 + 4 * H
    given_rows = {(r.tag, r.at_us): r for r in [*loose, *(r for run in runs for r in run)]}
    rows = sorted(given_rows.values(), key=lambda r: r.at_us)
    bounds = [T0 + s * S for s in edges]
    gaps = list(zip(bounds[::2], bounds[1::2], strict=False))
    # a gap is told when it begins, its end when the endpoint is back; an odd edge stays away
    told = [(a, 0, coverage(a, b, alive=False)) for a, b in gaps]
    told += [(b, 0, coverage(b, b, alive=True)) for _, b in gaps]
    open_us = bounds[-1] if len(bounds) % 2 else None
    if open_us is not None:
        told.append((open_us, 1, coverage(open_us, open_us, alive=False)))
    state = ShardState(
        TagRow(
            tag=tag,
            binding=Binding(path=f"p/{tag}", kind=KINDS[tag], endpoint="plc"),
            valid_from_us=0,
        )
        for tag in TAGS
    )
    events = [*told, *((r.at_us, 2, r) for r in rows)]
    for _, _, event in sorted(events, key=lambda e: e[:2]):
        if isinstance(event, Row):
            state.fold(table([event]).to_batches()[0])
        else:
            state.cover(event)
    blind = Blind.of(gaps) if open_us is None else Blind.of(gaps, open_us)
    memory = sealed(tmp_path_factory.mktemp("memory"), rows, parts)
    asked = (T0, now, every)
    found = memory.read_rollup(
        cut_of(memory, now), TAGS, *asked, kinds=KINDS, blinds=dict.fromkeys(TAGS, blind)
    )
    totals = state.totals(now)
    places = state.index_of(TAGS)
    tag = np.array(found.column("tag"))

    def total(name: str, of: int) -> float:
        values = np.array(found.column(name).to_pylist(), float)[tag == of]
        return float(np.nansum(values))

    for one, place in zip(TAGS, places.tolist(), strict=True):
        for name in ("good_s", "covered_s"):
            assert total(name, one) == pytest.approx(getattr(totals, name)[place], abs=1e-6)
        alone = memory.read_rollup(
            cut_of(memory, now), [one], *asked, kinds=KINDS, blinds={one: blind}
        )
        assert alone.equals(found.filter(pa.array(tag == one)))
    gauge, counter, state_of = places.tolist()
    assert total("increase", COUNTER) == pytest.approx(totals.increase[counter])
    assert total("resets", COUNTER) == totals.resets[counter]
    assert total("integral", GAUGE) == pytest.approx(totals.integral[gauge], abs=1e-6)
    held: dict[int, float] = {}
    for row in found.filter(pa.array(tag == STATE)).to_pylist():
        for code, code_s in zip(row["codes"], row["code_s"], strict=True):
            held[code] = held.get(code, 0.0) + code_s
    live = {c: s for c, s in enumerate(totals.state_s[state_of].tolist()) if s > 0}
    assert {c: s for c, s in held.items() if s > 0} == pytest.approx(live)


def tag_row(tag: int, endpoint: str, start: int, end: int | None = None) -> TagRow:
    binding = Binding(path=f"p/{tag}", kind=KINDS[tag], endpoint=endpoint)
    return TagRow(tag=tag, binding=binding, valid_from_us=start, valid_to_us=end)


def test_gaps_are_found_in_sealed_files_and_in_the_tail_and_closed_tags_hold_nothing(
    tmp_path: Path,
) -> None:
    memory = Memory.open(tmp_path / "memory")
    alive = [coverage(T0 + k * 10 * S, T0 + (k + 1) * 10 * S, alive=True) for k in range(60)]
    told = [*alive, coverage(T0 + 10 * M, T0 + 20 * M, alive=False)]
    memory.seal(SAMPLES.empty_table(), pa.Table.from_batches(told), KINDS, 1, T0)
    late = [coverage(T0 + 15 * M, T0 + 25 * M, alive=False), coverage(T0, T0 + H, alive=True)]
    history = History(Reader(tmp_path / "memory", memory.settings))
    tail = pa.Table.from_batches(late)
    gaps = history.read_gaps(memory.manifest, T0, T0 + H, tail)
    assert gaps.num_rows == 2
    assert history.read_gaps(memory.manifest, T0 + 30 * M, T0 + H, tail).num_rows == 0
    rows = [
        tag_row(GAUGE, "plc", 0),
        tag_row(COUNTER, "other", 0),
        tag_row(STATE, "plc", 0),
        tag_row(STATE, "plc", 0, T0 + 5 * M),
        tag_row(STATE, "plc", T0 + 8 * M),
        tag_row(STATE, "plc", T0 + 8 * M, T0 + 22 * M),
    ]
    found = blinds_of(rows, gaps, {"other": T0 + 40 * M, "plc-2": T0})
    plain = {
        tag: (
            *((a - T0) // M for a in blind.starts_us),
            *(min(b - T0, H) // M for b in blind.ends_us),
            min(blind.open_us - T0, H) // M,
        )
        for tag, blind in found.items()
    }
    assert plain == {GAUGE: (10, 25, 60), COUNTER: (40,), STATE: (5, 10, 8, 60, 60)}


def test_a_tag_that_comes_back_and_is_bound_anew_was_closed_only_in_between() -> None:
    rows = [tag_row(GAUGE, "plc", 0), tag_row(GAUGE, "plc", 0, 5), tag_row(GAUGE, "plc", 8)]
    rows.append(tag_row(GAUGE, "plc", 30))
    blind = blinds_of(rows, COVERAGE.empty_table(), {})[GAUGE]
    assert (blind.starts_us.tolist(), blind.ends_us.tolist()) == ([5], [8])


def taken_back(start_us: int, end_us: int) -> pa.RecordBatch:
    return coverage(start_us, end_us, alive=True, cause=f"{RECOVERED}: from the server's history")


@pytest.mark.parametrize("seals", [(3, 3), (1, 3), (1, 2), (0, 0)])
def test_a_gap_whose_values_came_after_all_is_measured_time_in_history_too(
    tmp_path: Path, seals: tuple[int, int]
) -> None:
    # away in minutes 10-20 and 40-45; of the first only 15-20 came: 50 of 60 minutes are measured
    told = [
        coverage(T0 + 10 * M, T0 + 20 * M, alive=False),
        coverage(T0 + 40 * M, T0 + 45 * M, alive=False),
        taken_back(T0 + 15 * M, T0 + 20 * M),
    ]
    memory = sealed(
        tmp_path / "memory",
        [Row(tag=GAUGE, at_us=T0 + k * M, value=100.0) for k in range(61)],
        1,
    )
    for offset, part in enumerate((told[: seals[0]], told[seals[0] : seals[1]])):
        rows = pa.Table.from_batches(part, COVERAGE)
        memory.seal(SAMPLES.empty_table(), rows, KINDS, offset + 2, T0 + 6 * H)
    tail = pa.Table.from_batches(told[seals[1] :], COVERAGE)
    blinds = blinds_of(
        [tag_row(GAUGE, "plc", 0)], memory.read_gaps(memory.manifest, T0, T0 + H, tail), {}
    )
    found = memory.read_rollup(cut_of(memory, T0 + H), [GAUGE], T0, T0 + H, H, blinds=blinds)
    assert found.column("covered_s").to_pylist() == [3000.0]
    state = ShardState([tag_row(GAUGE, "plc", 0)])
    for row in told:
        state.cover(row)
    assert state.endpoints["plc"].gaps == [(T0 + 10 * M, T0 + 15 * M), (T0 + 40 * M, T0 + 45 * M)]


some_spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), max_size=8)


@given(gaps=some_spans, back=some_spans)
def test_history_takes_back_of_gaps_what_the_live_state_takes_back(
    gaps: list[list[int]], back: list[list[int]]
) -> None:
    told = [coverage(a, b, alive=False) for a, b in gaps] + [taken_back(a, b) for a, b in back]
    state = ShardState([tag_row(GAUGE, "plc", 0)])
    for row in told:
        state.cover(row)
    found = blinds_of([tag_row(GAUGE, "plc", 0)], pa.Table.from_batches(told, COVERAGE), {})
    blind = found.get(GAUGE, Blind.of([]))
    instants = {t for a, b in zip(blind.starts_us, blind.ends_us, strict=True) for t in range(a, b)}
    live = state.endpoints["plc"].gaps if told else []
    assert instants == {t for a, b in live for t in range(a, b)}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12))
def test_merged_gaps_hold_the_same_instants(gaps: list[tuple[int, int]]) -> None:
    blind = Blind.of(gaps)
    ends, starts = blind.ends_us.tolist(), blind.starts_us.tolist()
    inside = {t for a, b in zip(starts, ends, strict=True) for t in range(a, b)}
    assert inside == {t for a, b in gaps for t in range(a, b)}
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
