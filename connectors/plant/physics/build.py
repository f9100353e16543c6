"""The lines of a park file as machines with hidden true parameters."""

from collections.abc import Iterator
from dataclasses import dataclass

from connectors.plant.physics.draws import Stream
from connectors.plant.physics.lines import Line, Machine, make_machine
from models.errors import InputError
from twin.parkfile import schema
from twin.shifts import LocalTime, Shifts


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferPlace:
    """Where a buffer's parts are counted: line and place; the last place is the end of the line."""

    id: str
    line: Line
    place: int
    cap: int

    @property
    def level(self) -> int:
        """Parts in it."""
        if self.place < 0:
            return self.cap
        if self.place < len(self.line.waiting):
            return min(self.cap, self.line.waiting[self.place])
        return self.line.finished_parts % max(1, self.cap)


def build_lines(
    spec: schema.ParkFile, local: LocalTime, seed: int
) -> tuple[list[Line], list[BufferPlace]]:
    """All lines, and the buffers on them.

    Raises
    ------
    InputError
        When a line has no machine.
    """
    lines: list[Line] = []
    buffers: list[BufferPlace] = []
    for line_id, written in _lines(spec):
        line, places = _line(spec, line_id, written, local, seed)
        lines.append(line)
        buffers += places
    return lines, buffers


def _lines(spec: schema.ParkFile) -> Iterator[tuple[str, schema.Line]]:
    for site in spec.sites:
        if isinstance(site, schema.Site):
            for area in site.areas:
                for line in area.lines:
                    yield f"{site.id}/{area.id}/{line.id}", line


def _line(
    spec: schema.ParkFile, line_id: str, written: schema.Line, local: LocalTime, seed: int
) -> tuple[Line, list[BufferPlace]]:
    machines: list[Machine] = []
    caps: list[int] = []
    standing: list[tuple[str, int, int]] = []
    for item in written.chain:
        if item.machine is not None:
            kind = spec.types[item.type or ""]
            machines.append(make_machine(f"{line_id}/{item.machine}", kind, seed))
            caps.append(0)
        elif item.buffer is not None:
            cap = item.cap or 0
            standing.append((f"{line_id}/{item.buffer}", len(machines) - 1, cap))
            if caps:
                caps[-1] += cap
    if not machines:
        raise InputError(f"line {line_id!r} has no machine", "give its chain at least one machine")
    calendar = spec.calendars[written.calendar]
    holidays = spec.holidays.get(calendar.holidays) if calendar.holidays else None
    line = Line(
        id=line_id,
        machines=machines,
        caps=caps[:-1],
        shifts=Shifts(calendar, holidays, local),
        changeovers=Stream(seed, f"{line_id}/changeovers"),
    )
    places = [BufferPlace(id=b, line=line, place=p, cap=cap) for b, p, cap in standing]
    return line, places
