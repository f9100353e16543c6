"""The past of figures: minutes that survive a restart, and damage that is never served."""

import numpy as np
import pytest

from cluster.figure_history import figure_table
from cluster.figure_log import FigureLog
from cluster.ports import HistoryQuery
from cluster.ring import Recent
from models.errors import NotFound

IDS = ("park.load_mw", "machine.m1.state", "park.pv_mw")
DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
SECOND_US = 1_000_000


def fill(log: FigureLog, recent: Recent, begin_us: int, seconds: int) -> None:
    for second in range(seconds):
        values = np.array([float(second), float(second // 60 % 4), np.nan])
        log.add(begin_us + second * SECOND_US, values)
        recent.add(begin_us + second * SECOND_US, values)


def test_a_minute_is_the_mean_of_a_level_and_the_last_of_a_code(tmp_path):
    log = FigureLog(tmp_path, IDS)
    fill(log, Recent(IDS), START_US, 121)
    at, values = log.read(IDS, START_US, START_US + DAY_US)
    assert at.tolist() == [START_US, START_US + 60 * SECOND_US]
    assert values[:, 0].tolist() == [29.5, 89.5]
    assert values[:, 1].tolist() == [0.0, 1.0]
    assert np.isnan(values[:, 2]).all()


def test_a_day_that_is_over_reads_the_same_from_its_own_file(tmp_path):
    log = FigureLog(tmp_path, IDS)
    begin = START_US + DAY_US - 180 * SECOND_US
    fill(log, Recent(IDS), begin, 179)
    before = log.read(IDS, START_US, START_US + 2 * DAY_US)
    fill(log, Recent(IDS), START_US + DAY_US, 61)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    at, values = log.read(IDS, START_US, START_US + DAY_US)
    assert at.tolist()[: len(before[0])] == before[0].tolist()
    np.testing.assert_array_equal(values[: len(before[0])], before[1])


def test_other_figures_after_an_edit_leave_the_old_ones_readable(tmp_path):
    fill(FigureLog(tmp_path, IDS), Recent(IDS), START_US, 61)
    edited = FigureLog(tmp_path, (*IDS, "park.bess_mw"))
    edited.add(START_US + 120 * SECOND_US, np.zeros(4))
    edited.add(START_US + 180 * SECOND_US, np.zeros(4))
    at, values = edited.read(("park.load_mw", "park.bess_mw"), START_US, START_US + DAY_US)
    assert at.tolist() == [START_US, START_US + 120 * SECOND_US]
    assert values[0, 0] == 29.5
    assert np.isnan(values[0, 1])
    assert values[1].tolist() == [0.0, 0.0]


def test_a_damaged_or_torn_row_is_left_out(tmp_path):
    log = FigureLog(tmp_path, IDS)
    fill(log, Recent(IDS), START_US, 241)
    (path,) = tmp_path.glob("*.rows")
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data[:-3])
    at, _ = log.read(IDS, START_US, START_US + DAY_US)
    assert at.tolist() == [START_US + 60 * SECOND_US, START_US + 120 * SECOND_US]


def test_windows_are_means_over_minutes_and_the_minute_under_way(tmp_path):
    log, recent = FigureLog(tmp_path, IDS), Recent(IDS)
    fill(log, recent, START_US, 150)
    query = HistoryQuery(
        tags=("figure:park.load_mw",),
        since_us=START_US,
        until_us=START_US + 3600 * SECOND_US,
        every_us=60 * SECOND_US,
    )
    rows = figure_table(log, recent, START_US + 149 * SECOND_US, query).to_pylist()
    assert [row["mean"] for row in rows] == [29.5, 89.5, 134.5]
    assert [row["n"] for row in rows] == [1, 1, 30]
    assert rows[2]["last"] == 149.0


def test_an_unknown_figure_offers_a_near_one(tmp_path):
    query = HistoryQuery(tags=("figure:park.load_mv",), since_us=0, until_us=1)
    with pytest.raises(NotFound, match="did you mean"):
        figure_table(FigureLog(tmp_path, IDS), Recent(IDS), 1, query)
