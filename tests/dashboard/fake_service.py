"""A deterministic park behind the service's protocol: VSIP I in size, moving with its own clock.

Every value is a function of (name, park time): no randomness, so that two readers see the same.
"""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from time import monotonic
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import yaml_text

from cluster.ports import (
    Action,
    Alarm,
    AlarmState,
    Asset,
    BrowsedNode,
    CertificateEntry,
    Conflict,
    EndpointSpec,
    EndpointState,
    EndpointStatus,
    EndpointTest,
    FigureSpec,
    Frame,
    Headroom,
    HistoryQuery,
    InputError,
    InvalidInput,
    Label,
    NotFound,
    Outcome,
    ParkSummary,
    Priority,
    Problem,
    Provenance,
    Renewal,
    Run,
    RunState,
    Tag,
    TestStep,
    Unavailable,
)
from twin.label import NO_LABEL
from twin.whatif.outcome import BANDS, KPIS, PAIRS

TZ = ZoneInfo("Asia/Ho_Chi_Minh")
S = 1_000_000
MIN = 60 * S
HOUR = 60 * MIN
DAY = 24 * HOUR
START_US = int(datetime(2026, 11, 22, 16, 40, tzinfo=TZ).timestamp()) * S
TIME = pa.timestamp("us", tz="UTC")

SITES = (
    ("acme", "Nhựa ACME", "ACME Plastics", 2, 6.4, "plastics"),
    ("hoaphat", "Thép Hòa Phú", "Hoa Phu Steel", 2, 9.8, "metal"),
    ("tantao", "Dệt Tân Tạo", "Tan Tao Textile", 3, 4.9, "textile"),
    ("vinafood", "Thực phẩm Vina", "Vina Food", 2, 3.6, "food"),
    ("sakura", "Điện tử Sakura", "Sakura Electronics", 2, 5.2, "electronics"),
    ("delta", "Giấy Delta", "Delta Paper", 1, 4.1, "paper"),
    ("mekong", "Gỗ Mê Kông", "Mekong Wood", 1, 2.2, "wood"),
    ("lotte", "Bao bì Lotus", "Lotus Packaging", 2, 2.7, "packaging"),
    ("nippon", "Cơ khí Nippon", "Nippon Machining", 2, 3.9, "metal"),
    ("pharma", "Dược Bình An", "Binh An Pharma", 1, 1.8, "pharma"),
    ("rubber", "Cao su Phước Hòa", "Phuoc Hoa Rubber", 1, 3.1, "rubber"),
    ("cold", "Kho lạnh An Sơn", "An Son Cold Store", 1, 2.4, "cold"),
)
MACHINES = ("p01", "p02", "p03", "p04", "p05", "pk1")
RANKED = (Priority.LOW, Priority.MEDIUM, Priority.HIGH, Priority.CRITICAL)


def wave(name: str, t_us: int, period_s: float, size: float = 1.0) -> float:
    """A smooth wobble with a phase of its own for each name."""
    phase = zlib.crc32(name.encode()) % 6283 / 1000
    t = t_us / 1e6
    return size * (
        0.6 * math.sin(2 * math.pi * t / period_s + phase)
        + 0.3 * math.sin(2 * math.pi * t / (period_s / 3.7) + 2 * phase)
        + 0.1 * math.sin(2 * math.pi * t / (period_s / 17) + 3 * phase)
    )


def local_hour(t_us: int) -> float:
    """Hour of the day in the park, with its fraction."""
    at = datetime.fromtimestamp(t_us / 1e6, tz=TZ)
    return at.hour + at.minute / 60 + at.second / 3600


def load_mw(t_us: int) -> float:
    """Load of the park: a working day with an evening peak of about 72 MW."""
    h = local_hour(t_us)
    day = 11 * math.exp(-(((h - 10.2) / 2.6) ** 2)) + 6 * math.exp(-(((h - 14.5) / 2.0) ** 2))
    evening = 21 * math.exp(-(((h - 19.1) / 2.2) ** 2))
    return 50.5 + day + evening + wave("load", t_us, 900, 0.5) + wave("fast", t_us, 23, 0.12)


def pv_mw(t_us: int) -> float:
    """Solar of the park: a bell between 6 and 18 h, 15 MW at noon."""
    h = local_hour(t_us)
    bell = max(0.0, math.sin(math.pi * (h - 5.9) / 11.9)) if 5.9 < h < 17.8 else 0.0
    return 15.2 * bell**1.3 * (0.93 + wave("cloud", t_us, 700, 0.07))


def bess_mw(t_us: int) -> float:
    """Battery: charges at night and at noon (negative), discharges in the peak window."""
    h = local_hour(t_us)
    if 17.5 <= h < 20.5:
        return 4.2 + wave("bess", t_us, 300, 0.2)
    return -2.4 if 1 <= h < 5 or 10.5 <= h < 14 else 0.0


def lines() -> list[tuple[str, str, str]]:
    """Line ids with their site and area."""
    return [
        (f"{site[0]}/main/l{n + 1}", site[0], f"{site[0]}/main")
        for site in SITES
        for n in range(site[3])
    ]


