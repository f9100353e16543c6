"""A plan gives the same result in any process, order and number of pieces' owners."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.whatif.compare import KPI_SPECS, SERIES_UNITS, compared
from twin.whatif.outcome import BANDS, KPIS, PAIRS
from twin.whatif.parse import parse_whatif
from twin.whatif.plan import (
    PIECE,
    Piece,
    Plan,
    combine_parts,
    compile_plan,
    more_pieces,
    run_piece,
)

TWO = {"base": "[]", "big": "[{change: battery, asset: bess1, energy: 8 MWh, power: 2 MW}]"}


@pytest.fixture(scope="module")
def plan(plan_of) -> Plan:
    return plan_of(TWO, horizon="6 h", ensemble="{replications: 40, seed: 7}")


@pytest.fixture(scope="module")
def parts(plan) -> dict[Piece, bytes]:
    return {piece: run_piece(plan, piece) for piece in compile_plan(plan)}


@pytest.fixture(scope="module")
def outcome(plan, parts):
    return combine_parts(plan, list(parts.values()))


def test_pieces_cover_every_replication_once(parts):
    numbers = [n for piece in parts for n in range(piece.first, piece.first + piece.count)]
    assert numbers == list(range(40))
    assert all(piece.count <= PIECE for piece in parts)


def test_a_plan_survives_its_bytes(plan_of, plan):
    fork = plan_of({"base": "[]"}, parent=plan, **{"from": "run:x@+3h"})
    assert Plan.from_bytes(plan.to_bytes()) == plan
    assert Plan.from_bytes(fork.to_bytes()) == fork


def test_the_order_of_the_pieces_does_not_matter(plan, parts, outcome):
    backwards = {piece: run_piece(plan, piece) for piece in reversed(parts)}
    again = combine_parts(plan, [backwards[piece] for piece in parts])
    assert again.provenance == outcome.provenance
    assert again.kpis.equals(outcome.kpis)


def test_a_replication_is_the_same_alone_or_among_others(plan, parts):
    whole = np.load(io.BytesIO(next(iter(parts.values()))))
    alone = np.load(io.BytesIO(run_piece(plan, Piece(first=5, count=1))))
    for name in alone.files:
        assert np.array_equal(alone[name][0], whole[name][5]), name


CHILD = """
import sys
from pathlib import Path
from twin.whatif.plan import Plan, combine_parts, compile_plan, run_piece
plan = Plan.from_bytes(Path(sys.argv[1]).read_bytes())
parts = {piece: run_piece(plan, piece) for piece in reversed(compile_plan(plan))}
outcome = combine_parts(plan, [parts[piece] for piece in compile_plan(plan)])
sys.stdout.write(outcome.provenance.result_hash)
"""


def test_another_process_gives_the_same_hash(plan, outcome, tmp_path):
    path = tmp_path / "plan"
    path.write_bytes(plan.to_bytes())
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == outcome.provenance.result_hash


def test_another_seed_gives_another_hash_and_the_text_is_in_the_provenance(plan, outcome):
    other = replace(plan, text=plan.text.replace("seed: 7", "seed: 8"))
    again = combine_parts(other, [run_piece(other, piece) for piece in compile_plan(other)])
    assert again.provenance.result_hash != outcome.provenance.result_hash
    assert again.provenance.spec_hash != outcome.provenance.spec_hash
    assert again.provenance.snapshot_hash == outcome.provenance.snapshot_hash
    assert (again.provenance.seed, again.provenance.replications) == (8, 40)


def test_the_tables_have_exactly_their_schemas(outcome):
    assert outcome.kpis.schema.equals(KPIS)
    assert outcome.bands.schema.equals(BANDS)
    assert outcome.pairs.schema.equals(PAIRS)
    assert set(outcome.kpis.column("kpi").to_pylist()) == set(KPI_SPECS)
    assert set(outcome.bands.column("series").to_pylist()) == set(SERIES_UNITS)
    assert outcome.bands.num_rows == 2 * len(SERIES_UNITS) * 24
    assert set(outcome.pairs.column("branch").to_pylist()) == {"big"}
    for row in outcome.kpis.to_pylist():
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["q05"] <= row["q25"] <= row["q50"] <= row["q75"] <= row["q95"]
        assert (row["n"], row["warmup_deleted"], row["engine"]) == (40, 0, "recursion")
    at = outcome.bands.column("at").cast("int64").to_numpy()
    assert at.min() == outcome.provenance.from_us
    assert set(np.diff(np.unique(at))) == {900 * 1_000_000}


def test_a_kpis_mean_is_the_mean_of_its_replications(parts, outcome):
    whole = [np.load(io.BytesIO(part)) for part in parts.values()]
    values = np.concatenate([part["big/kpi/cost_mvnd"] for part in whole])
    rows = {(r["branch"], r["kpi"]): r for r in outcome.kpis.to_pylist()}
    assert rows["big", "cost_mvnd"]["mean"] == values.mean()


STOP = "{min: 12, max: 96, stop: {kpi: energy_mwh, half_width: %s}, seed: 7}"


def finished(plan: Plan) -> tuple[int, float]:
    """Replications, and the widest half width of the KPI it stops on."""
    parts = [run_piece(plan, piece) for piece in compile_plan(plan)]
    while more := more_pieces(plan, parts):
        assert more[0].first == sum(_count(part) for part in parts)
        parts += [run_piece(plan, piece) for piece in more]
    rows = combine_parts(plan, parts).kpis.to_pylist()
    energy = [row for row in rows if row["kpi"] == "energy_mwh"]
    return energy[0]["n"], max((row["high"] - row["low"]) / 2 for row in energy)


def _count(part: bytes) -> int:
    return len(np.load(io.BytesIO(part))["base/kpi/energy_mwh"])


def test_a_sequential_run_ends_when_it_is_exact_enough(plan_of):
    n, half_width = finished(plan_of(TWO, horizon="3 h", ensemble=STOP % "1.0"))
    assert 12 <= n < 96
    assert half_width <= 1.0


def test_a_sequential_run_ends_at_its_largest_number(plan_of):
    n, half_width = finished(plan_of(TWO, horizon="1 h", ensemble=STOP % "1e-6"))
    assert n == 96
    assert half_width > 1e-6


def test_nothing_is_wanted_after_a_fixed_number(plan, parts):
    assert more_pieces(plan, list(parts.values())) == ()


def test_without_named_kpis_all_that_were_simulated_are_compared(plan):
    spec, _ = parse_whatif(plan.text)
    assert [one.kpi for one in compared(spec, {"peak_mva": np.zeros(1)})] == ["peak_mva"]


def test_nominal_parameters_do_not_vary(plan_of):
    spread = {}
    for kind in ("posterior", "nominal"):
        plan = plan_of({"base": "[]"}, horizon="1 h",
                       ensemble=f"{{replications: 16, seed: 1, parameters: {kind}}}")  # fmt: skip
        (piece,) = compile_plan(plan)
        spread[kind] = np.load(io.BytesIO(run_piece(plan, piece)))["base/kpi/energy_mwh"].std()
    assert 0.0 < spread["nominal"] < spread["posterior"]
