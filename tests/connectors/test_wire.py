"""Bytes of servers → rows: the same as asyncua's own decoder, and one error for all else."""

import math
import random
import struct
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.opcua.config import Item
from connectors.opcua.decode import Decoder
from connectors.opcua.rows import Rows
from connectors.opcua.wire import (
    Content,
    Malformed,
    as_bytes,
    read_history,
    read_publish,
    read_republish,
    read_results,
)
from twin.samples import to_us

NOW = to_us(datetime(2026, 11, 22, 10, tzinfo=UTC))
T = ua.VariantType
OLDEST, LATEST = datetime(1700, 1, 1), datetime(9000, 1, 1)  # noqa: DTZ001 - bounds are naive
WHOLE = {
    T.SByte: (-(2**7), 2**7 - 1), T.Byte: (0, 2**8 - 1),
    T.Int16: (-(2**15), 2**15 - 1), T.UInt16: (0, 2**16 - 1),
    T.Int32: (-(2**31), 2**31 - 1), T.UInt32: (0, 2**32 - 1),
    T.Int64: (-(2**63), 2**63 - 1), T.UInt64: (0, 2**64 - 1),
}  # fmt: skip


def whole_numbers():
    return st.one_of([st.builds(ua.Variant, st.integers(*r), st.just(k)) for k, r in WHOLE.items()])


SCALARS = st.one_of(
    whole_numbers(),
    st.builds(ua.Variant, st.floats(), st.just(T.Double)),
    st.builds(ua.Variant, st.floats(width=32), st.just(T.Float)),
    st.builds(ua.Variant, st.booleans(), st.just(T.Boolean)),
    st.builds(ua.Variant, st.text(), st.just(T.String)),
    st.builds(ua.Variant, st.uuids(), st.just(T.Guid)),
    st.builds(
        ua.Variant,
        st.datetimes(OLDEST, LATEST, timezones=st.just(UTC)),
        st.just(T.DateTime),
    ),
    st.builds(
        ua.Variant, st.builds(ua.LocalizedText, st.text(min_size=1)), st.just(T.LocalizedText)
    ),
    st.builds(
        ua.Variant, st.builds(ua.QualifiedName, st.text(min_size=1)), st.just(T.QualifiedName)
    ),
)
OTHERS = st.one_of(
    st.builds(ua.Variant, st.lists(st.floats(), min_size=1, max_size=5), st.just(T.Double)),
    st.builds(ua.Variant, st.lists(st.text(), min_size=1, max_size=5), st.just(T.String)),
    st.builds(ua.Variant, st.binary(), st.just(T.ByteString)),
    st.just(ua.Variant(ua.EUInformation())),
    st.just(ua.Variant([ua.Variant(1.0), ua.Variant("a")], T.Variant)),
)
TIMES = st.none() | st.datetimes(OLDEST, LATEST, timezones=st.just(UTC))
VALUES = st.builds(
    lambda variant, status, source, server: ua.DataValue(
        Value=variant,
        StatusCode=ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=source,
        ServerTimestamp=server,
    ),
    SCALARS | OTHERS,
    st.sampled_from([0, 0x480, 0x40000000, 0x80000000, 0x808C0000, 0x002F0000]),
    TIMES,
    TIMES,
)


def decoder(rows, handles=1):
    made = Decoder(rows, "source", lambda: NOW, 100_000)
    for handle in range(1, handles + 1):
        made.bind(handle, Item(tag=100 + handle, namespace="urn:a", identifier=f"s={handle}"))
    return made


def notified(values):
    items = []
    for handle, value in enumerate(values, start=1):
        item = ua.MonitoredItemNotification()
        item.ClientHandle, item.Value = ua.IntegerId(handle), value
        items.append(item)
    return ua.DataChangeNotification(MonitoredItems=items)


def publish(*parts, sequence=3, subscription=7):
    answer = ua.PublishResponse()
    answer.Parameters.SubscriptionId = ua.IntegerId(subscription)
    answer.Parameters.AvailableSequenceNumbers = [ua.Counter(2), ua.Counter(3)]
    answer.Parameters.NotificationMessage.SequenceNumber = ua.Counter(sequence)
    answer.Parameters.NotificationMessage.NotificationData = list(parts)
    answer.Parameters.Results = [ua.StatusCode(ua.UInt32(0)), ua.StatusCode(ua.UInt32(0x807A0000))]
    return struct_to_binary(answer)


