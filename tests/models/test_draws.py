"""Draws depend on their key alone and follow their law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.draws import (
    CLIP,
    Law,
    Stream,
    deterministic,
    draws,
    empirical,
    exponential,
    gamma,
    key_of,
    knot_shares,
    lognormal,
    normals,
    residual,
    share_below,
    triangular,
    uniforms,
    walk_start,
    weibull,
)
from models.errors import InputError

GOLDEN, WORD = 0x9E3779B97F4A7C15, 0xFFFFFFFFFFFFFFFF


def splitmix(word: int) -> int:
    """The published finaliser in plain integers: the oracle of the compiled one."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


def test_the_hash_is_splitmix64():
    # the published first output of splitmix64 with seed 1234567
    assert splitmix((1234567 + GOLDEN) & WORD) == 6457827717110365317
    state = splitmix((7 + GOLDEN) & WORD)
    state = splitmix((state + 1 * GOLDEN) & WORD)
    state = splitmix((state + 3 * GOLDEN + 0xBF58476D1CE4E5B9) & WORD)
    state = splitmix((state + 11 * GOLDEN + 0x94D049BB133111EB) & WORD)
    assert int(walk_start(7, 1, 3, 11)) == state
    expected = [((splitmix((state + (k + 1) * GOLDEN) & WORD) >> 11) + 0.5) / 2**53 for k in (0, 1)]
    assert uniforms(7, Stream.PROCESS, 3, 11, 2).tolist() == expected


@given(
    seed=st.integers(0, 2**62),
    key=st.integers(0, 2**62),
    first=st.integers(0, 1000),
    n=st.integers(1, 50),
)
def test_any_draw_can_be_made_alone(seed, key, first, n):
    whole = uniforms(seed, Stream.SERVICE, 5, key, first + n)
    assert uniforms(seed, Stream.SERVICE, 5, key, n, first).tolist() == whole[first:].tolist()
    assert np.all((whole > 0.0) & (whole < 1.0))


def test_keys_give_unrelated_uniform_numbers():
    n = 20_000
    rows = [uniforms(1, stream, r, k, n) for stream in (1, 2) for r in (0, 1) for k in (0, 1)]
    for row in rows:
        assert stats.kstest(row, "uniform").pvalue > 1e-4
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlation).max() < 5 / math.sqrt(n)
    assert abs(np.corrcoef(rows[0][1:], rows[0][:-1])[0, 1]) < 5 / math.sqrt(n)
    assert stats.kstest(normals(1, Stream.CLOUDINESS, 0, 0, n), "norm").pvalue > 1e-4


LAWS = [
    (exponential(3.0), stats.expon(scale=3.0)),
    (gamma(28.0, 0.2), stats.gamma(25.0, scale=28.0 / 25.0)),
    (gamma(2.0, 1.5), stats.gamma(1 / 2.25, scale=4.5)),
    (
        lognormal(40.0, 0.8),
        stats.lognorm(math.sqrt(math.log(1.64)), scale=40.0 / math.sqrt(1.64)),
    ),
    (weibull(1.4, 60.0), stats.weibull_min(1.4, scale=60.0)),
    (triangular(1.0, 2.0, 5.0), stats.triang(0.25, loc=1.0, scale=4.0)),
]


@pytest.mark.parametrize(("law", "oracle"), LAWS, ids=[law.name for law, _ in LAWS])
def test_a_law_has_its_mean_spread_and_shape(law, oracle):
    assert law.mean == pytest.approx(oracle.mean(), rel=1e-12)
    sample = draws(law, 5, Stream.PROCESS, 0, 0, 200_000)
    assert sample.mean() == pytest.approx(oracle.mean(), rel=5 * oracle.std() / oracle.mean() / 447)
    assert sample.std() == pytest.approx(oracle.std(), rel=0.03)
    assert stats.kstest(sample[:20_000], oracle.cdf).pvalue > 1e-4
    probes = oracle.ppf([0.01, 0.3, 0.9, 0.99, 0.9999])
    found = [share_below(np.array(law.table), value) for value in probes]
    assert found == pytest.approx([0.01, 0.3, 0.9, 0.99, 0.9999], abs=2e-3)


def test_the_tail_is_clipped_at_one_in_a_million():
    law = exponential(1.0)
    assert knot_shares()[-1] == CLIP
    assert law.table[-1] == pytest.approx(20 * math.log(2), rel=1e-3)
    assert draws(law, 1, Stream.PROCESS, 0, 0, 100_000).max() <= law.table[-1]


def test_a_deterministic_law_is_exact():
    assert set(draws(deterministic(28.0), 1, Stream.PROCESS, 0, 0, 1000)) == {28.0}
    assert residual(deterministic(28.0), 10.0, 0.3) == 18.0
    assert residual(deterministic(28.0), 30.0, 0.3) == 0.0


def test_an_empirical_law_stays_inside_its_sample():
    sample = [3.0, 1.0, 2.0, 10.0]
    found = draws(empirical(sample), 1, Stream.PROCESS, 0, 0, 5000)
    assert found.min() >= 1.0
    assert found.max() <= 10.0
    assert np.median(found) == pytest.approx(2.5, rel=0.05)


def test_what_is_left_of_a_duration_follows_the_conditional_law():
    law, oracle, elapsed = weibull(1.4, 60.0), stats.weibull_min(1.4, scale=60.0), 45.0
    found = np.array(
        [residual(law, elapsed, u) for u in uniforms(2, Stream.RESIDUAL, 0, 0, 20_000)]
    )
    survived = oracle.sf(elapsed)
    assert stats.kstest(found, lambda t: 1.0 - oracle.sf(elapsed + t) / survived).pvalue > 1e-4


@given(elapsed=st.floats(0.0, 5.0), share=st.floats(0.001, 0.999))
def test_an_exponential_law_forgets(elapsed, share):
    # the tail is clipped at 13.9 means, so memory is lost up to that clip
    law = exponential(1.0)
    assert residual(law, elapsed, share) == pytest.approx(-math.log1p(-share), rel=0.02, abs=0.005)


@given(mean=st.floats(0.01, 1e5), cv=st.floats(0.05, 3.0))
def test_tables_never_fall_and_scale(mean, cv):
    law = gamma(mean, cv)
    assert np.all(np.diff(law.table) >= 0.0)
    assert law.scaled(2.0).mean == pytest.approx(2.0 * mean)


def test_a_name_has_one_key():
    assert key_of("acme/l1/p01") == key_of("acme/l1/p01") != key_of("acme/l1/p02")
    assert key_of("") == 0xCBF29CE484222325 >> 1
    assert key_of("a") == 0xAF63DC4C8601EC8C >> 1  # published FNV-1a value of "a"


@pytest.mark.parametrize(
    "make",
    [
        lambda: exponential(0.0),
        lambda: gamma(1.0, math.nan),
        lambda: deterministic(-1.0),
        lambda: triangular(2.0, 1.0, 3.0),
        lambda: empirical([]),
        lambda: empirical([1.0, math.nan]),
        lambda: exponential(1.0).scaled(-1.0),
        lambda: residual(exponential(1.0), -1.0, 0.5),
    ],
)
def test_impossible_laws_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_law_is_a_value():
    assert exponential(2.0) == exponential(2.0)
    assert isinstance(exponential(2.0), Law)
