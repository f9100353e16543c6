"""Queues equal SimPy and Ciw visitor by visitor, and the closed forms."""

import math

import ciw
import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.draws import deterministic, exponential, gamma
from models.errors import InputError
from models.queueing import (
    NEVER,
    arrivals_by_rate,
    in_order,
    percentiles,
    present_at,
    serve,
    service_times,
)
from models.statistics import mean_interval

GATE = 17


def gate(rate_per_h, law, servers, *, hours=10, replications=(0,), seed=1):
    came = arrivals_by_rate(
        [rate_per_h] * hours, 3600.0, seed=seed, replications=replications, key=GATE
    )
    takes = service_times(law, came.shape, seed=seed, replications=replications, key=GATE)
    return serve(came, takes, servers), takes


def by_simpy(arrivals, services, servers):
    env, ends = simpy.Environment(), [0] * len(arrivals)
    lanes = simpy.Resource(env, servers)

    def truck(n):
        yield env.timeout(arrivals[n])
        with lanes.request() as turn:
            yield turn
            yield env.timeout(services[n])
        ends[n] = env.now

    for n in range(len(arrivals)):
        env.process(truck(n))
    env.run()
    return ends


@pytest.mark.parametrize("servers", [1, 2, 4])
def test_every_end_equals_simpys(servers):
    served, takes = gate(servers * 45, gamma(75.0, 0.6), servers)
    came = served.came[0]
    ends = by_simpy(served.arrivals[0][came].tolist(), takes[0][came].tolist(), servers)
    assert served.ends[0][came].tolist() == ends
    assert len(ends) > 400


def test_every_wait_equals_ciws():
    served, takes = gate(90, gamma(75.0, 0.6), 2, hours=4)
    came = served.came[0]
    times, services = served.arrivals[0][came] / 1000, takes[0][came] / 1000
    gaps = np.diff(times, prepend=0.0)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps.tolist(), math.inf])],
        service_distributions=[ciw.dists.Sequential(services.tolist())],
        number_of_servers=[2],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(1e6)
    records = sorted(simulation.get_all_records(), key=lambda record: record.arrival_date)
    assert len(records) == len(times)
    waits = served.waits_s()[0][came]
    assert waits == pytest.approx([record.waiting_time for record in records], abs=1e-6)


@pytest.mark.parametrize(
    ("servers", "rate", "law", "wait"),
    [
        (1, 0.8, exponential(1.0), 4.0),  # M/M/1
        (1, 0.8, deterministic(1.0), 2.0),  # M/D/1, Pollaczek-Khinchine
        (1, 0.8, gamma(1.0, 0.5), 2.5),  # M/E4/1
        (3, 2.4, exponential(1.0), 1.0786516854),  # Erlang C
        (10, 9.0, exponential(1.0), 0.6687315241),
    ],
)
def test_mean_waits_equal_the_closed_forms(servers, rate, law, wait):
    served, _ = gate(rate * 3600, law, servers, replications=range(24), hours=5)
    means = [np.nanmean(row[2000:]) for row in served.waits_s()]
    interval = mean_interval(means, 0.999)
    assert interval.low <= wait <= interval.high
    assert interval.half_width < 0.2 * wait


def test_arrivals_follow_the_rate_of_the_hour():
    rates = [0.0, 60.0, 240.0, 0.0]
    came = arrivals_by_rate(rates, 3600.0, seed=2, replications=range(200), key=GATE)
    hours = came[came < NEVER] // 3_600_000
    counts = np.bincount(hours, minlength=4) / 200
    assert counts[[0, 3]].tolist() == [0.0, 0.0]
    assert counts[1] == pytest.approx(60.0, abs=4 * math.sqrt(60 / 200))
    assert counts[2] == pytest.approx(240.0, abs=4 * math.sqrt(240 / 200))
    per_run = (came < NEVER).sum(axis=1)
    assert per_run.var() == pytest.approx(300.0, rel=0.4)
    first_hour = came[0][(came[0] < 7_200_000)] % 3_600_000
    assert stats.kstest(first_hour / 3_600_000, "uniform").pvalue > 1e-3


