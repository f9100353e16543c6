"""The station on 15-minute steps: load, solar, batteries, transformers, prices, emissions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from models.bill import Grid, prices, slots
from models.draws import key_of
from models.emissions import grid_factors_vn
from models.solar import (
    PvPlant,
    SolarSite,
    clear_sky,
    clearness,
    pv_power_kw,
    solar_site,
    typical_air_c,
)
from models.tariff import tariff_named
from twin.parkfile.schema import Geo, ParkFile
from twin.samples import from_us
from twin.shifts import LocalTime
from twin.whatif.calendars import Calendars, public_holidays
from twin.whatif.factory import LineModel
from twin.whatif.lanes import Lanes
from twin.whatif.loads import Loads
from twin.whatif.snapshot import Snapshot
from twin.whatif.spec import TransformerTrip
from twin.whatif.storage import Held, Outlook, Storage, StorageFuture, clock_of, steps_to_midnight
from twin.whatif.variant import Variant

Floats = npt.NDArray[np.float64]

_CLIMATE: Final = "binh_duong"
"""Whose clouds and temperatures are drawn; the sun is the park's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationFuture:
    """What the station carries, [R, steps]; powers in kW, `mva` in MVA.

    ``load_kw = grid_kw + pv_kw + storage.power_kw`` in every step of every replication.
    """

    load_kw: Floats
    pv_kw: Floats
    storage: StorageFuture
    grid_kw: Floats
    mva: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What the transformers carry [MVA].

    Parameters
    ----------
    in_service
        [steps], smallest rating in service during each step.
    after_loss
        What is left of all after losing the largest; all of a single one, which has no N-1.
    """

    in_service: Floats
    after_loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What energy costs and emits; prices without VAT.

    Parameters
    ----------
    price_vnd_kwh
        [steps], mean over the step.
    off_peak_vnd_kwh
        Of the cheapest window on the first day.
    capacity_vnd_kw
        Per month; 0 in a tariff of one part.
    co2_kg_kwh
        Of the grid, newest official factor.
    """

    price_vnd_kwh: Floats
    off_peak_vnd_kwh: float
    capacity_vnd_kw: float
    co2_kg_kwh: float


class Station:
    """The station of a variant: everything that does not depend on the replication, once.

    Parameters
    ----------
    variant, snapshot
        The park and where it starts from.
    lines
        Its lines.
    grid
        Time steps, from the snapshot on.
    """

    def __init__(
        self, variant: Variant, snapshot: Snapshot, lines: tuple[LineModel, ...], grid: Grid
    ) -> None:
        spec = variant.spec
        local = LocalTime(spec.tz)
        to_midnight = steps_to_midnight(grid, local)
        whole = replace(grid, steps=grid.steps - 1 + int(to_midnight[-1]))
        self._grid, self._steps = whole, grid.steps
        self._roofs = _Roofs(spec, whole)
        self._loads = Loads(variant, snapshot, lines, Calendars(spec, whole))
        self.ratings = ratings(spec, variant.trips, grid)
        self.terms = terms(spec, grid)
        expected = self._loads.expected()
        electricity = spec.utilities.electricity
        tariff = tariff_named(electricity.connection.tariff)
        # One day more, so that no window is cut short where the horizon ends.
        longer = replace(whole, steps=whole.steps + round(24.0 / grid.step_h))
        cut = slots(tariff, longer, electricity.connection.voltage, public_holidays(spec))
        rating_kva = 1000.0 * float(self.ratings.in_service.max(initial=0.0))
        squares = rating_kva**2 - expected.kvar[: grid.steps] ** 2
        outlook = Outlook(
            net_kw=expected.kw - self._roofs.typical_kw(),
            limit_kw=np.sqrt(np.maximum(squares, 0.0)),
            clock=clock_of(cut, longer),
            to_midnight=to_midnight,
        )
        self._storage = Storage(electricity.bess, snapshot, outlook, grid.step_h)

    def run(
        self,
        line_kw: Mapping[str, Floats],
        lanes: Lanes,
        *,
        skip: int = 0,
        stored: Mapping[str, Held] | None = None,
    ) -> StationFuture:
        """Carry replications through the station.

        Parameters
        ----------
        line_kw
            Line id → [R, steps - skip], power of its machines [kW].
        lanes
            Which futures.
        skip
            Steps at the start that another run has simulated; noise and clouds go on from them.
        stored
            Battery id → what it holds after those steps; what the snapshot shows when None.
        """
        steps = slice(skip, self._steps)
        demand = self._loads.futures(line_kw, lanes, steps)
        pv_kw = self._roofs.futures_kw(lanes)[:, steps]
        net_kw = demand.kw - pv_kw
        storage = self._storage.run(net_kw, steps, stored)
        grid_kw = net_kw - storage.power_kw
        return StationFuture(
            load_kw=demand.kw,
            pv_kw=pv_kw,
            storage=storage,
            grid_kw=grid_kw,
            mva=np.hypot(grid_kw, demand.kvar) / 1000.0,
        )


