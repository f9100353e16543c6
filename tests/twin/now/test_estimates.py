import json
from pathlib import Path

import numpy as np
import pytest

from models.solar import clear_sky
from twin import estimate
from twin.estimate import QUARTER_US, Estimates
from twin.parkfile.load import load_park

ROOT = Path(__file__).parents[3]
NOON_US = 1_767_589_200_000_000  # 2026-01-05 12:00 in Binh Duong


@pytest.fixture(scope="module")
def park():
    return load_park(ROOT / "examples" / "vsip1.yaml")


def test_the_typical_sky_stands_in_only_where_a_sensor_is_missing(park):
    roofs = len(park.spec.utilities.electricity.pv)
    assert roofs >= 2
    measured, good = np.full(roofs, 123.0), np.ones(roofs, np.bool_)
    good[1], measured[1] = False, np.nan
    seen = Estimates(park).plane_w_m2(NOON_US, measured, good)
    assert np.delete(seen, 1).tolist() == [123.0] * (roofs - 1)
    assert 300.0 < seen[1] < 900.0  # a January noon under the month's usual clouds


def test_the_sky_is_looked_at_once_a_quarter_hour_and_only_when_it_is_needed(park, monkeypatch):
    asked = []

    def counted(site, times_us):
        asked.append(int(times_us[0]))
        return clear_sky(site, times_us)

    monkeypatch.setattr(estimate, "clear_sky", counted)
    roofs = len(park.spec.utilities.electricity.pv)
    measured, good = np.full(roofs, 500.0), np.ones(roofs, np.bool_)
    made = Estimates(park)
    for minute in range(0, 60, 5):
        made.plane_w_m2(NOON_US + minute * 60_000_000, measured, good)
    assert asked == []
    for minute in range(0, 60, 5):
        made.plane_w_m2(NOON_US + minute * 60_000_000, measured, ~good)
    middles = [NOON_US + (15 * i + 7) * 60_000_000 + 30_000_000 for i in range(4)]
    assert asked == middles


def test_a_restarted_estimate_knows_the_sky_of_its_quarter_hour_to_the_last_bit(park, monkeypatch):
    roofs = len(park.spec.utilities.electricity.pv)
    measured, good = np.full(roofs, 500.0), np.zeros(roofs, np.bool_)
    first, later = Estimates(park), Estimates(park)
    seen = first.plane_w_m2(NOON_US, measured, good)
    later.restore(json.loads(json.dumps(first.snapshot())))
    monkeypatch.setattr(estimate, "clear_sky", None)
    assert later.snapshot() == first.snapshot()
    assert later.plane_w_m2(NOON_US + 60_000_000, measured, good).tolist() == seen.tolist()
    monkeypatch.undo()
    assert later.plane_w_m2(NOON_US + QUARTER_US, measured, good).tolist() != seen.tolist()
    assert later.snapshot()["quarter"] == first.snapshot()["quarter"] + 1
