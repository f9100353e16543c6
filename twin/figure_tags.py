"""Figures of now as tags: what was shown is remembered like what was measured.

A figure's path is ``figure:<id>``; no endpoint feeds it, its origin is estimated. So history,
rollups, `at=` and export know figures without a store of their own. A figure keeps the value it had
when it was computed: a late sample corrects the tags it came from, not the figure that was shown.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twin.figures import FigureSpec, Now
from twin.samples import Origin, sample_batch
from twin.status import BAD, GOOD, UNCERTAIN_SUB_NORMAL
from twin.tags import Binding, Kind, TagDictionary

PREFIX: Final = "figure:"
SOURCE: Final = "figures"
"""Name of the stream figures are delivered by; the twin itself is its source."""
KEEP_US: Final = 300_000_000
"""A figure that does not change is written again after this long [us]."""
_STATUS: Final = np.array([GOOD, UNCERTAIN_SUB_NORMAL, BAD], np.uint32)
_CODES: Final = (".state", ".alarm", ".bottleneck")


def is_figure(path: str) -> bool:
    """Whether a tag path is a figure's."""
    return path.startswith(PREFIX)


def figure_bindings(specs: Iterable[FigureSpec]) -> tuple[Binding, ...]:
    """The tags of figures: codes are states, everything else is a gauge."""
    return tuple(
        Binding(
            path=PREFIX + spec.id,
            unit=spec.unit,
            kind=Kind.STATE if spec.id.endswith(_CODES) else Kind.GAUGE,
        )
        for spec in specs
    )


class FigureWriter:
    """Turns figures of now into sample batches, leaving out what has not changed.

    Parameters
    ----------
    specs
        The figures in their order.
    dictionary
        Where their tags are open.
    """

    def __init__(self, specs: Iterable[FigureSpec], dictionary: TagDictionary) -> None:
        tags = {row.binding.path: tag for tag, row in dictionary.open.items()}
        self._tags = np.array([tags[PREFIX + spec.id] for spec in specs], np.int32)
        self._value = np.full(len(self._tags), np.inf)
        self._quality = np.zeros(len(self._tags), np.uint8)
        self._written_us = np.zeros(len(self._tags), np.int64)

    def batch(self, now: Now, seen_us: int) -> pa.RecordBatch | None:
        """Rows of the figures that changed or are due; None when there is none.

        An unknown figure is written as a bad sample, so that it is a gap and not a held value.
        """
        same = (now.value == self._value) | (np.isnan(now.value) & np.isnan(self._value))
        due = now.now_us - self._written_us >= KEEP_US
        chosen = ~same | (now.quality != self._quality) | due
        if not chosen.any():
            return None
        self._value[chosen] = now.value[chosen]
        self._quality[chosen] = now.quality[chosen]
        self._written_us[chosen] = now.now_us
        unknown = np.isnan(now.value[chosen])
        status: npt.NDArray[np.uint32] = _STATUS[np.minimum(now.quality[chosen], 2)]
        return sample_batch(
            tag=self._tags[chosen],
            at_us=now.now_us,
            value=np.where(unknown, 0.0, now.value[chosen]),
            seen_us=seen_us,
            status=np.where(unknown, np.uint32(BAD), status),
            origin=Origin.ESTIMATED,
        )


def last_session(delivered: Mapping[str, Iterable[tuple[int, int]]]) -> int:
    """Newest session of the figures' stream; 0 when there was none."""
    return max((session for session, _ in delivered.get(SOURCE, ())), default=0)
