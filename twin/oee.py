"""ISO 22400-2 elements of machines and lines, and the ratios made of them.

Elements add up, ratios do not: the OEE of a shift, a site or a park comes from the sums of its
elements, never from a mean of ratios. A ratio above 1 is kept and flagged: then a planned value
(most often PRI, the planned run time per item) is wrong.

A ratio is told once its divisor means something, and is unknown (NaN) before. ISO 22400-2 defines
KPIs over a shift or an order and names no shortest window, so the rule is ours: no single part and
no late reading may move a ratio by more than about ten points.

- A time as divisor (PBT, APT, AUBT, ...) must hold `LEAST_S` and `LEAST_CYCLES` planned cycles. A
  part counts when it is finished, so a window is off by up to one part: PRI / APT <= 1/10. States
  are told up to a few seconds late; of five minutes that is a hundredth.
- A quantity as divisor (PQ) must be at least `LEAST_PARTS`: one part is a tenth of it.
- Of a site or the park the sums must hold that for each line that has worked or should have.

The elements come from the machine states of OPC 40001-1 (`twin.metrics`):

======  ==============================================================================
APT     actual production time: executing, less set-up
AUST    actual set-up time: operation mode Setup
ADET    actual delay time: not executing (starved, blocked, waiting)
ADOT    down time: out of service
PBT     planned busy time: from the calendar
PRI·PQ  planned run time of what was produced
PQ, SQ  produced and scrap quantity; GQ = PQ − SQ
======  ==============================================================================
"""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import InputError

Floats = npt.NDArray[np.float64]

NOT_AVAILABLE, OUT_OF_SERVICE, NOT_EXECUTING, EXECUTING = range(4)
"""Codes of ``item_state``."""
SETUP: Final = 2
"""Code of ``operation_mode``."""
LEAST_S: Final = 300.0
LEAST_CYCLES: Final = 10.0
LEAST_PARTS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Elements of n machines or lines over one window; arrays of equal length.

    Parameters
    ----------
    plan_s, pbt_s
        Planned busy time, and that of it which was observed [s]: what nobody saw is no delay.
    apt_s, aust_s, adet_s, adot_s
        Times [s], see the module.
    run_s
        PRI · PQ [s].
    made, good
        Quantities for the quality ratio: of a machine PQ and GQ; of a line what left it good, and
        that plus all scrap on its way.
    observed_s, window_s
        Seconds with a good machine state, and length of the window [s].
    least_s, least_parts
        What a time and a quantity must hold to be a divisor; 0 of what neither worked nor should.
    """

    plan_s: Floats
    pbt_s: Floats
    apt_s: Floats
    aust_s: Floats
    adet_s: Floats
    adot_s: Floats
    run_s: Floats
    made: Floats
    good: Floats
    observed_s: Floats
    window_s: Floats
    least_s: Floats
    least_parts: Floats

    def __post_init__(self) -> None:
        sizes = {getattr(self, each.name).shape for each in fields(self)}
        if len(sizes) != 1:
            raise InputError(f"elements of different lengths {sorted(sizes)}", "give one per asset")

    def grouped(self, group: npt.NDArray[np.intp], n: int) -> "Elements":
        """Sums per group: `group` says to which of n groups each entry belongs."""
        return Elements(
            **{
                each.name: np.bincount(group, getattr(self, each.name), n).astype(np.float64)
                for each in fields(self)
            }
        )

    def total(self) -> "Elements":
        """The sum of all entries, as one."""
        return self.grouped(np.zeros(len(self.apt_s), np.intp), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Ratios of n entries [1]; NaN where the divisor is 0 or too small to tell.

    Parameters
    ----------
    availability, effectiveness, quality, oee
        A = APT / PBT, E = PRI·PQ / APT, Q = GQ / PQ, OEE = A · E · Q.
    good_fraction
        Share of the window with a good machine state.
    doubtful
        Whether E is above 1: PRI is too long.
    """

    availability: Floats
    effectiveness: Floats
    quality: Floats
    oee: Floats
    good_fraction: Floats
    doubtful: npt.NDArray[np.bool_]


