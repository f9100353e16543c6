"""The log: one record, one line, whatever strangers put into it."""

import logging

from cluster.logs import PlainLines


def shown(**extra) -> str:
    record = logging.makeLogRecord({"msg": "endpoint offline", "levelname": "INFO"} | extra)
    return PlainLines("%(levelname)s: %(message)s").format(record)


def test_what_a_server_says_cannot_forge_a_line_or_move_the_cursor():
    line = shown(cause="gone\nERROR: all parks stopped\r\x1b[2J")
    assert line == r"INFO: endpoint offline cause=gone\nERROR: all parks stopped\r\x1b[2J"


def test_names_stay_as_they_are():
    assert shown(park="Bình Dương", seq=7) == "INFO: endpoint offline park=Bình Dương seq=7"