def test_more_trucks_keep_the_trucks_of_the_base():
    base, more = (
        set(
            arrivals_by_rate(
                [rate] * 6, 3600.0, seed=2, replications=[3], key=GATE, ceiling_per_h=100.0
            )[0].tolist()
        )
        for rate in (40.0, 60.0)
    )
    assert base - {NEVER} <= more
    assert len(more) > len(base)


def test_no_rate_no_visitor():
    came = arrivals_by_rate([0.0, 0.0], 60.0, seed=1, replications=[0, 1], key=GATE)
    assert np.all(came == NEVER)
    served = serve(came, np.zeros_like(came), 2)
    assert np.all(np.isnan(percentiles(served.turns_s())))
    assert served.waiting_at([0.0, 30.0]).tolist() == [[0, 0], [0, 0]]


def test_worked_queue():
    # two lanes busy until 5 s and 0 s; arrivals at -1, 2, 3 s, each served 10 s
    came = np.array([[-1000, 2000, 3000, NEVER]])
    served = serve(came, np.full((1, 4), 10_000), 2, busy_until=np.array([[5000, 0]]))
    assert served.starts[0].tolist() == [0, 5000, 10_000, NEVER]
    assert served.ends[0].tolist() == [10_000, 15_000, 20_000, NEVER]
    assert served.waits_s()[0][:3].tolist() == [1.0, 3.0, 7.0]
    assert served.waiting_at([2.0, 4.0, 6.0, 10.0])[0].tolist() == [1, 2, 1, 0]
    assert served.inside_at([4.0, 10.0, 15.0, 20.0])[0].tolist() == [3, 2, 1, 0]
    assert percentiles(served.turns_s())[0] == pytest.approx([13.0, 16.2])


def test_a_yard_between_two_gates_fills_and_empties():
    entered = np.array([[0, 1000, 2000, NEVER]])
    dwell = np.array([[5000, 1000, 1000, 0]])
    left = np.where(entered < NEVER, entered + dwell, NEVER)
    arrivals, who = in_order(left, delay_s=60.0)
    assert arrivals[0].tolist() == [62_000, 63_000, 65_000, NEVER]
    assert who[0].tolist() == [1, 2, 0, 3]
    assert present_at(entered, np.sort(left), [0.0, 1.5, 2.0, 3.0, 5.0])[0].tolist() == [
        1,
        2,
        2,
        1,
        0,
    ]


@given(
    gaps=st.lists(st.integers(0, 5000), min_size=1, max_size=60),
    service=st.integers(1, 9000),
    servers=st.integers(1, 5),
)
@settings(deadline=None)
def test_nobody_starts_early_or_overtakes_and_more_servers_never_delay(gaps, service, servers):
    came = np.cumsum(gaps)[None, :]
    takes = (service + 37 * np.arange(len(gaps)) % 991)[None, :]
    served, helped = serve(came, takes, servers), serve(came, takes, servers + 1)
    assert np.all(served.starts >= came)
    assert np.all(np.diff(served.starts) >= 0)
    assert np.all(helped.ends <= served.ends)
    at_s = np.arange(0.0, 100.0, 1.7)
    busy = served.inside_at(at_s) - served.waiting_at(at_s)
    assert np.all((busy >= 0) & (busy <= servers))


def test_bad_stations_are_refused():
    came = np.array([[1000, 2000]])
    with pytest.raises(InputError, match="at least one"):
        serve(came, came, 0)
    with pytest.raises(InputError, match="go back in time"):
        serve(came[:, ::-1], came, 1)
    with pytest.raises(InputError, match="one per visitor"):
        serve(came, came[:, :1], 1)
    with pytest.raises(InputError, match="negative or missing"):
        arrivals_by_rate([-1.0], 60.0, seed=1, replications=[0], key=1)
    with pytest.raises(InputError, match="ceiling"):
        arrivals_by_rate([5.0], 60.0, seed=1, replications=[0], key=1, ceiling_per_h=4.0)