def rows_of(body, handles):
    rows = Rows()
    made = decoder(rows, handles)
    buf = as_bytes(body)
    for part in read_publish(buf).parts:
        if part.content is Content.DATA:
            made.take_notified(buf, part.start, part.stop, part.count)
    return rows.drain().to_pylist(), made


def stock(body):
    answer = struct_from_binary(ua.PublishResponse, Buffer(body))
    return [i.Value for part in answer.Parameters.NotificationMessage.NotificationData
            for i in part.MonitoredItems]  # fmt: skip


def kept(value):
    """What a row must hold of a value, by the stock decoder; None when it has no row."""
    raw = value.Value.Value
    if isinstance(raw, bool | float):
        return float(raw), None, None
    if isinstance(raw, int):
        if abs(raw) <= 2**53:
            return float(raw), None, None
        return (float(raw), raw, None) if -(2**63) <= raw < 2**63 else (float(raw), None, str(raw))
    text = {ua.LocalizedText: "Text", ua.QualifiedName: "Name"}.get(type(raw))
    if text:
        return None, None, getattr(raw, text)
    if isinstance(raw, datetime):
        return None, None, raw.isoformat()
    return None, None, raw if isinstance(raw, str) or raw is None else str(raw)


@given(st.lists(VALUES, min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_rows_hold_what_the_stock_decoder_reads(values):
    body = publish(notified(values))
    rows, made = rows_of(body, len(values))
    left = iter(rows)
    for handle, value in enumerate(stock(body), start=1):
        raw = value.Value.Value
        if isinstance(raw, list | bytes | ua.EUInformation):
            assert f"nsu=urn:a;s={handle}" in made.unsupported
            continue
        row = next(left)
        assert row["tag"] == 100 + handle
        number, exact, text = kept(value)
        if number is not None and math.isnan(number):
            assert math.isnan(row["value"])
        else:
            assert row["value"] == number
        assert (row["exact"], row["text"]) == (exact, text)
        status = value.StatusCode.value
        if number is not None and not math.isfinite(number) and status < 0x40000000:
            status = 0x40000000 | status & 0xFFFF
        assert row["status"] == status
        source, server = value.SourceTimestamp, value.ServerTimestamp
        at = source or server
        assert to_us(row["at"]) == (NOW if at is None else to_us(at))
    assert next(left, None) is None


def test_the_envelope_is_read_as_it_was_written():
    status = ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(0x800A0000)))
    found = read_publish(as_bytes(publish(notified([]), status, sequence=41, subscription=9)))
    assert (found.subscription, found.sequence, found.available) == (9, 41, (2, 3))
    assert found.refused == {1: 0x807A0000}
    assert [part.content for part in found.parts] == [Content.DATA, Content.STATUS]


def test_republish_read_and_history_share_the_walk():
    values = [ua.DataValue(ua.Variant(float(i)), SourceTimestamp=datetime(2026, 1, 1, 0, 0, i, tzinfo=UTC)) for i in range(3)]  # fmt: skip  # noqa: E501
    rows = Rows()
    made = decoder(rows, 3)

    again = ua.RepublishResponse()
    again.NotificationMessage.SequenceNumber = ua.Counter(5)
    again.NotificationMessage.NotificationData = [notified(values)]
    buf = as_bytes(struct_to_binary(again))
    message = read_republish(buf)
    assert message.sequence == 5
    (part,) = message.parts
    made.take_notified(buf, part.start, part.stop, part.count)
    assert rows.drain()["value"].to_pylist() == [0.0, 1.0, 2.0]

    read = ua.ReadResponse(Results=values)
    buf = as_bytes(struct_to_binary(read))
    results = read_results(buf)
    made = decoder(rows, 3)
    for news in ([0.0, 1.0, 2.0], []):
        made.take_read(buf, results.start, results.stop, results.count, 1)
        assert rows.drain()["value"].to_pylist() == news

    history = ua.HistoryReadResponse(
        Results=[ua.HistoryReadResult(HistoryData=ua.HistoryData(DataValues=values))]
    )
    buf = as_bytes(struct_to_binary(history))
    (result,) = read_history(buf)
    old = result.values
    assert made.take_history(buf, old.start, old.stop, old.count, 2) == 3
    assert rows.drain()["tag"].to_pylist() == [102] * 3


