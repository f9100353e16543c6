"""A park file as arrays in the park's order: ratings, and what hangs on what."""

import numpy as np
import numpy.typing as npt

from twin.line_map import line_map_of, places_of
from twin.park import Park
from twin.parkfile.schema import Feeder, Site, Transformer, Yard

Floats = npt.NDArray[np.float64]


class ParkArrays:
    """What of the park file the figures need, as arrays in the park's order."""

    def __init__(self, park: Park) -> None:
        self.gates = [node.id for node in park.of_type("gate")]
        machines = [node.id for node in park.of_type("machine")]
        lines = [node.id for node in park.of_type("line")]
        sites = [node.id for node in park.of_type("site")]
        feeders = [node.id for node in park.of_type("feeder")]
        transformers = [node.id for node in park.of_type("transformer")]
        self.n_lines, self.n_sites, self.n_feeders = len(lines), len(sites), len(feeders)
        self.lines = line_map_of(park)
        self.machine_line = self.lines.line
        self.machine_site = places_of([machine.split("/")[0] for machine in machines], sites)
        self.line_site = places_of([line.split("/")[0] for line in lines], sites)
        self.pri_s = np.array([park.class_of(machine).cycle_time for machine in machines], float)
        self.rated_kw = np.array(
            [park.class_of(m).power.get("Executing/Processing", 0.0) for m in machines], float
        )
        self.line_first = np.array(
            [int(np.flatnonzero(self.machine_line == line)[0]) for line in range(len(lines))], int
        )
        power = park.spec.utilities.electricity
        self._power(park, feeders, transformers, sites)
        self.pv_feeder = places_of([pv.feeder for pv in power.pv], feeders)
        self.pv_peak = np.array([pv.peak for pv in power.pv], float)
        self.bess_feeder = places_of([bess.feeder for bess in power.bess], feeders)
        self.bess_kwh = np.array([bess.energy for bess in power.bess], float)
        self.slots = sum(e.slots for e in park.elements.values() if isinstance(e, Yard))
        self.endpoints = list(park.endpoints)

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
        self.station = places_of([t.split("/")[0] for t in transformers], stations)
        self.n_stations = len(stations)
        homes: dict[str, str] = {}
        for station in park.spec.utilities.electricity.substations:
            homes |= {f.id: f"{station.id}/{f.transformer}" for f in station.feeders}
        self.feeder_home = places_of([homes[feeder] for feeder in feeders], transformers)
        found = [e for site in sites if isinstance(e := elements[site], Site)]
        self.site_feeder = places_of([site.feeder for site in found], feeders)
        self.base_kw = np.array([site.base_load for site in found], float)
        self.shift_kw = np.array([site.shift_load for site in found], float)
