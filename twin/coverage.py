"""When an endpoint was heard: the gaps of its past, and whether it has one now.

Under report-by-exception silence is not a gap; only coverage rows say so. Times are microseconds
since 1970 in park time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

GAPS_KEPT: Final = 64
"""Gaps kept as intervals per endpoint; older ones are settled on the tags they touch."""


GAP: Final = np.dtype([("start_us", np.int64), ("end_us", np.int64)])
"""A gap [start, end)."""

RECOVERED: Final = "recovered"
"""A row that is alive and whose cause begins so takes back the gaps it covers: the values of that
time came after all, from the server's queues or its history."""

HEARD: Final = np.dtype(
    [("begin", np.int64), ("end", np.int64), ("until_us", np.int64), ("gap", np.bool_)], align=True
)
"""Coverage of an endpoint: rows ``begin`` to ``end`` of the gaps are its own, disjoint and rising;
while ``gap``, another one began at or before ``until_us`` and has no end yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """What of an endpoint's past is not covered.

    Parameters
    ----------
    gaps
        Its gaps, disjoint and rising.
    since_us
        Begin of the gap that has no end yet [us]; None when there is none.
    """

    gaps: tuple[tuple[int, int], ...]
    since_us: int | None


class EndpointCoverage:
    """Coverage of one endpoint.

    Attributes
    ----------
    alive
        Whether the newest row said so; None before the first row (which counts as alive).
    since_us, until_us
        Begin of the present condition, and the end of the newest row [us].
    cause
        Why, as the newest row says.
    lost
        Values the endpoint's gateway knows to be dropped, in total.
    """

    def __init__(self) -> None:
        self.alive: bool | None = None
        self.since_us = 0
        self.until_us = 0
        self.cause = ""
        self.lost = 0
        self.gaps: list[tuple[int, int]] = []

    def add(self, start_us: int, end_us: int, *, alive: bool, cause: str, lost: int) -> None:
        """Fold one row. Rows may overlap and come late; a gap once claimed stays claimed, unless a
        row says that its values were recovered.
        """
        self.lost += lost
        if alive and cause.startswith(RECOVERED):
            self.gaps = _without(self.gaps, start_us, end_us)
        if not alive and end_us > start_us:
            self.gaps = _merged([*self.gaps, (start_us, end_us)])
        if self.alive is not None and end_us < self.until_us:
            return
        if alive is not self.alive:
            self.alive, self.since_us = alive, start_us
        self.until_us, self.cause = end_us, cause

    @property
    def blind(self) -> Blind:
        """What is not covered, as it is known now."""
        return Blind(gaps=tuple(self.gaps), since_us=self.until_us if self.alive is False else None)

    @property
    def troubled(self) -> bool:
        """Whether the newest row is alive and says all the same what is wrong."""
        return bool(self.alive and self.cause and not self.cause.startswith(RECOVERED))

    def overflow(self) -> tuple[tuple[int, int], ...]:
        """Take out the gaps beyond `GAPS_KEPT`, oldest first."""
        count = max(0, len(self.gaps) - GAPS_KEPT)
        gone, self.gaps = self.gaps[:count], self.gaps[count:]
        return tuple(gone)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "alive": self.alive,
            "since": self.since_us,
            "until": self.until_us,
            "cause": self.cause,
            "lost": self.lost,
            "gaps": [list(gap) for gap in self.gaps],
        }

    @classmethod
    def of(
        cls,
        *,
        alive: bool | None,
        since: int,
        until: int,
        cause: str,
        lost: int,
        gaps: Iterable[Sequence[int]],
    ) -> "EndpointCoverage":
        """Inverse of `as_dict`."""
        coverage = cls()
        coverage.alive, coverage.since_us, coverage.until_us = alive, since, until
        coverage.cause, coverage.lost = cause, lost
        coverage.gaps = [(start, end) for start, end in gaps]
        return coverage


def coverage_tables(
    endpoints: Sequence[EndpointCoverage],
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
    """Coverage of all endpoints in their order (dtype HEARD), and their gaps (dtype GAP)."""
    heard = np.zeros(len(endpoints), HEARD)
    ends = np.cumsum([len(endpoint.gaps) for endpoint in endpoints], dtype=np.int64)
    heard["end"] = ends
    heard["begin"][1:] = ends[:-1]
    heard["until_us"] = [endpoint.until_us for endpoint in endpoints]
    heard["gap"] = [endpoint.alive is False for endpoint in endpoints]
    gaps = np.array([gap for endpoint in endpoints for gap in endpoint.gaps], GAP)
    return heard, gaps


def blind_tables(blind: Blind) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
    """The same as `coverage_tables` of one endpoint."""
    heard = np.zeros(1, HEARD)
    heard["end"] = len(blind.gaps)
    heard["gap"] = blind.since_us is not None
    heard["until_us"] = blind.since_us or 0
    return heard, np.array(list(blind.gaps), GAP)


def _merged(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint, rising intervals with the same union."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(gaps):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(gaps: Iterable[tuple[int, int]], start_us: int, end_us: int) -> list[tuple[int, int]]:
    """What remains of disjoint, rising intervals outside of another one."""
    left = []
    for start, end in gaps:
        if start < min(end, start_us):
            left.append((start, min(end, start_us)))
        if max(start, end_us) < end:
            left.append((max(start, end_us), end))
    return left
