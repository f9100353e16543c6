"""What is true in a park now: every live figure, computed from the twin's state at once.

A figure is a measurement, something derived from measurements, or holds an estimate; `Now` tells
for each how good it is and how much of it is measured. Nothing is invented silently: a missing
meter is replaced by an estimate only where a total needs it, and lowers `measured`.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from models.bill import Grid, prices
from models.emissions import grid_factors_vn
from models.errors import InputError
from models.tariff import tariff_named
from models.transformer import allowed_minutes
from twin.estimate import UTILISATION, Estimates, WorkingHours, holidays_of
from twin.figure_specs import FigureLayout, layout_of
from twin.figures import FigureSpec, Now
from twin.marks import Mark, Marks, Window
from twin.oee import (
    EXECUTING,
    OUT_OF_SERVICE,
    SETUP,
    Elements,
    LineMap,
    Ratios,
    divided,
    line_elements,
    machine_elements,
    ratios,
)
from twin.park import Park
from twin.parkfile.schema import Feeder, Site, Transformer, Yard
from twin.samples import from_us
from twin.shifts import LocalTime
from twin.state import ShardState, Totals
from twin.status import CLASS_BAD, CLASS_GOOD, CLASS_UNCERTAIN
from twin.tags import TagDictionary
from twin.view import Atlas, Reading, View, atlas_of

Floats = npt.NDArray[np.float64]
Qualities = npt.NDArray[np.uint8]

DAY_MIN: Final = 1440.0
TURN_WINDOW_US: Final = 3_600_000_000
TURNS_KEPT: Final = 2000
RATE_S: Final = 900.0
_HOUR_S: Final = 3600.0
_YIELD_FROM: Final = 0.05
"""Share of its peak a roof must be expected to give before its yield says anything."""
_COS_PHI: Final = 0.92
"""Power factor of a feeder whose reactive power is not measured (assumed)."""


class FigureBook:
    """The figures of one park.

    Parameters
    ----------
    park
        The park.
    year
        Year whose emission factor the lineage names.
    """

    def __init__(self, park: Park, year: int) -> None:
        self.park = park
        self.layout: FigureLayout = layout_of(park, year)
        self.hours = WorkingHours(park)
        self._local = LocalTime(park.tz)
        self._estimates = Estimates(park)
        self._plan = _Plan(park)
        self._money = _Money(park)
        self._min_good = park.spec.kpis.min_good
        self._atlas: Atlas | None = None
        self._state: ShardState | None = None
        self._dictionary = TagDictionary()

    @property
    def specs(self) -> tuple[FigureSpec, ...]:
        """The figures in the order of `Now`."""
        return self.layout.specs

    def learn(self, dictionary: TagDictionary) -> None:
        """Look for the tags again before the next figures."""
        self._dictionary, self._atlas = dictionary, None

    def atlas(self, state: ShardState) -> Atlas:
        """Where the tags stand in this state."""
        if self._atlas is None or self._state is not state:
            self._atlas, self._state = atlas_of(self.park, self._dictionary, state), state
        return self._atlas

    def advance(self, state: ShardState, totals: Totals, marks: Marks, now_us: int) -> Mark:
        """Set the marks that are due; close the quarter hours that ended.

        Returns
        -------
        Mark
            The sums now, for `compute`.
        """
        atlas = self.atlas(state)
        marks.follow(atlas.tags)
        now = Mark.take(state, totals, atlas.kept, now_us)
        if marks.quarter_due(now_us):
            if marks.quarters:
                self._close_quarter(Window.between(marks.quarters[-1], now), marks)
            marks.add_quarter(now)
        today = self._local.day(now_us)
        if marks.day != today:
            marks.start_day(today, now)
        self._note_turns(View(atlas, state), marks, now_us)
        return now

    def compute(self, state: ShardState, marks: Marks, mark: Mark, now_us: int) -> Now:
        """Compute all figures.

        Parameters
        ----------
        state
            Newest values.
        marks, mark
            Marks of the past, and the sums now, as `advance` returned them.
        now_us
            Park time [us].
        """
        page = _Page(self.layout, now_us)
        view = View(self.atlas(state), state)
        work = _Work(self, view, marks, mark, page)
        work.assets()
        work.electricity()
        work.production()
        work.logistics()
        work.connections(state)
        return page.now()

    def _close_quarter(self, window: Window, marks: Marks) -> None:
        kwh, _ = self.grid_kwh(window)
        today = marks.today
        today.cost_vnd += kwh * self._money.price_vnd_kwh(window.since_us, window.until_us)
        today.co2_kg += kwh * self._money.factor(window.until_us)
        if window.seconds > 0.0:
            mean_mw = kwh * _HOUR_S / window.seconds / 1e3
            today.peak_mw = float(np.nanmax([today.peak_mw, mean_mw]))

    def grid_kwh(self, window: Window) -> tuple[float, float]:
        """Energy taken from the grid in a window [kWh], and its measured share."""
        atlas = self._known_atlas()
        places = atlas.marked[("transformer", "active_power")]
        kwh = float(window.total[places].sum()) / _HOUR_S
        observed = window.good_s[places[places >= 0]]
        share = float(observed.mean()) / window.seconds if len(observed) and window.seconds else 0.0
        return kwh, min(share, 1.0)

    def _known_atlas(self) -> Atlas:
        if self._atlas is None:
            raise InputError("the figures have seen no state yet", "call advance first")
        return self._atlas

    def _note_turns(self, view: View, marks: Marks, now_us: int) -> None:
        """Keep each new turn time of a gate for an hour."""
        turns, at = view.read("gate", "turn_time"), view.at_us("gate", "turn_time")
        for place, gate in enumerate(self._plan.gates):
            kept = marks.turns.setdefault(gate, [])
            came = int(at[place])
            if turns.good[place] and (not kept or kept[-1][0] < came):
                kept.append((came, float(turns.value[place])))
            first = next(
                (i for i, turn in enumerate(kept) if turn[0] > now_us - TURN_WINDOW_US), len(kept)
            )
            marks.turns[gate] = kept[max(first, len(kept) - TURNS_KEPT) :]


class _Plan:
    """What of the park file the figures need, as arrays in the park's order."""

    def __init__(self, park: Park) -> None:
        self.gates = [node.id for node in park.of_type("gate")]
        machines = [node.id for node in park.of_type("machine")]
        lines = [node.id for node in park.of_type("line")]
        sites = [node.id for node in park.of_type("site")]
        feeders = [node.id for node in park.of_type("feeder")]
        transformers = [node.id for node in park.of_type("transformer")]
        self.n_lines, self.n_sites, self.n_feeders = len(lines), len(sites), len(feeders)
        parents = [park.assets[machine].parent or "" for machine in machines]
        self.machine_line = _places(parents, lines)
        self.machine_site = _places([machine.split("/")[0] for machine in machines], sites)
        self.line_site = _places([line.split("/")[0] for line in lines], sites)
        self.pri_s = np.array([park.class_of(machine).cycle_time for machine in machines], float)
        self.rated_kw = np.array(
            [park.class_of(m).power.get("Executing/Processing", 0.0) for m in machines], float
        )
        self.lines = self._line_map()
        self.line_first = np.array(
            [int(np.flatnonzero(self.machine_line == line)[0]) for line in range(len(lines))], int
        )
        power = park.spec.utilities.electricity
        self._power(park, feeders, transformers, sites)
        self.pv_feeder = _places([pv.feeder for pv in power.pv], feeders)
        self.pv_peak = np.array([pv.peak for pv in power.pv], float)
        self.bess_feeder = _places([bess.feeder for bess in power.bess], feeders)
        self.bess_kwh = np.array([bess.energy for bess in power.bess], float)
        self.slots = sum(e.slots for e in park.elements.values() if isinstance(e, Yard))
        self.endpoints = list(park.endpoints)

    def _line_map(self) -> LineMap:
        n = self.n_lines
        members = [np.flatnonzero(self.machine_line == line) for line in range(n)]
        return LineMap(
            line=self.machine_line,
            constraint=np.array([m[np.argmax(self.pri_s[m])] for m in members], np.intp),
            last=np.array([m[-1] for m in members], np.intp),
        )

    def _power(
        self, park: Park, feeders: list[str], transformers: list[str], sites: list[str]
    ) -> None:
        elements = park.elements
        self.feeder_rating_a = np.array(
            [e.rating for f in feeders if isinstance(e := elements[f], Feeder)], float
        )
        self.rating_kva = np.array(
            [e.rating for t in transformers if isinstance(e := elements[t], Transformer)], float
        )
        stations = [node.id for node in park.of_type("substation")]
        self.station = _places([t.split("/")[0] for t in transformers], stations)
        self.n_stations = len(stations)
        homes: dict[str, str] = {}
        for station in park.spec.utilities.electricity.substations:
            homes |= {f.id: f"{station.id}/{f.transformer}" for f in station.feeders}
        self.feeder_home = _places([homes[feeder] for feeder in feeders], transformers)
        found = [e for site in sites if isinstance(e := elements[site], Site)]
        self.site_feeder = _places([site.feeder for site in found], feeders)
        self.base_kw = np.array([site.base_load for site in found], float)
        self.shift_kw = np.array([site.shift_load for site in found], float)


