"""The figures of now while they are computed: the page they are written on, and what they share."""

import numpy as np
import numpy.typing as npt

from twin.figure_specs import FigureLayout
from twin.figures import Now
from twin.marks import Mark, Marks, Window
from twin.park_arrays import ParkArrays
from twin.status import CLASS_BAD, CLASS_GOOD, CLASS_UNCERTAIN
from twin.view import Reading, View

Floats = npt.NDArray[np.float64]
Qualities = npt.NDArray[np.uint8]

HOUR_S = 3600.0


class Page:
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
        self.put(scope, name, reading.value * factor, reading.quality, ones(reading.good))

    def now(self) -> Now:
        """The finished figures."""
        return Now(
            now_us=self._now_us, value=self.value, quality=self.quality, measured=self.measured
        )


class Moment:
    """One moment of a park: what is read now, what was at the marks, and the page to write on.

    Parameters
    ----------
    view, marks, mark
        Newest values; marks of the past; the sums now.
    arrays
        The park as arrays.
    page
        Where figures are written.
    min_good
        Share of a window that must be observed for a figure over it to be good.
    midnight_us
        Begin of the local day [us].
    """

    def __init__(
        self,
        *,
        view: View,
        marks: Marks,
        mark: Mark,
        arrays: ParkArrays,
        page: Page,
        min_good: float,
        midnight_us: int,
    ) -> None:
        self.view, self.marks, self.mark = view, marks, mark
        self.arrays, self.page = arrays, page
        self.now_us = mark.at_us
        self.today = marks.since_midnight(mark)
        self._min_good = min_good
        seen_s = self.today.seconds if self.today is not None else 0.0
        whole_s = max((self.now_us - midnight_us) / 1e6, seen_s, 1e-9)
        self.day_share = seen_s / whole_s
        """Share of the local day so far that the twin has lived through."""

    def total(self, name: str, value: float, measured: float) -> None:
        """A park total: uncertain as soon as a part of it is estimated."""
        quality = CLASS_GOOD if measured > 0.9999 else CLASS_UNCERTAIN
        self.page.put("park", name, value, quality, measured)

    def window(self, scope: str, name: str, value: Floats | float, good: Floats | float) -> None:
        """A figure over a window: uncertain where too little of it was observed."""
        enough = np.asarray(good) >= self._min_good
        quality = np.where(enough, CLASS_GOOD, CLASS_UNCERTAIN).astype(np.uint8)
        self.page.put(scope, name, value, quality, np.clip(good, 0.0, 1.0))

    def daily(self, scope: str, name: str, value: Floats | float, good: Floats | float) -> None:
        """An amount since local midnight; what the twin did not see of the day is missing in it."""
        self.window(scope, name, value, np.asarray(good) * self.day_share)

    def kwh(self, kind: str, window: Window) -> tuple[Floats, Floats]:
        """Energy of each asset [kWh]: from its meter, else its power; and the observed share."""
        marked = self.view.atlas.marked
        meter, power = marked[(kind, "active_energy")], marked[(kind, "active_power")]
        energy = np.where(meter >= 0, window.total[meter], window.total[power] / HOUR_S)
        observed = np.where(meter >= 0, window.good_s[meter], window.good_s[power])
        none = (meter < 0) & (power < 0)
        seconds = max(window.seconds, 1e-9)
        return np.where(none, np.nan, energy), np.where(none, 0.0, observed / seconds)


def sums(group: npt.NDArray[np.intp], weights: npt.ArrayLike, n: int) -> Floats:
    """Sum of the weights of each group."""
    return np.bincount(group, np.asarray(weights, np.float64), n).astype(np.float64)


def share_of(part: float, whole: float) -> float:
    """Part of a whole, between 0 and 1; 0 of nothing."""
    return min(1.0, max(0.0, part / whole)) if whole > 0.0 else 0.0


def percent(part: float, whole: float) -> float:
    """Part of a whole [%]; NaN of nothing."""
    return 100.0 * part / whole if whole > 0.0 else float("nan")


def ones(good: npt.NDArray[np.bool_]) -> Floats:
    """1 where good, else 0: the measured share of single readings."""
    return good.astype(np.float64)


def filled(reading: Reading, instead: Floats) -> Reading:
    """A reading whose bad values are replaced, and then uncertain."""
    return Reading(
        value=np.where(reading.good, reading.value, instead),
        quality=np.where(reading.good, CLASS_GOOD, CLASS_UNCERTAIN).astype(np.uint8),
    )
