"""Faults of the plant: planned in the park file or injected at run time, and their labels."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, cast, get_args

from models.errors import InputError, NotFound
from models.units import quantity
from twin.samples import from_us

FaultKind = Literal[
    "cycle_drift",
    "breakdown",
    "meter_stuck",
    "string_lost",
    "transformer_trip",
    "clock_offset",
    "frozen_good",
]
KINDS: Final = cast("tuple[FaultKind, ...]", get_args(FaultKind))
OF_ENDPOINTS: Final = frozenset({"clock_offset", "frozen_good"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveFault:
    """A fault with its time.

    Parameters
    ----------
    kind, target
        What fails, and the asset or endpoint it fails at.
    size
        Drift as a fraction, strings lost, offset in hours.
    from_us, until_us
        When it begins and ends in park time [us]; None until it is cleared.
    """

    kind: FaultKind
    target: str
    size: float
    from_us: int
    until_us: int | None = None

    def after(self, start_us: int) -> "ActiveFault":
        """The same fault with its times counted from a start."""
        until_us = None if self.until_us is None else self.until_us + start_us
        return replace(self, from_us=self.from_us + start_us, until_us=until_us)

    def acts_after(self, at_us: int) -> bool:
        """Whether it begins or still acts after a time; a breakdown is repaired by itself."""
        if self.from_us >= at_us:
            return True
        return self.kind != "breakdown" if self.until_us is None else self.until_us > at_us


def fault_kind(name: str) -> FaultKind:
    """The kind of that name.

    Raises
    ------
    NotFound
        When there is none; near names are offered.
    """
    for kind in KINDS:
        if kind == name:
            return kind
    raise NotFound("fault", name, KINDS)


def parse_fault(text: str) -> ActiveFault:
    """A fault from ``kind:target:size:at[:until]``; times count from the plant's start.

    Raises
    ------
    InputError
        When a part is missing or not readable.
    """
    parts = text.split(":")
    if len(parts) not in (4, 5):
        raise InputError(
            f"fault {text!r}",
            "write kind:target:size:at, e.g. cycle_drift:acme/moulding/l1/p01:0.08:2h",
            "--fault",
        )
    kind, target, size, *times = parts
    try:
        amount = float(size)
    except ValueError as error:
        raise InputError(f"size {size!r}", "give a number", "--fault") from error
    times_us = [round(quantity(time, "duration") * 1e6) for time in times]
    return ActiveFault(
        kind=fault_kind(kind),
        target=target,
        size=amount,
        from_us=times_us[0],
        until_us=times_us[1] if len(times_us) > 1 else None,
    )


class Labels:
    """The truth about faults, one JSON object per line, for scoring alarms against it."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def begin(self, fault: ActiveFault) -> None:
        """Write that a fault begins."""
        self._write("begin", fault, fault.from_us)

    def end(self, fault: ActiveFault, at_us: int) -> None:
        """Write that it ended."""
        self._write("end", fault, at_us)

    def _write(self, event: str, fault: ActiveFault, at_us: int) -> None:
        if self._file is None:
            return
        row: Mapping[str, object] = {
            "at": from_us(at_us).isoformat(),
            "at_us": at_us,
            "event": event,
            **{k: v for k, v in asdict(fault).items() if k in ("kind", "target", "size")},
        }
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
