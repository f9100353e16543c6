"""Figures of now: every number a page shows live, with its unit, its quality and its lineage.

A park has a fixed, ordered list of `FigureSpec`s; each second the twin computes one `Now`: arrays
in the same order. Ids are ``<scope>.<name>`` or ``<scope>.<asset>.<name>``:

park.load_mw, park.grid_import_mw, park.station_mva, park.station_loading_pct, park.headroom_mva,
park.n1_loading_pct, park.n1_minutes, park.pv_mw, park.pv_share_pct, park.bess_mw,
park.bess_soc_pct, park.cos_phi, park.co2_kg_h, park.energy_today_mwh, park.peak_today_mw,
park.cost_today_mvnd, park.co2_today_t, park.measured_pct, park.oee_pct, park.output_today,
park.output_rate_h, park.gate_queue, park.turn_p50_min, park.turn_p90_min, park.trucks_today,
park.yard_pct, park.docks_busy, park.berths_busy, park.endpoints_up, park.endpoints,
park.tags_good_pct, transformer.<id>.mva, transformer.<id>.loading_pct, transformer.<id>.oil_c,
feeder.<id>.mw, feeder.<id>.amps, feeder.<id>.loading_pct, pv.<id>.kw, pv.<id>.expected_kw,
pv.<id>.yield_pct, bess.<id>.kw, bess.<id>.soc_pct, site.<id>.kw, site.<id>.kwh_today,
site.<id>.oee_pct, site.<id>.good_today, site.<id>.alarm (worst priority: 0 none … 4 critical),
line.<id>.oee_pct, line.<id>.availability_pct, line.<id>.effectiveness_pct, line.<id>.quality_pct,
line.<id>.good_today, line.<id>.rate_h, line.<id>.kwh_per_unit, line.<id>.bottleneck (number of the
machine in the line, from 1), machine.<id>.state (0 not available, 1 out of service, 2 not
executing, 3 executing), machine.<id>.kw, gate.<id>.queue, gate.<id>.busy, gate.<id>.turn_p90_min,
yard.<id>.occupied, dock.<id>.busy, berth.<id>.busy, wwtp.<id>.m3_h, endpoint.<id>.alive,
endpoint.<id>.trouble, endpoint.<id>.bad_pct, endpoint.<id>.certificate_days,
park.own_certificate_days.

`<id>` of an asset is its path below the park with ``/`` (``acme/moulding/l1``).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twin.label import NO_LABEL, Label


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSpec:
    """What a figure is: fixed for a park.

    Parameters
    ----------
    id
        See the module's list.
    label
        Name in both languages.
    unit
        Unit as shown; empty for counts and codes.
    decimals
        Digits shown after the decimal mark.
    asset
        Path of the asset it belongs to; empty for the park.
    low, high
        The normal band; None where there is none.
    scale_low, scale_high
        Ends of the bullet bar; None where a bar makes no sense.
    formula
        How it is computed, in both languages.
    inputs
        Paths of the tags it is computed from.
    source
        ``measured`` | ``derived`` | ``estimated``: whether it is read, computed from readings, or
        modelled; the live share is in `Now.measured`.
    table
        Name and status of the dated table behind it (tariff, emission factor), in both languages;
        empty if none.
    """

    id: str
    label: Label
    unit: str = ""
    decimals: int = 1
    asset: str = ""
    low: float | None = None
    high: float | None = None
    scale_low: float | None = None
    scale_high: float | None = None
    formula: Label = NO_LABEL
    inputs: tuple[str, ...] = ()
    source: str = "derived"
    table: Label = NO_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Values of all figures at one park time, in the order of the specs.

    Parameters
    ----------
    now_us
        Park time [us since 1970].
    value
        float64[n]; NaN where the figure is not known.
    quality
        uint8[n]: 0 good, 1 uncertain (stale, estimated, partly measured), 2 bad.
    measured
        float32[n], 0..1: share of the figure that comes from good measurements.
    """

    now_us: int
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]
    measured: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that buys headroom tonight.

    Parameters
    ----------
    id
        ``battery``, ``solar``, ``shift``, ``transfer``, ``curtail:<tenant>``.
    label
        What to do.
    mw
        How much it takes off the station at the evening peak [MW].
    minutes
        Minutes of N-1 headroom it buys.
    sufficient
        Whether alone it keeps the station inside its short-time limit.
    basis
        Where the number comes from and what is assumed.
    """

    id: str
    label: Label
    mw: float
    minutes: float
    sufficient: bool
    basis: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """Headroom of the station tonight: the forecast against both ratings.

    Parameters
    ----------
    at_us
        int64[t]: start of each 15-minute step.
    mva
        float64[t, 5]: 5, 25, 50, 75, 95 % quantiles of station load [MVA].
    rating_mva, n1_rating_mva
        Both transformers; the smallest set after losing the largest one [MVA].
    n1_minutes
        Minutes the remaining transformer carries the median evening load if the largest trips at
        the worst moment (short-time overload table); inf when it can carry it all night.
    n1_minutes_low
        The same at the 95 % load quantile.
    over_minutes
        Minutes tonight the median load stays above the N-1 rating.
    peak_at_us, peak_mva
        Time and size of the median peak still ahead; now, when the load only falls from now on.
    p_over
        Probability that the load exceeds `rating_mva` at that peak, and `n1_rating_mva`: of a
        lognormal law, hence never 0 or 1.
    p_least
        Smallest probability the data can tell: a smaller one, or one above its complement, is the
        law's and not the park's.
    actions
        What would buy more, best first.
    enough
        Whether all actions together suffice to make N-1 comfortable (< 100 % of the rating).
    basis
        Method, what is measured and what is assumed.
    """

    at_us: npt.NDArray[np.int64]
    mva: npt.NDArray[np.float64]
    rating_mva: float
    n1_rating_mva: float
    n1_minutes: float
    n1_minutes_low: float
    over_minutes: float
    peak_at_us: int
    peak_mva: float
    p_over: tuple[float, float]
    p_least: float
    actions: tuple[Action, ...]
    enough: bool
    basis: Label