class _Roofs:
    """The solar roofs of a park under one sky."""

    def __init__(self, spec: ParkFile, grid: Grid) -> None:
        self._grid = grid
        self._plants = [
            PvPlant(
                peak_kw=pv.peak,
                tilt_deg=pv.tilt,
                azimuth_deg=pv.azimuth,
                inverter_kw=pv.inverter,
            )
            for pv in spec.utilities.electricity.pv
            if pv.peak > 0.0
        ]
        middles = grid.start_us + grid.step_us * np.arange(grid.steps, dtype=np.int64)
        self._times = middles + grid.step_us // 2
        self._site = place_of(spec.geo)
        self._sky = clear_sky(self._site, self._times)
        offset_h = LocalTime(spec.tz).offset_us(grid.start_us) / 3.6e9
        self._air_c = typical_air_c(self._site, self._times, offset_h)

    def typical_kw(self) -> Floats:
        """Power under the mean clearness of the month, [steps] [kW]."""
        months = self._times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
        typical: Floats = self._power_kw(np.array(self._site.clearness)[None, months])[0]
        return typical

    def futures_kw(self, lanes: Lanes) -> Floats:
        """Power under drawn clouds, [R, steps] [kW]."""
        share = clearness(
            self._site,
            self._times,
            self._grid.step_us / 1e6,
            seed=lanes.seed,
            replications=lanes.replications,
            key=key_of("cloudiness"),
        )
        return self._power_kw(share)

    def _power_kw(self, share: Floats) -> Floats:
        if not self._plants:
            return np.zeros(share.shape)
        power: Floats = pv_power_kw(self._sky, share, self._air_c, self._plants).sum(axis=0)
        return power


def place_of(geo: Geo) -> SolarSite:
    """The park's place under the climate of its region."""
    climate = solar_site(_CLIMATE)
    return replace(climate, latitude_deg=geo.lat, longitude_deg=geo.lon, altitude_m=geo.altitude)


def ratings(spec: ParkFile, trips: tuple[TransformerTrip, ...], grid: Grid) -> Ratings:
    """Ratings in service in each step, and after losing the largest transformer."""
    mva = {
        f"{station.id}/{transformer.id}": transformer.rating / 1000.0
        for station in spec.utilities.electricity.substations
        for transformer in station.transformers
    }
    begin_s = grid.step_us / 1e6 * np.arange(grid.steps)
    end_s = begin_s + grid.step_us / 1e6
    out = {name: np.zeros(grid.steps, np.bool_) for name in mva}
    for trip in trips:
        until_s = math.inf if trip.lasts is None else trip.at + trip.lasts
        out[trip.asset] |= (end_s > trip.at) & (begin_s < until_s)
    total = sum(mva.values())
    lost = sum(mva[name] * out[name] for name in mva)
    left = total - max(mva.values()) if len(mva) > 1 else total
    return Ratings(in_service=np.asarray(total - lost, np.float64), after_loss=left)


def terms(spec: ParkFile, grid: Grid) -> Terms:
    """Prices and emissions over a grid."""
    connection = spec.utilities.electricity.connection
    tariff = tariff_named(connection.tariff)
    day = from_us(grid.start_us).astimezone(ZoneInfo(spec.tz)).date()
    price = tariff.prices_on(day).of(connection.voltage)
    return Terms(
        price_vnd_kwh=prices(tariff, grid, connection.voltage, public_holidays(spec)),
        off_peak_vnd_kwh=price.off_peak_vnd_kwh,
        capacity_vnd_kw=price.capacity_vnd_kw_month,
        co2_kg_kwh=grid_factors_vn().newest(day.year).kgco2e_kwh,
    )
