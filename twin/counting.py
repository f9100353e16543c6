"""How a counter counts: one rule for the live sums, the rollups and the windows read from them.

Compiled by numba.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_WRAP_16: Final = 65_536.0
_WRAP_32: Final = 4_294_967_296.0
_LEAST_DIP: Final = 10.0
_NEAR: Final = 0.1


def _counted(last: float, now: float, modulus: float) -> tuple[float, bool]:
    """Growth of a counter between two readings, and whether it was reset.

    With a known modulus, a fall by more than half of it is a wrap. Without, a fall from the top
    tenth to the bottom tenth of 2^16 or 2^32 is one. Every other fall is a reset to zero.
    """
    if now >= last:
        return now - last, False
    if modulus > 0.0:
        if last < modulus and last - now > 0.5 * modulus:
            return now - last + modulus, False
    else:
        for guess in (_WRAP_16, _WRAP_32):
            if 0.9 * guess <= last < guess and 0.0 <= now <= 0.1 * guess:
                return now - last + guess, False
    return max(now, 0.0), True


counted = njit(cache=True)(_counted)
"""(last, now, modulus; 0 for unknown) -> growth, whether it was reset."""


def _came_back(base: float, fallen: float, now: float) -> bool:
    """Whether a reading after a fall says that the counter never fell.

    A device that starts again may show 0 once and then its old count. The next reading is then just
    above the old one: by at most a tenth of the fall. A count below ten may really be there again.
    """
    fall = base - fallen
    return fall >= _LEAST_DIP and base <= now <= base + _NEAR * fall


came_back = njit(cache=True)(_came_back)
"""(reading before a fall, the fallen one, the one after it) -> whether the fall was a dip."""


def _all_growths(last: Floats, now: Floats) -> tuple[Floats, Ints]:
    grown, resets = np.zeros(len(now)), np.zeros(len(now), np.int64)
    for row in range(len(now)):
        grown[row], reset = counted(last[row], now[row], 0.0)
        resets[row] = reset
    return grown, resets


growths = njit(cache=True)(_all_growths)
"""(last, now) -> growth of each pair of readings, and 1 where it was reset."""


def _dip_rows(tag: Ints, reading: Floats) -> Bools:
    dips = np.zeros(len(tag), np.bool_)
    before, fallen = -1, False
    base = 0.0
    for row in range(len(tag)):
        if before < 0 or tag[row] != tag[before]:
            fallen = False
        elif fallen and came_back(base, reading[before], reading[row]):
            dips[before] = True
            fallen = False
        else:
            fallen = reading[row] < reading[before]
            base = reading[before]
        before = row
    return dips


dips = njit(cache=True)(_dip_rows)
"""(tag, reading) of good readings in order -> which of them fell and came back at once."""