class FakePark:
    """`ParkService` for tests and for looking at the pages.

    Parameters
    ----------
    speed
        Park seconds per wall second.
    seconds
        The wall clock, for tests that stop it.
    """

    def __init__(self, speed: float = 1.0, seconds: Callable[[], float] = monotonic) -> None:
        self.speed, self.seconds = speed, seconds
        self.began = seconds()
        self.deaf_since: float | None = None
        self.calls: list[str] = []
        self._alarms = {alarm.id: alarm for alarm in _alarms(START_US)}
        self._endpoints = {status.id: status for status in _endpoints()}
        self._mapping: dict[str, dict[str, str]] = {}
        self._trials: dict[str, list[object]] = {}
        self._crawls: dict[str, dict[str, object]] = {}
        self._crawl_spec: EndpointSpec | None = None
        self._trusted: set[str] = set()
        self._certified: set[str] = set()
        self._runs = {run.id: run for run in _runs(START_US)}
        self._texts = dict.fromkeys(self._runs, yaml_text.EXAMPLE)
        self._specs = _specs()

    def now_us(self) -> int:
        """Park time."""
        return START_US + int((self.seconds() - self.began) * self.speed * S)

    def _known(self, park: str) -> None:
        if park != "vsip1":
            raise NotFound("park", park, ("vsip1",))

    async def parks(self) -> Sequence[ParkSummary]:
        up = sum(e.state == EndpointState.CONNECTED for e in self._endpoints.values())
        return [
            ParkSummary(
                id="vsip1",
                label=Label(vi="KCN VSIP I (mẫu)", en="VSIP I (demo)"),
                region=Label(vi="Bình Dương (nay thuộc TP.HCM)", en="Binh Duong (now HCMC)"),
                tz="Asia/Ho_Chi_Minh",
                now_us=self.now_us(),
                demo=True,
                speed=self.speed,
                endpoints_up=up,
                endpoints=len(self._endpoints),
                tags=1536,
            )
        ]

    async def specs(self, park: str) -> Sequence[FigureSpec]:
        self._known(park)
        return self._specs

    async def frame(self, park: str) -> Frame:
        self._known(park)
        now = self.now_us()
        values: dict[str, float | None] = {s.id: self.value(s.id, now) for s in self._specs}
        values["pv.pv2.kw"] = None
        open_ = [a for a in self._alarms.values() if a.state != AlarmState.NORMAL]
        counts = {p.value: sum(a.priority == p for a in open_) for p in Priority}
        return Frame(
            seq=1 + int((self.seconds() - self.began) * 4),
            now_us=now,
            speed=self.speed,
            values=values,
            quality={"site.delta.kw": 1, "park.turn_p90_min": 1, "machine.delta/main/l1/p03.kw": 2},
            measured={"park.load_mw": 0.34, "park.co2_today_t": 0.34, "park.cost_today_mvnd": 0.34},
            alarms=counts
            | {"unacknowledged": sum("unacknowledged" in a.state.value for a in open_)},
            age_s=0.4 if self.deaf_since is None else self.seconds() - self.deaf_since,
        )

    def value(self, figure: str, t: int) -> float | None:
        """Any figure at any time."""
        scope, name = figure.split(".", 1)
        if scope == "park":
            return self._park_value(name, t)
        asset, name = name.rsplit(".", 1)
        return self._asset_value(scope, asset, name, t)

    def _park_value(self, name: str, t: int) -> float | None:
        load, pv, bess = load_mw(t), pv_mw(t), bess_mw(t)
        grid = load - pv - bess
        mva = grid / 0.945
        h = local_hour(t)
        values = {
            "load_mw": load,
            "grid_import_mw": grid,
            "station_mva": mva,
            "station_loading_pct": mva / 126 * 100,
            "headroom_mva": 126 - mva,
            "n1_loading_pct": mva / 63 * 100,
            "n1_minutes": 118.0 + wave("n1", t, 1200, 3),
            "pv_mw": pv,
            "pv_share_pct": pv / load * 100,
            "bess_mw": bess,
            "bess_soc_pct": max(12.0, 88 - max(0.0, h - 17.5) * 21 + wave("soc", t, 3000, 0.4)),
            "cos_phi": 0.942 + wave("phi", t, 600, 0.006),
            "co2_kg_h": grid * 623.5,
            "energy_today_mwh": 54.0 * h,
            "peak_today_mw": 64.8,
            "cost_today_mvnd": 96.5 * h,
            "co2_today_t": 31.2 * h,
            "measured_pct": 34.0,
            "oee_pct": 71.4 + wave("oee", t, 1800, 1.2),
            "output_today": 5210 * h,
            "output_rate_h": 5210 + wave("rate", t, 300, 160),
            "gate_queue": round(7 + wave("queue", t, 420, 4)),
            "turn_p50_min": 34 + wave("p50", t, 900, 2),
            "turn_p90_min": 71 + wave("p90", t, 900, 5),
            "trucks_today": round(64 * h),
            "yard_pct": 72 + wave("yard", t, 1500, 4),
            "docks_busy": 17 + round(wave("docks", t, 240, 3)),
            "berths_busy": 1,
            "endpoints_up": sum(
                e.state == EndpointState.CONNECTED for e in self._endpoints.values()
            ),
            "endpoints": len(self._endpoints),
            "tags_good_pct": 98.2 + wave("tags", t, 60, 0.3),
        }
        return values[name]

    def _asset_value(self, scope: str, asset: str, name: str, t: int) -> float | None:
        mva = (load_mw(t) - pv_mw(t) - bess_mw(t)) / 0.945
        seed = zlib.crc32(f"{scope}{asset}".encode()) % 1000 / 1000
        h = local_hour(t)
        own = f"{scope}.{asset}.{name}"
        if scope == "transformer":
            share = 0.52 if asset.endswith("t1") else 0.48
            return {
                "mva": mva * share,
                "loading_pct": mva * share / 63 * 100,
                "oil_c": 68 + 6 * share + wave(own, t, 900, 0.8),
            }[name]
        if scope == "feeder":
            mw = mva * 0.945 / 16 * (0.6 + 0.8 * seed)
            return {
                "mw": mw,
                "amps": mw * 1000 / (22 * 1.732 * 0.945),
                "loading_pct": mw / 8 * 100 + (24 if asset.endswith("07") else 0),
            }[name]
        if scope == "pv":
            share = {"pv1": 0.4, "pv2": 0.25, "pv3": 0.35}[asset]
            full = pv_mw(t) * 1000 * share
            return full * (0.78 if asset == "pv3" and name == "kw" else 1.0)
        if scope == "bess":
            return {
                "kw": bess_mw(t) * 1000,
                "soc_pct": self._park_value("bess_soc_pct", t),
            }[name]
        if scope == "site":
            peak = next(s[4] for s in SITES if s[0] == asset)
            alarm = max(
                (
                    RANKED.index(a.priority) + 1
                    for a in self._alarms.values()
                    if a.state != AlarmState.NORMAL and a.asset.split("/")[0] == asset
                ),
                default=0,
            )
            return {
                "kw": peak * 1000 * (0.7 + 0.2 * seed) + wave(own, t, 60, peak * 25),
                "kwh_today": peak * 760 * h,
                "oee_pct": 62 + 22 * seed + wave(own, t, 900, 1),
                "good_today": round((250 + 400 * seed) * h),
                "alarm": alarm,
            }[name]
        if scope == "line":
            a, p, q = 0.78 + 0.17 * seed, 0.80 + 0.17 * (1 - seed), 0.962 + 0.03 * seed
            if asset == "sakura/main/l2":
                p = 1.032
            return {
                "oee_pct": a * p * q * 100,
                "availability_pct": a * 100 + wave(own, t, 600, 0.4),
                "effectiveness_pct": p * 100 + wave(own, t, 300, 0.5),
                "quality_pct": q * 100,
                "good_today": round((180 + 240 * seed) * h),
                "rate_h": (180 + 240 * seed) * (1 + wave(own, t, 200, 0.03)),
                "kwh_per_unit": 0.8 + 2.2 * seed + wave(own, t, 500, 0.02),
                "bottleneck": 2.0 if seed < 0.8 else float("nan"),
            }[name]
        if scope == "machine":
            state = self._machine_state(asset, t)
            return state if name == "state" else (9, 12, 18, 45 + wave(own, t, 28, 4))[int(state)]
        return self._logistics(scope, name, t, own, seed)

    def _machine_state(self, asset: str, t: int) -> float:
        slot = t // (10 * MIN)
        dice = zlib.crc32(f"{asset}{slot}".encode()) % 100
        if asset == "nippon/main/l1/p03" and t > START_US - 70 * MIN:
            return 1.0
        return 1.0 if dice < 4 else 2.0 if dice < 16 else 3.0

    def _logistics(self, scope: str, name: str, t: int, own: str, seed: float) -> float:
        values = {
            ("gate", "queue"): round(max(0, 3.5 + wave(own, t, 300, 3))),
            ("gate", "busy"): round(2.6 + wave(own, t, 90, 1)),
            ("gate", "turn_p90_min"): 66 + 10 * seed + wave(own, t, 900, 3),
            ("yard", "occupied"): round(212 + wave(own, t, 900, 9)),
            ("dock", "busy"): round(3 + wave(own, t, 500, 2)),
            ("berth", "busy"): 1.0 if own.startswith("berth.be1") else 0.0,
            ("wwtp", "m3_h"): 288 + wave(own, t, 700, 14),
        }
        return values[scope, name]

    async def recent(self, park: str, figures: Sequence[str], minutes: float) -> pa.Table:
        self._known(park)
        step = max(S, int(minutes * MIN / 450))
        now = self.now_us()
        at = np.arange(now - int(minutes * MIN), now, step)
        columns: dict[str, object] = {"at": pa.array(at, TIME)}
        for figure in figures:
            columns[figure] = pa.array([self.value(figure, int(t)) for t in at], pa.float64())
        return pa.table(columns)

    async def headroom(self, park: str) -> Headroom:
        self._known(park)
        now = self.now_us()
        first = now - now % (15 * MIN)
        at = first + np.arange(48) * 15 * MIN
        middle = np.array([(load_mw(int(t)) - pv_mw(int(t)) - bess_mw(int(t))) / 0.945 for t in at])
        spread = 0.6 + 3.2 * np.sqrt(np.arange(48) / 24)
        mva = middle[:, None] + spread[:, None] * np.array([-1.64, -0.67, 0, 0.67, 1.64])
        peak = int(np.argmax(middle))
        return Headroom(
            at_us=at,
            mva=mva,
            rating_mva=126.0,
            n1_rating_mva=63.0,
            n1_minutes=118.0,
            n1_minutes_low=74.0,
            over_minutes=float(15 * int((middle > 63).sum())),
            peak_at_us=int(at[peak]),
            peak_mva=float(middle[peak]),
            p_over=(0.0004, 0.93),
            p_least=0.05,
            actions=_actions(),
            enough=True,
            basis=Label(
                vi="Dự báo đường cong ngày tương tự, 34 % công suất được đo, phần còn lại "
                "ước tính; "
                "bảng quá tải ngắn hạn MBA dầu, Thông tư 28/2014 điều 33.",
                en="Similar-day forecast, 34 % of the load is measured, the rest estimated; "
                "short-time overload table of oil transformers, Circular 28/2014 art. 33.",
            ),
        )

    async def assets(self, park: str) -> Sequence[Asset]:
        self._known(park)
        return _assets()

    async def tags(self, park: str, pattern: str = "") -> Sequence[Tag]:
        self._known(park)
        now = self.now_us()
        paths = [tag for asset in _assets() for tag in asset.tags if pattern.lower() in tag.lower()]
        return [self._tag(number, path, now) for number, path in enumerate(paths[:2000])]

    def _tag(self, number: int, path: str, now: int) -> Tag:
        site = path.split("/")[0]
        uncertain = site == "delta"
        return Tag(
            tag=number,
            path=path,
            unit="kW" if path.endswith("power") else "kWh" if path.endswith("energy") else "",
            kind="state" if path.endswith("state") else "counter" if "count" in path else "gauge",
            endpoint="delta-plc" if uncertain else f"{site}-plc",
            node=f"nsu=urn:{site}:plant;s={path.replace('/', '.')}",
            at_us=now - S,
            seen_us=now - S + 84_000,
            value=self._tag_value(path, now),
            text=None,
            status=0x408F0000 if uncertain else 0,
            quality=1 if uncertain else 0,
            origin="measured",
        )

    def _tag_value(self, path: str, t: int) -> float:
        asset, leaf = path.rsplit("/", 1)
        if leaf == "state":
            return self._machine_state(asset, t)
        return 45 + wave(path, t, 40, 6) if leaf == "active_power" else t / 1e9 % 1e5

    async def state(self, park: str, at_us: int | None, known_at_us: int | None) -> pa.Table:
        tags = await self.tags(park)
        return pa.table({"path": [t.path for t in tags], "value": [t.value for t in tags]})

    async def history(self, park: str, query: HistoryQuery) -> pa.Table:
        self._known(park)
        if query.until_us <= query.since_us:
            raise InputError("the interval is empty", "let it begin before it ends", "since")
        every = query.every_us or max(S, (query.until_us - query.since_us) // (query.points or 500))
        at = np.arange(query.since_us - query.since_us % every, query.until_us, every)
        until = self.now_us()
        at = at[at <= until]
        rows = [
            (path, int(t), self._history_value(path, int(t))) for path in query.tags for t in at
        ]
        paths, times, values = ([r[i] for r in rows] for i in range(3))
        shared = {"path": pa.array(paths, pa.string()), "at": pa.array(times, TIME)}
        number = pa.array(values, pa.float64())
        if query.every_us is None:
            status = pa.array([0] * len(rows), pa.uint32())
            return pa.table(shared | {"value": number, "status": status})
        span = [every / 1e6] * len(rows)
        return pa.table(
            shared
            | {"mean": number, "min": number, "max": number, "first": number, "last": number}
            | {"good_s": pa.array(span), "covered_s": pa.array(span)}
        )

    def _history_value(self, path: str, t: int) -> float | None:
        if path.startswith("figure:"):
            return self.value(path.removeprefix("figure:"), t)
        return self._tag_value(path, t)

    async def kpis(self, park: str, since_us: int, until_us: int, every_us: int | None) -> pa.Table:
        rows = [
            {
                "asset": line,
                "at": since_us,
                "kpi": kpi,
                "value": self.value(f"line.{line}.{figure}", until_us),
                "unit": "%",
                "good_fraction": 0.98,
                "plan_seen": 0.98,
                "quality": 0,
                "why": "",
                "formula": "ISO 22400-2",
            }
            for line, _, _ in lines()
            for kpi, figure in (
                ("oee", "oee_pct"),
                ("availability", "availability_pct"),
                ("effectiveness", "effectiveness_pct"),
                ("quality_ratio", "quality_pct"),
            )
        ]
        return pa.Table.from_pylist(rows)

    async def energy(self, park: str, since_us: int, until_us: int, every_us: int) -> pa.Table:
        self._known(park)
        rows: list[dict[str, object]] = []
        until = min(until_us, self.now_us())
        for t in range(since_us, until, every_us):
            middle = t + every_us // 2
            hours = every_us / HOUR
            bess = bess_mw(middle)
            load, pv = load_mw(middle) * 1000, pv_mw(middle) * 1000
            flows = {
                "grid": (load - pv - bess * 1000) * hours,
                "solar": pv * hours,
                "battery_in": max(0.0, -bess) * 1000 * hours,
                "battery_out": max(0.0, bess) * 1000 * hours,
                "load": load * hours,
            }
            named = {f"site:{s[0]}": s[4] * 1000 * 0.8 * hours for s in SITES}
            flows |= named | {"aggregated": flows["load"] - sum(named.values())}
            window = _window(local_hour(middle))
            price = {"peak": 3266, "normal": 1728, "off_peak": 1094}[window]
            rows += [
                {
                    "at": t,
                    "flow": flow,
                    "kwh": kwh,
                    "measured": 1.0 if flow.startswith("site") or flow == "grid" else 0.34,
                    "cost_vnd": kwh * price if flow == "grid" else 0.0,
                    "co2_kg": kwh * 0.6235 if flow == "grid" else 0.0,
                    "window": window,
                }
                for flow, kwh in flows.items()
            ]
        table = pa.Table.from_pylist(rows)
        if not rows:
            return table
        return table.set_column(0, "at", table["at"].cast(pa.int64()).cast(TIME))

    async def alarms(self, park: str, *, history: bool = False) -> Sequence[Alarm]:
        self._known(park)
        return [a for a in self._alarms.values() if history or a.state != AlarmState.NORMAL]

    async def acknowledge(self, park: str, alarms: Sequence[str], by: str, note: str) -> None:
        for alarm in alarms:
            self._alarms[alarm] = replace(
                self._alarms[alarm],
                state=AlarmState.ACKNOWLEDGED,
                acknowledged_us=self.now_us(),
                acknowledged_by=by,
                note=note,
            )

    async def shelve(
        self, park: str, alarms: Sequence[str], by: str, minutes: float, reason: str
    ) -> None:
        if minutes and not reason.strip():
            raise InputError("a reason is missing", "say why it is shelved", "reason")
        for alarm in alarms:
            self._alarms[alarm] = replace(
                self._alarms[alarm],
                state=AlarmState.SHELVED if minutes else AlarmState.UNACKNOWLEDGED,
                shelved_until_us=self.now_us() + int(minutes * MIN) if minutes else None,
                note=reason,
                acknowledged_by=by,
            )

    async def endpoints(self, park: str) -> Sequence[EndpointStatus]:
        self._known(park)
        return list(self._endpoints.values())

    async def endpoint_test(self, spec: EndpointSpec) -> EndpointTest:
        if not spec.url.startswith("opc.tcp://"):
            raise InputError(
                f"{spec.url!r} is not an OPC UA address", "write opc.tcp://host:4840", "url"
            )
        return _test(spec, trusted=spec.id in self._trusted or spec.policy == "None")

    async def endpoint_trial_begin(self, park: str, spec: EndpointSpec) -> str:
        found = await self.endpoint_test(spec)
        name = f"trial-{len(self._trials)}"
        self._trials[name] = [found, 0]
        return name

    async def endpoint_trial(self, park: str, trial: str) -> tuple[EndpointTest, bool]:
        found, seen = self._trials[trial]
        seen = self._trials[trial][1] = seen + 4
        over = seen >= len(found.steps)
        return (found if over else replace(found, ok=False, steps=found.steps[:seen])), over

    async def endpoint_crawl(
        self, park: str, url_or_id: str, *, fresh: bool, spec: EndpointSpec | None = None
    ) -> Mapping[str, object]:
        """Done when it was asked about seven times; a stopped one goes on."""
        if spec is not None:
            self._crawl_spec = spec
        crawl = self._crawls.setdefault(url_or_id, {"state": "stopped", "asked": 0})
        if crawl["state"] == "stopped" or fresh:
            crawl.update(state="running", asked=0 if fresh else crawl["asked"])
        crawl["asked"] += 1
        if crawl["asked"] > 6:
            crawl["state"] = "done"
        return self._crawl_told(crawl)

    async def endpoint_crawl_stop(self, park: str, url_or_id: str) -> Mapping[str, object]:
        self._crawls[url_or_id]["state"] = "stopped"
        return self._crawl_told(self._crawls[url_or_id])

    def _crawl_told(self, crawl: Mapping[str, object]) -> Mapping[str, object]:
        asked = int(str(crawl["asked"]))
        told = {"nodes": 400 * asked, "left": 120, "levels": asked, "per_s": 412.0}
        return told | {"state": crawl["state"], "complete": True, "what": "", "remedy": ""}

    async def endpoint_propose(self, park: str, url_or_id: str) -> Sequence[Mapping[str, object]]:
        return _proposals()

    async def endpoint_review(
        self, park: str, url_or_id: str, endpoint: str, mapping: Mapping[str, str]
    ) -> Mapping[str, object]:
        found = [
            {
                "code": "unit.wrong",
                "severity": "error",
                "node": node,
                "path": path,
                "why": "the unit is A, the tag holds kW",
                "remedy": "name the unit at the source, or map another node",
            }
            for node, path in mapping.items()
            if path.endswith("[A]")
        ]
        changes = [
            {"action": "add", "path": path, "tag": 1, "reason": "new path"}
            if path
            else {"action": "remove", "path": node, "tag": 2, "reason": ""}
            for node, path in mapping.items()
        ]
        if mapping:
            changes.append(
                {
                    "action": "rename",
                    "path": "vsip1/acme/main/l1/p02/active_power",
                    "tag": 3,
                    "reason": "was vsip1/acme/main/l1/p05/active_power",
                }
            )
        return {"changes": changes, "findings": found, "problems": []}

    async def endpoint_diff(
        self, park: str, endpoint: str, data: bytes, name: str
    ) -> Mapping[str, object]:
        rows = [line.split(",") for line in data.decode("utf-8-sig").splitlines()]
        if rows[:1] != [["node", "path", "unit"]]:
            raise InputError("the list has no header that is known", "name its columns", "list")
        good = [row for row in rows[1:] if len(row) == 3]
        return {
            "dialect": "parktwin",
            "changes": [
                {"action": "add", "node": n, "path": p, "unit": u, "was": ""} for n, p, u in good
            ],
            "problems": [
                {"file": name, "line": i, "message": "no such node", "suggestion": "browse it"}
                for i, row in enumerate(rows[1:], start=2)
                if len(row) != 3
            ],
            "mapping": {n: f"{p} [{u}]" for n, p, u in good},
        }

    async def endpoint_export(self, park: str, endpoint: str) -> Sequence[Sequence[str]]:
        mapped = self._mapping.get(endpoint, {})
        return [
            ["node", "path", "unit", "data_type", "description"],
            *([node, path, "kW", "Double", ""] for node, path in mapped.items() if path),
        ]

    async def endpoint_add(self, park: str, spec: EndpointSpec, *, force: bool = False) -> None:
        if spec.id in self._endpoints:
            raise Conflict(f"there is an endpoint {spec.id!r}", "choose another name", "id")
        self._endpoints[spec.id] = EndpointStatus(
            id=spec.id,
            url=spec.url,
            state=EndpointState.CONNECTED,
            requested=12,
            accepted=12,
            delivering=12,
            values_per_s=12.0,
            lag_ms=40.0,
            clock_offset_s=0.01,
            bridge_s=60.0,
        )
        self._mapping[spec.id] = {pair["node"]: pair["path"] for pair in spec.mapping}

    async def endpoint_remove(self, park: str, endpoint: str) -> None:
        del self._endpoints[endpoint]

    async def endpoint_browse(self, park: str, url_or_id: str, node: str) -> Sequence[BrowsedNode]:
        return _browse(node)

    async def endpoint_map(self, park: str, endpoint: str, mapping: Mapping[str, str]) -> None:
        self._mapping.setdefault(endpoint, {}).update(mapping)

    async def endpoint_trust(
        self, park: str, endpoint: str, fingerprint: str, gateway: str = ""
    ) -> None:
        self._trusted.add(endpoint)

    async def certificates(self) -> Sequence[CertificateEntry]:
        trusted, mark = self._certified, "CD" * 32
        return [
            CertificateEntry(
                place="own",
                fingerprint="AB" * 32,
                subject="parktwin gateway",
                application_uri="urn:host:parktwin:gateway:1",
                hosts=("host",),
                until_us=self.now_us() + 20 * 86_400_000_000,
                days_left=20.0,
                due=30,
            ),
            CertificateEntry(
                place="trusted" if mark in trusted else "rejected",
                fingerprint=mark,
                subject="CN=plc",
                endpoints=("p/plc1",) if mark in trusted else (),
                days_left=-1.0,
                due=0,
                remarks=("its certificate is made for plc1, not for 10.0.0.5",),
            ),
        ]

    async def certificate_der(self, *, staged: bool = False) -> bytes:
        return b"new" if staged else b"old"

    async def certificate_trust(self, fingerprint: str) -> None:
        self._certified.add(fingerprint)

    async def certificate_distrust(self, fingerprint: str) -> None:
        self._certified.discard(fingerprint)

    async def certificate_renew(self, *, force: bool = False) -> Renewal:
        refused = {} if force else {"p/plc1": "the server does not trust our certificate"}
        return Renewal(fingerprint="EF" * 32, used=force, accepted=(), refused=refused)

    def whatif_schema(self) -> Mapping[str, object]:
        return yaml_text.SCHEMA

    async def whatif_submit(self, text: str, by: str, priority: int = 0) -> Run:
        document = yaml_text.read(text)
        problems = yaml_text.problems(document)
        if problems:
            raise InvalidInput(
                tuple(
                    Problem(message=message, path=path, suggestion=remedy)
                    for path, message, remedy in problems
                )
            )
        name = f"run-{len(self._runs) + 1:04d}"
        branches = document["branches"]
        run = _run(
            name,
            str(document["id"]),
            RunState.RUNNING,
            self.now_us(),
            branches=tuple(branches) if isinstance(branches, dict) else ("base",),
            submitted_by=by,
            progress=0.05,
        )
        self._runs = {name: run} | self._runs
        self._texts[name] = text
        return run

    async def whatif_runs(self, park: str) -> Sequence[Run]:
        self._known(park)
        return [self._aged(run) for run in self._runs.values()]

    def _aged(self, run: Run) -> Run:
        """A submitted run is done after two wall seconds; the seeded one stays half way."""
        if run.state != RunState.RUNNING or run.id == "run-0004":
            return run
        age = (self.now_us() - run.created_us) / S / self.speed
        if age < 2:
            return replace(run, progress=min(0.95, age / 2))
        return replace(run, state=RunState.DONE, progress=1.0, finished_us=run.created_us + 2 * S)

    async def whatif_run(self, run: str) -> Run:
        if run not in self._runs:
            raise NotFound("run", run, tuple(self._runs))
        return self._aged(self._runs[run])

    async def whatif_spec(self, run: str) -> str:
        await self.whatif_run(run)
        return self._texts[run]

    async def whatif_outcome(self, run: str) -> Outcome:
        known = await self.whatif_run(run)
        if known.state != RunState.DONE:
            raise Unavailable(f"{run} is {known.state}", "wait until it is done")
        return _outcome(known)

    async def whatif_cancel(self, run: str, by: str) -> None:
        self._runs[run] = replace(self._runs[run], state=RunState.CANCELLED)


def _window(hour: float) -> str:
    if 17.5 <= hour < 22.5:
        return "peak"
    return "off_peak" if hour < 4 or hour >= 22.5 else "normal"


def _actions() -> tuple[Action, ...]:
    def action(
        name: str,
        vi: str,
        en: str,
        mw: float,
        minutes: float,
        basis: tuple[str, str],
        *,
        sufficient: bool = False,
    ) -> Action:
        return Action(
            id=name,
            label=Label(vi=vi, en=en),
            mw=mw,
            minutes=minutes,
            sufficient=sufficient,
            basis=Label(vi=basis[0], en=basis[1]),
        )

    return (
        action(
            "battery",
            "Xả pin BESS1 từ 18:15 đến 20:30",
            "Discharge BESS1 18:15 to 20:30",
            7.2,
            41,
            ("SoC 88 %, 20 MWh, giới hạn 10 MW", "SoC 88 %, 20 MWh, 10 MW limit"),
            sufficient=True,
        ),
        action(
            "shift",
            "Dời ca dệt Tân Tạo 2 giờ",
            "Move Tan Tao's textile shift by 2 h",
            3.1,
            18,
            ("3 chuyền, tải đo được", "3 lines, measured load"),
        ),
        action(
            "curtail:hoaphat",
            "Điều chỉnh phụ tải Thép Hòa Phú",
            "Demand response at Hoa Phu Steel",
            2.5,
            14,
            ("hợp đồng DR 2,5 MW", "2.5 MW DR contract"),
        ),
        action(
            "transfer",
            "Chuyển xuất tuyến F07 sang VSIP II",
            "Transfer feeder F07 to VSIP II",
            1.9,
            11,
            ("giả thiết máy cắt liên lạc sẵn sàng", "assumes the tie breaker is ready"),
        ),
    )


def _specs() -> list[FigureSpec]:
    formula = Label(vi="P / cos φ, cộng hai máy biến áp", en="P / cos phi, both transformers")
    specs: list[FigureSpec] = []

    def add(
        name: str,
        vi: str,
        en: str,
        unit: str = "",
        decimals: int = 1,
        band: tuple[float | None, float | None] = (None, None),
        scale: tuple[float | None, float | None] = (None, None),
        asset: str = "",
        source: str = "derived",
        table: Label = NO_LABEL,
    ) -> None:
        specs.append(
            FigureSpec(
                id=name,
                label=Label(vi=vi, en=en),
                unit=unit,
                decimals=decimals,
                asset=asset,
                low=band[0],
                high=band[1],
                scale_low=scale[0],
                scale_high=scale[1],
                formula=formula,
                inputs=("ss1/t1/apparent_power", "ss1/t2/apparent_power"),
                source=source,
                table=table,
            )
        )

    tariff = Label(
        vi="QĐ 1279/QĐ-BCT, hiệu lực từ 10/05/2025 (nguồn thứ cấp)",
        en="QD 1279/QD-BCT, in force from 10 May 2025 (secondary)",
    )
    factor = Label(vi="0,6235 tCO₂/MWh, 2025 (tham khảo)", en="0.6235 tCO₂/MWh, 2025 (reference)")
    p = "park."
    add(p + "load_mw", "Phụ tải toàn khu", "Park load", "MW", 1, (30, 76), (0, 100))
    add(p + "grid_import_mw", "Điện nhận từ lưới", "Grid import", "MW", 1, (0, 76), (0, 100))
    add(p + "station_mva", "Công suất trạm 110 kV", "Station load", "MVA", 1, (0, 63), (0, 126))
    add(p + "station_loading_pct", "Tải trạm biến áp", "Station loading", "%", 1, (0, 80), (0, 120))
    add(p + "headroom_mva", "Còn tải thêm", "Headroom", "MVA", 1, (25, None), (0, 126))
    add(p + "n1_loading_pct", "Tải khi mất 1 MBA (N-1)", "N-1 loading", "%", 0, (0, 100), (0, 160))
    add(p + "n1_minutes", "Thời gian N-1", "N-1 minutes", "min", 0)
    add(p + "pv_mw", "Điện mặt trời", "Solar", "MW", 1, (None, None), (0, 20))
    add(p + "pv_share_pct", "Tỷ lệ điện mặt trời", "Solar share", "%", 1, (None, None), (0, 40))
    add(p + "bess_mw", "Công suất pin lưu trữ", "Battery power", "MW", 1, (-10, 10), (-10, 10))
    add(p + "bess_soc_pct", "Mức sạc pin (SoC)", "Battery SoC", "%", 0, (20, 95), (0, 100))
    add(p + "cos_phi", "Hệ số công suất cos φ", "Power factor", "", 3, (0.9, 1), (0.8, 1))
    add(p + "co2_kg_h", "Phát thải", "Emissions", "kgCO₂e/h", 0, table=factor)
    add(p + "energy_today_mwh", "Điện năng hôm nay", "Energy today", "MWh", 0)
    add(p + "peak_today_mw", "Đỉnh hôm nay", "Peak today", "MW", 1)
    add(
        p + "cost_today_mvnd",
        "Tiền điện tạm tính hôm nay",
        "Provisional cost today",
        "MVND",
        0,
        table=tariff,
    )
    add(p + "co2_today_t", "Phát thải hôm nay", "Emissions today", "tCO₂e", 0, table=factor)
    add(p + "measured_pct", "Phần được đo", "Measured share", "%", 0)
    add(p + "oee_pct", "OEE toàn khu", "Park OEE", "%", 1, (75, 100), (0, 100))
    add(p + "output_today", "Sản lượng hôm nay", "Output today", "", 0)
    add(p + "output_rate_h", "Năng suất", "Throughput", "/h", 0)
    add(p + "gate_queue", "Xe chờ tại cổng", "Trucks queueing", "", 0, (0, 8), (0, 20))
    add(p + "turn_p50_min", "Quay vòng xe p50", "Truck turn p50", "min", 0, (0, 45), (0, 120))
    add(p + "turn_p90_min", "Quay vòng xe p90", "Truck turn p90", "min", 0, (0, 60), (0, 120))
    add(p + "trucks_today", "Lượt xe hôm nay", "Trucks today", "", 0)
    add(p + "yard_pct", "Lấp đầy bãi", "Yard filled", "%", 0, (0, 85), (0, 100))
    add(p + "docks_busy", "Cửa xuất nhập đang dùng", "Docks busy", "", 0, (0, 22), (0, 24))
    add(p + "berths_busy", "Cầu bến đang dùng", "Berths busy", "", 0, (0, 2), (0, 2))
    add(p + "endpoints_up", "Điểm kết nối hoạt động", "Endpoints up", "", 0)
    add(p + "endpoints", "Điểm kết nối", "Endpoints", "", 0)
    add(p + "tags_good_pct", "Điểm đo tốt", "Good tags", "%", 1, (95, 100), (0, 100))
    for t in ("ss1/t1", "ss1/t2"):
        n = t[-2:].upper()
        add(f"transformer.{t}.mva", f"MBA {n}", f"Transformer {n}", "MVA", 1, (0, 50), (0, 82), t)
        add(
            f"transformer.{t}.loading_pct",
            f"Tải MBA {n}",
            f"{n} loading",
            "%",
            0,
            (0, 80),
            (0, 130),
            t,
        )
        add(
            f"transformer.{t}.oil_c", f"Nhiệt độ dầu {n}", f"{n} oil", "°C", 0, (0, 90), (0, 110), t
        )
    for n in range(1, 17):
        f = f"ss1/f{n:02d}"
        add(f"feeder.{f}.mw", f"Xuất tuyến F{n:02d}", f"Feeder F{n:02d}", "MW", 2, asset=f)
        add(f"feeder.{f}.amps", f"Dòng F{n:02d}", f"F{n:02d} current", "A", 0, asset=f)
        add(
            f"feeder.{f}.loading_pct",
            f"Tải F{n:02d}",
            f"F{n:02d} loading",
            "%",
            0,
            (0, 80),
            (0, 120),
            f,
        )
    for n in (1, 2, 3):
        add(
            f"pv.pv{n}.kw",
            f"Mái PV{n}",
            f"Solar roof PV{n}",
            "kW",
            0,
            asset=f"pv{n}",
            source="measured",
        )
        add(
            f"pv.pv{n}.expected_kw",
            f"PV{n} kỳ vọng",
            f"PV{n} expected",
            "kW",
            0,
            asset=f"pv{n}",
            source="estimated",
        )
    add("bess.bess1.kw", "Pin BESS1", "Battery BESS1", "kW", 0, asset="bess1")
    add("bess.bess1.soc_pct", "SoC BESS1", "BESS1 SoC", "%", 0, (20, 95), (0, 100), "bess1")
    for site, vi, en, *_ in SITES:
        add(f"site.{site}.kw", f"{vi}: công suất", f"{en}: power", "kW", 0, asset=site)
        add(f"site.{site}.kwh_today", f"{vi}: hôm nay", f"{en}: today", "kWh", 0, asset=site)
        add(f"site.{site}.oee_pct", f"{vi}: OEE", f"{en}: OEE", "%", 1, (70, 100), (0, 100), site)
        add(f"site.{site}.good_today", f"{vi}: đạt", f"{en}: good", "sp", 0, asset=site)
        add(f"site.{site}.alarm", f"{vi}: cảnh báo", f"{en}: alarm", "", 0, asset=site)
    for line, _, _ in lines():
        for name, vi, en, unit, decimals, band in (
            ("oee_pct", "OEE", "OEE", "%", 1, (70, 100)),
            ("availability_pct", "Mức sẵn sàng (A)", "Availability (A)", "%", 1, (80, 100)),
            ("effectiveness_pct", "Hiệu suất tốc độ (P)", "Effectiveness (P)", "%", 1, (85, 100)),
            ("quality_pct", "Tỷ lệ đạt (Q)", "Quality rate (Q)", "%", 1, (95, 100)),
            ("good_today", "Đạt hôm nay", "Good today", "sp", 0, (None, None)),
            ("rate_h", "Năng suất", "Throughput", "/h", 0, (None, None)),
            ("kwh_per_unit", "Suất tiêu hao", "Energy per unit", "kWh/sp", 2, (None, None)),
            ("bottleneck", "Nút thắt (máy)", "Bottleneck (machine)", "", 0, (None, None)),
        ):
            scale = (0, 6000) if name == "good_today" else (0, 110 if unit == "%" else None)
            add(f"line.{line}.{name}", vi, en, unit, decimals, band, scale, line)
        for machine in MACHINES:
            path = f"{line}/{machine}"
            add(
                f"machine.{path}.state",
                f"{machine} trạng thái",
                f"{machine} state",
                "",
                0,
                asset=path,
                source="measured",
            )
            add(
                f"machine.{path}.kw",
                f"{machine} công suất",
                f"{machine} power",
                "kW",
                1,
                asset=path,
                source="measured",
            )
    for gate in ("g1", "g2"):
        n = gate[-1]
        add(
            f"gate.{gate}.queue",
            f"Cổng {n}: xe chờ",
            f"Gate {n}: queue",
            "",
            0,
            (0, 5),
            (0, 12),
            gate,
        )
        add(
            f"gate.{gate}.busy",
            f"Cổng {n}: làn bận",
            f"Gate {n}: lanes busy",
            "",
            0,
            (0, 4),
            (0, 4),
            gate,
        )
        add(
            f"gate.{gate}.turn_p90_min",
            f"Cổng {n}: quay vòng p90",
            f"Gate {n}: turn p90",
            "min",
            0,
            (0, 70),
            (0, 120),
            gate,
        )
    add(
        "yard.y1.occupied",
        "Bãi container: chỗ đang dùng",
        "Container yard: slots taken",
        "",
        0,
        (0, 270),
        (0, 300),
        "y1",
    )
    for n in range(1, 5):
        add(f"dock.dk{n}.busy", f"Cụm cửa {n}", f"Dock group {n}", "", 0, (0, 6), (0, 6), f"dk{n}")
    for n in (1, 2):
        add(f"berth.be{n}.busy", f"Cầu bến {n}", f"Berth {n}", "", 0, (0, 1), (0, 1), f"be{n}")
    add(
        "wwtp.wwtp1.m3_h",
        "Trạm xử lý nước thải",
        "Wastewater plant",
        "m³/h",
        0,
        (0, 317),
        (0, 400),
        "wwtp1",
    )
    return specs


def _assets() -> list[Asset]:
    assets: list[Asset] = []
    figures: dict[str, list[str]] = {}
    for spec in _specs():
        figures.setdefault(spec.asset, []).append(spec.id)

    def add(
        name: str,
        kind: str,
        vi: str,
        en: str,
        parent: str | None,
        owner: str = "vsip",
        tags: tuple[str, ...] = (),
        **attributes: str,
    ) -> None:
        assets.append(
            Asset(
                id=name,
                type=kind,
                label=Label(vi=vi, en=en),
                parent=parent,
                owner=owner,
                attributes=attributes,
                tags=tuple(f"{name}/{tag}" for tag in tags),
                figures=tuple(figures.get(name, ())),
            )
        )

    for site, vi, en, _, mw, sector in SITES:
        add(
            site,
            "site",
            vi,
            en,
            None,
            site,
            ("active_power", "energy"),
            sector=sector,
            peak=f"{mw} MW",
            area="11 ha",
            feeder="ss1/f07",
        )
        add(f"{site}/main", "area", "Xưởng chính", "Main hall", site, site)
        for line, of, area in lines():
            if of != site:
                continue
            n = line[-1]
            add(
                line,
                "line",
                f"Chuyền {n}",
                f"Line {n}",
                area,
                site,
                ("good_count", "scrap_count"),
                calendar="three_shift",
                plan="6000 1/d",
            )
            for machine in MACHINES:
                add(
                    f"{line}/{machine}",
                    "machine",
                    f"Máy {machine.upper()}",
                    f"Machine {machine.upper()}",
                    line,
                    site,
                    ("state", "active_power", "part_count"),
                    type="injection_press",
                    cycle_time="28 s",
                )
    add(
        "others",
        "aggregate",
        "200 doanh nghiệp khác",
        "200 other tenants",
        None,
        count="200",
        peak="38 MW",
        profile="light_industry_vn",
    )
    add(
        "ss1",
        "station",
        "Trạm 110 kV VSIP I",
        "VSIP I 110 kV station",
        None,
        voltage="110 kV",
        transformers="2 x 63 MVA",
    )
    for t in ("t1", "t2"):
        add(
            f"ss1/{t}",
            "transformer",
            f"MBA {t.upper()}",
            f"Transformer {t.upper()}",
            "ss1",
            "vsip",
            ("apparent_power", "oil_temperature"),
            rating="63 MVA",
        )
    for n in range(1, 17):
        add(
            f"ss1/f{n:02d}",
            "feeder",
            f"Xuất tuyến F{n:02d}",
            f"Feeder F{n:02d}",
            "ss1",
            "vsip",
            ("active_power", "current"),
            rating="8 MW",
        )
    for n, peak in ((1, "8 MWp"), (2, "5 MWp"), (3, "7 MWp")):
        add(
            f"pv{n}",
            "pv",
            f"Mái PV{n}",
            f"Solar roof PV{n}",
            None,
            "vsip",
            ("active_power",),
            peak=peak,
            tilt="10 deg",
        )
    add(
        "bess1",
        "bess",
        "Pin BESS1",
        "Battery BESS1",
        None,
        "vsip",
        ("active_power", "soc"),
        power="10 MW",
        energy="20 MWh",
        soc="0.1, 0.95",
    )
    for n in (1, 2):
        add(
            f"g{n}",
            "gate",
            f"Cổng {n}",
            f"Gate {n}",
            None,
            "vsip",
            ("queue",),
            lanes="4",
            service="75 s",
        )
    add("y1", "yard", "Bãi container", "Container yard", None, "vsip", ("occupied",), slots="300")
    for n in range(1, 5):
        add(f"dk{n}", "dock", f"Cụm cửa {n}", f"Dock group {n}", None, docks="6")
    for n in (1, 2):
        add(f"be{n}", "berth", f"Cầu bến {n}", f"Berth {n}", None, vessel="2000 t")
    add(
        "wwtp1",
        "wwtp",
        "Trạm xử lý nước thải",
        "Wastewater plant",
        None,
        "vsip",
        ("flow",),
        capacity="7600 m3/d",
    )
    return assets


def _alarms(now: int) -> list[Alarm]:
    def alarm(
        rule: str,
        asset: str,
        vi: str,
        en: str,
        priority: Priority,
        minutes: int,
        state: AlarmState = AlarmState.UNACKNOWLEDGED,
        *,
        active: bool = True,
        **more: object,
    ) -> Alarm:
        base = Alarm(
            id=f"{rule}@{asset}",
            rule=rule,
            asset=asset,
            label=Label(vi=vi, en=en),
            priority=priority,
            state=state,
            active=active,
            raised_us=now - minutes * MIN,
        )
        return replace(base, **more)  # type: ignore[arg-type]

    return [
        alarm(
            "machine_down",
            "nippon/main/l1/p03",
            "Máy P03 dừng quá 60 phút",
            "Machine P03 down for more than 60 min",
            Priority.CRITICAL,
            12,
            value=70.0,
            limit=60.0,
            unit="min",
        ),
        alarm(
            "feeder_load",
            "ss1/f07",
            "Xuất tuyến F07 quá 80 % tải",
            "Feeder F07 above 80 % load",
            Priority.HIGH,
            25,
            value=91.0,
            limit=80.0,
            unit="%",
        ),
        alarm(
            "pv_gap",
            "pv3",
            "Mái PV3 thấp hơn kỳ vọng 20 %",
            "Solar roof PV3 20 % below expected",
            Priority.MEDIUM,
            96,
            AlarmState.ACKNOWLEDGED,
            acknowledged_us=now - 80 * MIN,
            acknowledged_by="Lan",
            note="Đã gọi đội bảo trì",
            value=-22.0,
            limit=-20.0,
            unit="%",
        ),
        alarm(
            "endpoint",
            "delta",
            "Điểm kết nối delta-plc mất liên lạc",
            "Endpoint delta-plc does not answer",
            Priority.HIGH,
            41,
            value=None,
            group="delta-plc",
            members=46,
        ),
        alarm(
            "turn",
            "g2",
            "Quay vòng xe p90 quá 60 phút",
            "Truck turn p90 above 60 min",
            Priority.MEDIUM,
            33,
            AlarmState.RETURNED_UNACKNOWLEDGED,
            active=False,
            returned_us=now - 6 * MIN,
            value=71.0,
            limit=60.0,
            unit="min",
        ),
        alarm(
            "yard",
            "y1",
            "Bãi container đầy 85 %",
            "Container yard 85 % full",
            Priority.LOW,
            130,
            AlarmState.SHELVED,
            shelved_until_us=now + 50 * MIN,
            note="Tàu đến 17:30",
            acknowledged_by="Minh",
            value=86.0,
            limit=85.0,
            unit="%",
        ),
        alarm(
            "oil",
            "ss1/t1",
            "Nhiệt độ dầu MBA T1 quá 90 °C",
            "T1 oil above 90 degC",
            Priority.HIGH,
            1500,
            AlarmState.NORMAL,
            active=False,
            returned_us=now - 1400 * MIN,
            acknowledged_us=now - 1390 * MIN,
            acknowledged_by="Lan",
            value=91.2,
            limit=90.0,
            unit="°C",
        ),
    ]


def _endpoints() -> list[EndpointStatus]:
    def good(name: str, items: int, lag: float) -> EndpointStatus:
        return EndpointStatus(
            id=name,
            url=f"opc.tcp://10.0.{len(name)}.5:4840",
            security="Basic256Sha256/SignAndEncrypt",
            state=EndpointState.CONNECTED,
            since_us=START_US - 5 * HOUR,
            requested=items,
            accepted=items,
            delivering=items,
            values_per_s=items * 0.9,
            lag_ms=lag,
            clock_offset_s=0.02,
            bridge_s=120.0,
        )

    return [
        good("acme-plc", 212, 84.0),
        replace(
            good("hoaphat-plc", 260, 91.0),
            accepted=258,
            delivering=257,
            gaps=2,
            rejected={"nsu=urn:hoaphat;s=Old.Meter": "BadNodeIdUnknown"},
            values=1_204_311,
            bad=2409,
            overflows=3,
            reconnects=2,
            resumed=1,
            republished=4,
            backfilled=1180,
            suggested_policy="receive",
            last_gaps=(
                {
                    "from": "2026-11-22T08:02:11+00:00",
                    "to": "2026-11-22T08:04:40+00:00",
                    "cause": "connection refused",
                },
                {
                    "from": "2026-11-22T08:31:00+00:00",
                    "to": "2026-11-22T08:31:09+00:00",
                    "cause": "a message of the server was lost",
                },
            ),
        ),
        replace(good("park-scada", 610, 63.0), clock_offset_s=25_200.4, time_policy="receive"),
        replace(
            good("delta-plc", 46, 0.0),
            state=EndpointState.OFFLINE,
            cause="connection refused",
            delivering=0,
            values_per_s=0.0,
            lag_ms=None,
            gaps=1,
            lost=120,
            since_us=START_US - 41 * MIN,
        ),
        replace(
            good("nippon-plc", 174, 0.0),
            state=EndpointState.QUARANTINED,
            cause="the server has no namespace urn:nippon:line2 any more",
            delivering=0,
            values_per_s=0.0,
            lag_ms=None,
        ),
    ]


def _test(spec: EndpointSpec, *, trusted: bool) -> EndpointTest:
    steps = [
        TestStep(step="tcp", ok=True, detail="connected", ms=12.0),
        TestStep(
            step="certificate",
            ok=trusted,
            detail="Basic256Sha256" if trusted else "unknown certificate",
            remedy="" if trusted else "compare the fingerprint with the PLC's, then trust it",
            ms=41.0,
        ),
    ]
    if trusted:
        steps += [
            TestStep(step="session", ok=True, detail="anonymous", ms=23.0),
            TestStep(step="namespaces", ok=True, detail="3 namespaces", ms=4.0),
            TestStep(step="status", ok=True, detail="state Running", ms=3.0),
            TestStep(step="subscribe", ok=True, detail="1 s accepted", ms=9.0),
        ]
    return EndpointTest(
        url=spec.url,
        ok=trusted,
        steps=tuple(steps),
        namespaces=("urn:new:plant",),
        product="ACME Controls 3.1",
        policies=("None", "Basic256Sha256/SignAndEncrypt"),
        fingerprint="9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C",
    )


def _browse(node: str) -> list[BrowsedNode]:
    if not node:
        return [
            BrowsedNode(
                node="nsu=urn:new:plant;s=Press",
                name="Press",
                node_class="Object",
                path="Press",
                has_children=True,
            ),
            BrowsedNode(
                node="nsu=urn:new:plant;s=Meter",
                name="Meter",
                node_class="Object",
                path="Meter",
                has_children=True,
            ),
        ]
    name = node.rsplit("=", 1)[-1]
    return [
        BrowsedNode(
            node=f"{node}.Power",
            name="Power",
            node_class="Variable",
            path=f"{name}/Power",
            data_type="Double",
            value="44.8",
            unit="kW",
            proposal="acme/main/l1/p01/active_power",
            confidence=0.92,
            why="name and unit",
        ),
        BrowsedNode(
            node=f"{node}.State",
            name="State",
            node_class="Variable",
            path=f"{name}/State",
            data_type="Int32",
            value="3",
            proposal="acme/main/l1/p01/state",
            confidence=0.71,
            why="name",
        ),
        BrowsedNode(
            node=f"{node}.Serial",
            name="Serial",
            node_class="Variable",
            path=f"{name}/Serial",
            data_type="String",
            value="A-0042",
        ),
    ]


def _proposals() -> list[dict[str, object]]:
    """Ninety-odd nodes of a line, the first ones certain, the last ones guesses."""
    found = []
    for n in range(96):
        machine, metric, unit, stored = (
            ("p01", "active_power", "W", "kW"),
            ("p02", "temperature", "degC", "degC"),
            ("p03", "part_count", "", ""),
            ("p04", "cycle_time", "ms", "s"),
        )[n % 4]
        confidence = 0.99 - n / 120
        found.append(
            {
                "node": f"nsu=urn:new:plant;s=Day{n // 4}.May{n:02d}.{metric}",
                "browsed": f"Dây {n // 4}/Máy ép {n:02d}/{metric}",
                "path": f"vsip1/acme/main/l{n // 4}/{machine}/{metric}",
                "unit": unit,
                "stored": stored,
                "confidence": confidence,
                "sure": confidence >= 0.9,
                "why": "name and unit",
            }
        )
    return found


def _run(
    name: str,
    title: str,
    state: str,
    created: int,
    *,
    branches: tuple[str, ...] = ("base", "bess2x"),
    submitted_by: str = "Hà",
    progress: float = 1.0,
    error: str = "",
) -> Run:
    over = state in (RunState.DONE, RunState.FAILED)
    return Run(
        id=name,
        name=title,
        park="vsip1",
        state=state,
        progress=progress,
        priority=0,
        attempt=1,
        submitted_by=submitted_by,
        created_us=created,
        started_us=created + S,
        finished_us=created + 9 * S if over else None,
        from_us=created,
        horizon_us=DAY,
        branches=branches,
        replications=64,
        error=error,
        result_hash="b94d27b9934d3e08a52e52d7da7dabfa" if state == RunState.DONE else "",
    )


def _runs(now: int) -> list[Run]:
    three = ("base", "bess2x", "shift")
    return [
        _run("run-0005", "new-tenant-3mw", RunState.QUEUED, now - 1 * MIN, progress=0.0),
        _run("run-0004", "night-shift", RunState.RUNNING, now - 2 * MIN, progress=0.46),
        _run("run-0003", "evening-peak", RunState.DONE, now - 35 * MIN, branches=three),
        _run("run-0002", "t2-trip", RunState.DONE, now - 3 * HOUR),
        _run(
            "run-0001",
            "gate-lanes",
            RunState.FAILED,
            now - 26 * HOUR,
            progress=0.2,
            error="branch lanes6: gate g3 is not in the park: did you mean 'g1'?",
        ),
    ]


def _outcome(run: Run) -> Outcome:
    start = (run.from_us or START_US) // (15 * MIN) * 15 * MIN
    at = start + np.arange(96) * 15 * MIN
    kpis: list[dict[str, object]] = []
    bands: list[dict[str, object]] = []
    pairs: list[dict[str, object]] = []
    for order, branch in enumerate(run.branches):
        relief = (0.0, 6.1, 2.6, 1.0)[min(order, 3)]
        for kpi, unit, mean, per in (
            ("peak_mva", "MVA", 76.4, 1.0),
            ("n1_minutes", "min", 118.0, -6.4),
            ("over_n1_minutes", "min", 205.0, 21.0),
            ("p_over", "1", 0.021, 0.003),
            ("cost_mvnd", "triệu đ", 2412.0, 9.0),
            ("co2_t", "t", 812.0, 0.4),
            ("output", "sp", 124_800.0, 12.0),
        ):
            value = mean - per * relief
            half = abs(mean) * 0.008
            kpis.append(
                {
                    "branch": branch,
                    "kpi": kpi,
                    "unit": unit,
                    "mean": value,
                    "low": value - half,
                    "high": value + half,
                    "q05": value - 4 * half,
                    "q25": value - 2 * half,
                    "q50": value,
                    "q75": value + 2 * half,
                    "q95": value + 4 * half,
                    "n": 64,
                    "warmup_deleted": 0,
                    "engine": "recursion",
                    "why": "no shared resources",
                }
            )
            if order:
                difference = -per * relief
                small = abs(difference) < half
                better = "higher" if kpi in ("n1_minutes", "output") else "lower"
                gains = (difference > 0) == (better == "higher")
                pairs.append(
                    {
                        "branch": branch,
                        "against": run.branches[0],
                        "kpi": kpi,
                        "unit": unit,
                        "difference": difference,
                        "low": difference - half / 2,
                        "high": difference + half / 2,
                        "p_better": 0.55 if small else 0.98 if gains else 0.03,
                        "better": better,
                        "material": half,
                        "n": 64,
                        "verdict": "about_same"
                        if small
                        else "clearly_better"
                        if gains
                        else "clearly_worse",
                    }
                )
        for series, unit, of in (
            ("station_mva", "MVA", lambda t: (load_mw(t) - pv_mw(t) - bess_mw(t)) / 0.945),
            ("load_mw", "MW", load_mw),
            ("pv_mw", "MW", pv_mw),
            ("bess_mw", "MW", bess_mw),
            ("bess_soc_pct", "%", lambda t: 55 + 30 * math.sin(local_hour(t) / 4)),
            ("output_rate_h", "sp/h", lambda t: 5200 + wave("o", t, 9000, 300)),
            ("gate_queue", "", lambda t: 6 + wave("g", t, 9000, 3)),
        ):
            for step, t in enumerate(at):
                h = local_hour(int(t))
                cut = relief if series in ("station_mva", "load_mw") and 17.5 < h < 21 else 0.0
                middle = of(int(t)) - cut
                spread = (0.01 + 0.004 * math.sqrt(step)) * max(1.0, abs(middle))
                bands.append(
                    {
                        "branch": branch,
                        "series": series,
                        "unit": unit,
                        "at": int(t),
                        "q05": middle - 1.64 * spread,
                        "q25": middle - 0.67 * spread,
                        "q50": middle,
                        "q75": middle + 0.67 * spread,
                        "q95": middle + 1.64 * spread,
                    }
                )
    return Outcome(
        kpis=pa.Table.from_pylist(kpis, KPIS),
        bands=pa.Table.from_pylist(bands, BANDS),
        pairs=pa.Table.from_pylist(pairs, PAIRS),
        provenance=Provenance(
            snapshot_hash="1f3a9c",
            spec_hash="77be01",
            code_version="0.1.0",
            lock_hash="c0ffee",
            seed=11,
            result_hash=run.result_hash or "b94d27b9",
            replications=64,
            from_us=run.from_us or START_US,
            cpu="x86_64 AVX2",
        ),
    )
