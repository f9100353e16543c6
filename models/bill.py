"""What a series of energy costs under a dated tariff: exact windows, whole dong, lines that add up.

The steps of the series need not match the windows: a step that crosses 17:30 is split there, its
energy spread evenly over it. Windows are counted in whole microseconds, so nothing is lost.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.tariff import PriceEdition, Tariff, VoltageClass, Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEMAND_US: Final = 30 * 60 * 1_000_000
"""The capacity part is priced on means over 30 minutes."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A run of equal time steps.

    Parameters
    ----------
    start_us
        Start of the first step, microseconds since 1970 UTC.
    step_us
        Length of a step [us].
    steps
        How many.
    """

    start_us: int
    step_us: int
    steps: int

    def __post_init__(self) -> None:
        if self.step_us <= 0 or self.steps < 0:
            raise InputError(
                f"a grid of {self.steps} steps of {self.step_us} us", "both must be positive"
            )

    @property
    def end_us(self) -> int:
        """End of the last step, microseconds since 1970 UTC."""
        return self.start_us + self.steps * self.step_us

    @property
    def step_h(self) -> float:
        """Length of a step [h]."""
        return self.step_us / 3.6e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A piece of time with one price: one window of one local day.

    Parameters
    ----------
    start_us, end_us
        Its ends, microseconds since 1970 UTC.
    window
        The register it counts to.
    price
        Prices of the supply's class on that day.
    edition
        First days of the price and window editions and the VAT rate: what makes a bill line.
    """

    start_us: int
    end_us: int
    window: Window
    price: VoltageClass
    edition: tuple[date, date, float]

    @property
    def price_vnd_kwh(self) -> float:
        """Price of energy in it, VAT excluded [VND/kWh]."""
        return self.price.price_vnd_kwh(self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of a bill, VAT excluded.

    Parameters
    ----------
    item
        ``normal``, ``peak``, ``off_peak``, ``capacity`` or ``reactive``.
    first, last
        First and last local day it counts.
    quantity
        Energy [kWh], or power [kW] for ``capacity``; for ``reactive`` the energy amount [VND] it
        is a share of.
    price_vnd
        Price of one of it [VND]; for ``reactive`` the coefficient k.
    amount_vnd
        Quantity × price × share, rounded half up to whole dong.
    vat_rate
        Rate that applies to it, e.g. 0.08.
    share
        For ``capacity`` the part of the month's billed days that the price held; otherwise 1.
    """

    item: str
    first: date
    last: date
    quantity: float
    price_vnd: float
    amount_vnd: int
    vat_rate: float
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A bill; the total is the sum of its lines and its VAT, to the dong."""

    tariff: str
    voltage_class: str
    lines: tuple[BillLine, ...]

    @property
    def net_vnd(self) -> int:
        """Sum of the lines [VND]."""
        return sum(line.amount_vnd for line in self.lines)

    @property
    def vat_vnd(self) -> int:
        """VAT, rounded half up once per rate [VND]."""
        rates = {line.vat_rate for line in self.lines}
        return sum(
            dong(sum(line.amount_vnd for line in self.lines if line.vat_rate == rate) * rate)
            for rate in sorted(rates)
        )

    @property
    def total_vnd(self) -> int:
        """What is to be paid [VND]."""
        return self.net_vnd + self.vat_vnd


def slots(
    tariff: Tariff, grid: Grid, voltage_kv: float, holidays: frozenset[date] = frozenset()
) -> tuple[Slot, ...]:
    """Cut the time of a grid at every window, midnight and change of edition.

    Parameters
    ----------
    tariff
        The tariff; its zone says where a day begins.
    grid
        The time to cover.
    voltage_kv
        Supply voltage [kV].
    holidays
        Local days that are public holidays.

    Returns
    -------
    tuple[Slot, ...]
        Adjoining slots in order, from at or before the grid's start to at or after its end.

    Raises
    ------
    InputError
        If a day has no edition.
    """
    zone = ZoneInfo(tariff.zone)
    day = _local(grid.start_us, zone).date()
    found: list[Slot] = []
    while _utc_us(day, 0, zone) < grid.end_us:
        prices, windows = tariff.prices_on(day), tariff.windows_on(day)
        edition = (prices.effective_from, windows.effective_from, tariff.vat_on(day).rate)
        found += [
            Slot(
                start_us=_utc_us(day, start, zone),
                end_us=_utc_us(day, end, zone),
                window=window,
                price=prices.of(voltage_kv),
                edition=edition,
            )
            for start, end, window in windows.days.of(day, holidays).spans()
        ]
        day += timedelta(days=1)
    return tuple(found)


def share_of_steps(grid: Grid, chosen: list[Slot]) -> Floats:
    """Share of each step of the grid that lies in the chosen slots.

    Returns
    -------
    Floats
        [steps], between 0 and 1; exact, because both are counted in whole microseconds.
    """
    edges = grid.start_us + grid.step_us * np.arange(grid.steps + 1, dtype=np.int64)
    if not chosen:
        return np.zeros(grid.steps)
    starts = np.array([slot.start_us for slot in chosen], np.int64)
    lengths = np.array([slot.end_us - slot.start_us for slot in chosen], np.int64)
    before = np.concatenate(([0], np.cumsum(lengths)))
    at = np.searchsorted(starts, edges, side="right") - 1
    inside = np.clip(edges - starts[np.maximum(at, 0)], 0, lengths[np.maximum(at, 0)])
    covered = np.where(at < 0, 0, before[np.maximum(at, 0)] + inside)
    shares: Floats = np.diff(covered) / grid.step_us
    return shares


def prices(
    tariff: Tariff, grid: Grid, voltage_kv: float, holidays: frozenset[date] = frozenset()
) -> Floats:
    """Price of energy in each step, VAT excluded: the mean over the step [VND/kWh], [steps]."""
    cut = slots(tariff, grid, voltage_kv, holidays)
    mean = np.zeros(grid.steps)
    for price in sorted({slot.price_vnd_kwh for slot in cut}):
        mean += price * share_of_steps(grid, [s for s in cut if s.price_vnd_kwh == price])
    return mean


def split_kwh(
    tariff: Tariff,
    grid: Grid,
    energy_kwh: npt.ArrayLike,
    holidays: frozenset[date] = frozenset(),
) -> dict[Window, float]:
    """Energy per register [kWh]: what a time-of-use meter would have counted.

    Parameters
    ----------
    energy_kwh
        [steps], energy of each step [kWh].
    """
    energy = _checked(grid, energy_kwh)
    voltage_kv = tariff.prices[0].classes[0].from_kv
    cut = slots(tariff, grid, voltage_kv, holidays)
    return {
        window: float(energy @ share_of_steps(grid, [s for s in cut if s.window is window]))
        for window in Window
    }


def bill(
    tariff: Tariff,
    grid: Grid,
    energy_kwh: npt.ArrayLike,
    voltage_kv: float,
    *,
    holidays: frozenset[date] = frozenset(),
    reactive_k: float = 0.0,
) -> Bill:
    """Bill a series of energy taken from the grid.

    Parameters
    ----------
    tariff
        The tariff with its editions; a change inside the period makes separate lines.
    grid
        Time steps; the series may start and end anywhere.
    energy_kwh
        [steps], energy of each step [kWh], not negative.
    voltage_kv
        Supply voltage [kV].
    holidays
        Local days that are public holidays.
    reactive_k
        Coefficient of the reactive power charge, from `models.reactive.charge_coefficient`.

    Returns
    -------
    Bill
        Lines by window and edition, then capacity by month and edition, then reactive power.
    """
    energy = _checked(grid, energy_kwh)
    cut = slots(tariff, grid, voltage_kv, holidays)
    zone = ZoneInfo(tariff.zone)
    lines: list[BillLine] = []
    for edition in sorted({slot.edition for slot in cut}):
        for window in Window:
            chosen = [s for s in cut if s.edition == edition and s.window is window]
            if chosen:
                kwh = float(energy @ share_of_steps(grid, chosen))
                lines.append(_energy_line(chosen, kwh, grid, zone))
    energy_vnd = sum(line.amount_vnd for line in lines)
    lines += _capacity_lines(tariff, grid, energy, voltage_kv)
    if reactive_k > 0.0 and lines:
        lines.append(
            BillLine(
                item="reactive",
                first=min(line.first for line in lines),
                last=max(line.last for line in lines),
                quantity=float(energy_vnd),
                price_vnd=reactive_k,
                amount_vnd=dong(energy_vnd * reactive_k),
                vat_rate=lines[-1].vat_rate,
            )
        )
    name = cut[-1].price.name if cut else ""
    return Bill(tariff=tariff.id, voltage_class=name, lines=tuple(lines))


def dong(amount_vnd: float) -> int:
    """Round an amount half up to whole dong, free of the binary dust of its float."""
    return int(Decimal(repr(round(float(amount_vnd), 6))).quantize(Decimal(1), ROUND_HALF_UP))


def _energy_line(chosen: list[Slot], kwh: float, grid: Grid, zone: ZoneInfo) -> BillLine:
    price = chosen[0].price_vnd_kwh
    first = max(chosen[0].start_us, grid.start_us)
    last = min(chosen[-1].end_us, grid.end_us) - 1
    return BillLine(
        item=chosen[0].window.value,
        first=_local(first, zone).date(),
        last=_local(max(last, first), zone).date(),
        quantity=kwh,
        price_vnd=price,
        amount_vnd=dong(kwh * price),
        vat_rate=chosen[0].edition[2],
    )


def _capacity_lines(
    tariff: Tariff, grid: Grid, energy: Floats, voltage_kv: float
) -> list[BillLine]:
    """One line per local month and edition that has a capacity price.

    A month has one demand, its largest 30-minute mean. Where its price or VAT changes inside the
    month, each edition is paid pro rata of its days among the days billed, so that a change
    announced with the same price changes nothing (`docs/decisions/007-capacity-pro-rata.md`).
    """
    editions = [e for e in tariff.prices if _has_capacity(e, voltage_kv)]
    if not editions or not grid.steps:
        return []
    if DEMAND_US % grid.step_us or grid.start_us % DEMAND_US:
        raise InputError(
            f"steps of {grid.step_us} us do not fill half hours",
            "start at a full or half hour with a step that divides 30 min",
        )
    per = DEMAND_US // grid.step_us
    whole = np.concatenate((energy, np.zeros(-len(energy) % per)))
    demand_kw = whole.reshape(-1, per).sum(axis=1) / (DEMAND_US / 3.6e9)
    zone = ZoneInfo(tariff.zone)
    peaks_kw: dict[date, float] = {}
    for i, kw in enumerate(demand_kw.tolist()):
        day = _local(grid.start_us + i * DEMAND_US, zone).date()
        peaks_kw[day] = max(kw, peaks_kw.get(day, 0.0))
    lines: list[BillLine] = []
    for month in sorted({(day.year, day.month) for day in peaks_kw}):
        days = [day for day in peaks_kw if (day.year, day.month) == month]
        peak_kw = max(peaks_kw[day] for day in days)
        lines += _capacity_of_month(tariff, days, peak_kw, voltage_kv)
    return lines


def _capacity_of_month(
    tariff: Tariff, days: list[date], peak_kw: float, voltage_kv: float
) -> list[BillLine]:
    """Lines of the billed days of one month, one per price edition and VAT rate with a price."""
    held: dict[tuple[PriceEdition, float], list[date]] = {}
    for day in days:
        held.setdefault((tariff.prices_on(day), tariff.vat_on(day).rate), []).append(day)
    lines: list[BillLine] = []
    for (edition, vat_rate), its_days in held.items():
        price = edition.of(voltage_kv).capacity_vnd_kw_month
        share = len(its_days) / len(days)
        if price > 0.0:
            lines.append(
                BillLine(
                    item="capacity",
                    first=its_days[0],
                    last=its_days[-1],
                    quantity=peak_kw,
                    price_vnd=price,
                    amount_vnd=dong(peak_kw * price * share),
                    vat_rate=vat_rate,
                    share=share,
                )
            )
    return lines


def _has_capacity(edition: PriceEdition, voltage_kv: float) -> bool:
    return edition.of(voltage_kv).capacity_vnd_kw_month > 0.0


def _checked(grid: Grid, energy_kwh: npt.ArrayLike) -> Floats:
    energy = np.asarray(energy_kwh, np.float64)
    if energy.shape != (grid.steps,):
        raise InputError(
            f"{energy.shape} energies for {grid.steps} steps", "give one number per step"
        )
    if not np.all(np.isfinite(energy)) or bool(np.any(energy < 0.0)):
        raise InputError(
            "the energies hold negative or missing numbers",
            "bill what was taken from the grid; fill gaps with an estimate first",
        )
    return energy


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def _utc_us(day: date, minute: int, zone: ZoneInfo) -> int:
    """Microseconds since 1970 of a minute of a local day (1440: the next midnight)."""
    if minute == 24 * 60:
        day, minute = day + timedelta(days=1), 0
    at = datetime.combine(day, time(minute // 60, minute % 60), tzinfo=zone)
    return round((at - _EPOCH) / timedelta(microseconds=1))
