"""Small parts of the plant: frames, units, shifts, faults, settings, the state file."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.plant.__main__ import main
from connectors.plant.address_space import CASTS
from connectors.plant.faults import parse_fault
from connectors.plant.layout import namespaces, plan_server, source_unit
from connectors.plant.settings import PlantSettings, servers_of, urls_of
from connectors.plant.statefile import PlantState, read_state, write_state
from connectors.plant.wire import Frame, ServerSetup
from models.errors import InputError, NotFound
from twin.parkfile.load import load_park
from twin.parkfile.schema import Calendar, Holidays
from twin.samples import to_us
from twin.shifts import LocalTime, Shifts

PARK = Path(__file__).with_name("park.yaml")
HANOI = LocalTime("Asia/Ho_Chi_Minh")


def local(text: str) -> int:
    return to_us(datetime.fromisoformat(f"{text}+07:00"))


@given(
    at=st.integers(-(2**62), 2**62),
    speed=st.floats(1, 60),
    values=st.lists(st.floats(allow_nan=False)),
)
def test_a_frame_survives_the_pipe(at: int, speed: float, values: list[float]):
    sent = Frame(at_us=at, clock_us=-at, speed=speed, values=np.array(values))
    got = Frame.decode(sent.encode())
    assert (got.at_us, got.clock_us, got.speed) == (at, -at, speed)
    assert got.values.tolist() == values


def test_a_torn_frame_is_refused():
    data = Frame(at_us=1, clock_us=1, speed=1.0, values=np.ones(3)).encode()
    with pytest.raises(InputError, match="names 3 values"):
        Frame.decode(data[:-8])


def test_a_setup_survives_the_pipe():
    park = load_park(PARK)
    for server in servers_of(park):
        nodes = plan_server(park, server)
        setup = ServerSetup(
            endpoint=server.endpoint,
            url="opc.tcp://127.0.0.1:4840",
            namespaces=namespaces(server, nodes),
            nodes=nodes,
        )
        assert ServerSetup.from_line(setup.line()) == setup


def test_every_binding_of_an_endpoint_is_one_node_and_some_nodes_are_nobodys():
    park = load_park(PARK)
    for server in servers_of(park):
        nodes = plan_server(park, server)
        wanted = {b.node: b.path for b in park.bindings if b.endpoint == server.endpoint}
        mapped = {f"nsu={n.namespace};{n.identifier}": n.path for n in nodes if n.path}
        assert mapped == wanted
        assert any(not node.path and node.text for node in nodes)
        assert len({(n.namespace, n.identifier) for n in nodes}) == len(nodes)


@pytest.mark.parametrize(
    ("unit", "scale", "source"),
    [("kW", 1000.0, "MW"), ("kWh", 1.0, "kWh"), ("kW", 0.001, "W"), ("kW", 7.0, ""), ("", 1.0, "")],
)
def test_the_unit_at_the_source_follows_from_unit_and_scale(unit: str, scale: float, source: str):
    assert source_unit(unit, scale) == source


def test_a_counter_of_32_bits_wraps():
    assert CASTS["UInt32"](2.0**32 + 5.0) == 5


def test_a_night_shift_belongs_to_the_day_it_starts_on():
    calendar = Calendar(shifts=("06:00-14:00", "22:00-06:00"), weekdays=(1, 2, 3, 4, 5, 6))
    shifts = Shifts(calendar, None, HANOI)
    assert shifts.open(local("2026-11-22T05:59"))  # Sunday morning: Saturday's night shift
    assert not shifts.open(local("2026-11-22T06:00"))
    assert not shifts.open(local("2026-11-22T23:00"))
    assert shifts.next_change(local("2026-11-22T07:00")) == local("2026-11-23T06:00")
    assert shifts.next_change(local("2026-11-23T23:00")) == local("2026-11-24T14:00")


def test_holidays_rest_and_swapped_days_work():
    days_off = Holidays(dates=(date(2026, 11, 24),), swapped_working_days=(date(2026, 11, 22),))
    calendar = Calendar(shifts=("06:00-24:00",), weekdays=(1, 2, 3, 4, 5, 6))
    shifts = Shifts(calendar, days_off, HANOI)
    assert shifts.open(local("2026-11-22T12:00"))
    assert not shifts.open(local("2026-11-24T12:00"))
    assert not shifts.open(local("2026-11-24T00:00"))


def test_a_fault_is_read_from_the_command_line():
    read = parse_fault("cycle_drift:acme/moulding/l1/p01:0.08:2 h:150 min")
    assert (read.kind, read.target, read.size) == ("cycle_drift", "acme/moulding/l1/p01", 0.08)
    assert (read.from_us, read.until_us) == (7_200_000_000, 9_000_000_000)
    assert read.after(5).from_us == 7_200_000_005


@pytest.mark.parametrize(
    ("text", "acts"),
    [
        ("breakdown:p01:0:2h", False),
        ("meter_stuck:acme:0:2h", True),
        ("meter_stuck:acme:0:2h:150 min", False),
        ("meter_stuck:acme:0:4h", True),
    ],
)
def test_a_restart_after_three_hours_keeps_the_faults_that_still_act(text: str, acts: bool):
    assert parse_fault(text).acts_after(3 * 3600 * 1_000_000) is acts


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("breakdown:p01", InputError, "kind:target:size:at"),
        ("breakdown:p01:much:2h", InputError, "give a number"),
        ("breakdown:p01:0:2 kW", InputError, "kW"),
        ("brekdown:p01:0:2h", NotFound, "did you mean 'breakdown'"),
    ],
)
def test_a_wrong_fault_is_refused_with_a_remedy(text: str, error: type[InputError], says: str):
    with pytest.raises(error, match=says):
        parse_fault(text)


def test_addresses_come_from_the_file_a_base_or_one_by_one():
    park = load_park(PARK)
    assert urls_of(park, PlantSettings())["plc"] == "opc.tcp://127.0.0.1:48401"
    settings = PlantSettings(port_base=5000, urls={"old": "opc.tcp://127.0.0.1:6000"})
    assert urls_of(park, settings) == {
        "plc": "opc.tcp://127.0.0.1:5000",
        "scada": "opc.tcp://127.0.0.1:5001",
        "old": "opc.tcp://127.0.0.1:6000",
    }
    with pytest.raises(InputError, match="choose of plc, scada, old"):
        urls_of(park, PlantSettings(urls={"nobody": "opc.tcp://127.0.0.1:1"}))
    with pytest.raises(InputError, match="1 to 60"):
        PlantSettings(speed=61.0)


def test_a_plant_goes_on_from_what_it_left(tmp_path: Path):
    file = tmp_path / "state.json"
    assert read_state(file) is None
    left = PlantState(at_us=2_000, first_us=1_000, speed=10.0, counters={"tiny/a/parts": 7.0})
    write_state(file, left)
    assert read_state(file) == left
    file.write_text('{"at": 3}')
    with pytest.raises(InputError, match="remove it"):
        read_state(file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--speed", "0.5"], "speed 0.5"),
        (["--urls", "opc.tcp://127.0.0.1:5000"], "plc1=opc.tcp"),
        (["--start-at", "yesterday"], "--start-at"),
        (["--fault", "x"], "--fault"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
):
    assert main([str(PARK), *arguments]) == 2
    assert says in capsys.readouterr().err
