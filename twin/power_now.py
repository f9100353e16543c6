"""The electric figures of now: solar, battery, feeders, transformers, N-1 and the day's energy."""

from typing import Final

import numpy as np
import numpy.typing as npt

from models.transformer import allowed_minutes
from twin.estimate import UTILISATION, Estimates
from twin.marks import Window
from twin.moment import HOUR_S, Moment, filled, ones, percent, share_of, sums
from twin.oee import divided
from twin.price_clock import PriceClock
from twin.status import CLASS_GOOD, CLASS_UNCERTAIN
from twin.view import Atlas, Reading
from twin.working_hours import WorkingHours

Floats = npt.NDArray[np.float64]

DAY_MIN: Final = 1440.0
_YIELD_FROM: Final = 0.05
"""Share of its peak a roof must be expected to give before its yield says anything."""
_COS_PHI: Final = 0.92
"""Power factor of a feeder whose reactive power is not measured (assumed)."""


def grid_kwh(atlas: Atlas, window: Window) -> tuple[float, float]:
    """Energy taken from the grid in a window [kWh], and its measured share."""
    places = atlas.marked[("transformer", "active_power")]
    kwh = float(window.total[places].sum()) / HOUR_S
    observed = window.good_s[places[places >= 0]]
    share = float(observed.mean()) / window.seconds if len(observed) and window.seconds else 0.0
    return kwh, min(share, 1.0)


