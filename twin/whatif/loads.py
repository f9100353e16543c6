"""What sites and tenants draw: expected courses and futures around them.

A metered site is its base load, its shift load while any of its lines works, and its machines.
Tenants known together are a template, lifted or lowered to where the meters show them now.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.draws import key_of
from models.load import SPREAD, load_template, noisy_paths_kw, template_load_kw
from twin.parkfile.schema import AggregateSites, Site
from twin.whatif.calendars import Calendars, kinds_of_days
from twin.whatif.factory import LineModel
from twin.whatif.lanes import Lanes
from twin.whatif.snapshot import Snapshot
from twin.whatif.spec import Curtailment
from twin.whatif.variant import Variant

Floats = npt.NDArray[np.float64]

_SITE_SPREAD: Final = 0.03
"""Spread of the logarithm of a metered site's load around its model [1]; an assumption."""
_TENANT_CORRELATION: Final = 0.1
"""Correlation of the deviations of two tenants that are known only together; an assumption."""
_LEVEL_SPREAD: Final = 0.05
"""How far the peaks that tenants declare are off together, as a logarithm [1]; an assumption."""
_LEVEL_BOUNDS: Final = (0.5, 1.6)
"""A measured load over its template beyond these is a fault of a meter, not a level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where the tenants stand against their templates, as logarithms.

    What is measured now is split into a part that stays (declared peaks are off) and one that is
    forgotten (a busy hour), by their variances; `spread` is what stays unknown of the first.
    """

    lasting: float
    passing: float | None
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Active and reactive power of all sites and tenants, [R, steps] or [steps] [kW, kvar]."""

    kw: Floats
    kvar: Floats


class Loads:
    """Sites and tenants of a variant over the steps of a grid.

    Parameters
    ----------
    variant, snapshot
        The park, and where it starts from.
    lines
        Its lines.
    calendars
        When they work, with the grid.
    """

    def __init__(
        self,
        variant: Variant,
        snapshot: Snapshot,
        lines: tuple[LineModel, ...],
        calendars: Calendars,
    ) -> None:
        self._variant, self._snapshot, self._lines = variant, snapshot, lines
        self._calendars, self._grid = calendars, calendars.grid
        sites = variant.spec.sites
        self._sites = [site for site in sites if isinstance(site, Site)]
        self._tenants = [site for site in sites if isinstance(site, AggregateSites)]
        self._base = {site.id: self._steady_kw(site) for site in self._sites}
        days = kinds_of_days(variant.spec)
        self._template = {
            one.id: template_load_kw(load_template(one.profile), one.peak, self._grid, days)
            for one in self._tenants
        }
        self._less = {site.id: self._given_up(site.id) for site in sites}
        self.level = self._measured_level()

    def expected(self) -> Demand:
        """The course a dispatcher expects: no noise, no breakdown, tenants at their level."""
        kw, kvar = np.zeros(self._grid.steps), np.zeros(self._grid.steps)
        for site in self._sites:
            power = self._base[site.id].copy()
            for line in self._lines:
                if line.site == site.id:
                    power += line.expected_kw(self._calendars.share(line.calendar))
            power = self._wanted(power, site.id, slice(None))
            kw, kvar = kw + power, kvar + power * _tan_phi(site.cos_phi)
        for one in self._tenants:
            lasting = 0.0 if one.id in self._variant.newcomers else self.level.lasting
            power = self._wanted(math.exp(lasting) * self._template[one.id], one.id, slice(None))
            kw, kvar = kw + power, kvar + power * _tan_phi(one.cos_phi)
        return Demand(kw=kw, kvar=kvar)

    def futures(self, line_kw: Mapping[str, Floats], lanes: Lanes, steps: slice) -> Demand:
        """Replications of what is drawn.

        Parameters
        ----------
        line_kw
            Line id → [R, steps], power of its machines [kW].
        lanes
            Which futures; noise runs from the grid's start, whichever steps are asked for.
        steps
            Steps that are simulated.
        """
        count = len(range(*steps.indices(self._grid.steps)))
        kw, kvar = np.zeros((len(lanes), count)), np.zeros((len(lanes), count))
        for site in self._sites:
            power = np.broadcast_to(self._base[site.id][steps], kw.shape).copy()
            for line in self._lines:
                if line.site == site.id:
                    power += line_kw[line.id]
            power *= self._noise(site.id, _SITE_SPREAD, None, lanes)[:, steps]
            power = self._wanted(power, site.id, steps)
            kw, kvar = kw + power, kvar + power * _tan_phi(site.cos_phi)
        levels = np.exp(self.level.lasting + self.level.spread * lanes.parameter("tenants/level"))
        for one in self._tenants:
            power = self._template[one.id] * self._tenant_noise(one, lanes)
            if one.id not in self._variant.newcomers:
                power *= levels[:, None]
            power = self._wanted(power[:, steps], one.id, steps)
            kw, kvar = kw + power, kvar + power * _tan_phi(one.cos_phi)
        return Demand(kw=kw, kvar=kvar)

    def _tenant_noise(self, one: AggregateSites, lanes: Lanes) -> Floats:
        spread = joint_spread(one.count)
        passing = None if one.id in self._variant.newcomers else self.level.passing
        return self._noise(one.id, spread, None if passing is None else passing / spread, lanes)

    def _noise(self, name: str, spread: float, start: float | None, lanes: Lanes) -> Floats:
        """Factors around 1, [R, steps of the whole grid]."""
        return noisy_paths_kw(
            np.ones(self._grid.steps),
            self._grid.step_us / 1e6,
            spread=spread,
            seed=lanes.seed,
            replications=lanes.replications,
            key=key_of(f"load/{name}"),
            start=start,
        )

    def _wanted(self, power: Floats, site: str, steps: slice) -> Floats:
        """Power after growth, and less what is given up."""
        growth = self._variant.growth
        factor = growth.get(site, 1.0) * growth.get("", 1.0)
        less: Floats = np.maximum(power * factor - self._less[site][steps], 0.0)
        return less

    def _steady_kw(self, site: Site) -> Floats:
        """Base load, and the shift load while any of the site's lines has a shift."""
        names = sorted({line.calendar for area in site.areas for line in area.lines})
        working = np.max([self._calendars.share(name) for name in names], axis=0) if names else 1.0
        base: Floats = site.base_load + site.shift_load * working * np.ones(self._grid.steps)
        return base

    def _given_up(self, site: str) -> Floats:
        less = np.zeros(self._grid.steps)
        for one in self._variant.curtailments:
            if one.asset == site:
                less += one.power * self._inside(one)
        return less

    def _inside(self, one: Curtailment) -> Floats:
        """Whether a step's middle lies in the span of each day."""
        begin, end = (_hours(part) for part in one.span.split("-"))
        middles = self._grid.start_us + self._grid.step_us * np.arange(self._grid.steps)
        middles += self._grid.step_us // 2
        hours = np.array([self._calendars.local.hour(int(t)) for t in middles])
        after, before = hours >= begin, hours < end
        inside = after & before if begin < end else after | before
        return inside.astype(np.float64)

    def _measured_level(self) -> Level:
        """Meters against templates at the start, for the tenants that were there."""
        known = [one for one in self._tenants if one.id not in self._variant.newcomers]
        measured = self._measured_kw()
        expected = sum(float(self._template[one.id][0]) for one in known if self._grid.steps)
        if measured is None or expected <= 0.0:
            return Level(lasting=0.0, passing=None, spread=_LEVEL_SPREAD)
        low, high = _LEVEL_BOUNDS
        ratio = math.log(min(max(measured / expected, low), high))
        passing_var = joint_spread(sum(one.count for one in known)) ** 2
        lasting_var = _LEVEL_SPREAD**2
        share = lasting_var / (lasting_var + passing_var)
        return Level(
            lasting=share * ratio,
            passing=(1.0 - share) * ratio,
            spread=math.sqrt(share * passing_var),
        )

    def _measured_kw(self) -> float | None:
        """Measured feeders less measured sites, solar and battery added back; None with a gap."""
        value, electricity = self._snapshot.value, self._variant.spec.utilities.electricity
        feeders = [
            value(feeder.id, "active_power")
            for station in electricity.substations
            for feeder in station.feeders
        ]
        sites = [value(site.id, "active_power") for site in self._sites]
        if any(x is None for x in (*feeders, *sites)):
            return None
        own_ids = [pv.id for pv in electricity.pv] + [bess.id for bess in electricity.bess]
        own = sum(value(part, "active_power") or 0.0 for part in own_ids)
        drawn = sum(x for x in feeders if x is not None) + own
        return max(drawn - sum(x for x in sites if x is not None), 0.0)


def joint_spread(count: int) -> float:
    """Spread of the logarithm of the joint load of several tenants [1].

    The variance of a mean of n equally correlated deviations is σ² (ρ + (1 - ρ) / n).
    """
    return SPREAD * math.sqrt(_TENANT_CORRELATION + (1.0 - _TENANT_CORRELATION) / count)


def _tan_phi(cos_phi: float) -> float:
    return math.tan(math.acos(cos_phi))


def _hours(text: str) -> float:
    hours, minutes = text.split(":")
    return int(hours) + int(minutes) / 60.0
