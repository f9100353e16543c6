"""The whole true park, advanced in time and read like its instruments read it.

Events (parts, failures, trucks) happen at their own microsecond. What integrates (energy, state of
charge, oil, volumes) is stepped on a grid of `GRID_S` that lies fixed in time, so that any way of
cutting the way from one time to another gives the same park.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from connectors.plant.faults import ActiveFault
from connectors.plant.physics.agenda import Agenda
from connectors.plant.physics.build import build_lines
from connectors.plant.physics.draws import Floats, Smooth, Stream, key_of, white
from connectors.plant.physics.electricity import Electricity, PowerNow
from connectors.plant.physics.lines import ITEM_STATE, OPERATION_MODE, Does, Floor
from connectors.plant.physics.traffic import Traffic
from connectors.plant.physics.utilities import Services
from connectors.plant.physics.weather import Sky, Weather
from models.errors import NotFound
from twin.metrics import METRICS
from twin.park import Park
from twin.shifts import LocalTime
from twin.tags import Kind

GRID_S: Final = 10
_GRID_US: Final = GRID_S * 1_000_000
_GRID_H: Final = GRID_S / 3600.0
_WARM_UP_H: Final = 6.0
_UINT32: Final = 2**32
_WARM_TAU_S: Final = 900.0
_SQRT3: Final = 3.0**0.5
_MACHINE_KV: Final = 0.4
_MACHINE_COS_PHI: Final = 0.85
_VIBRATION: Final = {
    Does.STARVED: 0.4,
    Does.BUSY: 2.4,
    Does.BLOCKED: 0.4,
    Does.DOWN: 0.05,
    Does.OFF: 0.05,
    Does.SETUP: 0.9,
}
_WARMTH: Final = {
    Does.STARVED: 0.45,
    Does.BUSY: 1.0,
    Does.BLOCKED: 0.45,
    Does.DOWN: 0.05,
    Does.OFF: 0.08,
    Does.SETUP: 0.6,
}

_NOISE: Final[Mapping[str, tuple[float, float]]] = {
    "active_power": (0.004, 0.0),
    "reactive_power": (0.004, 0.0),
    "current": (0.004, 0.0),
    "temperature": (0.0, 0.12),
    "vibration": (0.05, 0.01),
    "voltage": (0.0006, 0.0),
    "oil_temperature": (0.0, 0.05),
    "irradiance": (0.006, 0.0),
    "module_temperature": (0.0, 0.15),
    "flow": (0.005, 0.0),
    "cod": (0.01, 0.0),
    "steam_flow": (0.006, 0.0),
    "pressure": (0.002, 0.0),
    "air_temperature": (0.0, 0.05),
}
"""Noise of the instruments: share of the value, and absolute part in the stored unit."""

_STUCK: Final = frozenset(
    {"active_power", "reactive_power", "active_energy", "reactive_energy", "current"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What integrates, as it stood at a time; arrays in the order of the park file.

    Energies in kWh and kvarh, volumes in m3, temperatures in degC. `site_kwh` leaves the machines
    out, whose energy the lines keep exactly.
    """

    at_us: int
    site_kwh: Floats
    site_kvarh: Floats
    machines_kwh: Floats
    pv_kwh: Floats
    oil_c: Floats
    machine_c: Floats
    volume_m3: Floats


