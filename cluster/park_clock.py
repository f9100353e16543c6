"""Park time inside the service: wall time, or the virtual plant's clock by its state file."""

import time
from pathlib import Path
from typing import Final

from connectors.clock import wall_us
from connectors.plant.statefile import read_state
from models.errors import InputError

_LOOK_S: Final = 5.0
_COAST_US: Final = 15_000_000


class ParkTime:
    """Park now [us since 1970], never going back.

    Parameters
    ----------
    state
        State file of the virtual plant, written about once a second; None for wall time.
    """

    def __init__(self, state: Path | None = None) -> None:
        self._state = state
        self._park_us, self._wall_us, self.speed = 0, 0, 1.0
        self._looked_s = -_LOOK_S
        self._last_us = 0

    def __call__(self) -> int:
        """Park now [us since 1970]."""
        if self._state is None:
            return wall_us()
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self._look(self._state)
        # A plant that stands still is followed for a while only: its clock stands too.
        passed_us = min(max(wall_us() - self._wall_us, 0), _COAST_US)
        self._last_us = max(self._last_us, self._park_us + round(passed_us * self.speed))
        return self._last_us

    def _look(self, file: Path) -> None:
        self._looked_s = time.monotonic()
        try:
            written_us = file.stat().st_mtime_ns // 1000
            found = read_state(file)
        except (OSError, InputError):
            return
        if found is not None:
            self._park_us, self._wall_us, self.speed = found.at_us, written_us, found.speed
