"""The state of a park seen by asset and metric: where each tag stands, and what it says now."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin.metrics import METRICS
from twin.park import Park
from twin.samples import is_number
from twin.state import ShardState
from twin.status import CLASS_BAD, CLASS_GOOD, quality_class
from twin.tags import TagDictionary

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Values of one metric of all assets of a type, in the park's order.

    Parameters
    ----------
    value
        NaN where there is none.
    quality
        0 good, 1 uncertain, 2 bad or none.
    """

    value: Floats
    quality: npt.NDArray[np.uint8]

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Whether each value may be used as measured."""
        return np.asarray((self.quality == CLASS_GOOD) & is_number(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """Where the tags of a park stand in a state.

    Parameters
    ----------
    slots
        (type, metric) → dense position of each asset's tag in the state, -1 for none.
    kept
        Dense positions of the tags that marks keep.
    marked
        (type, metric) → position of each asset's tag among the kept ones, -1 for none.
    tags
        Tag ids of the kept ones.
    paths
        Tag path → dense position.
    """

    slots: Mapping[tuple[str, str], Places]
    kept: Places
    marked: Mapping[tuple[str, str], Places]
    tags: Places
    paths: Mapping[str, int]


KEPT_METRICS = (
    ("machine", "item_state"),
    ("machine", "operation_mode"),
    ("machine", "part_count"),
    ("machine", "scrap_count"),
    ("machine", "active_energy"),
    ("machine", "active_power"),
    ("site", "active_energy"),
    ("site", "active_power"),
    ("feeder", "active_power"),
    ("transformer", "active_power"),
    ("gate", "entries"),
)
"""What marks hold; a machine's or site's power only where it has no energy meter."""


def atlas_of(park: Park, dictionary: TagDictionary, state: ShardState) -> Atlas:
    """Find every tag of a park in a state."""
    rows = {row.binding.path: tag for tag, row in dictionary.open.items()}
    dense = state.index_of(np.fromiter(rows.values(), np.int64, len(rows)))
    paths = {path: int(place) for path, place in zip(rows, dense, strict=True) if place >= 0}
    slots = {
        (kind, metric.name): np.array(
            [paths.get(f"{park.id}/{node.id}/{metric.name}", -1) for node in park.of_type(kind)],
            np.int64,
        )
        for kind, metrics in METRICS.items()
        for metric in metrics
    }
    wanted = [slots[key] for key in KEPT_METRICS]
    for kind in ("machine", "site"):
        metered = slots[(kind, "active_energy")] >= 0
        power = KEPT_METRICS.index((kind, "active_power"))
        wanted[power] = np.where(metered, -1, wanted[power])
    kept = np.unique(np.concatenate([*wanted, np.empty(0, np.int64)]))
    kept = kept[kept >= 0]
    position = np.full(len(state.tags) + 1, -1, np.int64)
    position[kept] = np.arange(len(kept))
    return Atlas(
        slots=slots,
        kept=kept,
        marked={key: position[places] for key, places in zip(KEPT_METRICS, wanted, strict=True)},
        tags=state.tags[kept].astype(np.int64),
        paths=paths,
    )


class View:
    """What the tags of a park say at one moment."""

    def __init__(self, atlas: Atlas, state: ShardState) -> None:
        self.atlas = atlas
        quality = quality_class(state.reported_status())
        quality = np.where(state.known, quality, CLASS_BAD)
        self._value = np.append(state.value, np.nan)
        self._quality = np.append(quality, CLASS_BAD).astype(np.uint8)
        self._at_us = np.append(state.at_us, 0)

    def read(self, kind: str, metric: str) -> Reading:
        """One metric of all assets of a type."""
        places = self.atlas.slots[(kind, metric)]
        return Reading(value=self._value[places], quality=self._quality[places])

    def at_us(self, kind: str, metric: str) -> Places:
        """Source times of that metric [us]; 0 for none."""
        return self._at_us[self.atlas.slots[(kind, metric)]]

    def of(self, places: Places) -> Reading:
        """Values at dense positions, -1 for none."""
        return Reading(value=self._value[places], quality=self._quality[places])
