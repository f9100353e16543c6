"""DuckDB answers the same questions from the same rows, in SQL of its own."""

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from memory_story import KINDS, NO_COVERAGE, T0, H, M, S, cut_of
from polars.testing import assert_frame_equal

from twin.memory.store import Memory
from twin.samples import sample_batch
from twin.status import BAD_SENSOR_FAILURE, GOOD

NOW = T0 + 6 * H

HOLDS = """
WITH s AS (
    SELECT tag, epoch_us("at") AS a, value AS v, status = 0 AS good,
        lead(epoch_us("at"), 1, {now}) OVER (PARTITION BY tag ORDER BY "at") AS b
    FROM rows
), w AS (SELECT tag, unnest(range({since}, {until}, {every})) AS w FROM (SELECT DISTINCT tag FROM s)
), held AS (
    SELECT w.tag, w.w, v, good, a >= w.w AS own,
        greatest(0, least(b, w.w + {every}, {until}) - greatest(a, w.w)) / 1e6 AS secs
    FROM w JOIN s ON s.tag = w.tag AND s.a < least(w.w + {every}, {until})
        AND (s.b > w.w OR s.a >= w.w)
)
"""
GAUGE_SQL = """
SELECT tag, w, CAST(sum(own::INT) AS BIGINT) AS n, coalesce(sum(secs) FILTER (good), 0) AS good_s,
    sum(secs) AS covered_s, coalesce(sum(v * secs) FILTER (good), 0) AS integral,
    min(v) FILTER (good) AS min, max(v) FILTER (good) AS max
FROM held GROUP BY tag, w ORDER BY tag, w
"""
COUNTER_SQL = """
WITH g AS (
    SELECT tag, epoch_us("at") AS a, value AS v,
        lag(value) OVER (PARTITION BY tag ORDER BY "at") AS p
    FROM rows WHERE status = 0
)
SELECT tag, (a - {since}) // {every} * {every} + {since} AS w,
    coalesce(sum(CASE WHEN v >= p THEN v - p ELSE v END) FILTER (p IS NOT NULL), 0) AS increase,
    CAST(count(*) FILTER (v < p) AS BIGINT) AS resets, arg_max(v, a) AS last
FROM g WHERE a >= {since} AND a < {until} GROUP BY ALL ORDER BY tag, w
"""
STATE_SQL = """
SELECT tag, w, CAST(v AS BIGINT) AS code, sum(secs) AS code_s FROM held
WHERE good AND secs > 0 GROUP BY ALL ORDER BY tag, w, code
"""


def random_rows(seed: int) -> pa.Table:
    """2,000 irregular samples of three tags, no two of a tag at one time."""
    rng = np.random.default_rng(seed)
    n = 2_000
    at = T0 + rng.choice(np.arange(5 * H // 1000), n, replace=False) * 1000
    tag = rng.integers(1, 4, n)
    value = np.where(tag == 1, rng.normal(50, 20, n), rng.integers(0, 6, n)).round(2)
    status = np.where(rng.random(n) < 0.1, BAD_SENSOR_FAILURE, GOOD)
    batch = sample_batch(tag=tag, at_us=at, value=value, seen_us=NOW, status=status)
    return pa.Table.from_batches([batch])


def asked(sql: str, rows: pa.Table, **numbers: int) -> pl.DataFrame:
    with duckdb.connect() as db:
        db.register("rows", rows)
        return pl.DataFrame(db.sql(sql.format(**numbers)).to_arrow_table())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("since", "until", "every"),
    [(0, 6 * H, H), (30 * M, 4 * H, 5 * M), (H + 7, 3 * H + 1, 11 * M + 17 * S)],
)
def test_windows_agree_with_duckdb(
    tmp_path: Path, seed: int, since: int, until: int, every: int
) -> None:
    rows = random_rows(seed)
    memory = Memory.open(tmp_path / "memory")
    for offset, begin in enumerate(range(0, 2_000, 700), 1):
        memory.seal(rows.slice(begin, 700), NO_COVERAGE, KINDS, offset, NOW)
    cut = cut_of(memory, NOW)
    span = {"since": T0 + since, "until": T0 + until, "every": every, "now": NOW}
    found = pl.DataFrame(memory.read_rollup(cut, [1, 2, 3], T0 + since, T0 + until, every))
    found = found.with_columns(w=pl.col("at").dt.epoch("us"))
    names = ["tag", "w", "n", "good_s", "covered_s", "integral", "min", "max"]
    assert_frame_equal(
        found.filter(tag=1).select(names),
        asked(HOLDS + GAUGE_SQL, rows, **span).filter(pl.col("tag") == 1, pl.col("covered_s") > 0),
        rel_tol=1e-9,
        abs_tol=1e-6,
    )
    names = ["tag", "w", "increase", "resets", "last"]
    counted = found.filter(tag=2).filter(pl.col("good_n") > 0).select(names)
    told = asked(COUNTER_SQL, rows, **span).filter(tag=2)
    assert_frame_equal(counted, told, rel_tol=1e-9)
    states = found.filter(tag=3).select("tag", "w", "codes", "code_s").explode("codes", "code_s")
    assert_frame_equal(
        states.drop_nulls("codes").rename({"codes": "code"}),
        asked(HOLDS + STATE_SQL, rows, **span).filter(tag=3),
        rel_tol=1e-9,
        abs_tol=1e-6,
    )
