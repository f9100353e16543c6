"""The station on 15-minute steps: load, solar, battery, transformers, cost, emissions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from models.battery import Battery, Rules, Wish, dispatch_by_rules, one_way
from models.bill import Grid, prices, share_of_steps, slots
from models.draws import key_of
from models.emissions import grid_factors_vn
from models.load import SPREAD, Calendar, load_template, noisy_paths_kw, template_load_kw
from models.solar import PvPlant, clear_sky, clearness, pv_power_kw, solar_site, typical_air_c
from models.tariff import Window, tariff_named
from models.transformer import allowed_minutes
from twin.parkfile.schema import AggregateSites, Bess, ParkFile, Site
from twin.samples import from_us
from twin.shifts import LocalTime, Shifts
from twin.whatif.factory import LineModel
from twin.whatif.snapshot import Snapshot
from twin.whatif.spec import Curtailment
from twin.whatif.variant import Variant

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SITE_SPREAD: Final = 0.03
"""Spread of the logarithm of a metered site's load around its model [1]; an assumption."""
_TENANT_CORRELATION: Final = 0.1
"""Correlation of the deviations of two tenants that are known only together; an assumption."""
_PEAK_RESERVE: Final = 0.5
"""Share of a peak-shaving battery that is kept for shaving [1]; an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationFuture:
    """What the station carries, [replications, steps] each; powers in kW, `mva` in MVA.

    `rating_mva` is what is in service in each step, [steps]; `price_vnd_kwh` the tariff's.
    """

    load_kw: Floats
    pv_kw: Floats
    bess_kw: Floats
    soc_pct: Floats
    grid_kw: Floats
    mva: Floats
    rating_mva: Floats
    n1_rating_mva: float
    price_vnd_kwh: Floats
    capacity_vnd_kw: float
    co2_kg_kwh: float


class Station:
    """The station of a variant: everything that does not depend on the replication, once.

    Parameters
    ----------
    variant, snapshot
        The park and where it starts from.
    lines
        Its lines, for which of them a site waits on.
    grid
        Time steps.
    """

    def __init__(
        self, variant: Variant, snapshot: Snapshot, lines: tuple[LineModel, ...], grid: Grid
    ) -> None:
        self._variant, self._snapshot, self._grid = variant, snapshot, grid
        spec = variant.spec
        self._electricity = spec.utilities.electricity
        self._holidays = holidays_of(spec)
        self._calendar = Calendar(zone=spec.tz, holidays=self._holidays, swapped=_swapped(spec))
        self._lines_of = {line.id: line.site for line in lines}
        self._sites = [site for site in spec.sites if isinstance(site, Site)]
        self._aggregates = [site for site in spec.sites if isinstance(site, AggregateSites)]
        self._base = {site.id: self._site_base(site) for site in self._sites}
        self._template = {one.id: self._aggregate_load(one) for one in self._aggregates}
        self._level = self._aggregate_level()
        self._curtail = {site.id: self._curtailed(site.id) for site in spec.sites}
        middles = grid.start_us + grid.step_us * (np.arange(grid.steps) + 0.5)
        self._times = middles.astype(np.int64)
        self._sun = solar_site("binh_duong")
        self._sky = clear_sky(self._sun, self._times)
        offset_h = LocalTime(spec.tz).offset_us(grid.start_us) / 3.6e9
        self._air_c = typical_air_c(self._sun, self._times, offset_h)
        tariff = tariff_named(self._electricity.connection.tariff)
        voltage_kv = self._electricity.connection.voltage
        cut = slots(tariff, grid, voltage_kv, self._holidays)
        self._price = prices(tariff, grid, voltage_kv, self._holidays)
        day = from_us(grid.start_us).astimezone(ZoneInfo(spec.tz)).date()
        self._capacity_vnd_kw = tariff.prices_on(day).of(voltage_kv).capacity_vnd_kw_month
        self._wishes = _wishes(
            share_of_steps(grid, [s for s in cut if s.window is Window.PEAK]),
            share_of_steps(grid, [s for s in cut if s.window is Window.OFF_PEAK]),
        )
        self._co2 = grid_factors_vn().newest(day.year).kgco2e_kwh
        self._rating, self._n1 = self._ratings()

    @property
    def n1_rating_mva(self) -> float:
        """What is left after losing the largest transformer [MVA]."""
        return self._n1

    def run(
        self,
        line_kw: Mapping[str, Floats],
        *,
        seed: int,
        replications: Ints,
        skip: int = 0,
        stored: Floats | None = None,
    ) -> StationFuture:
        """Carry replications through the station.

        Parameters
        ----------
        line_kw
            Line id → [replications, steps - skip], power of its machines [kW].
        seed, replications
            Keys of the draws.
        skip
            Steps at the start that another run has simulated; noise and clouds go on from them.
        stored
            Share of the batteries' energy in use after those steps, [replications]; what the
            snapshot shows when None.
        """
        shape = (len(replications), self._grid.steps - skip)
        load, kvar = np.zeros(shape), np.zeros(shape)
        for site in self._sites:
            power = np.broadcast_to(self._base[site.id][skip:], shape).copy()
            for line, kw in line_kw.items():
                if self._lines_of[line] == site.id:
                    power += kw
            noise = self._noise(site.id, _SITE_SPREAD, None, seed, replications)
            power = self._demand(power * noise[:, skip:], site.id, skip)
            load += power
            kvar += power * _tan_phi(site.cos_phi)
        for one in self._aggregates:
            noise = self._noise(one.id, joint_spread(one.count), self._level, seed, replications)
            power = self._demand((self._template[one.id] * noise)[:, skip:], one.id, skip)
            load += power
            kvar += power * _tan_phi(one.cos_phi)
        pv = self._pv(seed, replications)[:, skip:]
        bess, soc = self._dispatch(load - pv, kvar, skip, stored)
        grid_kw = load - pv - bess
        return StationFuture(
            load_kw=load,
            pv_kw=pv,
            bess_kw=bess,
            soc_pct=soc,
            grid_kw=grid_kw,
            mva=np.hypot(grid_kw, kvar) / 1000.0,
            rating_mva=self._rating[skip:],
            n1_rating_mva=self._n1,
            price_vnd_kwh=self._price[skip:],
            capacity_vnd_kw=self._capacity_vnd_kw,
            co2_kg_kwh=self._co2,
        )

    def _demand(self, power: Floats, site: str, skip: int) -> Floats:
        growth = self._variant.growth
        factor = growth.get(site, 1.0) * growth.get("", 1.0)
        less: Floats = np.maximum(power * factor - self._curtail[site][skip:], 0.0)
        return less

    def _noise(
        self, name: str, spread: float, start: float | None, seed: int, replications: Ints
    ) -> Floats:
        """Factors around 1, [replications, steps of the whole grid]."""
        return noisy_paths_kw(
            np.ones(self._grid.steps),
            self._grid.step_us / 1e6,
            spread=spread,
            seed=seed,
            replications=replications,
            key=key_of(f"load/{name}"),
            start=start,
        )

    def _site_base(self, site: Site) -> Floats:
        """Base load, and the shift load while any of the site's lines has a shift."""
        spec, grid = self._variant.spec, self._grid
        names = sorted({line.calendar for area in site.areas for line in area.lines})
        local = LocalTime(spec.tz)
        working = np.zeros(grid.steps)
        for name in names:
            calendar = spec.calendars[name]
            days_off = spec.holidays.get(calendar.holidays) if calendar.holidays else None
            plan = Shifts(calendar, days_off, local)
            edges = grid.start_us + grid.step_us * np.arange(grid.steps + 1, dtype=np.int64)
            share = [
                plan.planned_s(int(a), int(b)) / (grid.step_us / 1e6) for a, b in pairwise(edges)
            ]
            working = np.maximum(working, share)
        if not names:
            working[:] = 1.0
        base: Floats = site.base_load + site.shift_load * working
        return base

    def _aggregate_load(self, one: AggregateSites) -> Floats:
        return template_load_kw(load_template(one.profile), one.peak, self._grid, self._calendar)

    def _aggregate_level(self) -> float | None:
        """Deviation of the unmetered tenants now, in standard deviations; None when not known.

        Measured feeders less measured sites, with solar and battery added back, against the
        templates at the start.
        """
        measured = self._measured_aggregate_kw()
        expected = sum(float(load[0]) for load in self._template.values()) if self._template else 0
        if measured is None or expected <= 0.0:
            return None
        ratio = min(max(measured / expected, 0.5), 1.6)
        count = sum(one.count for one in self._aggregates)
        return math.log(ratio) / joint_spread(count)

    def _measured_aggregate_kw(self) -> float | None:
        value = self._snapshot.value
        station = self._electricity.substations[0]
        feeders = [value(f"{station.id}/{f.id}", "active_power") for f in station.feeders]
        sites = [value(site.id, "active_power") for site in self._sites]
        if any(x is None for x in feeders) or any(x is None for x in sites):
            return None
        own = [value(p.id, "active_power") or 0.0 for p in self._electricity.pv]
        own += [value(b.id, "active_power") or 0.0 for b in self._electricity.bess]
        total = sum(x for x in feeders if x is not None) + sum(own)
        return max(total - sum(x for x in sites if x is not None), 0.0)

    def _curtailed(self, site: str) -> Floats:
        less = np.zeros(self._grid.steps)
        for one in self._variant.curtailments:
            if one.asset == site:
                less += one.power * self._span_share(one)
        return less

    def _span_share(self, one: Curtailment) -> Floats:
        local = LocalTime(self._variant.spec.tz)
        begin, end = (_hours(part) for part in one.span.split("-"))
        middles = self._grid.start_us + self._grid.step_us * np.arange(self._grid.steps)
        hours = np.array([local.hour(int(t)) for t in middles])
        inside = (
            (hours >= begin) & (hours < end) if begin < end else (hours >= begin) | (hours < end)
        )
        return inside.astype(np.float64)

    def _pv(self, seed: int, replications: Ints) -> Floats:
        plants = [
            PvPlant(
                peak_kw=pv.peak,
                tilt_deg=pv.tilt,
                azimuth_deg=pv.azimuth,
                inverter_kw=pv.inverter,
            )
            for pv in self._electricity.pv
            if pv.peak > 0.0
        ]
        if not plants:
            return np.zeros((len(replications), self._grid.steps))
        share = clearness(
            self._sun,
            self._times,
            self._grid.step_us / 1e6,
            seed=seed,
            replications=replications,
            key=key_of("cloudiness"),
        )
        power: Floats = pv_power_kw(self._sky, share, self._air_c, plants).sum(axis=0)
        return power

    def _dispatch(
        self, net_kw: Floats, kvar: Floats, skip: int, share: Floats | None
    ) -> tuple[Floats, Floats]:
        """Power of all batteries, one after the other, and their joint state of charge."""
        total, stored = np.zeros_like(net_kw), np.zeros_like(net_kw)
        capacity = sum(bess.energy for bess in self._electricity.bess)
        for bess in self._electricity.bess:
            if bess.energy <= 0.0 or bess.power <= 0.0:
                continue
            battery = battery_of(bess)
            done = dispatch_by_rules(
                net_kw - total,
                battery,
                self._rules(bess, kvar),
                self._grid.step_h,
                stored_kwh=self._stored_kwh(bess) if share is None else share * bess.energy,
                wishes=self._wishes[skip:] if bess.rule == "time_of_use" else None,
            )
            total += done.power_kw
            stored += done.stored_kwh
        soc: Floats = 100.0 * stored / capacity if capacity else stored
        return total, soc

    def _rules(self, bess: Bess, kvar: Floats) -> Rules:
        """The rule of a battery: peak shaving keeps the station inside its N-1 rating, every
        other rule only inside the rating of all its transformers.
        """
        n1_kva = self._n1 * 1000.0
        all_kva = float(self._rating.max(initial=0.0)) * 1000.0
        median_kvar = float(np.median(kvar))
        if bess.rule == "idle":
            return Rules(self_consumption=False)
        if bess.rule == "peak_shaving":
            limit_kw = math.sqrt(max(n1_kva**2 - median_kvar**2, 0.0))
            return Rules(limit_kw=limit_kw, reserve=_PEAK_RESERVE, self_consumption=False)
        limit_kw = math.sqrt(max(all_kva**2 - median_kvar**2, 0.0))
        return Rules(limit_kw=limit_kw, self_consumption=bess.rule == "self_consumption")

    def _stored_kwh(self, bess: Bess) -> float:
        soc = self._snapshot.value(bess.id, "state_of_charge")
        share = (bess.soc[0] + bess.soc[1]) / 2.0 if soc is None else soc / 100.0
        return min(max(share, 0.0), 1.0) * bess.energy

    def _ratings(self) -> tuple[Floats, float]:
        """Rating in service in each step, and what is left after losing the largest [MVA]."""
        ratings = {
            f"{station.id}/{transformer.id}": transformer.rating / 1000.0
            for station in self._electricity.substations
            for transformer in station.transformers
        }
        total = sum(ratings.values())
        in_service = np.full(self._grid.steps, total)
        start_s = self._grid.step_us / 1e6 * np.arange(self._grid.steps)
        for trip in self._variant.trips:
            end_s = math.inf if trip.lasts is None else trip.at + trip.lasts
            out = (start_s + self._grid.step_us / 1e6 > trip.at) & (start_s < end_s)
            in_service[out] -= ratings[trip.asset]
        n1 = total - max(ratings.values()) if len(ratings) > 1 else total
        return np.maximum(in_service, 0.0), n1


