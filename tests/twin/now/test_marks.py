"""Marks of quarter hours: what may be judged over them."""

import pytest


def test_the_seconds_before_the_first_quarter_hour_are_no_peak(at):
    bench = at(10, 14)
    bench.say({"ss1/t1/active_power": 100_000.0, "ss1/t2/active_power": 0.0})
    bench.tick(50.0)
    bench.tick(10.0)  # 10:15: ten seconds at 100 MW
    bench.say({"ss1/t1/active_power": 20_000.0})
    for _ in range(2):
        bench.tick(900.0)
    assert bench.figure("park.peak_today_mw") == pytest.approx(20.0)
