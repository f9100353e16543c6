"""What an endpoint's coverage rows say: an unbroken line of alive spans and gaps."""

from collections import deque
from collections.abc import Callable
from typing import Final

from connectors.coverage import CoverageRow
from twin.coverage import RECOVERED
from twin.samples import from_us as time_of

_CLOCK_UNKNOWN_US: Final = 365 * 86_400 * 1_000_000
"""A park clock in 1970 does not know its time."""


RECENT: Final = 20
"""Gaps that are shown beside the status; all of them are in the twin's memory."""


class Ledger:
    """Coverage rows of one endpoint, each beginning where the last one ended.

    Parameters
    ----------
    endpoint
        Id of the endpoint.
    covered_us
        Park time up to which it is covered already [us].
    wake
        Called when a row waits to be taken.
    """

    def __init__(self, endpoint: str, covered_us: int, wake: Callable[[], None]) -> None:
        self._endpoint, self._wake = endpoint, wake
        self.covered_us = covered_us
        """Park time up to which coverage was told [us]."""
        self.gaps = self.lost = 0
        self._rows: list[CoverageRow] = []
        self.recent: deque[dict[str, str]] = deque(maxlen=RECENT)
        """The newest gaps with their causes."""

    def cover(self, to_us: int, *, alive: bool, cause: str = "", lost: int | None = None) -> None:
        """Append a row from where the last one ended up to a park time."""
        self.lost += lost or 0
        if self.covered_us < _CLOCK_UNKNOWN_US:
            # The plant that keeps the park clock was not up: there is no time to cover yet.
            self.covered_us = to_us
            return
        if to_us <= self.covered_us and not lost:
            return
        end = max(to_us, self.covered_us)
        self._append(self.covered_us, end, alive=alive, cause=cause, lost=lost)
        self.covered_us = end

    def recovered(self, from_us: int, to_us: int, how: str) -> None:
        """Take back the gaps of a time whose values came after all."""
        if to_us > from_us >= _CLOCK_UNKNOWN_US:
            self._append(from_us, to_us, alive=True, cause=f"{RECOVERED}: {how}", lost=None)

    def missed(self, from_us: int, to_us: int, cause: str) -> None:
        """Claim a gap within what was told as alive."""
        self.gaps += 1
        if self.covered_us >= _CLOCK_UNKNOWN_US:
            self._append(from_us, max(to_us, from_us + 1), alive=False, cause=cause, lost=None)

    def _append(
        self, from_us: int, to_us: int, *, alive: bool, cause: str, lost: int | None
    ) -> None:
        if not alive:
            self._note(from_us, to_us, cause)
        self._rows.append(
            CoverageRow(
                endpoint=self._endpoint,
                from_us=from_us,
                to_us=to_us,
                alive=alive,
                cause=cause,
                lost=lost,
            )
        )
        self._wake()

    def _note(self, from_us: int, to_us: int, cause: str) -> None:
        """Remember a gap; the rows of one that grows are one."""
        begin, end = (time_of(us).isoformat() for us in (from_us, to_us))
        last = self.recent[-1] if self.recent else {}
        if last.get("to") == begin and last.get("cause") == cause:
            last["to"] = end
        else:
            self.recent.append({"from": begin, "to": end, "cause": cause})

    def take(self) -> list[CoverageRow]:
        """Rows since the last call."""
        told, self._rows = self._rows, []
        return told
