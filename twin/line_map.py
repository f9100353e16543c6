"""Lines of a park as arrays: which machine belongs to which line, which sets its pace."""

import numpy as np
import numpy.typing as npt

from twin.oee import LineMap
from twin.park import Park


def places_of(names: list[str], known: list[str]) -> npt.NDArray[np.intp]:
    """Position of each name in a list."""
    position = {name: place for place, name in enumerate(known)}
    return np.array([position[name] for name in names], np.intp)


def line_map_of(park: Park) -> LineMap:
    """The lines of a park, machines and lines in the park's order."""
    machines = [node.id for node in park.of_type("machine")]
    lines = [node.id for node in park.of_type("line")]
    line = places_of([park.assets[machine].parent or "" for machine in machines], lines)
    pri_s = np.array([park.class_of(machine).cycle_time for machine in machines], np.float64)
    members = [np.flatnonzero(line == place) for place in range(len(lines))]
    return LineMap(
        line=line,
        constraint=np.array([m[np.argmax(pri_s[m])] for m in members], np.intp),
        last=np.array([m[-1] for m in members], np.intp),
    )
