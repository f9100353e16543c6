"""What is true now: the newest value of every tag, and cumulative sums over its past."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twin.tags import TagRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Cumulative sums of every tag up to one instant; arrays in the order of `ShardState.tags`.

    Parameters
    ----------
    integral
        Gauge: time integral of the good, covered value [unit·s].
    good_s, bad_s, covered_s
        Seconds with a good value, with a bad one, and covered at all [s].
    increase, resets
        Counter: growth since birth over wraps and resets [unit]; number of resets.
    state_s
        State: seconds per code 0…15, and for all other codes in the last column [s].
    n, n_good
        Rows folded in time order; good ones among them.
    """

    integral: npt.NDArray[np.float64]
    good_s: npt.NDArray[np.float64]
    bad_s: npt.NDArray[np.float64]
    covered_s: npt.NDArray[np.float64]
    increase: npt.NDArray[np.float64]
    resets: npt.NDArray[np.int64]
    state_s: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]
    n_good: npt.NDArray[np.int64]


class ShardState:
    """Numpy columns over a dense index that is rebuilt from the tag dictionary.

    Columns, one entry per tag in the order of `tags`: `at_us`, `seen_us`, `server_us` (smallest
    int64: none), `value` (NaN: none), `exact` with `has_exact`, `text` (objects), `status`,
    `origin`, `known` (whether a sample came at all), `late` (rows older than the newest).
    Treat them as read-only.
    """

    tags: npt.NDArray[np.int32]
    at_us: npt.NDArray[np.int64]
    seen_us: npt.NDArray[np.int64]
    server_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    exact: npt.NDArray[np.int64]
    has_exact: npt.NDArray[np.bool_]
    text: npt.NDArray[np.object_]
    status: npt.NDArray[np.uint32]
    origin: npt.NDArray[np.uint8]
    known: npt.NDArray[np.bool_]
    late: npt.NDArray[np.int64]

    def __init__(self, rows: Iterable[TagRow] = ()) -> None:
        raise NotImplementedError

    def add_rows(self, rows: Iterable[TagRow], moduli: Mapping[int, float] | None = None) -> None:
        """Give columns to the tags of new dictionary rows."""
        raise NotImplementedError

    def index_of(self, tags: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Dense index of each tag, -1 for unknown ones."""
        raise NotImplementedError

    def stale(self) -> npt.NDArray[np.bool_]:
        """Whether each tag's endpoint has a gap now."""
        raise NotImplementedError

    def latest(self, tags: npt.ArrayLike | None = None) -> pa.RecordBatch:
        """Newest row of the known tags (schema SAMPLES), stale good ones as last usable value."""
        raise NotImplementedError

    def totals(self, now_us: int) -> Totals:
        """Sums up to park time `now_us`, the open piece of each tag included."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """Everything, as an Arrow stream."""
        raise NotImplementedError

    @classmethod
    def restore(cls, data: bytes) -> "ShardState":
        """Inverse of `snapshot`."""
        raise NotImplementedError

    def digest(self) -> str:
        """Sha256 over the canonical content."""
        raise NotImplementedError
