"""Electric load of tenants that are known by their meter or only by their sector.

A template is the assumed shape of a sector's day; what is measured replaces it step by step: each
quarter hour of each kind of day weighs the template as two days of measurements. A forecast is
that profile, lifted or lowered to where the load stands now, with the quantiles of its own past
errors. Without a history it is the template alone and says so (`estimated`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter
from scipy import special

from models.bill import Grid
from models.draws import Stream
from models.errors import InputError, NotFound
from models.noise import correlated_normals
from models.sourced import Provenance, packaged, read_as

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SLOTS: Final = 96
"""Quarter hours of a day."""
TEMPLATE_DAYS: Final = 2.0
"""Days of measurements a template is worth."""
SPREAD: Final = 0.12
"""Assumed spread of the logarithm of load over profile where nothing is measured [1]."""
MEMORY_S: Final = 3 * 3600.0
"""Time over which a deviation from the profile is forgotten [s]; an assumption."""
LEAST_ERRORS: Final = 2 * SLOTS
"""Measured quarter hours from which a forecast's quantiles are its own."""
_FLOOR: Final = 0.02
"""Smallest share of the mean load that counts in a ratio (a dead meter must not divide)."""
_HOUR_US: Final = 3_600_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DayKind(IntEnum):
    """Kinds of day with a load shape of their own."""

    WORKING = 0
    SATURDAY = 1
    SUNDAY = 2
    HOLIDAY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTemplate:
    """Assumed load shapes of a sector, as shares of its yearly peak.

    Parameters
    ----------
    id
        Its id in park files.
    label
        Name by language.
    working, saturday, sunday, holiday
        96 shares each, quarter hours from local midnight.
    provenance
        Its source; `assumed` for those shipped.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    label: dict[str, str]
    working: tuple[float, ...]
    saturday: tuple[float, ...]
    sunday: tuple[float, ...]
    holiday: tuple[float, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        for shape in (self.working, self.saturday, self.sunday, self.holiday):
            if len(shape) != SLOTS or not all(0.0 <= share <= 1.0 for share in shape):
                raise ValueError(f"a shape has {SLOTS} shares between 0 and 1")

    def shares(self) -> Floats:
        """All shapes, [DayKind, SLOTS]."""
        return np.array([self.working, self.saturday, self.sunday, self.holiday])


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Which local day is what.

    Parameters
    ----------
    zone
        IANA zone.
    holidays
        Local days off.
    swapped
        Local days that are worked although the calendar says otherwise.
    """

    zone: str
    holidays: frozenset[date] = frozenset()
    swapped: frozenset[date] = frozenset()

    def kind(self, day: date) -> DayKind:
        """Return the kind of a local day."""
        if day in self.swapped:
            return DayKind.WORKING
        if day in self.holidays:
            return DayKind.HOLIDAY
        return {5: DayKind.SATURDAY, 6: DayKind.SUNDAY}.get(day.weekday(), DayKind.WORKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadForecast:
    """A load to come.

    Parameters
    ----------
    expected_kw
        [steps], median course [kW].
    quantiles
        Which quantiles the band has.
    band_kw
        [quantiles, steps], kW; rising with the quantile.
    estimated
        Whether it rests on a template more than on measurements.
    measured_days
        Days of measurements behind it.
    spread
        Standard deviation of the logarithm of load over profile [1]; for simulated paths.
    """

    expected_kw: Floats
    quantiles: tuple[float, ...]
    band_kw: Floats
    estimated: bool
    measured_days: float
    spread: float


def places(grid: Grid, calendar: Calendar) -> tuple[Ints, Ints]:
    """Kind of day and quarter hour of the local day of each step's middle, [steps] each."""
    zone = ZoneInfo(calendar.zone)
    middles = grid.start_us + grid.step_us * np.arange(grid.steps, dtype=np.int64)
    middles += grid.step_us // 2
    hours, where = np.unique(middles // _HOUR_US, return_inverse=True)
    offsets = np.array([_offset_us(int(hour) * _HOUR_US, zone) for hour in hours], np.int64)
    local = middles + offsets[where] if len(hours) else middles
    days, which = np.unique(local // (24 * _HOUR_US), return_inverse=True)
    kinds = [calendar.kind((_EPOCH + timedelta(days=int(day))).date()) for day in days]
    slots = (local % (24 * _HOUR_US)) * SLOTS // (24 * _HOUR_US)
    return np.array(kinds, np.int64)[which] if kinds else slots, slots


def template_load_kw(
    template: LoadTemplate, peak_kw: float, grid: Grid, calendar: Calendar
) -> Floats:
    """Load of a tenant known by its sector and peak only [kW], [steps]."""
    if not (np.isfinite(peak_kw) and peak_kw >= 0.0):
        raise InputError(f"a peak of {peak_kw} kW", "give a number from 0 up")
    kinds, slots = places(grid, calendar)
    load: Floats = peak_kw * template.shares()[kinds, slots]
    return load


def noisy_paths_kw(
    expected_kw: npt.ArrayLike,
    step_s: float,
    *,
    spread: float = SPREAD,
    memory_s: float = MEMORY_S,
    seed: int,
    replications: npt.ArrayLike,
    key: int,
    start: npt.ArrayLike | None = None,
) -> Floats:
    """Simulate courses of a load around its expected one.

    Multiplicative lognormal noise with a memory; its median is 1, so the expected course is the
    median of the paths.

    Parameters
    ----------
    expected_kw
        [steps], kW.
    spread, memory_s
        Standard deviation of the logarithm [1]; time over which a deviation is forgotten [s].
    seed, replications, key
        Key of the draws.
    start
        Deviation now, in standard deviations; drawn when None.

    Returns
    -------
    Floats
        [R, steps], kW.
    """
    expected = np.asarray(expected_kw, np.float64)
    noise = correlated_normals(
        len(expected),
        step_s,
        memory_s,
        seed=seed,
        stream=Stream.LOAD_NOISE,
        replications=replications,
        key=key,
        start=start,
    )
    paths: Floats = expected * np.exp(spread * noise)
    return paths


def forecast_load(
    history_kw: npt.ArrayLike,
    history: Grid,
    template: LoadTemplate,
    future: Grid,
    calendar: Calendar,
    *,
    peak_kw: float,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
) -> LoadForecast:
    """Forecast a load from its recent past, or from its template where it has none.

    Parameters
    ----------
    history_kw
        [history.steps], mean power of each step [kW]; NaN where nothing was measured. A few weeks
        are enough; it may be empty.
    history, future
        Time steps of the past and of the forecast.
    template, peak_kw
        Sector and peak, for what the past does not show.
    calendar
        Kinds of days, the same for both.
    quantiles
        Of the band, rising.

    Returns
    -------
    LoadForecast
        With the band from the profile's own past errors (each day judged by a profile made
        without it), or from an assumed spread while there are fewer than two days of them.
    """
    past = np.asarray(history_kw, np.float64)
    wanted = np.array(quantiles, np.float64)
    if past.shape != (history.steps,):
        raise InputError(f"{past.shape} loads for {history.steps} steps", "give one per step")
    if not len(wanted) or np.any(np.diff(wanted) <= 0.0) or not 0.0 < wanted[0] <= wanted[-1] < 1.0:
        raise InputError(f"quantiles {tuple(quantiles)}", "list rising numbers between 0 and 1")
    kinds, slots = places(history, calendar)
    measured = np.isfinite(past)
    shares = template.shares()
    scale = _level(past[measured], shares[kinds[measured], slots[measured]], peak_kw)
    prior = shares * scale
    total, count = _sums(past, kinds, slots, measured)
    profile = (total + TEMPLATE_DAYS * prior) / (count + TEMPLATE_DAYS)
    ratios = _past_ratios(past, kinds, slots, measured, prior, total, count)
    errors = np.log(ratios)
    own = len(errors) >= LEAST_ERRORS
    spread = float(np.std(errors)) if own else SPREAD
    lifted = _lift(ratios, np.flatnonzero(measured), history, future)
    to_kinds, to_slots = places(future, calendar)
    expected = profile[to_kinds, to_slots] * lifted
    cuts = np.quantile(errors, wanted) if own else SPREAD * special.ndtri(wanted)
    return LoadForecast(
        expected_kw=expected,
        quantiles=tuple(float(q) for q in wanted),
        band_kw=expected * np.exp(cuts)[:, None],
        estimated=not own,
        measured_days=len(errors) * history.step_us / (24 * _HOUR_US),
        spread=spread,
    )


def load_template(name: str) -> LoadTemplate:
    """Return a shipped template by id, or say which ids are near."""
    known = load_templates()
    if name not in known:
        raise NotFound("load template", name, tuple(known))
    return known[name]


def load_templates() -> dict[str, LoadTemplate]:
    """Return the shipped templates by id."""
    file = "load_templates.json"
    return {one.id: one for one in read_as(packaged(file), _TEMPLATES, file)["templates"]}


_TEMPLATES: Final = TypeAdapter(dict[str, tuple[LoadTemplate, ...]])


def _level(past: Floats, shares: Floats, peak_kw: float) -> float:
    """Peak that makes the template's energy equal the measured one; the given one with no past."""
    energy = float(shares.sum())
    return float(past.sum()) / energy if len(past) >= SLOTS // 4 and energy > 0.0 else peak_kw


def _sums(
    past: Floats, kinds: Ints, slots: Ints, measured: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Sum and number of measurements in each kind of day and quarter hour."""
    total, count = np.zeros((len(DayKind), SLOTS)), np.zeros((len(DayKind), SLOTS))
    where = (kinds[measured], slots[measured])
    np.add.at(total, where, past[measured])
    np.add.at(count, where, 1.0)
    return total, count


def _past_ratios(
    past: Floats,
    kinds: Ints,
    slots: Ints,
    measured: npt.NDArray[np.bool_],
    prior: Floats,
    total: Floats,
    count: Floats,
) -> Floats:
    """Measured load over the profile made without that very measurement, in order of time."""
    values, where = past[measured], (kinds[measured], slots[measured])
    without = (total[where] - values + TEMPLATE_DAYS * prior[where]) / (
        count[where] - 1.0 + TEMPLATE_DAYS
    )
    least = _FLOOR * float(values.mean()) if len(values) else 1.0
    least = max(least, 1e-9)
    ratios: Floats = np.maximum(values, least) / np.maximum(without, least)
    return ratios


def _lift(ratios: Floats, at: Ints, history: Grid, future: Grid) -> Floats:
    """Factor from the level of the last measured hour, forgotten with the lead, [future.steps]."""
    middles = future.start_us + future.step_us * (np.arange(future.steps) + 0.5)
    if not len(ratios):
        return np.ones(future.steps)
    recent = max(int(_HOUR_US // history.step_us), 1)
    level = float(np.log(ratios[-recent:]).mean())
    last_us = history.start_us + history.step_us * (int(at[-1]) + 1)
    lead_s = np.maximum(middles - last_us, 0.0) / 1e6
    factor: Floats = np.exp(level * np.exp(-lead_s / MEMORY_S))
    return factor


def _offset_us(at_us: int, zone: ZoneInfo) -> int:
    at = (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)
    offset = at.utcoffset() or timedelta(0)
    return round(offset / timedelta(microseconds=1))
