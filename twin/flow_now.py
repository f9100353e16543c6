"""Figures of now that are readings, and those of logistics and connections."""

import numpy as np
import numpy.typing as npt

from twin.moment import Moment, ones
from twin.oee import divided
from twin.state import ShardState
from twin.status import CLASS_GOOD, CLASS_UNCERTAIN
from twin.view import Reading

Floats = npt.NDArray[np.float64]


class FlowNow:
    """Readings, logistics and connections at one moment."""

    def __init__(self, moment: Moment, state: ShardState) -> None:
        self._moment, self._state = moment, state

    def run(self) -> None:
        """Figures that are a reading."""
        read, page = self._moment.view.read, self._moment.page
        page.read("transformer", "oil_c", read("transformer", "oil_temperature"))
        page.read("feeder", "mw", read("feeder", "active_power"), 1e-3)
        amps = read("feeder", "current")
        page.read("feeder", "amps", amps)
        loading = 100.0 * divided(amps.value, self._moment.arrays.feeder_rating_a)
        page.put("feeder", "loading_pct", loading, amps.quality, ones(amps.good))
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
        self._logistics()
        self._connections(self._state)

    def _logistics(self) -> None:
        """Gates, yards, docks and berths together."""
        view, page = self._moment.view, self._moment.page
        self._sum("gate_queue", view.read("gate", "queue"))
        self._sum("docks_busy", view.read("dock", "busy"))
        self._sum("berths_busy", view.read("berth", "busy"))
        yards = view.read("yard", "occupied")
        if self._moment.arrays.slots and len(yards.value):
            occupied = float(yards.value.sum())
            page.put(
                "park",
                "yard_pct",
                100.0 * occupied / self._moment.arrays.slots,
                int(yards.quality.max()),
            )
        self._turn_times()
        entries = view.atlas.marked[("gate", "entries")]
        if self._moment.today is not None and len(entries):
            seen = self._moment.today.good_s[entries] / max(self._moment.today.seconds, 1e-9)
            came = float(self._moment.today.total[entries].sum())
            self._moment.daily("park", "trucks_today", came, float(seen.mean()))

    def _turn_times(self) -> None:
        turns = [
            [value for _, value in self._moment.marks.turns.get(g, [])]
            for g in self._moment.arrays.gates
        ]
        p90 = np.array([np.quantile(each, 0.9) if each else np.nan for each in turns], np.float64)
        self._moment.page.put("gate", "turn_p90_min", p90)
        every = [value for each in turns for value in each]
        if every:
            self._moment.page.put("park", "turn_p50_min", float(np.quantile(every, 0.5)))
            self._moment.page.put("park", "turn_p90_min", float(np.quantile(every, 0.9)))

    def _sum(self, name: str, reading: Reading) -> None:
        """A sum of readings: of the good ones only when some are missing, and then uncertain."""
        good = reading.good
        if good.any():
            share = float(good.mean())
            quality = CLASS_GOOD if good.all() else CLASS_UNCERTAIN
            self._moment.page.put("park", name, float(reading.value[good].sum()), quality, share)

    def _connections(self, state: ShardState) -> None:
        """Endpoints and tags."""
        coverage = state.endpoints
        up = np.array(
            [
                np.nan
                if name not in coverage or coverage[name].alive is None
                else float(bool(coverage[name].alive))
                for name in self._moment.arrays.endpoints
            ],
            np.float64,
        )
        self._moment.page.put("endpoint", "alive", up)
        troubled = [
            np.nan if name not in coverage else float(coverage[name].troubled)
            for name in self._moment.arrays.endpoints
        ]
        self._moment.page.put("endpoint", "trouble", np.array(troubled, np.float64))
        told, names = self._moment.marks.connections, self._moment.arrays.endpoints
        bad = np.where(up == 0.0, np.nan, told.bad_pct(names))
        self._moment.page.put("endpoint", "bad_pct", bad)
        self._moment.page.put("endpoint", "certificate_days", told.certificate_days(names))
        own = np.nan if told.own_days is None else told.own_days
        self._moment.page.put("park", "own_certificate_days", own)
        self._moment.page.put("park", "endpoints_up", float(np.nansum(up)))
        self._moment.page.put("park", "endpoints", float(len(up)))
        paths = np.array(list(self._moment.view.atlas.paths.values()), np.int64)
        if len(paths):
            quality = self._moment.view.of(paths).quality
            self._moment.page.put(
                "park", "tags_good_pct", 100.0 * float((quality == CLASS_GOOD).mean())
            )
