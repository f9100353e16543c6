"""Who stands still and should not: simulated days, and worked cases."""

import numpy as np
import pytest

from connectors.bench_frozen import day
from connectors.opcua.stillness import KEPT, NOTHING, Stillness

NO_TEXT = np.zeros(4, np.int64)


def lively(watch: Stillness, rng: np.random.Generator, count: int = KEPT + 8) -> np.ndarray:
    """Two devices of two noisy items, one look a second."""
    for second in range(count):
        value = rng.normal(20.0, 2.0, 4)
        watch.look(float(second), value, NO_TEXT)
        assert watch.still(float(second)) == NOTHING
    return value


def looks(watch: Stillness, rng: np.random.Generator, value: np.ndarray, frm: int, to: int):
    """The first device stays as it is; the second moves."""
    for second in range(frm, to):
        value[2:] = rng.normal(20.0, 2.0, 2)
        watch.look(float(second), value, NO_TEXT)
        found = watch.still(float(second))
        if found is not NOTHING:
            return second, found
    return None, NOTHING


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_with_shifts_breaks_and_noise_has_no_false_flag(seed):
    assert day(seed, machines=4, dying=False, tick_s=10.0).false_flags == 0


def test_every_machine_that_dies_at_work_is_found_within_five_minutes():
    told = day(3, machines=6, dying=True, tick_s=10.0)
    assert told.false_flags == 0
    at_work = [told.delays_s[name] for name, runs in told.running.items() if runs]
    assert len(at_work) >= 3
    assert max(at_work) <= 300.0


def test_a_device_that_stops_amid_its_values_is_found_and_its_sibling_is_not():
    rng = np.random.default_rng(5)
    watch = Stillness(["a", "a", "b", "b"], 60.0)
    value = lively(watch, rng)
    value[:2] = 20.1, 19.9
    found_at, found = looks(watch, rng, value, KEPT + 8, KEPT + 200)
    assert set(found.groups) == {"a"}
    assert not found.whole
    assert found_at - (KEPT + 8) == 61
    # One item of it moves: it lives.
    value[0] = 21.0
    watch.look(found_at + 1.0, value, NO_TEXT)
    assert watch.still(found_at + 1.0) == NOTHING


@pytest.mark.parametrize("rest", [0.0, 3.0, 40.0])
def test_a_device_that_rests_beside_its_values_is_switched_off_and_not_dead(rest):
    rng = np.random.default_rng(6)
    watch = Stillness(["a", "a", "b", "b"], 60.0)
    value = lively(watch, rng)
    value[:2] = rest
    assert looks(watch, rng, value, KEPT + 8, KEPT + 900) == (None, NOTHING)


def test_a_counter_and_a_state_are_no_witnesses():
    rng = np.random.default_rng(7)
    watch = Stillness(["a", "a", "b", "b"], 60.0)
    value = np.zeros(4)
    for second in range(KEPT * 2):
        value[0], value[1], value[2:] = second, second % 3, rng.normal(20.0, 2.0, 2)
        watch.look(float(second), value, NO_TEXT)
    assert looks(watch, rng, value, KEPT * 2, KEPT * 2 + 900) == (None, NOTHING)


def test_a_text_that_changes_shows_that_a_device_lives():
    rng = np.random.default_rng(8)
    watch = Stillness(["a", "a", "a", "b"], 60.0)
    value = lively(watch, rng)
    value[:2] = 20.1, 19.9
    for second in range(KEPT + 8, KEPT + 400):
        value[3] = rng.normal(20.0, 2.0)
        mark = np.array([0, 0, second // 20, 0])
        watch.look(float(second), value, mark)
        assert watch.still(float(second)) == NOTHING


def test_all_devices_still_at_once_is_the_whole_endpoint():
    rng = np.random.default_rng(9)
    watch = Stillness(["a", "a", "b", "b"], 60.0)
    lively(watch, rng)
    value = np.array([20.1, 19.9, 20.2, 19.8])
    found = NOTHING
    for second in range(KEPT + 8, KEPT + 100):
        watch.look(float(second), value, NO_TEXT)
        found = watch.still(float(second))
    assert found.whole
    assert set(found.groups) == {"a", "b"}
