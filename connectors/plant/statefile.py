"""What the plant leaves behind every second, so that a restart goes on where it was."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import InputError
from twin.samples import from_us


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantState:
    """Time, speed and counters of a plant.

    Parameters
    ----------
    at_us
        Park time [us].
    speed
        Seconds of park time per wall second.
    counters
        Readings by tag path.
    first_us
        Park time at its very first start; planned faults count from it [us].
    """

    at_us: int
    first_us: int
    speed: float
    counters: Mapping[str, float]


def write_state(file: Path, state: PlantState) -> None:
    """Replace the file as a whole; a reader never sees half of it."""
    row = {
        "at": from_us(state.at_us).isoformat(),
        "at_us": state.at_us,
        "first_us": state.first_us,
        "speed": state.speed,
        "counters": dict(state.counters),
    }
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(json.dumps(row), encoding="utf-8")
    fresh.replace(file)


def read_state(file: Path) -> PlantState | None:
    """The state a plant left; None when there is none.

    Raises
    ------
    InputError
        When the file is not one of ours.
    """
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
        counters = {str(path): float(value) for path, value in row["counters"].items()}
        return PlantState(
            at_us=int(row["at_us"]),
            first_us=int(row.get("first_us", row["at_us"])),
            speed=float(row["speed"]),
            counters=counters,
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} is no state of a plant ({error})", "remove it to start afresh", "--state"
        ) from error
