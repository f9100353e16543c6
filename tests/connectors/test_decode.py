"""Values → rows, without a network: types, times, status, room."""

import math
import re
import struct
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua.config import Item
from connectors.opcua.decode import Decoder
from connectors.opcua.rows import Rows
from connectors.opcua.wire import as_bytes
from twin.samples import from_us, to_us

NOW = to_us(datetime(2026, 11, 22, 10, tzinfo=UTC))
AT = datetime(2026, 11, 22, 9, 59, 59, 123_456, UTC)


def decoder(rows: Rows, policy: str = "source", publishing_us: int = 1_000_000) -> Decoder:
    made = Decoder(rows, policy, lambda: NOW, publishing_us)
    made.bind(1, Item(tag=11, namespace="urn:a", identifier="s=V"))
    made.bind(2, Item(tag=12, namespace="urn:a", identifier="s=W", scale=0.001))
    return made


def value(raw, at=AT, server=None, status=0):
    kind = None
    if raw is None:
        kind = ua.VariantType.Null
    elif isinstance(raw, int) and raw >= 2**63:
        kind = ua.VariantType.UInt64
    return ua.DataValue(
        Value=ua.Variant(raw, kind),
        StatusCode=ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=at,
        ServerTimestamp=server,
    )


def taken(*values, policy="source", handle=1, publishing_us=1_000_000):
    rows = Rows()
    decoder(rows, policy, publishing_us).take([(handle, v) for v in values])
    return rows.drain().to_pylist()


def test_nan_and_no_value_stay_apart_in_one_batch():
    nan, none, one = taken(value(math.nan), value(None, status=0x80000000), value(1.0))
    assert math.isnan(nan["value"])
    assert nan["status"] == 0x40000000
    assert (none["value"], none["status"]) == (None, 0x80000000)
    assert one["value"] == 1.0


def test_a_bad_nan_stays_bad_and_info_bits_are_kept():
    bad, overflowed = taken(value(math.nan, status=0x808C0000), value(math.inf, status=0x480))
    assert bad["status"] == 0x808C0000
    assert overflowed["status"] == 0x40000480


def test_a_scale_that_makes_a_value_infinite_makes_it_uncertain():
    rows = Rows()
    made = Decoder(rows, "source", lambda: NOW, 0)
    made.bind(1, Item(tag=11, namespace="urn:a", identifier="s=V", scale=1000.0))
    made.take([(1, value(1e307)), (1, value(1.0))])
    infinite, fine = rows.drain().to_pylist()
    assert (infinite["value"], infinite["status"]) == (math.inf, 0x40000000)
    assert (fine["value"], fine["status"]) == (1000.0, 0)


@given(st.integers(-(2**63), 2**64 - 1))
def test_no_integer_loses_a_digit(number):
    (row,) = taken(value(number))
    kept = int(row["value"])
    if row["exact"] is not None:
        kept = row["exact"]
    if row["text"] is not None:
        kept = int(row["text"])
    assert kept == number


@given(
    st.integers(to_us(datetime(1602, 1, 1, tzinfo=UTC)), to_us(datetime(9998, 1, 1, tzinfo=UTC)))
)
def test_source_times_are_exact_to_the_microsecond(at_us):
    rows = Rows()
    decoder(rows).take([(1, value(1.0, at=AT + timedelta(microseconds=at_us - to_us(AT))))])
    assert rows.columns.at[0] == at_us


def test_a_scale_applies_to_numbers_and_not_to_texts():
    number, flag, text = taken(value(45_000), value(True), value("45000"), handle=2)
    assert number["value"] == pytest.approx(45.0)
    assert flag["value"] == 0.001
    assert (text["value"], text["text"]) == (None, "45000")


def test_missing_times_fall_back_source_server_now():
    server = AT + timedelta(seconds=1)
    rows = taken(value(1.0, server=server), value(1.0, at=None, server=server), value(1.0, at=None))
    assert [row["at"] for row in rows] == [AT, server, from_us(NOW)]
    assert [row["server_at"] for row in rows] == [server, server, None]


