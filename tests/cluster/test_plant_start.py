"""A demo's plant comes up beside another one, and tells why when it does not."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from cluster import supervisor
from cluster.plant_start import PlantStart, addresses, told_addresses
from connectors.plant.process import PlantPaths, free_ports
from models.errors import Unavailable
from twin.parkfile.load import read_park

PARK = Path(__file__).parents[2] / "examples" / "vsip1.yaml"


@pytest.fixture
def park():
    """The demo park on ports that are free on this machine, not its own."""
    ports = iter(free_ports(9))
    address = re.compile(r"(opc\.tcp://127\.0\.0\.1:)\d+")
    return read_park(address.sub(lambda m: f"{m[1]}{next(ports)}", PARK.read_text()))


@pytest.fixture
def files(tmp_path):
    return PlantPaths(
        ready=tmp_path / "ready.json", state=tmp_path / "state", labels=tmp_path / "labels"
    )


def taken(url):
    """A listener at an address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", urlsplit(url).port))
    listener.listen()
    return listener


def begun(park, files, begin):
    """A start that has begun a plant once."""
    start = PlantStart(park, files, begin)
    start()
    return start


def test_a_port_lost_in_a_race_is_replaced_at_the_next_start(park, files):
    asked = []
    start = begun(park, files, asked.append)
    name, url = next(iter(asked[0].items()))
    with taken(url):  # another demo was quicker, so this plant has ended
        start()
    assert asked[1][name] != url
    assert asked[1].keys() == asked[0].keys()


def test_addresses_the_service_knows_are_kept(park, files):
    asked = []
    start = begun(park, files, asked.append)
    files.ready.write_text("{}")
    with taken(next(iter(asked[0].values()))):
        start()
        assert not files.ready.exists()  # what stands there is of the plant before
        start()
    assert asked[2] == asked[1] == asked[0]


def test_a_ready_file_of_an_earlier_demo_settles_nothing(park, files):
    files.ready.write_text("{}")
    asked = []
    start = begun(park, files, asked.append)
    with taken(next(iter(asked[0].values()))):
        start()
    assert asked[1] != asked[0]


def test_two_plants_that_look_at_once_need_not_share_a_port(park):
    first = addresses(park)
    listeners = [taken(url) for url in first.values()]
    try:
        second = addresses(park)
    finally:
        for listener in listeners:
            listener.close()
    assert set(first.values()).isdisjoint(second.values())


async def test_the_service_learns_the_addresses_from_the_plant(tmp_path):
    ready = tmp_path / "ready.json"
    ready.write_bytes(orjson.dumps({"pid": 1, "endpoints": {"plc": "opc.tcp://127.0.0.1:5"}}))
    assert await told_addresses(ready, tmp_path / "out") == {"plc": "opc.tcp://127.0.0.1:5"}


async def test_a_plant_that_does_not_come_up_is_told_with_its_last_line(tmp_path):
    output = tmp_path / "plant.out"
    output.write_text("endpoint scada\nplc cannot listen at 127.0.0.1:48402\n\n")
    with pytest.raises(Unavailable, match="plc cannot listen at "):
        await told_addresses(tmp_path / "never", output, patience_s=0.0)


def test_an_end_is_told_with_what_was_printed_last(tmp_path):
    output = tmp_path / "x.out"
    program = "import sys; print('one'); print('port 7 is taken', file=sys.stderr); sys.exit(2)"

    def start() -> subprocess.Popen[bytes]:
        return supervisor.start_child([sys.executable, "-c", program], output)

    child = supervisor.Child("plant", start, output=output)
    child.start()
    child._process.wait()
    news = child.look(0.0)
    assert news == "plant ended with code 2: port 7 is taken; starting it again in 0.5 s"


@pytest.mark.parametrize(
    ("text", "last"), [("", ""), ("a\nb \n \n", "b"), ("x" * 9000, "x" * 2000)]
)
def test_the_last_line_is_the_last_that_says_something(tmp_path, text, last):
    (tmp_path / "out").write_text(text)
    assert supervisor.last_line(tmp_path / "out") == last
    assert supervisor.last_line(tmp_path / "none") == ""
