"""What the server is fed with: figures, alarms, forecasts and modes of machines, as values.

Whoever hosts the server gets them from wherever the twin is; nothing here knows a process or a
socket.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from twin.alarms import Alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All figures at one park time.

    Parameters
    ----------
    seq
        Grows with each frame of the twin; the same number again is the same frame.
    at_us
        Park time [us since 1970].
    speed
        Park seconds per wall second.
    values
        Figure id → value; None or absent when it is not known.
    quality
        Only those that are not good: 1 uncertain, 2 bad.
    measured
        Only those not wholly measured: share 0..1.
    """

    seq: int
    at_us: int
    speed: float
    values: Mapping[str, float | None]
    quality: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value beside the figures: a forecast, or the mode of a machine."""

    value: float | None
    at_us: int
    quality: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is new since the last call; None leaves a part as it is.

    Parameters
    ----------
    figures
        The newest frame.
    alarms
        Every unresolved alarm.
    forecasts
        Name of `plan.FORECASTS` → value.
    modes
        Machine → code of its operation mode (OPC 40001-1).
    """

    figures: Figures | None = None
    alarms: tuple[Alarm, ...] | None = None
    forecasts: Mapping[str, Reading] | None = None
    modes: Mapping[str, Reading] | None = None
