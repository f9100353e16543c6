"""A what-if that forks the park as its instruments show it foresees what the hidden park does.

The plant has parameters of its own (declared peaks that do not coincide, losses, another sky,
worn machines); the what-if knows the park file and one moment of readings.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from connectors.plant.physics.truth import Truth
from twin.parkfile.load import load_park
from twin.whatif.plan import Plan, combine_parts, compile_plan, run_piece
from twin.whatif.snapshot import Reading, nominal

VSIP1 = Path(__file__).parents[3] / "examples" / "vsip1.yaml"
HOURS = 6

TEXT = f"""
apiVersion: parktwin/v1
kind: WhatIf
id: hindcast
park: vsip1
horizon: {HOURS} h
ensemble: {{replications: 32, seed: 1}}
branches: {{base: []}}
"""


def forecast(park, snapshot):
    """Band of the station's load [MVA] and course of the battery [MW]."""
    plan = Plan(park_text=park.text, snapshot=snapshot.to_json(), text=TEXT)
    outcome = combine_parts(plan, [run_piece(plan, piece) for piece in compile_plan(plan)])
    rows = outcome.bands.to_pylist()
    band = np.array([[r["q05"], r["q50"], r["q95"]] for r in rows if r["series"] == "station_mva"])
    return band, np.array([r["q50"] for r in rows if r["series"] == "bess_mw"])


def test_the_evening_of_the_hidden_park_lies_in_the_band():
    park = load_park(VSIP1)
    at_us = round(datetime.fromisoformat("2026-11-24T15:30+07:00").timestamp()) * 1_000_000
    hidden = Truth(park, 7, at_us, warm_up_h=2.0)
    readings = {
        path.removeprefix("vsip1/"): Reading(value=float(value), at_us=at_us)
        for path, value in zip(hidden.paths, hidden.read(), strict=True)
    }
    band, battery_mw = forecast(park, replace(nominal(park, at_us), readings=readings))
    seen_mva, seen_mw = [], []
    power = [hidden.column(f"vsip1/ss1/{t}/active_power") for t in ("t1", "t2")]
    reactive = [hidden.column(f"vsip1/ss1/{t}/reactive_power") for t in ("t1", "t2")]
    given = hidden.column("vsip1/bess1/active_power")
    for step in range(4 * HOURS):
        hidden.advance(at_us + (step * 900 + 450) * 1_000_000)
        shown = hidden.exact()
        seen_mva.append(np.hypot(shown[power].sum(), shown[reactive].sum()) / 1000.0)
        seen_mw.append(shown[given] / 1000.0)
    inside = (band[:, 0] <= seen_mva) & (seen_mva <= band[:, 2])
    assert inside.mean() >= 0.75
    assert np.abs(band[:, 1] - seen_mva).mean() < 2.0
    # the same rule from 17:30 on; the file does not know the true efficiency
    assert np.abs(battery_mw[:8]).max() == 0.0
    assert battery_mw[8:].min() > 1.5
    assert np.abs(battery_mw - seen_mw).max() < 0.3