class _Money:
    """Price of energy and its emission factor, by park time."""

    def __init__(self, park: Park) -> None:
        connection = park.spec.utilities.electricity.connection
        self._tariff = tariff_named(connection.tariff)
        self._kv = connection.voltage
        self._holidays = holidays_of(park).holidays
        self._factors = grid_factors_vn()
        self._price: tuple[int, float] = (-1, 0.0)
        self._factor: tuple[int, float] = (-1, 0.0)

    def price_vnd_kwh(self, since_us: int, until_us: int) -> float:
        """Mean price over an interval [VND/kWh], without VAT."""
        grid = Grid(start_us=since_us, step_us=max(1, until_us - since_us), steps=1)
        return float(prices(self._tariff, grid, self._kv, self._holidays)[0])

    def price_now(self, now_us: int) -> float:
        """Price at a time [VND/kWh]; looked up once per minute."""
        minute = now_us // 60_000_000
        if self._price[0] != minute:
            self._price = (minute, self.price_vnd_kwh(now_us, now_us + 1))
        return self._price[1]

    def factor(self, now_us: int) -> float:
        """Emission factor of grid electricity in the year of a time [kgCO2e/kWh]."""
        year = from_us(now_us).year
        if self._factor[0] != year:
            self._factor = (year, self._factors.newest(year).kgco2e_kwh)
        return self._factor[1]