class PowerNow:
    """Electric figures at one moment.

    Parameters
    ----------
    moment
        What is known, and where it is written.
    estimates, hours
        What stands in for missing meters.
    clock
        Price and emission factor.
    """

    def __init__(
        self, moment: Moment, estimates: Estimates, hours: WorkingHours, clock: PriceClock
    ) -> None:
        self._moment, self._estimates, self._hours, self._clock = moment, estimates, hours, clock

    def _grid_kwh(self, window: Window) -> tuple[float, float]:
        return grid_kwh(self._moment.view.atlas, window)

    def run(self) -> None:
        """Solar, battery, feeders, transformers and the park's totals."""
        pv_kw, pv_known = self._solar()
        bess = self._moment.view.read("bess", "active_power")
        bess_kw = np.where(bess.good, bess.value, 0.0)
        feeder_kw, gross_kw, measured_kw = self._feeders(pv_kw, pv_known, bess_kw, bess.good)
        load_kw = float(gross_kw.sum())
        share = share_of(measured_kw, float(np.abs(gross_kw).sum()))
        self._moment.total("load_mw", load_kw / 1e3, share)
        self._moment.page.put("park", "measured_pct", 100.0 * share)
        self._pv_totals(pv_kw, pv_known, load_kw, share)
        self._bess_totals(bess)
        self._station(feeder_kw)
        self._energy_today()

    def _solar(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Power of each roof [kW], expected where it is not measured, and which are measured."""
        view, estimates, page = self._moment.view, self._estimates, self._moment.page
        power = view.read("pv", "active_power")
        plane, module = view.read("pv", "irradiance"), view.read("pv", "module_temperature")
        seen = estimates.plane_w_m2(self._moment.now_us, plane.value, plane.good)
        warm = np.where(module.good, module.value, np.nan)
        expected = estimates.expected_pv_kw(np.maximum(seen, 0.0), warm)
        page.put(
            "pv",
            "expected_kw",
            expected,
            np.where(plane.good, CLASS_GOOD, CLASS_UNCERTAIN).astype(np.uint8),
            ones(plane.good),
        )
        bright = plane.good & (expected > _YIELD_FROM * self._moment.arrays.pv_peak)
        ratio = np.where(bright, 100.0 * divided(power.value, expected), np.nan)
        page.put("pv", "yield_pct", ratio, power.quality, ones(power.good))
        return np.where(power.good, power.value, expected), power.good

    def _pv_totals(
        self, pv_kw: Floats, known: npt.NDArray[np.bool_], load_kw: float, share: float
    ) -> None:
        total = float(pv_kw.sum())
        measured = share_of(float(pv_kw[known].sum()), total) if total > 0.0 else float(known.all())
        self._moment.total("pv_mw", total / 1e3, measured)
        pct = 100.0 * total / load_kw if load_kw > 0.0 else np.nan
        self._moment.total("pv_share_pct", pct, min(measured, share))

    def _bess_totals(self, power: Reading) -> None:
        soc = self._moment.view.read("bess", "state_of_charge")
        energy = self._moment.arrays.bess_kwh
        if not len(energy):
            return
        known = power.good
        total = float(power.value[known].sum()) / 1e3 if known.any() else np.nan
        self._moment.total("bess_mw", total, float(known.mean()))
        good = soc.good
        held = (
            float((soc.value * energy)[good].sum() / energy[good].sum()) if good.any() else np.nan
        )
        self._moment.total("bess_soc_pct", held, float(energy[good].sum() / energy.sum()))

    def _feeders(
        self,
        pv_kw: Floats,
        pv_known: npt.NDArray[np.bool_],
        bess_kw: Floats,
        bess_known: npt.NDArray[np.bool_],
    ) -> tuple[Floats, Floats, float]:
        """Net and gross load of each feeder [kW], and how much of the gross is measured [kW].

        The gross load of a feeder is its meter plus what solar and battery feed in behind it. A
        feeder without a good meter is put together from what hangs on it.
        """
        plan, n = self._moment.arrays, self._moment.arrays.n_feeders
        meter = self._moment.view.read("feeder", "active_power")
        inside = sums(plan.pv_feeder, pv_kw, n) + sums(plan.bess_feeder, bess_kw, n)
        unseen = sums(plan.pv_feeder, np.where(pv_known, 0.0, pv_kw), n)
        built, built_measured = self._built_up()
        gross = np.where(meter.good, meter.value + inside, built)
        measured = np.where(meter.good, gross - unseen, built_measured)
        if not bess_known.all():
            at = plan.bess_feeder[~bess_known]
            measured[at] = np.minimum(measured[at], 0.9 * np.abs(gross[at]))
        return np.where(meter.good, meter.value, built - inside), gross, float(measured.sum())

    def _built_up(self) -> tuple[Floats, Floats]:
        """Gross load of each feeder from its tenants, and what of it is measured [kW]."""
        plan, view = self._moment.arrays, self._moment.view
        site, machine = view.read("site", "active_power"), view.read("machine", "active_power")
        working = self._hours.open(self._moment.now_us)
        busy = working[plan.machine_line] if plan.n_lines else np.zeros(0, np.bool_)
        assumed = np.where(busy, UTILISATION * plan.rated_kw, 0.0)
        machine_kw = np.where(machine.good, machine.value, assumed)
        seen_kw = np.where(machine.good, machine.value, 0.0)
        shift = sums(plan.line_site, working, plan.n_sites) > 0
        rest = plan.base_kw + np.where(shift, plan.shift_kw, 0.0)
        summed = rest + sums(plan.machine_site, machine_kw, plan.n_sites)
        seen = sums(plan.machine_site, seen_kw, plan.n_sites)
        site_kw = np.where(site.good, site.value, summed)
        site_seen = np.where(site.good, site.value, seen)
        groups = self._estimates.groups_kw(self._moment.now_us)
        n = plan.n_feeders
        return (
            sums(plan.site_feeder, site_kw, n) + groups,
            sums(plan.site_feeder, site_seen, n),
        )

    def _station(self, feeder_kw: Floats) -> None:
        """Transformers, station and N-1."""
        plan, page = self._moment.arrays, self._moment.page
        closed = self._closed()
        power, reactive = self._transformers(feeder_kw, closed)
        p_kw, q_kvar = power.value, reactive.value
        good = power.good & reactive.good
        mva = np.hypot(p_kw, q_kvar) / 1e3
        quality = np.maximum(power.quality, reactive.quality)
        page.put("transformer", "mva", mva, quality, ones(good))
        loading = 1e5 * divided(mva, plan.rating_kva)
        page.put("transformer", "loading_pct", loading, quality, ones(good))
        total_kw, total_kvar = float(p_kw.sum()), float(q_kvar.sum())
        station_mva = float(np.hypot(total_kw, total_kvar)) / 1e3
        share = share_of(float(np.abs(p_kw[good]).sum()), float(np.abs(p_kw).sum()))
        if total_kw == 0.0 and good.all():
            share = 1.0
        self._moment.total("grid_import_mw", total_kw / 1e3, share)
        self._moment.total("station_mva", station_mva, share)
        rating = float(plan.rating_kva[closed].sum()) / 1e3
        self._moment.total("station_loading_pct", percent(station_mva, rating), share)
        self._moment.total("headroom_mva", rating - station_mva, share)
        self._moment.total(
            "cos_phi", total_kw / 1e3 / station_mva if station_mva > 0.0 else np.nan, share
        )
        self._n_minus_1(p_kw, q_kvar, closed, share)
        factor = self._clock.factor(self._moment.now_us)
        self._moment.total("co2_kg_h", max(total_kw, 0.0) * factor, share)

    def _closed(self) -> npt.NDArray[np.bool_]:
        """Which transformers are in service; one whose breaker is not known is."""
        breaker = self._moment.view.read("transformer", "breaker")
        return np.asarray(~(breaker.good & (breaker.value == 0.0)))

    def _transformers(
        self, feeder_kw: Floats, closed: npt.NDArray[np.bool_]
    ) -> tuple[Reading, Reading]:
        """Power and reactive power of each; from its feeders where a meter is bad."""
        plan, view = self._moment.arrays, self._moment.view
        power, reactive = (
            view.read("transformer", "active_power"),
            view.read("transformer", "reactive_power"),
        )
        feeder_q = view.read("feeder", "reactive_power")
        n = len(plan.rating_kva)
        tan = float(np.tan(np.arccos(_COS_PHI)))
        kvar = np.where(feeder_q.good, feeder_q.value, np.abs(feeder_kw) * tan)
        summed_p = sums(plan.feeder_home, feeder_kw, n) * closed
        summed_q = sums(plan.feeder_home, kvar, n) * closed
        return filled(power, summed_p), filled(reactive, summed_q)

    def _n_minus_1(
        self, p_kw: Floats, q_kvar: Floats, closed: npt.NDArray[np.bool_], share: float
    ) -> None:
        """Loading and minutes of what is left after losing the largest transformer.

        With one already out, what is left now carries the load: then these are its own.
        """
        plan, n = self._moment.arrays, self._moment.arrays.n_stations
        mva = np.hypot(sums(plan.station, p_kw, n), sums(plan.station, q_kvar, n)) / 1e3
        in_service = sums(plan.station, plan.rating_kva * closed, n) / 1e3
        installed = sums(plan.station, plan.rating_kva, n) / 1e3
        largest = np.zeros(n)
        np.maximum.at(largest, plan.station, plan.rating_kva / 1e3)
        left = np.minimum(in_service, installed - largest)
        loading = divided(mva, left)
        minutes = np.where(left > 0.0, allowed_minutes(np.nan_to_num(loading, nan=9.0)), 0.0)
        worst = float(np.nanmax(loading)) if np.isfinite(loading).any() else np.nan
        self._moment.total("n1_loading_pct", 100.0 * worst, share)
        self._moment.total("n1_minutes", min(float(minutes.min()), DAY_MIN), share)

    def _energy_today(self) -> None:
        """Energy, cost, carbon and peak since local midnight, and of each site."""
        window, today, money = self._moment.today, self._moment.marks.today, self._clock
        if window is None or not self._moment.marks.quarters:
            return
        kwh, share = self._grid_kwh(window)
        open_kwh, _ = self._grid_kwh(
            Window.between(self._moment.marks.quarters[-1], self._moment.mark)
        )
        cost = today.cost_vnd + open_kwh * money.price_now(self._moment.now_us)
        carbon = today.co2_kg + open_kwh * money.factor(self._moment.now_us)
        self._moment.daily("park", "energy_today_mwh", kwh / 1e3, share)
        self._moment.daily("park", "cost_today_mvnd", cost / 1e6, share)
        self._moment.daily("park", "co2_today_t", carbon / 1e3, share)
        self._moment.daily("park", "peak_today_mw", today.peak_mw, share)
        site_kwh, observed = self._moment.kwh("site", window)
        self._moment.daily("site", "kwh_today", site_kwh, observed)
