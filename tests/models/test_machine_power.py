"""Machines draw by state and by part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.draws import exponential
from models.errors import InputError
from models.line import Failure, Line, Machine, Spent, simulate_lines
from models.machine_power import (
    MachinePower,
    fit_machine_power,
    machine_energy_kwh,
    machine_power_kw,
)

PRESS = MachinePower(
    working_kw=45.0, down_kw=5.0, blocked_kw=12.0, starved_kw=9.0, off_kw=1.0, per_part_kwh=0.1
)


def test_worked_quarter_hour():
    # 600 s at 45 kW, 100 s at 5, 50 s at 12, 150 s at 9 kW and 20 parts of 0.1 kWh
    spent = np.array([[[600.0, 100.0, 50.0, 150.0, 0.0]]])
    kwh = (600 * 45 + 100 * 5 + 50 * 12 + 150 * 9) / 3600 + 20 * 0.1
    assert machine_energy_kwh(spent, [[20]], [PRESS])[0, 0] == pytest.approx(kwh)
    assert machine_power_kw(spent, [[20]], [PRESS])[0, 0] == pytest.approx(kwh / 0.25)


def test_a_simulated_line_keeps_its_energy_whatever_the_bins():
    failure = Failure(to_fail=exponential(900.0), to_repair=exponential(200.0))
    line = Line(
        machines=tuple(
            Machine(key=j, cycle=exponential(20.0), failure=failure, shifts=((0.0, 5000.0),))
            for j in range(3)
        ),
        buffers=(1, 1),
    )
    powers = [PRESS, MachinePower(working_kw=5, down_kw=1, blocked_kw=2, starved_kw=2), PRESS]
    fine, coarse = (
        simulate_lines([line], seed=1, replications=[0, 1], horizon_s=7200.0, bin_s=bin_s)
        for bin_s in (900.0, 7200.0)
    )
    per_bin = machine_energy_kwh(fine.spent_s, fine.made, powers)
    whole = machine_energy_kwh(coarse.spent_s, coarse.made, powers)
    assert per_bin.shape == (2, 3, 8)
    assert per_bin.sum(axis=2) == pytest.approx(whole[:, :, 0])
    assert machine_power_kw(fine.spent_s, fine.made, powers)[:, 0, -1] == pytest.approx(1.0)


@given(powers=st.lists(st.floats(0.0, 100.0), min_size=6, max_size=6), seed=st.integers(0, 1000))
def test_a_meter_without_noise_gives_the_powers_back(powers, seed):
    rng = np.random.default_rng(seed)
    spent = rng.dirichlet(np.ones(len(Spent)), size=60) * 900.0
    made = rng.integers(0, 40, 60)
    names = ("working_kw", "down_kw", "blocked_kw", "starved_kw", "off_kw", "per_part_kwh")
    truth = MachinePower(**dict(zip(names, powers, strict=True)))
    energy = machine_energy_kwh(spent[None], made[None], [truth])[0]
    found = fit_machine_power(spent, made, energy)
    assert found.by_state() == pytest.approx(truth.by_state(), abs=1e-6)
    assert found.per_part_kwh == pytest.approx(truth.per_part_kwh, abs=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="from 0 up"):
        MachinePower(working_kw=-1.0, down_kw=0.0, blocked_kw=0.0, starved_kw=0.0)
    with pytest.raises(InputError, match="one per machine"):
        machine_energy_kwh(np.zeros((1, 1, 5)), np.zeros((1, 1)), [PRESS, PRESS])
    with pytest.raises(InputError, match="bins"):
        machine_energy_kwh(np.zeros((1, 1, 4)), np.zeros((1, 1)), [PRESS])
    with pytest.raises(InputError, match="at least 6 bins"):
        fit_machine_power(np.zeros((3, 5)), np.zeros(3), np.zeros(3))
    with pytest.raises(InputError, match="gaps"):
        fit_machine_power(np.zeros((6, 5)), np.zeros(6), np.full(6, np.nan))
