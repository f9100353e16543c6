"""The park at one moment, as a what-if starts from it: latest values and calibrated parameters.

A snapshot is small, plain and canonical: its hash is part of every outcome's provenance. It is
taken from the twin's state at a journal offset, or from a past state; `nominal` makes the one of
an empty park, where everything is as the park file says.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import orjson

from twin.park import Park
from twin.samples import is_number
from twin.state import ShardState
from twin.status import is_good
from twin.tags import TagDictionary

_PRIOR_PARTS: Final = 20.0
"""Weight of the park file's cycle time against measured ones, in parts (a choice of ours)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Newest good value of one tag: value in the stored unit, and its park time [us]."""

    value: float
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleEstimate:
    """Calibrated cycle time of a machine.

    Parameters
    ----------
    mean_s
        Posterior mean [s].
    sd_s
        Standard deviation of that mean, not of single cycles [s].
    parts
        Parts it rests on; 0 when it is the park file's.
    """

    mean_s: float
    sd_s: float
    parts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The park at `at_us`.

    Parameters
    ----------
    park, park_hash
        Park id and hash of its file.
    at_us
        Park time [us].
    offset
        Journal offset it was taken at; 0 for an empty park.
    readings
        ``<asset>/<metric>`` → newest good reading.
    cycles
        Machine id → calibrated cycle time.
    """

    park: str
    park_hash: str
    at_us: int
    offset: int
    readings: Mapping[str, Reading] = field(default_factory=dict)
    cycles: Mapping[str, CycleEstimate] = field(default_factory=dict)

    def value(self, asset: str, metric: str) -> float | None:
        """Newest good value of an asset's metric; None when there is none."""
        reading = self.readings.get(f"{asset}/{metric}")
        return None if reading is None else reading.value

    def to_json(self) -> bytes:
        """Canonical bytes; the same park at the same moment gives the same bytes."""
        return orjson.dumps(
            {
                "park": self.park,
                "park_hash": self.park_hash,
                "at_us": self.at_us,
                "offset": self.offset,
                "readings": {k: [r.value, r.at_us] for k, r in self.readings.items()},
                "cycles": {k: [c.mean_s, c.sd_s, c.parts] for k, c in self.cycles.items()},
            },
            option=orjson.OPT_SORT_KEYS,
        )

    @classmethod
    def from_json(cls, data: bytes) -> "Snapshot":
        """Inverse of `to_json`."""
        plain = orjson.loads(data)
        return cls(
            park=plain["park"],
            park_hash=plain["park_hash"],
            at_us=plain["at_us"],
            offset=plain["offset"],
            readings={k: Reading(value=v, at_us=t) for k, (v, t) in plain["readings"].items()},
            cycles={
                k: CycleEstimate(mean_s=m, sd_s=s, parts=n)
                for k, (m, s, n) in plain["cycles"].items()
            },
        )

    @property
    def digest(self) -> str:
        """Sha256 of the canonical bytes."""
        return hashlib.sha256(self.to_json()).hexdigest()


def nominal(park: Park, at_us: int) -> Snapshot:
    """An empty park at a moment: nothing measured, everything as the file says."""
    return Snapshot(
        park=park.id,
        park_hash=park.digest,
        at_us=at_us,
        offset=0,
        cycles={machine: _nominal_cycle(cycle_s) for machine, cycle_s in planned(park).items()},
    )


def take(
    park: Park, dictionary: TagDictionary, state: ShardState, now_us: int, offset: int
) -> Snapshot:
    """Snapshot of a twin's state.

    Parameters
    ----------
    park, dictionary, state
        The twin; the state is read, not changed.
    now_us
        Park time [us].
    offset
        Journal offset of the state.
    """
    readings: dict[str, Reading] = {}
    index: dict[str, int] = {}
    rows = [row for row in dictionary.open.values() if row.binding.path.startswith(f"{park.id}/")]
    columns = state.index_of(np.array([row.tag for row in rows], np.int32))
    # a value whose endpoint fell silent is the last usable one, not what the park is like now
    good = is_good(state.reported_status()) & is_number(state.value) & np.asarray(state.known)
    for row, column in zip(rows, columns.tolist(), strict=True):
        if column < 0:
            continue
        path = row.binding.path.removeprefix(f"{park.id}/")
        index[path] = column
        if good[column]:
            value, at_us = float(state.value[column]), int(state.at_us[column])
            readings[path] = Reading(value=value, at_us=at_us)
    return Snapshot(
        park=park.id,
        park_hash=park.digest,
        at_us=now_us,
        offset=offset,
        readings=readings,
        cycles=_calibrated(park, state, index, now_us),
    )


def planned(park: Park) -> dict[str, float]:
    """Machine id → cycle time of its equipment class [s]."""
    found: dict[str, float] = {}
    for site in park.spec.sites:
        if site.kind != "detailed":
            continue
        for area in site.areas:
            for line in area.lines:
                for item in line.chain:
                    if item.machine and item.type:
                        machine = f"{site.id}/{area.id}/{line.id}/{item.machine}"
                        found[machine] = park.spec.types[item.type].cycle_time
    return found


def _nominal_cycle(cycle_s: float) -> CycleEstimate:
    return CycleEstimate(mean_s=cycle_s, sd_s=0.02 * cycle_s, parts=0.0)


def _calibrated(
    park: Park, state: ShardState, index: Mapping[str, int], now_us: int
) -> dict[str, CycleEstimate]:
    """Normal mean with a prior of `_PRIOR_PARTS` parts at the planned cycle time.

    The measured mean is the time-weighted mean of the good cycle times seen; the number of parts
    is the growth of the part counter. Coefficient of variation of single cycles: 0.1 when unknown.
    """
    totals = state.totals(now_us)
    found: dict[str, CycleEstimate] = {}
    for machine, cycle_s in planned(park).items():
        cycle, count = index.get(f"{machine}/cycle_time"), index.get(f"{machine}/part_count")
        seconds = 0.0 if cycle is None else float(totals.good_s[cycle])
        parts = 0.0 if count is None else float(totals.increase[count])
        if cycle is None or seconds <= 0.0 or parts <= 0.0:
            found[machine] = _nominal_cycle(cycle_s)
            continue
        measured_s = float(totals.integral[cycle]) / seconds
        weight = parts + _PRIOR_PARTS
        mean_s = (parts * measured_s + _PRIOR_PARTS * cycle_s) / weight
        found[machine] = CycleEstimate(mean_s=mean_s, sd_s=0.1 * mean_s / weight**0.5, parts=parts)
    return found
