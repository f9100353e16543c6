"""Electricity tariffs as dated data: prices, time-of-use windows, VAT, sale of surplus.

A tariff changes by decision, in parts and on different days; so each part is a list of editions
with the days they are in force and their source. Nothing here knows a country: the editions of
Viet Nam are in ``models/data/vn_tariffs.json``.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, TypeAdapter

from models.errors import InputError, NotFound
from models.sourced import Provenance, check_order, in_force, packaged, read_as

DAY_MINUTES: Final = 1440


class Window(StrEnum):
    """The three registers of a time-of-use meter."""

    NORMAL = "normal"
    PEAK = "peak"
    OFF_PEAK = "off_peak"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayWindows:
    """The windows of one kind of day; together they cover it exactly once.

    Parameters
    ----------
    normal, peak, off_peak
        Spans of local time such as ``17:30-22:30``; one that ends before it starts runs over
        midnight (its late part belongs to the same kind of day).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    normal: tuple[str, ...]
    peak: tuple[str, ...] = ()
    off_peak: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        reached = 0
        for start, end, window in self.spans():
            if start != reached:
                kind = "a gap" if start > reached else "an overlap"
                raise ValueError(f"{kind} at {_clock(min(start, reached))} before {window}")
            reached = end
        if reached != DAY_MINUTES:
            raise ValueError(f"the day ends at {_clock(reached)}, not at 24:00")

    def spans(self) -> tuple[tuple[int, int, Window], ...]:
        """Return (start, end, window) in minutes of the local day, in order."""
        named = ((Window.NORMAL, self.normal), (Window.PEAK, self.peak))
        found: list[tuple[int, int, Window]] = []
        for window, texts in (*named, (Window.OFF_PEAK, self.off_peak)):
            for text in texts:
                start, end = _span(text)
                wraps = end <= start
                pieces = ((start, DAY_MINUTES), (0, end)) if wraps else ((start, end),)
                found += [(a, b, window) for a, b in pieces if a < b]
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Windows by kind of day.

    Parameters
    ----------
    working
        Monday to Saturday.
    sunday
        Sunday.
    holiday
        Public holidays; None when they follow their weekday.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    working: DayWindows
    sunday: DayWindows
    holiday: DayWindows | None = None

    def of(self, day: date, holidays: frozenset[date]) -> DayWindows:
        """Return the windows of a local day."""
        if self.holiday is not None and day in holidays:
            return self.holiday
        return self.sunday if day.weekday() == 6 else self.working


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEdition:
    """Time-of-use windows in force from one local day to the day before another."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    effective_from: date
    effective_to: date | None
    days: Days
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltageClass:
    """Prices of one voltage class, VAT excluded.

    Parameters
    ----------
    name
        What the class is called on a bill.
    from_kv, below_kv
        Supply voltages of the class [kV]; the upper end is excluded, None when there is none.
    normal_vnd_kwh, peak_vnd_kwh, off_peak_vnd_kwh
        Energy prices [VND/kWh].
    capacity_vnd_kw_month
        Price of the month's largest 30-minute mean power [VND/kW]; 0 for a one-part tariff.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    from_kv: float
    below_kv: float | None
    normal_vnd_kwh: float
    peak_vnd_kwh: float
    off_peak_vnd_kwh: float
    capacity_vnd_kw_month: float = 0.0

    def price_vnd_kwh(self, window: Window) -> float:
        """Return the energy price of a window [VND/kWh]."""
        prices = {
            Window.NORMAL: self.normal_vnd_kwh,
            Window.PEAK: self.peak_vnd_kwh,
            Window.OFF_PEAK: self.off_peak_vnd_kwh,
        }
        return prices[window]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEdition:
    """Prices by voltage class, in force from one local day to the day before another."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    effective_from: date
    effective_to: date | None
    classes: tuple[VoltageClass, ...]
    provenance: Provenance

    def of(self, voltage_kv: float) -> VoltageClass:
        """Return the class of a supply voltage [kV]."""
        for one in self.classes:
            if one.from_kv <= voltage_kv and (one.below_kv is None or voltage_kv < one.below_kv):
                return one
        names = ", ".join(one.name for one in self.classes)
        raise InputError(f"no price for a supply at {voltage_kv} kV", f"classes are {names}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VatEdition:
    """Value-added tax on electricity: a rate, e.g. 0.08."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    effective_from: date
    effective_to: date | None
    rate: float
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class SurplusEdition:
    """Sale of surplus from self-supplied solar.

    Parameters
    ----------
    share
        Largest share of the solar output that may be sold [1].
    price_vnd_kwh
        What is paid for it [VND/kWh].
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    effective_from: date
    effective_to: date | None
    share: float
    price_vnd_kwh: float
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One tariff with all its editions.

    Parameters
    ----------
    id
        Its id in park files, e.g. ``vn_industrial_one_part``.
    label
        Name by language.
    zone
        IANA zone the windows are written in.
    prices, windows, vat, surplus
        Editions in the order of time; gaps are allowed, overlaps are not.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    label: dict[str, str]
    zone: str
    prices: tuple[PriceEdition, ...]
    windows: tuple[WindowEdition, ...]
    vat: tuple[VatEdition, ...]
    surplus: tuple[SurplusEdition, ...] = ()

    def __post_init__(self) -> None:
        ZoneInfo(self.zone)
        check_order(self.prices, "the price")
        check_order(self.windows, "the windows")
        check_order(self.vat, "the VAT")
        check_order(self.surplus, "the surplus rule")

    def prices_on(self, day: date) -> PriceEdition:
        """Return the prices in force on a local day."""
        return in_force(self.prices, day, f"price of {self.id}")

    def windows_on(self, day: date) -> WindowEdition:
        """Return the windows in force on a local day."""
        return in_force(self.windows, day, f"time-of-use window of {self.id}")

    def vat_on(self, day: date) -> VatEdition:
        """Return the VAT in force on a local day."""
        return in_force(self.vat, day, f"VAT of {self.id}")

    def surplus_on(self, day: date) -> SurplusEdition:
        """Return the rule for selling surplus in force on a local day."""
        return in_force(self.surplus, day, f"surplus rule of {self.id}")


_TARIFF: Final = TypeAdapter(Tariff)
_TARIFFS: Final = TypeAdapter(dict[str, tuple[Tariff, ...]])


def tariff_from(data: object, file: str = "") -> Tariff:
    """Read one tariff from plain data (the shape of an entry of ``vn_tariffs.json``).

    Raises
    ------
    InvalidInput
        Listing every fault with its path: unknown keys, windows that do not cover the day once,
        editions that overlap.
    """
    return read_as(data, _TARIFF, file)


def known_tariffs() -> dict[str, Tariff]:
    """Return the tariffs shipped with parktwin, by id."""
    file = "vn_tariffs.json"
    return {one.id: one for one in read_as(packaged(file), _TARIFFS, file)["tariffs"]}


def tariff_named(name: str) -> Tariff:
    """Return the shipped tariff of that id, or say which ids are near."""
    known = known_tariffs()
    if name not in known:
        raise NotFound("tariff", name, tuple(known))
    return known[name]


def _span(text: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is no span: write it as 17:30-22:30")
    return _minutes(start), _minutes(end)


def _minutes(text: str) -> int:
    hours, colon, minutes = text.strip().partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2):
        raise ValueError(f"{text!r} is no time of day: write it as 17:30")
    total = int(hours) * 60 + int(minutes)
    if total > DAY_MINUTES or int(minutes) > 59:
        raise ValueError(f"{text!r} is no time of day: write it as 17:30")
    return total


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