MIXED = [
    ua.DataValue(v, ua.StatusCode(ua.UInt32(0)), datetime(2026, 1, 1, tzinfo=UTC))
    for v in (
        ua.Variant(1.5), ua.Variant(7, T.Int32), ua.Variant("chữ"), ua.Variant([1.0, 2.0]),
        ua.Variant(ua.EUInformation()), ua.Variant(uuid.UUID(int=5)),
        ua.Variant(2**64 - 1, T.UInt64),
        ua.Variant([ua.Variant(1), ua.Variant("a")], T.Variant), ua.Variant(ua.LocalizedText("vi")),
        ua.Variant(ua.NodeId(5, 2)), ua.Variant([["a"], ["b"]], T.String),
    )
]  # fmt: skip


def attempt(body):
    try:
        rows_of(body, len(MIXED))
    except Malformed:
        return False
    return True


def test_a_message_cut_anywhere_is_one_kind_of_error():
    body = publish(notified(MIXED))
    assert attempt(body)
    # The last fields of the answer, behind the notifications, are two empty arrays.
    assert not any(attempt(body[:n]) for n in range(len(body) - 4))


def test_mutated_messages_are_read_or_refused_and_never_spin():
    body = publish(notified(MIXED))
    rng = random.Random(20261122)
    read = 0
    for _ in range(4000):
        bent = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(bent))
            bent[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        if rng.random() < 0.1:
            at = rng.randrange(len(bent) - 4)
            bent[at : at + 4] = struct.pack("<i", rng.choice([-1, 2**31 - 1, 2**30, 70_000]))
        read += attempt(bytes(bent))
    assert 0 < read < 4000


def test_an_array_that_claims_a_gigabyte_costs_nothing():
    value = struct.pack("<BBi", 1, 0x80 | 11, 2**27)
    body = struct.pack("<I", 1) + value + bytes(1000)
    rows = Rows()
    with pytest.raises(Malformed):
        decoder(rows).take_notified(as_bytes(body), 0, len(body), 1)
    assert len(rows) == 0


def test_values_nested_without_end_are_refused():
    value = b"\x01" + b"\x98\x01\x00\x00\x00" * 5000 + b"\x00"
    body = struct.pack("<I", 1) + value
    with pytest.raises(Malformed, match="nested"):
        decoder(Rows()).take_notified(as_bytes(body), 0, len(body), 1)


def test_a_long_text_is_listed_and_its_neighbours_are_stored():
    values = [ua.DataValue(ua.Variant("x" * 70_000)), ua.DataValue(ua.Variant(2.0))]
    rows, made = rows_of(publish(notified(values)), 2)
    assert [row["value"] for row in rows] == [2.0]
    assert "70000 characters" in made.unsupported["nsu=urn:a;s=1"]


@pytest.mark.parametrize("year", [1601, 1500, 9999])
def test_dates_at_the_edges_stay_dates(year):
    when = datetime(year, 1, 1, tzinfo=UTC) + timedelta(0)
    rows, _ = rows_of(publish(notified([ua.DataValue(ua.Variant(1.0), SourceTimestamp=when)])), 1)
    assert rows[0]["at"].year == (9999 if year == 9999 else 2026)


def test_counts_are_kept_by_handle():
    rows = Rows()
    made = decoder(rows, 2)
    bad, flooded = ua.StatusCode(ua.UInt32(0x80000000)), ua.StatusCode(ua.UInt32(0x480))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    made.take([(1, ua.DataValue(ua.Variant(1.0), status, at)) for status in (bad, flooded)])
    assert made.counts(1) == (2, 1, 1, to_us(at))
    assert made.counts(2) == (0, 0, 0, None)
    assert made.delivering == 1


def test_columns_grow_without_losing_rows():
    rows = Rows()
    made = decoder(rows, 1)
    values = [
        (1, ua.DataValue(ua.Variant(f"text {i}" if i % 7 == 0 else float(i)))) for i in range(5000)
    ]
    for start in range(0, 5000, 500):
        made.take(values[start : start + 500])
    batch = rows.drain()
    assert batch.num_rows == 5000
    texts = [t for t in batch["text"].to_pylist() if t is not None]
    assert texts == [f"text {i}" for i in range(0, 5000, 7)]
    assert np.nansum(batch["value"].to_numpy(zero_copy_only=False)) == sum(
        i for i in range(5000) if i % 7
    )