class _Page:
    """The arrays of a `Now` while they are filled."""

    def __init__(self, layout: FigureLayout, now_us: int) -> None:
        n = len(layout.specs)
        self._layout, self._now_us = layout, now_us
        self.value = np.full(n, np.nan)
        self.quality = np.full(n, CLASS_BAD, np.uint8)
        self.measured = np.zeros(n, np.float32)

    def put(
        self,
        scope: str,
        name: str,
        value: Floats | float,
        quality: Qualities | int | None = None,
        measured: Floats | float = 1.0,
    ) -> None:
        """Write one figure of all assets of a scope; bad wherever there is no value."""
        block = self._layout.blocks[scope]
        at = slice(block.start + block.names.index(name), block.end, len(block.names))
        self.value[at] = value
        given = CLASS_GOOD if quality is None else quality
        none = ~np.isfinite(self.value[at])
        self.quality[at] = np.where(none, CLASS_BAD, given)
        self.measured[at] = np.where(none, 0.0, measured)

    def read(self, scope: str, name: str, reading: Reading, factor: float = 1.0) -> None:
        """Write a measurement."""
        self.put(scope, name, reading.value * factor, reading.quality, _ones(reading.good))

    def now(self) -> Now:
        """The finished figures."""
        return Now(
            now_us=self._now_us, value=self.value, quality=self.quality, measured=self.measured
        )