class Truth:
    """The hidden park.

    Parameters
    ----------
    park
        The compiled park.
    seed
        Seed of hidden parameters and noise; the same seed and start give the same park.
    start_us
        Time at which it may first be read [us]; the park has run some hours by then.
    counters
        Counter readings to go on from, by tag path; others start at seeded readings.
    warm_up_h
        Hours it runs before the start, so that buffers, yards and temperatures are in swing [h].
    """

    def __init__(
        self,
        park: Park,
        seed: int,
        start_us: int,
        counters: Mapping[str, float] | None = None,
        *,
        warm_up_h: float = _WARM_UP_H,
    ) -> None:
        spec = park.spec
        self.park, self.seed = park, seed
        begin_us = start_us - round(warm_up_h * 3600) * 1_000_000
        begin_us -= begin_us % _GRID_US
        self._agenda = Agenda(begin_us)
        self._local = LocalTime(spec.tz)
        lines, self.buffers = build_lines(spec, self._local, seed)
        self.floor = Floor(lines, self._agenda)
        self.weather = Weather(spec.geo, self._local, seed)
        self.electricity = Electricity(spec, self.floor, self._local, seed)
        self.traffic = Traffic(spec.logistics, self._agenda, self._local, seed)
        self.services = Services(spec.utilities, self._local, seed)
        self.batteries = self.electricity.start_batteries(begin_us)
        self._wear = Smooth(seed, "machines/wear", max(1, len(self.floor.machines)), 7200.0)
        self._limit_c = np.array([m.kind.temperature for m in self.floor.machines])
        self._totals = self._first_totals(begin_us)
        self._at_grid = self._instant(begin_us)
        self._faults: list[ActiveFault] = []
        self._stuck: dict[str, float] = {}
        self._blocks = self._lay_out()
        self.paths = tuple(path for paths, _ in self._blocks for path in paths)
        self._column = {path: k for k, path in enumerate(self.paths)}
        self._relative, self._absolute = self._noise_of_columns()
        self._counts = self._kinds()
        self._offset = np.zeros(len(self.paths))
        self.advance(start_us)
        self._offset = self._start_counters(counters or {})

    @property
    def now_us(self) -> int:
        """Time the park has reached [us]."""
        return self._agenda.now_us

    @property
    def faults(self) -> tuple[ActiveFault, ...]:
        """Faults that act on the park now."""
        return tuple(self._faults)

    def column(self, path: str) -> int:
        """Place of a tag path in the readings.

        Raises
        ------
        NotFound
            When the plant has no such instrument.
        """
        if path not in self._column:
            raise NotFound("instrument", path, self.paths)
        return self._column[path]

    def advance(self, to_us: int) -> None:
        """Let the park go on to a time; an earlier one changes nothing."""
        grid_us = self._totals.at_us + _GRID_US
        while grid_us <= to_us:
            self._agenda.run(grid_us)
            self._totals = self._step(grid_us)
            self._at_grid = self._instant(grid_us)
            grid_us += _GRID_US
        self._agenda.run(to_us)

    def read(self) -> Floats:
        """What the instruments show now, one value per path of `paths`, in stored units."""
        self.advance(self.now_us)
        exact = self.exact() + self._offset
        seed, stream = key_of(self.seed, "instruments")
        noise = white(seed, stream, self.now_us, len(exact))
        shown = exact * (1.0 + self._relative * noise) + self._absolute * noise
        for path, value in self._stuck.items():
            shown[self._column[path]] = value
        return shown

    def exact(self) -> Floats:
        """The true values now, without noise, stuck meters and counter starts."""
        now = self._instant(self.now_us)
        return np.concatenate([values(now) for _, values in self._blocks] or [np.zeros(0)])

    def counters(self) -> dict[str, float]:
        """Counter readings by path, to go on from after a restart."""
        whole = self.exact() + self._offset
        return {p: float(whole[k]) for k, p in enumerate(self.paths) if self._counts[k]}

    def begin_fault(self, fault: ActiveFault) -> None:
        """Let a fault of an asset act from now on.

        Raises
        ------
        NotFound
            When the target is not there.
        """
        if fault.kind == "breakdown":
            for_us = None if fault.until_us is None else fault.until_us - self.now_us
            repair_s = None if for_us is None else max(1.0, for_us / 1e6)
            self.floor.break_down(fault.target, self.now_us, repair_s)
        elif fault.kind == "meter_stuck":
            self._stick(fault.target)
        else:
            self._set(fault, fault.size or 1.0)
        self._faults.append(fault)

    def end_fault(self, fault: ActiveFault) -> None:
        """Let a fault end."""
        if fault not in self._faults:
            return
        self._faults.remove(fault)
        if fault.kind == "meter_stuck":
            self._stuck = {p: v for p, v in self._stuck.items() if not self._on(fault.target, p)}
        elif fault.kind != "breakdown":
            self._set(fault, 0.0)

    def _set(self, fault: ActiveFault, size: float) -> None:
        if fault.kind == "cycle_drift":
            self.floor.machine(fault.target).drift = size
        elif fault.kind == "string_lost":
            self.electricity.strings_lost[self.electricity.pv_index(fault.target)] = size
        elif fault.kind == "transformer_trip":
            index = self.electricity.transformer_index(fault.target)
            self.electricity.closed[index] = size == 0.0

    def _on(self, asset: str, path: str) -> bool:
        return path.startswith(f"{self.park.id}/{asset}/") and path.rsplit("/", 1)[1] in _STUCK

    def _stick(self, asset: str) -> None:
        shown = self.read()
        held = {path: float(shown[k]) for path, k in self._column.items() if self._on(asset, path)}
        if not held:
            raise NotFound("meter", asset, tuple(self.park.assets))
        self._stuck |= held

    def _first_totals(self, at_us: int) -> Totals:
        electric = self.electricity
        sky = self.weather.at(at_us)
        return Totals(
            at_us=at_us,
            site_kwh=np.zeros(len(electric.sites)),
            site_kvarh=np.zeros(len(electric.sites)),
            machines_kwh=np.zeros(len(electric.sites)),
            pv_kwh=np.zeros(len(electric.pv)),
            oil_c=np.full(len(electric.transformers), sky.air_c + 25.0),
            machine_c=np.full(len(self.floor.machines), sky.air_c),
            volume_m3=np.zeros(len(self.services.wastewater)),
        )

    def _instant(self, t_us: int) -> "Instant":
        sky = self.weather.at(t_us)
        own_kw = float(self.services.power_kw(t_us).sum())
        power = self.electricity.at(t_us, sky, own_kw, self.batteries)
        return Instant(t_us=t_us, sky=sky, power=power)

    def _step(self, to_us: int) -> Totals:
        """Totals one grid step later; powers of the beginning hold through the step."""
        now, electric, before = self._totals, self.electricity, self._at_grid
        for battery in self.batteries:
            battery.run(_GRID_H)
        machines_kwh = electric.machines_kwh(to_us)
        steady_kwh = before.power.steady_kw * _GRID_H
        site_kwh = steady_kwh + machines_kwh - now.machines_kwh
        oil_gap = electric.oil_target_c(before.power, before.sky.air_c) - now.oil_c
        after = replace(
            now,
            at_us=to_us,
            site_kwh=now.site_kwh + site_kwh,
            site_kvarh=now.site_kvarh + electric.kvarh(site_kwh),
            machines_kwh=machines_kwh,
            pv_kwh=now.pv_kwh + before.power.pv_kw * _GRID_H,
            oil_c=now.oil_c + oil_gap * electric.oil_share(_GRID_H),
            machine_c=self._warmed(now.machine_c, before.sky.air_c),
            volume_m3=now.volume_m3 + self.services.flow_m3_h(before.t_us) * _GRID_H,
        )
        for battery in self.batteries:
            battery.decide(electric.grid(before.t_us, before.power, self.batteries), _GRID_H)
        return after

    def _warmed(self, machine_c: Floats, air_c: float) -> Floats:
        warmth = np.array([_WARMTH[machine.does] for machine in self.floor.machines])
        target = air_c + warmth * (self._limit_c - air_c)
        return np.asarray(machine_c + (target - machine_c) * GRID_S / _WARM_TAU_S, np.float64)

    def _noise_of_columns(self) -> tuple[Floats, Floats]:
        noise = [_NOISE.get(path.rsplit("/", 1)[1], (0.0, 0.0)) for path in self.paths]
        return np.array([n[0] for n in noise]), np.array([n[1] for n in noise])

    def _kinds(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        counters = {
            (kind, metric.name)
            for kind, metrics in METRICS.items()
            for metric in metrics
            if metric.kind is Kind.COUNTER
        }
        types = {f"{self.park.id}/{node.id}": node.type for node in self.park.assets.values()}
        split = [path.rsplit("/", 1) for path in self.paths]
        return np.array([(types.get(asset, ""), name) in counters for asset, name in split], bool)

    def _start_counters(self, saved: Mapping[str, float]) -> Floats:
        """Offsets of the counters: instruments in use for years, one of them close to its wrap."""
        exact = self.exact()
        offsets = np.zeros(len(self.paths))
        wraps = next((p for p in self.paths if p.endswith("/part_count")), "")
        for k, path in enumerate(self.paths):
            if not self._counts[k]:
                continue
            start = float(round(Stream(self.seed, f"{path}/start").uniform() * 4e6))
            if path == wraps:
                start = float(_UINT32 - 400)
            offsets[k] = saved.get(path, start) - exact[k]
        return offsets

    def _lay_out(self) -> list[tuple[tuple[str, ...], Callable[["Instant"], Floats]]]:
        """Paths and values, asset type by asset type; within a type metric by metric."""
        electric, traffic, services = self.electricity, self.traffic, self.services
        ids = {
            "machine": [machine.id for machine in self.floor.machines],
            "buffer": [buffer.id for buffer in self.buffers],
            "site": [site.id for site in electric.sites],
            "feeder": self._ids("feeder", [feeder.id for feeder in electric.feeders]),
            "transformer": self._ids("transformer", [t.id for t in electric.transformers]),
            "pv": self._ids("pv", [pv.id for pv in electric.pv]),
            "bess": self._ids("bess", [bess.id for bess in electric.bess]),
            "gate": self._ids("gate", [gate.gate.id for gate in traffic.gates]),
            "yard": self._ids("yard", [yard.id for yard in traffic.yards]),
            "dock": self._ids("dock", [dock.dock.id for dock in traffic.docks]),
            "berth": self._ids("berth", [berth.berth.id for berth in traffic.berths]),
            "wastewater_plant": self._ids("wastewater_plant", [w.id for w in services.wastewater]),
            "boiler": self._ids("boiler", [boiler.id for boiler in services.boilers]),
            "weather": [node.id for node in self.park.of_type("weather")],
        }
        makers: Mapping[str, Callable[[Instant], Mapping[str, Sequence[float] | Floats]]] = {
            "machine": self._machines,
            "buffer": lambda _: {"level": [buffer.level for buffer in self.buffers]},
            "site": self._sites,
            "feeder": self._feeders,
            "transformer": self._transformers,
            "pv": self._roofs,
            "bess": self._batteries,
            "gate": self._gates,
            "yard": lambda now: {"occupied": traffic.occupied(now.t_us)},
            "dock": lambda _: {"busy": [dock.busy for dock in traffic.docks]},
            "berth": self._berths,
            "wastewater_plant": self._wastewater,
            "boiler": self._boilers,
            "weather": lambda now: {
                "air_temperature": [now.sky.air_c] * len(ids["weather"]),
                "irradiance": [now.sky.global_w_m2] * len(ids["weather"]),
            },
        }
        return [self._block(kind, ids[kind], maker) for kind, maker in makers.items() if ids[kind]]

    def _block(
        self,
        kind: str,
        ids: Sequence[str],
        maker: Callable[["Instant"], Mapping[str, Sequence[float] | Floats]],
    ) -> tuple[tuple[str, ...], Callable[["Instant"], Floats]]:
        names = [metric.name for metric in METRICS[kind]]
        paths = tuple(f"{self.park.id}/{asset}/{name}" for name in names for asset in ids)

        def values(now: Instant) -> Floats:
            made = maker(now)
            return np.concatenate([np.asarray(made[name], np.float64) for name in names])

        return paths, values

    def _ids(self, kind: str, names: Sequence[str]) -> list[str]:
        """Asset ids of things the file names by their last step only, e.g. ``ss1/t1`` of ``t1``."""
        found = {node.id.split("/")[-1]: node.id for node in self.park.of_type(kind)}
        return [found.get(name, name) for name in names]

    def _machines(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        machines = self.floor.machines
        does = np.array([machine.does for machine in machines], np.intp)
        power = np.array([machine.now_kw for machine in machines])
        wear = self._wear.at(now.t_us)[: len(machines)]
        vibration = np.array([_VIBRATION[m.does] for m in machines]) * (1.0 + 0.12 * wear)
        drift = np.array([machine.drift for machine in machines])
        return {
            "item_state": ITEM_STATE[does],
            "operation_mode": OPERATION_MODE[does],
            "part_count": [m.parts for m in machines],
            "scrap_count": [m.scrapped for m in machines],
            "active_power": power,
            "active_energy": self.floor.energy_kwh(now.t_us),
            "current": power / (_SQRT3 * _MACHINE_KV * _MACHINE_COS_PHI),
            "temperature": self._totals.machine_c,
            "cycle_time": [m.last_cycle_s for m in machines],
            "vibration": vibration * (1.0 + 4.0 * drift),
        }

    def _sites(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        electric, totals, power = self.electricity, self._totals, now.power
        part_h = (now.t_us - totals.at_us) / 3.6e9
        since = electric.machines_kwh(now.t_us) - totals.machines_kwh
        since = since + self._at_grid.power.steady_kw * part_h
        return {
            "active_power": power.site_kw,
            "reactive_power": power.site_kvar,
            "active_energy": totals.site_kwh + since,
            "reactive_energy": totals.site_kvarh + electric.kvarh(since),
            "voltage": electric.site_kv(power),
        }

    def _feeders(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        power = now.power
        apparent = np.hypot(power.feeder_kw, power.feeder_kvar)
        return {
            "active_power": power.feeder_kw,
            "reactive_power": power.feeder_kvar,
            "current": apparent / (_SQRT3 * self.electricity.feeder_kv),
        }

    def _transformers(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        power = now.power
        apparent = np.hypot(power.transformer_kw, power.transformer_kvar)
        return {
            "active_power": power.transformer_kw,
            "reactive_power": power.transformer_kvar,
            "current": apparent / (_SQRT3 * self.electricity.transformer_kv),
            "oil_temperature": self._totals.oil_c,
            "breaker": self.electricity.closed.astype(np.float64),
        }

    def _roofs(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        part_h = (now.t_us - self._totals.at_us) / 3.6e9
        strings = np.array([pv.strings for pv in self.electricity.pv], np.float64)
        return {
            "active_power": now.power.pv_kw,
            "active_energy": self._totals.pv_kwh + self._at_grid.power.pv_kw * part_h,
            "irradiance": now.power.plane_w_m2,
            "module_temperature": now.power.module_c,
            "strings_ok": np.maximum(0.0, strings - self.electricity.strings_lost),
        }

    def _batteries(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        part_h = (now.t_us - self._totals.at_us) / 3.6e9
        return {
            "active_power": [b.power_kw for b in self.batteries],
            "state_of_charge": [b.soc_pct for b in self.batteries],
            "energy_in": [b.in_kwh + max(0.0, -b.power_kw) * part_h for b in self.batteries],
            "energy_out": [b.out_kwh + max(0.0, b.power_kw) * part_h for b in self.batteries],
            "operation_mode": [b.mode for b in self.batteries],
        }

    def _gates(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        del now
        gates = self.traffic.gates
        return {
            "queue": [len(gate.waiting) for gate in gates],
            "lanes_busy": [gate.busy for gate in gates],
            "entries": [gate.entries for gate in gates],
            "exits": [gate.exits for gate in gates],
            "turn_time": [gate.turn_min for gate in gates],
        }

    def _berths(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        berths = self.traffic.berths
        return {
            "busy": [float(berth.busy) for berth in berths],
            "tonnes": [berth.tonnes_at(now.t_us) for berth in berths],
        }

    def _wastewater(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        part_h = (now.t_us - self._totals.at_us) / 3.6e9
        flow = self.services.flow_m3_h(self._totals.at_us)
        return {
            "flow": self.services.flow_m3_h(now.t_us),
            "volume": self._totals.volume_m3 + flow * part_h,
            "cod": self.services.cod_mg_l(now.t_us),
            "active_power": self.services.power_kw(now.t_us),
        }

    def _boilers(self, now: "Instant") -> Mapping[str, Sequence[float] | Floats]:
        works = [self.electricity.site_works(b.site, now.t_us) for b in self.services.boilers]
        return {
            "steam_flow": self.services.steam_t_h(now.t_us, works),
            "pressure": self.services.pressure_bar(now.t_us),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """The park at one instant, as far as it is a function of time and of what stands."""

    t_us: int
    sky: Sky
    power: PowerNow
