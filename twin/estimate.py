"""What stands in for a meter that is bad or missing: templates, calendars and the sun.

An estimate never hides: whoever uses one lowers the measured share of the figure it goes into.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.bill import Grid
from models.load import load_template, template_load_kw
from models.solar import PvPlant, ac_power_kw, clear_sky, plane_of_array, solar_site
from twin.park import Park
from twin.parkfile.schema import AggregateSites, Pv
from twin.working_hours import holidays_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

QUARTER_US: Final = 15 * 60 * 1_000_000
CLIMATE: Final = "binh_duong"
"""Climate whose typical clearness and temperature stand in for missing sensors."""
UTILISATION: Final = 0.7
"""Share of its processing power a machine without a meter draws while a shift works (assumed)."""
DC_LOSSES: Final = 0.05
INVERTER: Final = 0.98
"""A clean, healthy roof with its own radiation and temperature sensors (assumed); PVWatts' 14 % of
losses hold for a year with dirt and ageing, which here is what the yield figure is to show."""
_NOCT_RISE_K: Final = 25.0 / 800.0


class Estimates:
    """Expected powers of a park's parts, kept for the quarter hour they were made for."""

    def __init__(self, park: Park) -> None:
        self._calendar = holidays_of(park)
        self._groups = [s for s in park.spec.sites if isinstance(s, AggregateSites)]
        self._feeders = [node.id for node in park.of_type("feeder")]
        self._roofs = park.spec.utilities.electricity.pv
        geo = park.spec.geo
        self._place = replace(
            solar_site(CLIMATE),
            latitude_deg=geo.lat,
            longitude_deg=geo.lon,
            altitude_m=geo.altitude,
        )
        self._quarter = -1
        self._group_kw = np.zeros(len(self._feeders))
        self._plane_w_m2: Floats | None = None
        self._kept_quarter = -1
        self._kept_w_m2: Sequence[float] = []
        self._air_c = 28.0

    def groups_kw(self, now_us: int) -> Floats:
        """Load of the tenants known together on each feeder [kW], from their templates."""
        self._refresh(now_us)
        return self._group_kw

    def plane_w_m2(self, now_us: int, measured: Floats, good: Bools) -> Floats:
        """Irradiance on each roof [W/m2].

        Parameters
        ----------
        measured, good
            What the sensors say [W/m2], and where that holds; elsewhere stands the typical sky of
            the month, which is computed only when it is needed.
        """
        self._refresh(now_us)
        if good.all():
            return measured
        if self._plane_w_m2 is None:
            kept = self._kept_w_m2 if self._kept_quarter == self._quarter else []
            known = len(kept) == len(self._roofs)
            self._plane_w_m2 = np.array(kept, np.float64) if known else self._typical_w_m2()
        return np.where(good, measured, self._plane_w_m2)

    def snapshot(self) -> Mapping[str, object]:
        """The typical sky of this quarter hour, so that a restarted twin need not compute it."""
        plane = self._plane_w_m2
        if plane is None and self._quarter in (-1, self._kept_quarter):
            return {"quarter": self._kept_quarter, "w_m2": list(self._kept_w_m2)}
        return {"quarter": self._quarter, "w_m2": [] if plane is None else plane.tolist()}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Inverse of `snapshot`; what is not of this quarter hour is computed again."""
        self._kept_quarter, self._kept_w_m2 = data.get("quarter", -1), data.get("w_m2", [])

    @property
    def air_c(self) -> float:
        """Typical air temperature of the month [degC]."""
        return self._air_c

    def expected_pv_kw(self, plane_w_m2: Floats, module_c: Floats) -> Floats:
        """Power each roof should give [kW].

        Parameters
        ----------
        plane_w_m2
            Irradiance in the plane of its modules [W/m2].
        module_c
            Module temperature [degC]; NaN takes the typical air and the nominal rise.
        """
        rise = _NOCT_RISE_K * plane_w_m2
        air = np.where(np.isfinite(module_c), module_c - rise, self._air_c)
        found = [
            float(ac_power_kw(np.array([plane]), np.array([warm]), _plant(roof))[0])
            for roof, plane, warm in zip(self._roofs, plane_w_m2, air, strict=True)
        ]
        return np.array(found, np.float64)

    def _refresh(self, now_us: int) -> None:
        quarter = now_us // QUARTER_US
        if quarter == self._quarter:
            return
        self._quarter = quarter
        grid = Grid(start_us=quarter * QUARTER_US, step_us=QUARTER_US, steps=1)
        load = np.zeros(len(self._feeders))
        for group in self._groups:
            expected = template_load_kw(
                load_template(group.profile), group.peak, grid, self._calendar
            )
            share = float(expected[0]) / len(group.feeders)
            for feeder in group.feeders:
                load[self._feeders.index(feeder)] += share
        self._group_kw = load
        self._plane_w_m2 = None
        self._air_c = self._place.air_c[_month(self._middle_us())]

    def _middle_us(self) -> int:
        """Middle of the quarter hour the estimates are for [us]."""
        return self._quarter * QUARTER_US + QUARTER_US // 2

    def _typical_w_m2(self) -> Floats:
        middle_us = self._middle_us()
        sky = clear_sky(self._place, np.array([middle_us], np.int64))
        ghi = sky.ghi_w_m2 * self._place.clearness[_month(middle_us)]
        return np.array(
            [float(plane_of_array(sky, ghi, r.tilt, r.azimuth)[0]) for r in self._roofs]
        )


def _month(at_us: int) -> int:
    """Month of a time, January 0."""
    return int(np.datetime64(at_us, "us").astype("datetime64[M]").astype(int)) % 12


def _plant(roof: Pv) -> PvPlant:
    return PvPlant(
        peak_kw=roof.peak,
        tilt_deg=roof.tilt,
        azimuth_deg=roof.azimuth,
        inverter_kw=roof.inverter if roof.inverter is not None else 0.9 * roof.peak,
        losses=DC_LOSSES,
        inverter_efficiency=INVERTER,
    )
