"""The park's electricity: sites, tenants, solar roofs and batteries on feeders and transformers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.plant.physics.battery import BatteryNow, Grid, start_soc
from connectors.plant.physics.draws import Floats, Smooth, factors
from connectors.plant.physics.lines import Floor
from connectors.plant.physics.templates import GroupShape
from connectors.plant.physics.weather import Sky, tilted_w_m2
from models.errors import NotFound
from twin.parkfile.schema import AggregateSites, Feeder, ParkFile, Site
from twin.shifts import LocalTime

_FEEDER_LOSS: Final = 0.008
"""Share of its power a feeder loses at its rating."""
_IRON_LOSS: Final = 0.0006
_COPPER_LOSS: Final = 0.004
"""Losses of a transformer as shares of its rating: always, and at rated load."""
_COINCIDENCE: Final = 0.93
"""The peaks the tenants of a group declare do not fall together: this share of their sum does."""
_OIL_RISE_K: Final = 55.0
_LOSS_RATIO: Final = 6.0
_OIL_EXPONENT: Final = 0.8
_OIL_H: Final = 3.0
"""Top-oil rise over air at rated load, ratio of losses, exponent and time constant, as
IEC 60076-7 has them for such transformers."""
_NOCT_RISE_C: Final = 26.0
_PV_PER_K: Final = 0.0035
_SHIFT_NO_LINES_H: Final = (7.0, 18.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerNow:
    """All powers at one instant; arrays in the order of the park file.

    `steady` is what a site draws beside its machines; `load` of a feeder is what hangs on it;
    `feeder` adds its losses; a transformer carries its feeders and its own losses. Units kW and
    kvar, radiation W/m2, temperature degC.
    """

    steady_kw: Floats
    site_kw: Floats
    site_kvar: Floats
    pv_kw: Floats
    plane_w_m2: Floats
    module_c: Floats
    load_kw: Floats
    feeder_kw: Floats
    feeder_kvar: Floats
    transformer_kw: Floats
    transformer_kvar: Floats


class Electricity:
    """The electric side of the park.

    Parameters
    ----------
    spec
        The park file.
    floor
        The lines, whose machines draw their power at their sites.
    local, seed
        The park's clock; seed of the hidden factors.
    """

    def __init__(self, spec: ParkFile, floor: Floor, local: LocalTime, seed: int) -> None:
        power = spec.utilities.electricity
        self._floor, self._local = floor, local
        self.sites = tuple(site for site in spec.sites if isinstance(site, Site))
        self.groups = tuple(site for site in spec.sites if isinstance(site, AggregateSites))
        self.feeders = tuple(f for station in power.substations for f in station.feeders)
        self.transformers = tuple(t for s in power.substations for t in s.transformers)
        self.feeder_kv = _per_feeder([(s.feeder_voltage, s.feeders) for s in power.substations])
        self._station_of = _per_feeder([(k, s.feeders) for k, s in enumerate(power.substations)])
        self.transformer_kv = np.array(
            [s.feeder_voltage for s in power.substations for _ in s.transformers]
        )
        self._transformer_station = np.array(
            [k for k, s in enumerate(power.substations) for _ in s.transformers]
        )
        self.pv, self.bess = power.pv, power.bess
        self._shapes = [GroupShape(g.profile, g.id, spec, seed) for g in self.groups]
        self._link(seed)
        self.closed = np.ones(len(self.transformers), bool)
        self.strings_lost = np.zeros(len(self.pv))

    def _link(self, seed: int) -> None:
        names = [feeder.id for feeder in self.feeders]
        self._site_feeder = _indexes([s.feeder for s in self.sites], names, "feeder")
        self._pv_feeder = _indexes([p.feeder for p in self.pv], names, "feeder")
        self._bess_feeder = _indexes([b.feeder for b in self.bess], names, "feeder")
        transformers = [t.id for t in self.transformers]
        self._home = _indexes([f.transformer for f in self.feeders], transformers, "transformer")
        sites = [site.id for site in self.sites]
        self._machine_site = _indexes(
            [machine.id.split("/")[0] for machine in self._floor.machines], sites, "site"
        )
        self._group_weights = np.zeros((len(self.groups), len(names)))
        for g, group in enumerate(self.groups):
            on = _indexes(list(group.feeders), names, "feeder")
            share = factors(seed, f"{group.id}/feeders", len(on), 0.15)
            self._group_weights[g, on] = share / share.sum()
        self.rating_a = np.array([feeder.rating for feeder in self.feeders])
        self.rating_kva = np.array([t.rating for t in self.transformers])
        self._base_kw = np.array([site.base_load for site in self.sites])
        self._base_kw = self._base_kw * factors(seed, "sites/base", len(self.sites), 0.02)
        self._shift_kw = np.array([site.shift_load for site in self.sites])
        self._shift_kw = self._shift_kw * factors(seed, "sites/shift", len(self.sites), 0.03)
        self._peak_kw = np.array([group.peak for group in self.groups])
        self._peak_kw = self._peak_kw * factors(
            seed, "groups/peak", len(self.groups), 0.004, _COINCIDENCE
        )
        self._site_tan = np.array([_tan(site.cos_phi) for site in self.sites])
        self._group_tan = np.array([_tan(group.cos_phi) for group in self.groups])
        self._site_noise = Smooth(seed, "sites/load", max(1, len(self.sites)), 600.0)
        self._group_noise = Smooth(seed, "groups/load", max(1, len(self.groups)), 900.0)
        self._pv_health = 0.94 * factors(seed, "pv/health", len(self.pv), 0.02)
        self._efficiency = factors(seed, "bess/efficiency", len(self.bess), 0.01)
        self._lines_of = [
            [line for line in self._floor.lines if line.id.split("/")[0] == site.id]
            for site in self.sites
        ]

    def start_batteries(self, t_us: int) -> list[BatteryNow]:
        """Batteries as they stand at that time of an ordinary day."""
        hour = self._local.hour(t_us)
        return [
            BatteryNow(
                bess=bess,
                stored_kwh=start_soc(bess, hour) * bess.energy,
                efficiency=min(1.0, bess.round_trip_efficiency * float(factor)),
            )
            for bess, factor in zip(self.bess, self._efficiency, strict=True)
        ]

    def at(self, t_us: int, sky: Sky, own_kw: float, batteries: Sequence[BatteryNow]) -> PowerNow:
        """All powers at a time; `own_kw` is what the park's own utilities draw [kW]."""
        machines_kw = np.array([machine.now_kw for machine in self._floor.machines])
        steady_kw = self._steady_kw(t_us)
        site_kw = steady_kw + np.bincount(self._machine_site, machines_kw, len(self.sites))
        site_kvar = site_kw * self._site_tan
        group_kw = self._groups_kw(t_us)
        plane, module, pv_kw = self._solar(sky)
        n = len(self.feeders)
        load_kw = np.bincount(self._site_feeder, site_kw, n) + group_kw @ self._group_weights
        group_kvar = (group_kw * self._group_tan) @ self._group_weights
        load_kvar = np.asarray(np.bincount(self._site_feeder, site_kvar, n) + group_kvar)
        load_kw -= np.bincount(self._pv_feeder, pv_kw, n)
        load_kw -= np.bincount(self._bess_feeder, [b.power_kw for b in batteries], n)
        load_kw[0] += own_kw
        return self._upstream(
            steady_kw=steady_kw,
            site_kw=site_kw,
            site_kvar=site_kvar,
            pv_kw=pv_kw,
            plane_w_m2=plane,
            module_c=module,
            load_kw=load_kw,
            load_kvar=load_kvar,
        )

    def _steady_kw(self, t_us: int) -> Floats:
        works = np.array([self._works(k, t_us) for k in range(len(self.sites))])
        wander = 1.0 + 0.03 * self._site_noise.at(t_us)[: len(self.sites)]
        return np.asarray((self._base_kw + works * self._shift_kw) * wander, np.float64)

    def machines_kwh(self, t_us: int) -> Floats:
        """Energy of all machines of each site up to a time [kWh]."""
        energy_kwh = self._floor.energy_kwh(t_us)
        return np.asarray(np.bincount(self._machine_site, energy_kwh, len(self.sites)), np.float64)

    def grid(self, t_us: int, now: PowerNow, batteries: Sequence[BatteryNow]) -> Grid:
        """What the rule of a battery looks at."""
        served = sum(battery.power_kw for battery in batteries)
        firm_kva = float(self.rating_kva.sum() - self.rating_kva.max(initial=0.0))
        return Grid(
            load_kw=float(now.transformer_kw.sum()) + served,
            firm_kw=0.95 * firm_kva,
            pv_kw=float(now.pv_kw.sum()),
            hour=self._local.hour(t_us),
            weekday=self._local.day(t_us).isoweekday(),
        )

    def oil_target_c(self, now: PowerNow, air_c: float) -> Floats:
        """Top-oil temperature each transformer tends to [degC]."""
        loading = np.hypot(now.transformer_kw, now.transformer_kvar) / self.rating_kva
        share = (1.0 + _LOSS_RATIO * loading**2) / (1.0 + _LOSS_RATIO)
        rise = _OIL_RISE_K * share**_OIL_EXPONENT
        return np.asarray(air_c + np.where(self.closed, rise, 0.0), np.float64)

    def oil_share(self, for_h: float) -> float:
        """How much of the way to its target the oil goes in that time [1]."""
        return -math.expm1(-for_h / _OIL_H)

    def kvarh(self, site_kwh: Floats) -> Floats:
        """Reactive energy that goes with the active energy of each site [kvarh]."""
        return np.asarray(site_kwh * self._site_tan, np.float64)

    def site_kv(self, now: PowerNow) -> Floats:
        """Voltage at each site [kV]: the farther its feeder is loaded, the lower."""
        rated = self.rating_a * self.feeder_kv * math.sqrt(3.0)
        loading = np.hypot(now.feeder_kw, now.feeder_kvar) / np.maximum(rated, 1.0)
        kv = self.feeder_kv * (1.018 - 0.032 * loading) * (now.feeder_kw != 0.0)
        return np.asarray(kv[self._site_feeder], np.float64)

    def site_works(self, site: str | None, t_us: int) -> float:
        """How much of a site works [1]; half for what belongs to no site."""
        names = [each.id for each in self.sites]
        return self._works(names.index(site), t_us) if site in names else 0.5

    def transformer_index(self, asset_id: str) -> int:
        """Index of the transformer of that asset id.

        Raises
        ------
        NotFound
            When there is none.
        """
        return _index_of(asset_id.split("/")[-1], [t.id for t in self.transformers], "transformer")

    def pv_index(self, asset_id: str) -> int:
        """Index of the solar roof of that asset id.

        Raises
        ------
        NotFound
            When there is none.
        """
        return _index_of(asset_id.split("/")[-1], [p.id for p in self.pv], "pv")

    def _works(self, site: int, t_us: int) -> float:
        lines = self._lines_of[site]
        if lines:
            return sum(line.open for line in lines) / len(lines)
        begin, end = _SHIFT_NO_LINES_H
        return float(begin <= self._local.hour(t_us) < end)

    def _groups_kw(self, t_us: int) -> Floats:
        if not self.groups:
            return np.zeros(0)
        day, hour = self._local.day(t_us), self._local.hour(t_us)
        shape = np.array([each.at(day, hour) for each in self._shapes])
        wander = 1.0 + 0.006 * self._group_noise.at(t_us)
        return np.asarray(self._peak_kw * shape * wander, np.float64)

    def _solar(self, sky: Sky) -> tuple[Floats, Floats, Floats]:
        plane = np.array([tilted_w_m2(sky, p.tilt, p.azimuth) for p in self.pv])
        module = sky.air_c + _NOCT_RISE_C * plane / 800.0
        peak = np.array([p.peak for p in self.pv])
        strings = np.array([p.strings for p in self.pv], np.float64)
        limit = np.array([p.inverter or 0.9 * p.peak for p in self.pv])
        whole = np.maximum(0.0, 1.0 - self.strings_lost / np.maximum(strings, 1.0))
        warm = 1.0 - _PV_PER_K * (module - 25.0)
        power = peak * plane / 1000.0 * warm * self._pv_health * whole
        return plane, module, np.clip(power, 0.0, limit)

    def _upstream(
        self,
        *,
        steady_kw: Floats,
        site_kw: Floats,
        site_kvar: Floats,
        pv_kw: Floats,
        plane_w_m2: Floats,
        module_c: Floats,
        load_kw: Floats,
        load_kvar: Floats,
    ) -> PowerNow:
        share = self._shares()
        alive = share.sum(axis=1) > 0.0
        load_kw, load_kvar = load_kw * alive, load_kvar * alive
        rated = self.rating_a * self.feeder_kv * math.sqrt(3.0)
        loading = np.hypot(load_kw, load_kvar) / np.maximum(rated, 1.0)
        lost = _FEEDER_LOSS * rated * loading**2
        feeder_kw, feeder_kvar = load_kw + lost, load_kvar + 1.5 * lost
        carried_kw, carried_kvar = feeder_kw @ share, feeder_kvar @ share
        used = np.hypot(carried_kw, carried_kvar) / np.maximum(self.rating_kva, 1.0)
        own = (_IRON_LOSS + _COPPER_LOSS * used**2) * self.rating_kva * self.closed
        return PowerNow(
            steady_kw=steady_kw,
            site_kw=site_kw,
            site_kvar=site_kvar,
            pv_kw=pv_kw,
            plane_w_m2=plane_w_m2,
            module_c=module_c,
            load_kw=load_kw,
            feeder_kw=feeder_kw,
            feeder_kvar=feeder_kvar,
            transformer_kw=carried_kw + own,
            transformer_kvar=carried_kvar + 8.0 * own,
        )

    def _shares(self) -> Floats:
        """Share of each feeder on each transformer; those of an open one move to its neighbours."""
        share = np.zeros((len(self.feeders), len(self.transformers)))
        share[np.arange(len(self.feeders)), self._home] = 1.0
        if self.closed.all():
            return share
        for feeder, home in enumerate(self._home):
            if not self.closed[home]:
                same = self._transformer_station == self._station_of[feeder]
                others = np.flatnonzero(self.closed & same)
                share[feeder] = 0.0
                if len(others):
                    share[feeder, others] = 1.0 / len(others)
        return share


def _tan(cos_phi: float) -> float:
    return math.sqrt(1.0 - cos_phi**2) / cos_phi


def _per_feeder(stations: Sequence[tuple[float, Sequence[Feeder]]]) -> Floats:
    return np.array([value for value, feeders in stations for _ in feeders], np.float64)


def _index_of(name: str, names: Sequence[str], kind: str) -> int:
    if name not in names:
        raise NotFound(kind, name, tuple(names))
    return list(names).index(name)


def _indexes(wanted: Sequence[str], names: Sequence[str], kind: str) -> npt.NDArray[np.intp]:
    last = [name.split("/")[-1] for name in wanted]
    return np.array([_index_of(name, names, kind) for name in last], np.intp)
