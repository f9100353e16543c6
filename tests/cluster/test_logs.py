"""The log: one record, one line, whatever strangers put into it."""

import logging
import os

from cluster import logs
from cluster.logs import PlainLines


def shown(**extra) -> str:
    record = logging.makeLogRecord({"msg": "endpoint offline", "levelname": "INFO"} | extra)
    return PlainLines("%(levelname)s: %(message)s").format(record)


def test_what_a_server_says_cannot_forge_a_line_or_move_the_cursor():
    line = shown(cause="gone\nERROR: all parks stopped\r\x1b[2J")
    assert line == r"INFO: endpoint offline cause=gone\nERROR: all parks stopped\r\x1b[2J"


def test_names_stay_as_they_are():
    assert shown(park="Bình Dương", seq=7) == "INFO: endpoint offline park=Bình Dương seq=7"


def test_what_a_running_process_prints_is_rotated_under_it(tmp_path):
    output = tmp_path / "service.out"
    with output.open("ab", buffering=0) as console:
        for number in range(1, 6):
            console.write(b"%d" % number * 100)
            logs.cut_output(output, most_bytes=100, files=3)
            console.write(b"after")
            assert output.read_bytes() == b"after"
            os.truncate(output, 0)
    kept = {path.name: path.read_bytes()[:1] for path in tmp_path.iterdir()}
    assert kept == {
        "service.out": b"", "service.out.1": b"5", "service.out.2": b"4", "service.out.3": b"3"
    }  # fmt: skip


def test_short_or_missing_output_stays(tmp_path):
    output = tmp_path / "plant.out"
    logs.cut_output(output)
    output.write_bytes(b"x" * 99)
    logs.cut_output(output, most_bytes=100)
    assert [path.name for path in tmp_path.iterdir()] == ["plant.out"]