def test_server_policy_takes_the_servers_time_and_keeps_the_sources():
    server = AT + timedelta(hours=7)
    (row,) = taken(value(1.0, server=server), policy="server")
    assert (row["at"], row["server_at"]) == (server, AT)


def test_receive_policy_keeps_distances_within_one_publishing_interval():
    times = [AT, AT + timedelta(milliseconds=300), AT + timedelta(milliseconds=900)]
    rows = taken(*(value(float(i), at=at) for i, at in enumerate(times)), policy="receive")
    back = [(NOW - to_us(row["at"])) / 1000 for row in rows]
    assert back == pytest.approx([900.0, 600.0, 0.0], abs=0.01)
    assert [row["server_at"] for row in rows] == times
    old = taken(value(1.0, at=AT - timedelta(days=3)), value(2.0), policy="receive")
    assert (NOW - to_us(old[0]["at"])) / 1e6 == pytest.approx(1.0, abs=1e-3)


def test_receive_policy_never_puts_two_rows_of_a_message_on_one_instant():
    rows = taken(*(value(float(i), at=None) for i in range(50)), policy="receive")
    times = [row["at"] for row in rows]
    assert times == sorted(set(times))


def test_what_finds_no_room_is_counted_and_unknown_handles_too():
    rows = Rows(limit=2)
    made = decoder(rows)
    made.take([(1, value(1.0))])
    made.take([(1, value(2.0)), (1, value(3.0))])
    assert (len(rows), rows.take_dropped().count) == (1, 2)
    rows.drain()
    made.take([(1, value(4.0)), (99, value(5.0))])
    assert (len(rows), made.unknown, made.taken) == (1, 1, 2)


def test_the_same_value_with_the_same_time_is_no_second_row_but_a_status_or_text_is():
    rows = Rows()
    made = decoder(rows)
    later = AT + timedelta(seconds=1)
    made.take([(1, value(1.0)), (1, value(1.0)), (1, value(1.0, status=0x40000000))])
    made.take([(1, value(1.0, later)), (1, value("a", later)), (1, value("b", later))])
    made.take([(1, value("b", later)), (1, value(math.nan, later)), (1, value(math.nan, later))])
    found = rows.drain().to_pylist()
    assert [row["text"] or row["value"] for row in found[:-1]] == [1.0, 1.0, 1.0, "a", "b"]
    assert math.isnan(found[-1]["value"])
    assert made.delivering == 1


def test_a_message_larger_than_the_buffer_is_taken_when_it_is_empty():
    rows = Rows(limit=2)
    decoder(rows).take([(1, value(float(i))) for i in range(5)])
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ([1.0, 2.0, 3.0], "an array of 3"),
        (b"\x00\x01", "a ByteString"),
        (ua.EUInformation(), r"a structure \(EUInformation\)"),
        ("x" * 70_000, "a text of 70000 characters"),
    ],
)
def test_what_cannot_be_stored_is_listed_and_leaves_no_row(raw, reason):
    rows = Rows()
    made = decoder(rows)
    made.take([(1, value(raw)), (1, value(1.0))])
    assert len(rows) == 1
    assert len(rows.drain()) == 1
    assert re.search(reason, made.unsupported["nsu=urn:a;s=V"])


def test_bytes_that_are_no_text_do_not_stop_the_batch():
    rows = Rows()
    made = decoder(rows)
    good = struct_to_binary(value("Máy"))
    broken = good.replace("á".encode(), b"\xe1x")
    joined = as_bytes(b"".join(struct.pack("<I", 1) + part for part in (broken, good)))
    made.take_notified(joined, 0, len(joined), 2)
    first, second = rows.drain().to_pylist()
    assert first["text"] == "M?xy"
    assert second["text"] == "Máy"


def test_two_halves_of_a_letter_in_two_texts_are_no_letter():
    rows = Rows()
    for text in (b"\xc3", b"\xa9"):
        rows.reserve(1, 1)
        rows.put_text(len(rows), text)
        for name in ("tag", "at", "server_at", "seen_at", "status"):
            getattr(rows.columns, name)[len(rows)] = 0
        rows.columns.flag[len(rows)] = 1
        rows.wrote(1, rows.texts)
    assert [row["text"] for row in rows.drain().to_pylist()] == ["?", "?"]