def joint_spread(count: int) -> float:
    """Spread of the logarithm of the joint load of several tenants [1].

    The variance of a mean of n equally correlated deviations is σ² (ρ + (1 - ρ) / n).
    """
    return SPREAD * math.sqrt(_TENANT_CORRELATION + (1.0 - _TENANT_CORRELATION) / count)


def battery_of(bess: Bess) -> Battery:
    """The battery model of a park file's battery."""
    efficiency = one_way(bess.round_trip_efficiency)
    return Battery(
        power_kw=bess.power,
        energy_kwh=bess.energy,
        least=bess.soc[0],
        most=bess.soc[1],
        charge_efficiency=efficiency,
        discharge_efficiency=efficiency,
    )


def minutes_carried(mva: Floats, rating_mva: float, step_min: float) -> Floats:
    """Minutes a rating carries the load from the worst moment on, [replications].

    The short-time table of `models.transformer`, counted from the moment the overload begins
    there: from each step on, the share ``step / allowed`` adds up until it is 1. The smallest time
    over all steps counts; the rest of the horizon where it never is.

    Parameters
    ----------
    mva
        [replications, steps], load [MVA].
    rating_mva
        What carries it [MVA].
    step_min
        Length of a step [min].
    """
    steps = mva.shape[1]
    allowed = allowed_minutes(mva / rating_mva)
    with np.errstate(divide="ignore"):
        used = np.where(allowed > 0.0, step_min / allowed, 1e9)
    found = np.full(len(mva), steps * step_min)
    for lane, (share, load) in enumerate(zip(used, mva, strict=True)):
        total = np.concatenate(([0.0], np.cumsum(share)))
        starts = np.flatnonzero(load > rating_mva)
        ends = np.searchsorted(total, total[starts] + 1.0, side="left")
        inside = ends <= steps
        if not inside.any():
            continue
        s, e = starts[inside], ends[inside]
        left = (total[s] + 1.0 - total[e - 1]) / share[e - 1]
        found[lane] = min(found[lane], float(((e - 1 - s + left) * step_min).min()))
    return np.round(found, 6)


def holidays_of(spec: ParkFile) -> frozenset[date]:
    """All dated holidays of a park."""
    return frozenset(day for one in spec.holidays.values() for day in one.dates)


def _swapped(spec: ParkFile) -> frozenset[date]:
    return frozenset(day for one in spec.holidays.values() for day in one.swapped_working_days)


def _wishes(peak: Floats, off_peak: Floats) -> Ints:
    """Charge in a step that is mostly off-peak, give in one that is mostly peak."""
    wishes = np.full(len(peak), int(Wish.IDLE), np.int64)
    wishes[off_peak > 0.5] = int(Wish.CHARGE)
    wishes[peak > 0.5] = int(Wish.DISCHARGE)
    return wishes


def _tan_phi(cos_phi: float) -> float:
    return math.tan(math.acos(cos_phi))


def _hours(text: str) -> float:
    hours, minutes = text.split(":")
    return int(hours) + int(minutes) / 60.0