class _Work:
    """One computation of all figures."""

    def __init__(self, book: FigureBook, view: View, marks: Marks, mark: Mark, page: _Page) -> None:
        self._book, self._view, self._marks, self._mark = book, view, marks, mark
        self._page, self._plan = page, book._plan
        self._now_us = mark.at_us
        self._today = marks.since_midnight(mark)

    def assets(self) -> None:
        """Figures that are a reading."""
        read, page = self._view.read, self._page
        page.read("transformer", "oil_c", read("transformer", "oil_temperature"))
        page.read("feeder", "mw", read("feeder", "active_power"), 1e-3)
        amps = read("feeder", "current")
        page.read("feeder", "amps", amps)
        loading = 100.0 * divided(amps.value, self._plan.feeder_rating_a)
        page.put("feeder", "loading_pct", loading, amps.quality, _ones(amps.good))
        page.read("pv", "kw", read("pv", "active_power"))
        page.read("bess", "kw", read("bess", "active_power"))
        page.read("bess", "soc_pct", read("bess", "state_of_charge"))
        page.read("site", "kw", read("site", "active_power"))
        page.read("machine", "state", read("machine", "item_state"))
        page.read("machine", "kw", read("machine", "active_power"))
        page.read("gate", "queue", read("gate", "queue"))
        page.read("gate", "busy", read("gate", "lanes_busy"))
        page.read("yard", "occupied", read("yard", "occupied"))
        page.read("dock", "busy", read("dock", "busy"))
        page.read("berth", "busy", read("berth", "busy"))
        page.read("wwtp", "m3_h", read("wastewater_plant", "flow"))

    # -- electricity ------------------------------------------------------------------------

    def electricity(self) -> None:
        """Solar, battery, feeders, transformers and the park's totals."""
        pv_kw, pv_known = self._solar()
        bess = self._view.read("bess", "active_power")
        bess_kw = np.where(bess.good, bess.value, 0.0)
        feeder_kw, gross_kw, measured_kw = self._feeders(pv_kw, pv_known, bess_kw, bess.good)
        load_kw = float(gross_kw.sum())
        share = _share(measured_kw, float(np.abs(gross_kw).sum()))
        self._total("load_mw", load_kw / 1e3, share)
        self._page.put("park", "measured_pct", 100.0 * share)
        self._pv_totals(pv_kw, pv_known, load_kw, share)
        self._bess_totals(bess)
        self._station(feeder_kw)
        self._energy_today()

    def _total(self, name: str, value: float, measured: float) -> None:
        """A park total: uncertain as soon as a part of it is estimated."""
        quality = CLASS_GOOD if measured > 0.9999 else CLASS_UNCERTAIN
        self._page.put("park", name, value, quality, measured)

    def _solar(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Power of each roof [kW], expected where it is not measured, and which are measured."""
        view, estimates, page = self._view, self._book._estimates, self._page
        power = view.read("pv", "active_power")
        plane, module = view.read("pv", "irradiance"), view.read("pv", "module_temperature")
        typical = estimates.plane_w_m2(self._now_us)
        seen = np.where(plane.good, plane.value, typical)
        warm = np.where(module.good, module.value, np.nan)
        expected = estimates.expected_pv_kw(np.maximum(seen, 0.0), warm)
        page.put(
            "pv",
            "expected_kw",
            expected,
            np.where(plane.good, CLASS_GOOD, CLASS_UNCERTAIN).astype(np.uint8),
            _ones(plane.good),
        )
        bright = plane.good & (expected > _YIELD_FROM * self._plan.pv_peak)
        ratio = np.where(bright, 100.0 * divided(power.value, expected), np.nan)
        page.put("pv", "yield_pct", ratio, power.quality, _ones(power.good))
        return np.where(power.good, power.value, expected), power.good

    def _pv_totals(
        self, pv_kw: Floats, known: npt.NDArray[np.bool_], load_kw: float, share: float
    ) -> None:
        total = float(pv_kw.sum())
        measured = _share(float(pv_kw[known].sum()), total) if total > 0.0 else float(known.all())
        self._total("pv_mw", total / 1e3, measured)
        pct = 100.0 * total / load_kw if load_kw > 0.0 else np.nan
        self._total("pv_share_pct", pct, min(measured, share))

    def _bess_totals(self, power: Reading) -> None:
        soc = self._view.read("bess", "state_of_charge")
        energy = self._plan.bess_kwh
        if not len(energy):
            return
        known = power.good
        total = float(power.value[known].sum()) / 1e3 if known.any() else np.nan
        self._total("bess_mw", total, float(known.mean()))
        good = soc.good
        held = (
            float((soc.value * energy)[good].sum() / energy[good].sum()) if good.any() else np.nan
        )
        self._total("bess_soc_pct", held, float(energy[good].sum() / energy.sum()))

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
        plan, n = self._plan, self._plan.n_feeders
        meter = self._view.read("feeder", "active_power")
        inside = _sums(plan.pv_feeder, pv_kw, n) + _sums(plan.bess_feeder, bess_kw, n)
        unseen = _sums(plan.pv_feeder, np.where(pv_known, 0.0, pv_kw), n)
        built, built_measured = self._built_up()
        gross = np.where(meter.good, meter.value + inside, built)
        measured = np.where(meter.good, gross - unseen, built_measured)
        if not bess_known.all():
            at = plan.bess_feeder[~bess_known]
            measured[at] = np.minimum(measured[at], 0.9 * np.abs(gross[at]))
        return np.where(meter.good, meter.value, built - inside), gross, float(measured.sum())

    def _built_up(self) -> tuple[Floats, Floats]:
        """Gross load of each feeder from its tenants, and what of it is measured [kW]."""
        plan, view = self._plan, self._view
        site, machine = view.read("site", "active_power"), view.read("machine", "active_power")
        working = self._book.hours.open(self._now_us)
        busy = working[plan.machine_line] if plan.n_lines else np.zeros(0, np.bool_)
        assumed = np.where(busy, UTILISATION * plan.rated_kw, 0.0)
        machine_kw = np.where(machine.good, machine.value, assumed)
        seen_kw = np.where(machine.good, machine.value, 0.0)
        shift = _sums(plan.line_site, working, plan.n_sites) > 0
        rest = plan.base_kw + np.where(shift, plan.shift_kw, 0.0)
        summed = rest + _sums(plan.machine_site, machine_kw, plan.n_sites)
        seen = _sums(plan.machine_site, seen_kw, plan.n_sites)
        site_kw = np.where(site.good, site.value, summed)
        site_seen = np.where(site.good, site.value, seen)
        groups = self._book._estimates.groups_kw(self._now_us)
        n = plan.n_feeders
        return (
            _sums(plan.site_feeder, site_kw, n) + groups,
            _sums(plan.site_feeder, site_seen, n),
        )

    def _station(self, feeder_kw: Floats) -> None:
        """Transformers, station and N-1."""
        plan, page = self._plan, self._page
        closed = self._closed()
        power, reactive = self._transformers(feeder_kw, closed)
        p_kw, q_kvar = power.value, reactive.value
        good = power.good & reactive.good
        mva = np.hypot(p_kw, q_kvar) / 1e3
        quality = np.maximum(power.quality, reactive.quality)
        page.put("transformer", "mva", mva, quality, _ones(good))
        loading = 1e5 * divided(mva, plan.rating_kva)
        page.put("transformer", "loading_pct", loading, quality, _ones(good))
        total_kw, total_kvar = float(p_kw.sum()), float(q_kvar.sum())
        station_mva = float(np.hypot(total_kw, total_kvar)) / 1e3
        share = _share(float(np.abs(p_kw[good]).sum()), float(np.abs(p_kw).sum()))
        if total_kw == 0.0 and good.all():
            share = 1.0
        self._total("grid_import_mw", total_kw / 1e3, share)
        self._total("station_mva", station_mva, share)
        rating = float(plan.rating_kva[closed].sum()) / 1e3
        self._total("station_loading_pct", _percent(station_mva, rating), share)
        self._total("headroom_mva", rating - station_mva, share)
        self._total("cos_phi", total_kw / 1e3 / station_mva if station_mva > 0.0 else np.nan, share)
        self._n_minus_1(p_kw, q_kvar, closed, share)
        factor = self._book._money.factor(self._now_us)
        self._total("co2_kg_h", max(total_kw, 0.0) * factor, share)

    def _closed(self) -> npt.NDArray[np.bool_]:
        """Which transformers are in service; one whose breaker is not known is."""
        breaker = self._view.read("transformer", "breaker")
        return np.asarray(~(breaker.good & (breaker.value == 0.0)))

    def _transformers(
        self, feeder_kw: Floats, closed: npt.NDArray[np.bool_]
    ) -> tuple[Reading, Reading]:
        """Power and reactive power of each; from its feeders where a meter is bad."""
        plan, view = self._plan, self._view
        power, reactive = (
            view.read("transformer", "active_power"),
            view.read("transformer", "reactive_power"),
        )
        feeder_q = view.read("feeder", "reactive_power")
        n = len(plan.rating_kva)
        tan = float(np.tan(np.arccos(_COS_PHI)))
        kvar = np.where(feeder_q.good, feeder_q.value, np.abs(feeder_kw) * tan)
        summed_p = _sums(plan.feeder_home, feeder_kw, n) * closed
        summed_q = _sums(plan.feeder_home, kvar, n) * closed
        return _filled(power, summed_p), _filled(reactive, summed_q)

    def _n_minus_1(
        self, p_kw: Floats, q_kvar: Floats, closed: npt.NDArray[np.bool_], share: float
    ) -> None:
        """Loading and minutes of what is left after losing the largest transformer.

        With one already out, what is left now carries the load: then these are its own.
        """
        plan, n = self._plan, self._plan.n_stations
        mva = np.hypot(_sums(plan.station, p_kw, n), _sums(plan.station, q_kvar, n)) / 1e3
        in_service = _sums(plan.station, plan.rating_kva * closed, n) / 1e3
        installed = _sums(plan.station, plan.rating_kva, n) / 1e3
        largest = np.zeros(n)
        np.maximum.at(largest, plan.station, plan.rating_kva / 1e3)
        left = np.minimum(in_service, installed - largest)
        loading = divided(mva, left)
        minutes = np.where(left > 0.0, allowed_minutes(np.nan_to_num(loading, nan=9.0)), 0.0)
        worst = float(np.nanmax(loading)) if np.isfinite(loading).any() else np.nan
        self._total("n1_loading_pct", 100.0 * worst, share)
        self._total("n1_minutes", min(float(minutes.min()), DAY_MIN), share)

    def _energy_today(self) -> None:
        """Energy, cost, carbon and peak since local midnight, and of each site."""
        window, today, money = self._today, self._marks.today, self._book._money
        if window is None or not self._marks.quarters:
            return
        kwh, share = self._book.grid_kwh(window)
        open_kwh, _ = self._book.grid_kwh(Window.between(self._marks.quarters[-1], self._mark))
        cost = today.cost_vnd + open_kwh * money.price_now(self._now_us)
        carbon = today.co2_kg + open_kwh * money.factor(self._now_us)
        self._daily("park", "energy_today_mwh", kwh / 1e3, share)
        self._daily("park", "cost_today_mvnd", cost / 1e6, share)
        self._daily("park", "co2_today_t", carbon / 1e3, share)
        self._daily("park", "peak_today_mw", today.peak_mw, share)
        site_kwh, observed = self._kwh("site", window)
        self._daily("site", "kwh_today", site_kwh, observed)

    def _daily(self, scope: str, name: str, value: Floats | float, good: Floats | float) -> None:
        """A figure over a window: uncertain where too little of it was observed."""
        enough = np.asarray(good) >= self._book._min_good
        quality = np.where(enough, CLASS_GOOD, CLASS_UNCERTAIN).astype(np.uint8)
        self._page.put(scope, name, value, quality, np.clip(good, 0.0, 1.0))

    def _kwh(self, kind: str, window: Window) -> tuple[Floats, Floats]:
        """Energy of each asset [kWh]: from its meter, else its power; and the observed share."""
        marked = self._view.atlas.marked
        meter, power = marked[(kind, "active_energy")], marked[(kind, "active_power")]
        energy = np.where(meter >= 0, window.total[meter], window.total[power] / _HOUR_S)
        observed = np.where(meter >= 0, window.good_s[meter], window.good_s[power])
        none = (meter < 0) & (power < 0)
        seconds = max(window.seconds, 1e-9)
        return np.where(none, np.nan, energy), np.where(none, 0.0, observed / seconds)

    # -- production -------------------------------------------------------------------------

    def production(self) -> None:
        """OEE and output of lines, sites and the park."""
        window, plan = self._today, self._plan
        if window is None or not plan.n_lines:
            return
        lines, good = self._elements(window)
        found = ratios(lines)
        self._line_ratios(found)
        self._daily("line", "good_today", good, found.good_fraction)
        kwh, observed = self._kwh("machine", window)
        line_kwh = _sums(plan.machine_line, np.nan_to_num(kwh), plan.n_lines)
        seen = _sums(plan.machine_line, observed, plan.n_lines)
        seen /= _sums(plan.machine_line, np.ones(len(plan.machine_line)), plan.n_lines)
        per_unit = divided(line_kwh, good)
        self._daily("line", "kwh_per_unit", per_unit, np.minimum(seen, found.good_fraction))
        self._over_lines(lines, good)
        self._rates()
        self._bottlenecks()

    def _elements(self, window: Window) -> tuple[Elements, Floats]:
        """Elements of lines in a window, and their good output."""
        plan, marked = self._plan, self._view.atlas.marked
        scrap = window.total[marked[("machine", "scrap_count")]]
        planned = self._book.hours.planned_s(window.since_us, window.until_us)
        machines = machine_elements(
            item_s=window.code_s[marked[("machine", "item_state")]],
            setup_s=window.code_s[marked[("machine", "operation_mode")]][:, SETUP],
            observed_s=window.good_s[marked[("machine", "item_state")]],
            produced=window.total[marked[("machine", "part_count")]],
            scrap=scrap,
            pri_s=plan.pri_s,
            pbt_s=planned[plan.machine_line],
            window_s=window.seconds,
        )
        return line_elements(machines, scrap, plan.lines), machines.good[plan.lines.last]

    def _line_ratios(self, found: Ratios) -> None:
        share = np.nan_to_num(found.good_fraction)
        self._daily("line", "oee_pct", 100.0 * found.oee, share)
        self._daily("line", "availability_pct", 100.0 * found.availability, share)
        self._daily("line", "effectiveness_pct", 100.0 * found.effectiveness, share)
        self._daily("line", "quality_pct", 100.0 * found.quality, share)

    def _over_lines(self, lines: Elements, good: Floats) -> None:
        """Sites and the park, from summed elements."""
        plan = self._plan
        sites, park = ratios(lines.grouped(plan.line_site, plan.n_sites)), ratios(lines.total())
        self._daily("site", "oee_pct", 100.0 * sites.oee, np.nan_to_num(sites.good_fraction))
        made = _sums(plan.line_site, good, plan.n_sites)
        has_lines = _sums(plan.line_site, np.ones(plan.n_lines), plan.n_sites) > 0
        output = np.where(has_lines, made, np.nan)
        self._daily("site", "good_today", output, np.nan_to_num(sites.good_fraction))
        share = float(np.nan_to_num(park.good_fraction)[0])
        self._daily("park", "oee_pct", 100.0 * float(park.oee[0]), share)
        self._daily("park", "output_today", float(good.sum()), share)

    def _rates(self) -> None:
        """Good parts per hour over the last quarter hour or a little more."""
        window = self._marks.since(RATE_S, self._mark)
        if window is None or window.seconds < 1.0:
            return
        plan, marked = self._plan, self._view.atlas.marked
        parts = window.total[marked[("machine", "part_count")]]
        scrap = window.total[marked[("machine", "scrap_count")]]
        good = np.maximum(parts - scrap, 0.0)[plan.lines.last]
        rate = good * _HOUR_S / window.seconds
        seen = window.good_s[marked[("machine", "part_count")]][plan.lines.last]
        share = seen / window.seconds
        self._daily("line", "rate_h", rate, share)
        self._daily("park", "output_rate_h", float(rate.sum()), float(share.mean()))

    def _bottlenecks(self) -> None:
        """The machine of each line that was busy or down longest in the last hour, from 1."""
        window = self._marks.since(_HOUR_S, self._mark)
        if window is None:
            return
        plan = self._plan
        code_s = window.code_s[self._view.atlas.marked[("machine", "item_state")]]
        taken = code_s[:, EXECUTING] + code_s[:, OUT_OF_SERVICE]
        order = np.lexsort((-taken, plan.machine_line))
        _, first = np.unique(plan.machine_line[order], return_index=True)
        worst = order[first]
        number = (worst - plan.line_first + 1).astype(np.float64)
        self._page.put("line", "bottleneck", np.where(taken[worst] > 0.0, number, np.nan))

    # -- logistics and connections ----------------------------------------------------------

    def logistics(self) -> None:
        """Gates, yards, docks and berths together."""
        view, page = self._view, self._page
        self._sum("gate_queue", view.read("gate", "queue"))
        self._sum("docks_busy", view.read("dock", "busy"))
        self._sum("berths_busy", view.read("berth", "busy"))
        yards = view.read("yard", "occupied")
        if self._plan.slots and len(yards.value):
            occupied = float(yards.value.sum())
            page.put(
                "park", "yard_pct", 100.0 * occupied / self._plan.slots, int(yards.quality.max())
            )
        self._turn_times()
        entries = view.atlas.marked[("gate", "entries")]
        if self._today is not None and len(entries):
            seen = self._today.good_s[entries] / max(self._today.seconds, 1e-9)
            came = float(self._today.total[entries].sum())
            self._daily("park", "trucks_today", came, float(seen.mean()))

    def _turn_times(self) -> None:
        turns = [[value for _, value in self._marks.turns.get(g, [])] for g in self._plan.gates]
        p90 = np.array([np.quantile(each, 0.9) if each else np.nan for each in turns], np.float64)
        self._page.put("gate", "turn_p90_min", p90)
        every = [value for each in turns for value in each]
        if every:
            self._page.put("park", "turn_p50_min", float(np.quantile(every, 0.5)))
            self._page.put("park", "turn_p90_min", float(np.quantile(every, 0.9)))

    def _sum(self, name: str, reading: Reading) -> None:
        """A sum of readings: of the good ones only when some are missing, and then uncertain."""
        good = reading.good
        if good.any():
            share = float(good.mean())
            quality = CLASS_GOOD if good.all() else CLASS_UNCERTAIN
            self._page.put("park", name, float(reading.value[good].sum()), quality, share)

    def connections(self, state: ShardState) -> None:
        """Endpoints and tags."""
        coverage = state.endpoints
        up = np.array(
            [
                np.nan
                if name not in coverage or coverage[name].alive is None
                else float(bool(coverage[name].alive))
                for name in self._plan.endpoints
            ],
            np.float64,
        )
        self._page.put("endpoint", "alive", up)
        self._page.put("park", "endpoints_up", float(np.nansum(up)))
        self._page.put("park", "endpoints", float(len(up)))
        paths = np.array(list(self._view.atlas.paths.values()), np.int64)
        if len(paths):
            quality = self._view.of(paths).quality
            self._page.put("park", "tags_good_pct", 100.0 * float((quality == CLASS_GOOD).mean()))


def _places(names: list[str], known: list[str]) -> npt.NDArray[np.intp]:
    position = {name: place for place, name in enumerate(known)}
    return np.array([position[name] for name in names], np.intp)


def _sums(group: npt.NDArray[np.intp], weights: npt.ArrayLike, n: int) -> Floats:
    """Sum of the weights of each group."""
    return np.bincount(group, np.asarray(weights, np.float64), n).astype(np.float64)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0.0 else 0.0


def _ones(good: npt.NDArray[np.bool_]) -> Floats:
    """1 where good, else 0: the measured share of single readings."""
    return good.astype(np.float64)


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole > 0.0 else float("nan")


def _filled(reading: Reading, instead: Floats) -> Reading:
    """A reading whose bad values are replaced, and then uncertain."""
    return Reading(
        value=np.where(reading.good, reading.value, instead),
        quality=np.where(reading.good, CLASS_GOOD, CLASS_UNCERTAIN).astype(np.uint8),
    )
