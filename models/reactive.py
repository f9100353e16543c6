"""The charge for reactive power: a share of the energy bill that grows as cos φ falls.

Viet Nam, Circular 15/2014/TT-BCT: a customer of 40 kW or more whose power factor over the billing
period is below 0.9 pays ``Tq = Ta · k`` with ``k = 0.9 / cos φ - 1``; below 0.6 the factor stays
at 0.5254. Worked values there: 5.88 % at 0.85, 12.5 % at 0.80. (Read; its successor is unchecked.)
"""

import math
from dataclasses import dataclass
from typing import Final

from models.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactiveRule:
    """When and how reactive power is charged.

    Parameters
    ----------
    free_from
        Power factor from which nothing is charged [1].
    floor
        Power factor below which the coefficient no longer grows [1].
    floor_k
        Coefficient below the floor [1].
    smallest_kw
        Smallest customer that is charged [kW].
    """

    free_from: float = 0.9
    floor: float = 0.6
    floor_k: float = 0.5254
    smallest_kw: float = 40.0


VN_REACTIVE: Final = ReactiveRule()
"""Circular 15/2014/TT-BCT."""


def power_factor(active_kwh: float, reactive_kvarh: float) -> float:
    """Mean power factor of a billing period from its two registers; 1 when nothing was used.

    Parameters
    ----------
    active_kwh, reactive_kvarh
        Energy of the period [kWh] and [kvarh], not negative.
    """
    if active_kwh < 0.0 or reactive_kvarh < 0.0:
        raise InputError(
            f"registers {active_kwh} kWh and {reactive_kvarh} kvarh", "neither can be negative"
        )
    apparent = math.hypot(active_kwh, reactive_kvarh)
    return active_kwh / apparent if apparent else 1.0


def charge_coefficient(cos_phi: float, demand_kw: float, rule: ReactiveRule = VN_REACTIVE) -> float:
    """Return k, the share of the energy amount that is charged for reactive power [1].

    Parameters
    ----------
    cos_phi
        Power factor over the billing period, in [0, 1].
    demand_kw
        Contracted or measured demand of the customer [kW].
    """
    if not 0.0 <= cos_phi <= 1.0:
        raise InputError(f"a power factor of {cos_phi}", "it lies between 0 and 1")
    if demand_kw < rule.smallest_kw or cos_phi >= rule.free_from:
        return 0.0
    if cos_phi < rule.floor:
        return rule.floor_k
    return rule.free_from / cos_phi - 1.0
