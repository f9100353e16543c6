"""Headroom of the 110 kV station tonight, and what would buy more of it.

The load of the coming hours is forecast (`models.load`), solar power and the battery's plan are
taken off, and the rest is held against what remains after losing the largest transformer. Oil
transformers carry an overload for a while, so the answer is minutes: the shortest time the
remaining ones last, whenever tonight the loss happens.

The regulation's table has no row below +30 %, so by it 120 minutes hold for +5 % as for +30 %, and
no action would count before it brings the load under the rating. What an action buys is therefore
measured on a finer table: its first two rows allow the same dose (30 % × 120 min = 45 % × 80 min),
and `FINE` assumes that dose below +30 % too. The headline stays with the regulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from scipy import special

from models.bill import Grid, slots
from models.load import LoadForecast, forecast_load
from models.solar import clear_sky, plane_of_array, solar_site
from models.tariff import Window, tariff_named
from models.transformer import OIL, OverloadTable, minutes_of_headroom
from twin.estimate import CLIMATE, UTILISATION
from twin.figure_specs import FigureLayout
from twin.figures import Action, Headroom, Now
from twin.label import Label
from twin.park import Park
from twin.park_load import park_template, planned
from twin.parkfile.schema import AggregateSites, Bess, Site
from twin.samples import from_us, to_us
from twin.working_hours import holidays_of

Floats = npt.NDArray[np.float64]

STEP_US: Final = 15 * 60 * 1_000_000
STEP_MIN: Final = 15.0
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
MEDIAN, HIGH = 2, 4
EVENING_H: Final = 17
NIGHT_H: Final = 6
EVENING_OVER: Final = (22, 30)
"""Hour and minute of the local day from which the next evening is what matters."""
CURTAILABLE: Final = 0.3
"""Share of a detailed tenant's load it could put off for an evening (assumed until agreed)."""
GROUP_CURTAILABLE: Final = 0.1
"""The same for tenants known only together (assumed)."""
DOSE_PCT_MIN: Final = 3600.0
"""Overload times time that the first two rows of the regulation allow alike [% min]."""
FINE: Final = OverloadTable(
    loading=(*(1.0 + pct / 100.0 for pct in range(1, 30)), *OIL.loading),
    allowed_min=(*(DOSE_PCT_MIN / pct for pct in range(1, 30)), *OIL.allowed_min),
)
"""The regulation's table with rows of one percent below its first (assumed)."""
TENANTS_SHOWN: Final = 5
P_LEAST: Final = 0.05
"""The outermost quantile the spread is judged at; beyond it a probability is the law's tail."""
RULE_OF_THREE: Final = 3.0
"""What was never seen on n days has a probability below 3/n, with 95 % confidence."""
EXTRA_PV_KWP: Final = 10_000.0
"""Solar power whose help is told beside the other actions [kWp]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tonight:
    """What is known now.

    Parameters
    ----------
    history_kw, history
        Mean gross load of the park per quarter hour of the past [kW], NaN where unknown; may be
        empty.
    rating_mva, n1_rating_mva
        Rating in service, and what is left after losing the largest transformer [MVA].
    soc
        State of charge of each battery [1]; NaN where unknown (then its mean allowed one).
    kvar_per_kw
        Reactive power that goes with a kW of gross load; NaN takes the park file's power factors.
    site_kw
        Load of each detailed site now [kW], by id; those that are not measured are left out.
    """

    history_kw: Floats
    history: Grid
    rating_mva: float
    n1_rating_mva: float
    soc: tuple[float, ...] = ()
    kvar_per_kw: float = float("nan")
    site_kw: tuple[tuple[str, float], ...] = ()


def tonight_of(
    park: Park, layout: FigureLayout, now: Now, history_kw: npt.ArrayLike, history: Grid
) -> Tonight:
    """Gather what the live figures know."""

    def figure(id_: str) -> float:
        place = layout.position.get(id_)
        return float(now.value[place]) if place is not None and now.quality[place] < 2 else np.nan

    mva, cos_phi, load = figure("park.station_mva"), figure("park.cos_phi"), figure("park.load_mw")
    rating, left = _ratings(park, figure("park.headroom_mva") + mva)
    known = np.isfinite([mva, cos_phi, load]).all() and load > 0.0
    kvar = mva * float(np.sqrt(max(0.0, 1.0 - cos_phi**2))) / load if known else float("nan")
    batteries = [node.id for node in park.of_type("bess")]
    sites = [(node.id, figure(f"site.{node.id}.kw")) for node in park.of_type("site")]
    return Tonight(
        history_kw=np.asarray(history_kw, np.float64),
        history=history,
        rating_mva=rating,
        n1_rating_mva=left,
        soc=tuple(figure(f"bess.{bess}.soc_pct") / 100.0 for bess in batteries),
        kvar_per_kw=kvar,
        site_kw=tuple((site, kw) for site, kw in sites if np.isfinite(kw)),
    )


def headroom_tonight(park: Park, tonight: Tonight, now_us: int) -> Headroom:
    """Judge tonight's load against the station.

    Parameters
    ----------
    park
        The park.
    tonight
        What is known now; a cold start (no history) uses the tenants' templates and says so.
    now_us
        Park time [us].
    """
    evening = _Evening(park, tonight, now_us)
    median, high = evening.mva[:, MEDIAN], evening.mva[:, HIGH]
    rating, left = tonight.rating_mva, tonight.n1_rating_mva
    peak = int(evening.steps[np.argmax(median[evening.steps])])
    minutes = evening.minutes(median)
    actions = _actions(evening, peak)
    return Headroom(
        at_us=evening.at_us,
        mva=evening.mva,
        rating_mva=rating,
        n1_rating_mva=left,
        n1_minutes=minutes,
        n1_minutes_low=evening.minutes(high),
        over_minutes=float((median[evening.steps] > left).sum()) * STEP_MIN,
        peak_at_us=max(int(evening.at_us[peak]), now_us),
        peak_mva=float(median[peak]),
        p_over=(evening.p_over(peak, rating), evening.p_over(peak, left)),
        p_least=_p_least(evening.forecast),
        actions=actions,
        enough=_enough(evening, actions),
        basis=_basis(evening),
    )


class _Evening:
    """The forecast of the coming hours, step by step."""

    def __init__(self, park: Park, tonight: Tonight, now_us: int) -> None:
        self.park, self.tonight = park, tonight
        zone = ZoneInfo(park.tz)
        first, last, self.dusk_us = _span(now_us, zone)
        self.grid = Grid(start_us=first, step_us=STEP_US, steps=(last - first) // STEP_US)
        self.at_us = first + STEP_US * np.arange(self.grid.steps, dtype=np.int64)
        inside = np.flatnonzero(self.at_us >= self.dusk_us)
        self.steps = inside if len(inside) else np.arange(self.grid.steps)
        calendar = holidays_of(park)
        template, peak_kw, kvar = park_template(park)
        known = np.isfinite(tonight.kvar_per_kw)
        self.kvar_per_kw = tonight.kvar_per_kw if known else kvar
        self.forecast: LoadForecast = forecast_load(
            tonight.history_kw,
            tonight.history,
            template,
            self.grid,
            calendar,
            peak_kw=peak_kw,
            quantiles=QUANTILES,
        )
        self.kinds_day = calendar
        self.gross_kw = self.forecast.band_kw
        self.median_kw = self.forecast.expected_kw
        self.per_kwp = self._per_kwp()
        self.pv_kw = self._pv_kw()
        self.batteries = park.spec.utilities.electricity.bess
        self.soc = self._soc()
        self.plan_kw = self._battery_plan()
        self.mva = np.column_stack([self.station_mva(row) for row in self.gross_kw])
        self.mva[:, MEDIAN] = self.station_mva(self.median_kw)

    def station_mva(self, gross_kw: Floats, less_kw: Floats | float = 0.0) -> Floats:
        """Load of the station [MVA] for a gross load less some power [kW]."""
        active = gross_kw - self.pv_kw - self.plan_kw - less_kw
        reactive = gross_kw * self.kvar_per_kw
        return np.asarray(np.hypot(active, reactive) / 1e3, np.float64)

    def minutes(self, mva: Floats, table: OverloadTable = OIL) -> float:
        """Shortest time the remaining transformers last, over all moments of the loss [min]."""
        left = self.tonight.n1_rating_mva
        if left <= 0.0:
            return 0.0
        found = float("inf")
        for start in self.steps:
            if mva[start] > left:
                after = minutes_of_headroom(mva[start:] * 1e3, left * 1e3, STEP_MIN, table=table)
                if after.limited:
                    found = min(found, after.minutes)
        return found

    def minutes_with_battery(self, gross_kw: Floats, table: OverloadTable = OIL) -> float:
        """The same when the batteries are kept for it and give what is too much."""
        left = self.tonight.n1_rating_mva
        if left <= 0.0:
            return 0.0
        found = float("inf")
        for start in self.steps:
            mva = self._shaved(gross_kw, int(start))
            after = minutes_of_headroom(mva * 1e3, left * 1e3, STEP_MIN, table=table)
            if after.limited:
                found = min(found, after.minutes)
        return found

    def _shaved(self, gross_kw: Floats, start: int) -> Floats:
        """Load from a loss at `start` on, shaved by batteries that were kept full for it [MVA]."""
        left_kva = self.tonight.n1_rating_mva * 1e3
        active = (gross_kw - self.pv_kw)[start:]
        reactive = (gross_kw * self.kvar_per_kw)[start:]
        allowed = np.sqrt(np.maximum(left_kva**2 - reactive**2, 0.0))
        wanted = np.maximum(active - allowed, 0.0)
        energy_kwh, limit_kw = self.stored_kwh, sum(b.power for b in self.batteries)
        given = np.minimum(wanted, limit_kw)
        used = np.cumsum(given) * STEP_MIN / 60.0
        given = np.where(used <= energy_kwh, given, 0.0)
        return np.asarray(np.hypot(active - given, reactive) / 1e3, np.float64)

    @property
    def stored_kwh(self) -> float:
        """Energy the batteries could give now [kWh]."""
        return sum(
            max(0.0, soc - bess.soc[0]) * bess.energy * float(np.sqrt(bess.round_trip_efficiency))
            for bess, soc in zip(self.batteries, self.soc, strict=True)
        )

    def p_over(self, peak: int, limit_mva: float) -> float:
        """Probability that the load at the peak exceeds a limit, lognormal around the median."""
        middle, high = float(self.mva[peak, MEDIAN]), float(self.mva[peak, HIGH])
        if limit_mva <= 0.0 or middle <= 0.0:
            return 1.0
        spread = max(float(np.log(high / middle)) / float(special.ndtri(0.95)), 1e-6)
        return float(special.ndtr(-float(np.log(limit_mva / middle)) / spread))

    def _per_kwp(self) -> Floats:
        """Power of one flat kWp under the month's typical sky [kW]."""
        return self._roofs_kw([(1.0, 0.0, 180.0)])

    def _pv_kw(self) -> Floats:
        roofs = self.park.spec.utilities.electricity.pv
        return self._roofs_kw([(roof.peak, roof.tilt, roof.azimuth) for roof in roofs])

    def _roofs_kw(self, roofs: Sequence[tuple[float, float, float]]) -> Floats:
        geo = self.park.spec.geo
        place = replace(solar_site(CLIMATE), latitude_deg=geo.lat, longitude_deg=geo.lon)
        sky = clear_sky(place, self.at_us + STEP_US // 2)
        month = from_us(int(self.at_us[0])).month - 1
        ghi = sky.ghi_w_m2 * place.clearness[month]
        total = np.zeros(self.grid.steps)
        for peak, tilt, azimuth in roofs:
            total += 0.85 * peak * plane_of_array(sky, ghi, tilt, azimuth) / 1e3
        return total

    def _soc(self) -> tuple[float, ...]:
        given = self.tonight.soc or (float("nan"),) * len(self.batteries)
        return tuple(
            soc if np.isfinite(soc) else sum(bess.soc) / 2.0
            for bess, soc in zip(self.batteries, given, strict=True)
        )

    def _battery_plan(self) -> Floats:
        """What the batteries' own rules give tonight [kW]: time of use empties them evenly."""
        plan = np.zeros(self.grid.steps)
        peak = self._peak_hours()
        if not peak.any():
            return plan
        for bess, soc in zip(self.batteries, self.soc, strict=True):
            if bess.rule == "time_of_use":
                plan += peak * _even_kw(bess, soc, float(peak.sum()))
        return plan

    def _peak_hours(self) -> Floats:
        """Share of each step that lies in the tariff's peak window."""
        connection = self.park.spec.utilities.electricity.connection
        tariff = tariff_named(connection.tariff)
        cut = slots(tariff, self.grid, connection.voltage, self.kinds_day.holidays)
        share = np.zeros(self.grid.steps)
        for slot in cut:
            if slot.window is Window.PEAK:
                inside = np.minimum(self.at_us + STEP_US, slot.end_us) - np.maximum(
                    self.at_us, slot.start_us
                )
                share += np.clip(inside, 0, STEP_US) / STEP_US
        return share


def _even_kw(bess: Bess, soc: float, steps: float) -> float:
    """Power that empties a battery evenly over some steps [kW]."""
    one_way = float(np.sqrt(bess.round_trip_efficiency))
    energy = max(0.0, soc - bess.soc[0]) * bess.energy * one_way
    return min(bess.power, energy / (steps * STEP_MIN / 60.0))


def _span(now_us: int, zone: ZoneInfo) -> tuple[int, int, int]:
    """First step, end, and begin of the evening.

    To midnight; from 20:00 on to 06:00; once the evening peak is over, the next evening counts.
    """
    first = now_us // STEP_US * STEP_US
    local = from_us(now_us).astimezone(zone)
    over = (local.hour, local.minute) >= EVENING_OVER
    day = local.date() + timedelta(days=1 if over else 0)
    late = local.hour >= 20 and not over
    midnight = day + timedelta(days=1)
    end = datetime.combine(midnight, time(NIGHT_H if late else 0), zone).astimezone(UTC)
    dusk = datetime.combine(day, time(EVENING_H), zone).astimezone(UTC)
    return first, to_us(end), to_us(dusk)


def _ratings(park: Park, in_service_mva: float) -> tuple[float, float]:
    """Rating in service, and what is left of it after losing the largest transformer [MVA]."""
    stations = park.spec.utilities.electricity.substations
    installed = sum(t.rating for s in stations for t in s.transformers) / 1e3
    largest = max(t.rating for s in stations for t in s.transformers) / 1e3
    rating = in_service_mva if np.isfinite(in_service_mva) else installed
    return rating, min(rating, installed - largest)


def _actions(evening: _Evening, peak: int) -> tuple[Action, ...]:
    """Everything that could be done, what helps most first."""
    found = [
        *_battery(evening, peak),
        _solar(evening, peak),
        *_shift(evening, peak),
        *_curtail(evening),
        *_transfer(evening),
    ]
    return tuple(sorted(found, key=lambda a: (-a.minutes, -a.mw, a.id)))


def _gain(evening: _Evening, after: float) -> float:
    """Minutes gained over doing nothing, on the finer table; at most the night."""
    before = evening.minutes(evening.mva[:, MEDIAN], FINE)
    night = float(len(evening.steps)) * STEP_MIN
    return max(0.0, min(after, night) - min(before, night))


def _taken_off(evening: _Evening, less_kw: Floats) -> tuple[float, bool]:
    """Minutes a reduction of the load buys, and whether it alone lasts all night."""
    mva = evening.station_mva(evening.median_kw, less_kw)
    return _gain(evening, evening.minutes(mva, FINE)), bool(np.isinf(evening.minutes(mva)))


def _steady(evening: _Evening, id_: str, label: Label, kw: float, basis: Label) -> Action:
    """An action that takes a constant power off the evening."""
    less = np.zeros(evening.grid.steps)
    less[evening.steps] = kw
    minutes, sufficient = _taken_off(evening, less)
    return Action(
        id=id_, label=label, mw=kw / 1e3, minutes=minutes, sufficient=sufficient, basis=basis
    )


def _battery(evening: _Evening, peak: int) -> list[Action]:
    if not evening.batteries:
        return []
    minutes = _gain(evening, evening.minutes_with_battery(evening.median_kw, FINE))
    sufficient = bool(np.isinf(evening.minutes_with_battery(evening.median_kw)))
    over = evening.station_mva(evening.median_kw)[peak] - evening.tonight.n1_rating_mva
    limit_mw = sum(bess.power for bess in evening.batteries) / 1e3
    wanted = max(0.0, float(over) + float(evening.plan_kw[peak]) / 1e3)
    mw = min(limit_mw, wanted) if evening.stored_kwh > 0.0 else 0.0
    stored = evening.stored_kwh / 1e3
    return [
        Action(
            id="battery",
            label=Label(
                vi="Giữ pin đầy để xả khi mất một máy biến áp",
                en="Keep the battery full for the loss of a transformer",
            ),
            mw=mw,
            minutes=minutes,
            sufficient=sufficient,
            basis=Label(
                vi=f"Pin còn xả được {stored:.1f} MWh, tối đa {limit_mw:.1f} MW; thay cho lịch xả "
                "theo giá",
                en=f"The battery can still give {stored:.1f} MWh at up to {limit_mw:.1f} MW; in "
                "place of its time-of-use plan",
            ),
        )
    ]


def _solar(evening: _Evening, peak: int) -> Action:
    kw = EXTRA_PV_KWP * float(evening.per_kwp[peak])
    label = Label(vi="Thêm 10 MWp điện mặt trời", en="10 MWp more solar")
    if kw < 1.0:
        basis = Label(
            vi="Không giúp được: đỉnh tối nay đến sau khi mặt trời lặn",
            en="Does not help: tonight's peak comes after dusk",
        )
        return Action(id="solar", label=label, mw=0.0, minutes=0.0, sufficient=False, basis=basis)
    less = EXTRA_PV_KWP * evening.per_kwp
    minutes, sufficient = _taken_off(evening, less)
    basis = Label(
        vi="Bầu trời điển hình của tháng, mái phẳng", en="Typical sky of the month, flat roofs"
    )
    return Action(
        id="solar", label=label, mw=kw / 1e3, minutes=minutes, sufficient=sufficient, basis=basis
    )


def _shift(evening: _Evening, peak: int) -> list[Action]:
    """Move the evening of lines that do not run round the clock every day."""
    park = evening.park
    kind = int(evening.kinds_day.kind(_local_day(evening, peak)))
    slot = _slot(evening, peak)
    kw, lines = 0.0, 0
    for site in park.spec.sites:
        if not isinstance(site, Site):
            continue
        own = [line for area in site.areas for line in area.lines]
        for line in own:
            plan = planned(park.spec.calendars[line.calendar])
            if plan[kind, slot] == 0.0 or plan.all():
                continue
            machines = sum(
                park.spec.types[item.type].power.get("Executing/Processing", 0.0)
                for item in line.chain
                if item.type is not None
            )
            kw += site.shift_load / len(own) + UTILISATION * machines
            lines += 1
    if not lines:
        return []
    label = Label(
        vi=f"Dời ca tối của {lines} chuyền sang sau 22:30",
        en=f"Move the evening shift of {lines} lines to after 22:30",
    )
    basis = Label(
        vi="Chuyền không chạy liên tục; tải ca và 70 % công suất máy (giả định)",
        en="Lines that do not run all week; shift load and 70 % of machine power (assumed)",
    )
    return [_steady(evening, "shift", label, kw, basis)]


def _curtail(evening: _Evening) -> list[Action]:
    """Ask the largest tenants to put a part of their load off."""
    measured = dict(evening.tonight.site_kw)
    asked: list[tuple[float, str, Label, Label]] = []
    for site in evening.park.spec.sites:
        label = Label(vi=f"Điều chỉnh phụ tải: {site.label.vi}", en=f"Curtail: {site.label.en}")
        if isinstance(site, AggregateSites):
            basis = Label(
                vi="10 % đỉnh theo mẫu phụ tải (giả định, chưa có thỏa thuận)",
                en="10 % of the template's peak (assumed, not agreed)",
            )
            asked.append((GROUP_CURTAILABLE * site.peak, site.id, label, basis))
        elif site.id in measured:
            basis = Label(
                vi="30 % công suất đang đo (giả định, chưa có thỏa thuận)",
                en="30 % of the power measured now (assumed, not agreed)",
            )
            asked.append((CURTAILABLE * max(0.0, measured[site.id]), site.id, label, basis))
    asked.sort(key=lambda one: (-one[0], one[1]))
    return [
        _steady(evening, f"curtail:{id_}", label, kw, basis)
        for kw, id_, label, basis in asked[:TENANTS_SHOWN]
        if kw > 0.0
    ]


def _transfer(evening: _Evening) -> list[Action]:
    """Moving feeders to another station; the park file must know one."""
    stations = evening.park.spec.utilities.electricity.substations
    label = Label(vi="Chuyển xuất tuyến sang trạm khác", en="Transfer feeders to another station")
    if len(stations) > 1:
        basis = Label(
            vi="Có trạm thứ hai, nhưng khả năng liên kết 22 kV chưa có trong tệp khu",
            en="There is a second station, but its 22 kV ties are not in the park file",
        )
    else:
        basis = Label(
            vi="Không có trạm thứ hai trong tệp khu", en="The park file knows no second station"
        )
    return [Action(id="transfer", label=label, mw=0.0, minutes=0.0, sufficient=False, basis=basis)]


def _enough(evening: _Evening, actions: tuple[Action, ...]) -> bool:
    """Whether all actions together keep the median load within the N-1 rating all evening."""
    less = np.zeros(evening.grid.steps)
    steady = sum(a.mw for a in actions if a.id not in ("battery", "solar")) * 1e3
    less[evening.steps] = steady
    left_kva = evening.tonight.n1_rating_mva * 1e3
    gross = evening.median_kw
    active = (gross - evening.pv_kw - less)[evening.steps]
    reactive = (gross * evening.kvar_per_kw)[evening.steps]
    allowed = np.sqrt(np.maximum(left_kva**2 - reactive**2, 0.0))
    wanted = np.maximum(active - allowed, 0.0)
    limit_kw = sum(bess.power for bess in evening.batteries)
    energy = float(wanted.sum()) * STEP_MIN / 60.0
    return bool((wanted <= limit_kw + 1e-9).all() and energy <= evening.stored_kwh + 1e-9)


def _p_least(forecast: LoadForecast) -> float:
    """Smallest probability worth telling: the rule of three over the days whose errors are known.

    An assumed spread, or less than 60 days, bear the quantile that is drawn and nothing beyond it.
    """
    days = 0.0 if forecast.estimated else forecast.measured_days
    return min(P_LEAST, RULE_OF_THREE / days) if days > 0.0 else P_LEAST


def _local_day(evening: _Evening, step: int) -> date:
    return from_us(int(evening.at_us[step])).astimezone(ZoneInfo(evening.park.tz)).date()


def _slot(evening: _Evening, step: int) -> int:
    local = from_us(int(evening.at_us[step])).astimezone(ZoneInfo(evening.park.tz))
    return (local.hour * 60 + local.minute) // 15


def _basis(evening: _Evening) -> Label:
    days = evening.forecast.measured_days
    if evening.forecast.estimated:
        vi = f"Ước tính theo mẫu phụ tải của doanh nghiệp ({days:.1f} ngày số đo)"
        en = f"Estimated from the tenants' load templates ({days:.1f} days measured)"
    else:
        vi = f"Dự báo từ {days:.1f} ngày số đo, sai số của chính nó"
        en = f"Forecast from {days:.1f} days measured, with its own past errors"
    least = 100.0 * _p_least(evening.forecast)
    return Label(
        vi=f"{vi}; trừ điện mặt trời điển hình và lịch xả pin; N-1 theo bảng quá tải ngắn hạn "
        "(Thông tư 28/2014, điều 33); số phút của từng biện pháp giả định cùng liều quá tải "
        "(3600 %·phút) cho mức dưới 30 %; xác suất theo phân phối loga chuẩn quanh trung vị, dưới "
        f"{least:.0f} % hoặc trên {100.0 - least:.0f} % thì chừng ấy số liệu không phân biệt được",
        en=f"{en}; less typical solar and the battery's plan; N-1 by the short-time overload table "
        "(Circular 28/2014 art. 33); minutes of actions assume its dose (3600 % min) below +30 %; "
        f"probabilities by a lognormal law around the median: below {least:.0f} % or above "
        f"{100.0 - least:.0f} % these data cannot tell them apart",
    )
