"""OPC UA StatusCodes as parktwin reads them: kept untouched, classed by sub-code.

Severity is the code's top two bits (OPC UA Part 4, 7.39): 0 Good, 1 Uncertain, 2 and 3 Bad. The
severity alone is not enough: GoodOverload (0x002F0000) is sent for values that were *not* sampled,
so it is not good here.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

GOOD: Final = 0x0000_0000
GOOD_OVERLOAD: Final = 0x002F_0000
GOOD_LOCAL_OVERRIDE: Final = 0x0096_0000
UNCERTAIN: Final = 0x4000_0000
UNCERTAIN_LAST_USABLE_VALUE: Final = 0x4090_0000
UNCERTAIN_INITIAL_VALUE: Final = 0x4092_0000
UNCERTAIN_SUB_NORMAL: Final = 0x4095_0000
BAD: Final = 0x8000_0000
BAD_NO_COMMUNICATION: Final = 0x8031_0000
BAD_NODE_ID_UNKNOWN: Final = 0x8034_0000
BAD_SENSOR_FAILURE: Final = 0x808C_0000
BAD_DATA_LOST: Final = 0x809D_0000

OVERFLOW_BIT: Final = 0x0000_0080
"""InfoBits of a DataValue: the server's queue overflowed before this value (Part 4, 7.39.1)."""
_INFO_DATA_VALUE: Final = 0x0000_0400
_SUB_CODE: Final = 0xFFFF_0000

CLASS_GOOD: Final = 0
CLASS_UNCERTAIN: Final = 1
CLASS_BAD: Final = 2


def quality_class(status: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Class of each StatusCode: 0 good, 1 uncertain, 2 bad; elementwise.

    Parameters
    ----------
    status
        StatusCodes, any integer type that holds 32 bits.
    """
    codes = np.asarray(status).astype(np.int64) & 0xFFFF_FFFF
    severity = np.minimum(codes >> 30, CLASS_BAD)
    unsampled = (codes & _SUB_CODE) == GOOD_OVERLOAD
    return np.where(unsampled, CLASS_UNCERTAIN, severity).astype(np.uint8)


def is_good(status: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether each value may be used as it is; elementwise."""
    return np.asarray(quality_class(status) == CLASS_GOOD)


def overflowed(status: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether the server dropped values before this one; elementwise."""
    codes = np.asarray(status).astype(np.int64)
    wanted = _INFO_DATA_VALUE | OVERFLOW_BIT
    return np.asarray((codes & wanted) == wanted)