def ratios(elements: Elements) -> Ratios:
    """Ratios of ISO 22400-2 from summed elements, as soon as they mean something (see the module).

    A planned window in which nothing ran has A = 0 and OEE = 0 although E and Q have no value. One
    part moves OEE by PRI / PBT, so it may be told before E and Q are.
    """
    found = raw_ratios(elements)
    planned = lasted(elements, elements.pbt_s)
    return replace(
        found,
        availability=np.where(planned, found.availability, np.nan),
        effectiveness=np.where(lasted(elements, elements.apt_s), found.effectiveness, np.nan),
        quality=np.where(counted(elements), found.quality, np.nan),
        oee=np.where(planned, found.oee, np.nan),
    )


def raw_ratios(elements: Elements) -> Ratios:
    """The same whatever they mean: for KPIs that are judged by their own divisor."""
    availability = divided(elements.apt_s, elements.pbt_s)
    effectiveness = divided(elements.run_s, elements.apt_s)
    quality = divided(elements.good, elements.made)
    oee = np.where(availability == 0.0, 0.0, availability * effectiveness * quality)
    return Ratios(
        availability=availability,
        effectiveness=effectiveness,
        quality=quality,
        oee=oee,
        good_fraction=np.clip(divided(elements.observed_s, elements.window_s), 0.0, 1.0),
        doubtful=np.asarray(effectiveness > 1.0),
    )


def lasted(elements: Elements, seconds: Floats) -> npt.NDArray[np.bool_]:
    """Whether a time [s] is long enough to divide by."""
    return np.asarray((seconds > 0.0) & (seconds >= elements.least_s))


def counted(elements: Elements) -> npt.NDArray[np.bool_]:
    """Whether enough was made to divide by."""
    return np.asarray((elements.made > 0.0) & (elements.made >= elements.least_parts))


def divided(above: Floats, below: Floats) -> Floats:
    """Quotient, NaN where the divisor is not above 0."""
    out = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) > 0.0)
    return out


def machine_elements(
    *,
    item_s: Floats,
    setup_s: Floats,
    observed_s: Floats,
    produced: Floats,
    scrap: Floats,
    pri_s: Floats,
    plan_s: Floats,
    window_s: float,
    pbt_s: Floats | None = None,
) -> Elements:
    """Elements of machines from what their states and counters gained in a window.

    Parameters
    ----------
    item_s
        [n, 4], seconds per code of ``item_state``.
    setup_s
        Seconds of operation mode Setup; a machine without that tag has 0.
    observed_s
        Seconds with a good ``item_state``.
    produced, scrap
        Increase of the part and scrap counters; PQ counts scrap too.
    pri_s, plan_s
        Planned cycle, and planned busy time in the window [s].
    window_s
        Length of the window [s].
    pbt_s
        The planned busy time that was observed [s]; None where that is all of it.
    """
    executing = item_s[:, EXECUTING]
    works = (plan_s > 0.0) | (executing > 0.0) | (produced > 0.0)
    return Elements(
        plan_s=plan_s,
        pbt_s=plan_s if pbt_s is None else pbt_s,
        apt_s=np.maximum(executing - setup_s, 0.0),
        aust_s=np.minimum(setup_s, executing),
        adet_s=item_s[:, NOT_EXECUTING],
        adot_s=item_s[:, OUT_OF_SERVICE],
        run_s=pri_s * produced,
        made=produced,
        good=np.maximum(produced - scrap, 0.0),
        observed_s=observed_s,
        window_s=np.full(len(produced), window_s),
        least_s=np.where(works, np.maximum(LEAST_S, LEAST_CYCLES * pri_s), 0.0),
        least_parts=np.where(works, LEAST_PARTS, 0.0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LineMap:
    """Which machines make up which lines.

    Parameters
    ----------
    line
        [machines], index of each machine's line.
    constraint
        [lines], machine with the longest planned cycle (the first of equals): it sets the pace, so
        time and speed of the line are judged by it.
    last
        [lines], machine at the end: what leaves it good is the line's output.
    """

    line: npt.NDArray[np.intp]
    constraint: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]


def line_elements(machines: Elements, scrap: Floats, lines: LineMap) -> Elements:
    """Elements of lines: time and speed of the constraint, quality of the whole line.

    Parameters
    ----------
    machines
        Elements of all machines.
    scrap
        Scrap of each machine.
    lines
        Which machine belongs where.
    """
    n = len(lines.last)
    good = machines.good[lines.last]
    lost = np.bincount(lines.line, scrap, n)
    paced = {
        each.name: getattr(machines, each.name)[lines.constraint]
        for each in fields(Elements)
        if each.name not in ("made", "good")
    }
    return Elements(**paced, made=good + lost, good=good)
