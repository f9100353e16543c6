"""The language of rules."""

import re

import pytest

from models.errors import InputError
from twin.rules import parse_rule

TYPES = {"ss1/t1": "transformer", "m": "machine", "g1": "gate"}


@pytest.mark.parametrize(
    ("when", "type_", "name", "is_metric", "limit"),
    [
        ("station.n1_loading_pct > 120", "park", "n1_loading_pct", False, 120.0),
        ("station.loading_pct > 100", "park", "station_loading_pct", False, 100.0),
        ("park.cos_phi<0.9", "park", "cos_phi", False, 0.9),
        ("machine.temperature > 85 degC", "machine", "temperature", True, 85.0),
        ("site.active_power >= 2 MW", "site", "active_power", True, 2000.0),
        ("boiler.pressure < 600 kPa", "boiler", "pressure", True, 6.0),
        ("bess.state_of_charge < 12 %", "bess", "state_of_charge", True, 12.0),
        ("endpoint.alive == 0", "endpoint", "alive", False, 0.0),
        ("ss1/t1.oil_temperature > 95 degC", "transformer", "oil_temperature", True, 95.0),
        ("gate.turn_time > 1 h", "gate", "turn_time", True, 60.0),
    ],
)
def test_a_rule_is_read_into_stored_units(when, type_, name, is_metric, limit):
    found = parse_rule(when, TYPES)
    assert (found.type, found.name, found.is_metric) == (type_, name, is_metric)
    assert found.limit == pytest.approx(limit)


def test_a_limit_may_be_a_quantity_of_the_asset():
    found = parse_rule("gate.queue > 0.8 * road_storage", TYPES)
    assert (found.limit, found.limit_name, found.factor) == (None, "road_storage", 0.8)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("", "'' is no rule"),
        ("machine.temperature", "is no rule"),
        ("machine.temperature >", "is no rule"),
        ("station.nothing > 1", "'nothing' is no figure or metric of station"),
        ("machine.temperature > hot", "'hot' is no quantity of machine"),
        ("machine.part_count > 5 kW", "write a number without a unit"),
        ("machine.vibration > 5 m/s", "write a number in mm/s"),
        ("machine.temperature > 85 kW", "here temperature is wanted"),
        ("nobody.temperature > 1", "'nobody' is no asset type and no asset"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_remedy(when, said):
    with pytest.raises(InputError, match=re.escape(said)):
        parse_rule(when, TYPES)
