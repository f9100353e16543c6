"""A small park with one of everything, and plans on it."""

from collections.abc import Callable, Mapping
from datetime import datetime

import pytest

from twin.park import Park
from twin.parkfile.load import read_park
from twin.whatif.outcome import Outcome
from twin.whatif.plan import Plan, combine_parts, compile_plan, more_pieces, run_piece
from twin.whatif.snapshot import Snapshot, nominal

PARK = """
apiVersion: parktwin/v1
kind: Park
id: small
label: {vi: "Khu nhỏ", en: "Small park"}
region: {id: binh_duong, label: {vi: "Bình Dương", en: "Binh Duong"}}
tz: Asia/Ho_Chi_Minh
geo: {lat: 10.93, lon: 106.71, area: 20 ha}
holidays:
  vn: {dates: ["2026-09-02"]}
calendars:
  day: {shifts: ["06:00-14:00", "14:00-22:00"], holidays: vn}
  always: {shifts: ["00:00-12:00", "12:00-24:00"], weekdays: [1, 2, 3, 4, 5, 6, 7]}
types:
  press:
    label: {vi: "Máy ép", en: "Press"}
    cycle_time: 30 s
    cycle_cv: 0.1
    power: {Executing/Processing: 60 kW, NotExecuting/None: 10 kW, OutOfService/Maintenance: 3 kW}
    mtbf: {dist: exponential, mean: 20 h}
    mttr: {dist: lognormal, mean: 20 min, cv: 0.8}
    scrap: 1 %
  robot:
    label: {vi: "Rô-bốt", en: "Robot"}
    cycle_time: 25 s
    power: {Executing/Processing: 6 kW, NotExecuting/None: 1 kW}
    energy_per_part: 20 Wh/part
organisations:
  - {id: acme, role: tenant, label: {vi: "Acme", en: "Acme"}}
sites:
  - id: acme
    label: {vi: "Nhà máy Acme", en: "Acme plant"}
    owner: acme
    feeder: f1
    base_load: 300 kW
    shift_load: 200 kW
    cos_phi: 0.95
    areas:
      - id: hall
        label: {vi: "Xưởng", en: "Hall"}
        lines:
          - id: l1
            label: {vi: "Chuyền 1", en: "Line 1"}
            calendar: day
            product: case
            plan: 100 parts/h
            chain:
              - {machine: p1, type: press}
              - {buffer: b1, cap: 10}
              - {machine: r1, type: robot}
          - id: l2
            label: {vi: "Chuyền 2", en: "Line 2"}
            calendar: always
            product: lid
            chain: [{machine: p2, type: press}]
  - id: others
    kind: aggregate
    label: {vi: "Khác", en: "Others"}
    count: 20
    profile: light_industry
    peak: 9 MW
    cos_phi: 0.95
    feeders: [f1, f2]
utilities:
  electricity:
    connection: {id: grid, voltage: 22 kV, tariff: vn_industrial_one_part}
    substations:
      - id: ss1
        label: {vi: "Trạm", en: "Station"}
        feeder_voltage: 22 kV
        transformers: [{id: t1, rating: 8 MVA}, {id: t2, rating: 8 MVA}]
        feeders:
          - {id: f1, rating: 400 A, transformer: t1}
          - {id: f2, rating: 400 A, transformer: t2}
    pv: [{id: pv1, feeder: f1, site: acme, peak: 1500 kWp}]
    bess: [{id: bess1, feeder: f1, power: 1 MW, energy: 2 MWh}]
  wastewater: [{id: wwtp, capacity: 500 m3/d}]
logistics:
  gates: [{id: g1, lanes: 2, service: 90 s}]
  trucks: {per_day: 800 trucks/d}
"""

HEAD = """
apiVersion: parktwin/v1
kind: WhatIf
id: test
park: small
"""


@pytest.fixture(scope="session")
def park() -> Park:
    return read_park(PARK)


@pytest.fixture(scope="session")
def park_text() -> str:
    return PARK


def at_us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


@pytest.fixture(scope="session")
def start(park: Park) -> Snapshot:
    """A Tuesday afternoon, nothing measured."""
    return nominal(park, at_us("2026-11-24T14:00+07:00"))


@pytest.fixture(scope="session")
def text_of() -> Callable[..., str]:
    """Text of a what-if from its branches (flow YAML)."""

    def make(branches: Mapping[str, str], **more: str) -> str:
        given = {"from": "now", "horizon": "12 h", "ensemble": "{replications: 8, seed: 3}"} | more
        lines = [f"{key}: {value}" for key, value in given.items()]
        lines += ["branches:", *(f"  {name}: {changes}" for name, changes in branches.items())]
        return HEAD + "\n".join(lines) + "\n"

    return make


@pytest.fixture(scope="session")
def plan_of(text_of: Callable[..., str], start: Snapshot) -> Callable[..., Plan]:
    """Plan of a what-if on the small park."""

    def make(
        branches: Mapping[str, str],
        *,
        snapshot: Snapshot = start,
        parent: Plan | None = None,
        **more: str,
    ) -> Plan:
        text = text_of(branches, **more)
        return Plan(park_text=PARK, snapshot=snapshot.to_json(), text=text, parent=parent)

    return make


def run_plan(plan: Plan) -> Outcome:
    """All pieces in order."""
    parts = [run_piece(plan, piece) for piece in compile_plan(plan)]
    while more := more_pieces(plan, parts):
        parts += [run_piece(plan, piece) for piece in more]
    return combine_parts(plan, parts)


@pytest.fixture(scope="session")
def outcome_of(plan_of: Callable[..., Plan]) -> Callable[..., Outcome]:
    """Outcome of a what-if on the small park."""

    def make(branches: Mapping[str, str], **more: object) -> Outcome:
        return run_plan(plan_of(branches, **more))

    return make
