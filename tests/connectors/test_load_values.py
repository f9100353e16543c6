"""What the load server sends is what it says, and its audit sees every kind of fault."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from hypothesis import given
from hypothesis import strategies as st

from connectors.coverage import CoverageRow
from connectors.load.audit import Audit
from connectors.load.decoding import Ours, compare, messages
from connectors.load.frames import Frames, NotOpcUa
from connectors.load.subscription import Counts, Subscription
from connectors.load.template import Block
from connectors.load.values import Kind, Ticks, doubles, kinds_of, text_of
from twin.samples import SAMPLES, Origin, to_us

TICKS = Ticks(zero_us=1_800_000_000_000_000, period_us=100_000)
GOOD, OVERFLOW = 0, 0x480


def numbers(count):
    return np.arange(count, dtype=np.int64)


def decoded(body):
    """Items of a PublishResponse, by asyncua's decoder."""
    response = struct_from_binary(ua.PublishResponse, Buffer(body))
    (told,) = response.Parameters.NotificationMessage.NotificationData
    return told.MonitoredItems


# --- bytes ---


def test_a_stock_decoder_reads_the_values_types_and_times_that_were_meant():
    block = Block(numbers(8), kinds_of(numbers(8), "mixed"), numbers(8) + 70)
    tick, source_us, server_us = 123_456_789, 1_700_000_000_123_456, 1_700_000_001_000_001
    raw = bytes(block.at(tick, source_us, server_us))
    buffer, found = Buffer(raw), []
    while len(buffer):
        found.append(struct_from_binary(ua.MonitoredItemNotification, buffer))
    assert [item.ClientHandle for item in found] == list(range(70, 78))
    # 123,456,789 is 23,456,789 mod 10^8, 3,349 mod 2^12 and 19,733 mod 2^15.
    assert [item.Value.Value.Value for item in found] == [
        23_456_789.0,
        4096.0 + 3349.0,
        2e8 + 23_456_789.0,
        3 * 65_536 + 19_733,
        4e8 + 23_456_789.0,
        bool(((5 * 2_654_435_761 >> 16) + tick) % 2),
        6e8 + 23_456_789.0,
        "node 000007 at 23456789",
    ]
    kinds = [Kind.DOUBLE, Kind.FLOAT, Kind.DOUBLE, Kind.INT32, Kind.DOUBLE, Kind.BOOLEAN]
    assert [item.Value.Value.VariantType.value for item in found[:6]] == kinds
    assert {to_us(item.Value.SourceTimestamp) for item in found} == {source_us}
    assert {to_us(item.Value.ServerTimestamp) for item in found} == {server_us}


def test_the_same_block_says_the_next_tick_and_nothing_of_the_last_one():
    block = Block(numbers(3), kinds_of(numbers(3), "double"), numbers(3) + 1)
    first = bytes(block.at(1, 10, 10))
    assert bytes(block.at(2, 20, 20)) != first
    assert bytes(block.at(1, 10, 10)) == first


def test_the_overflow_bit_is_in_every_value_of_a_flooded_block():
    block = Block(numbers(8), kinds_of(numbers(8), "mixed"), numbers(8) + 1, overflow=True)
    buffer = Buffer(bytes(block.at(7, 1, 1)))
    found = [struct_from_binary(ua.MonitoredItemNotification, buffer) for _ in range(8)]
    assert {item.Value.StatusCode.value for item in found} == {OVERFLOW}
    assert found[7].Value.Value.Value == text_of(7, 7)


@pytest.mark.parametrize("mix", ["double", "mixed"])
def test_our_decoder_and_the_stock_one_find_the_same_values_in_a_message(mix):
    first, second = messages(200, mix, count=2)
    ours = Ours(200)
    for body in (first, second):
        items = decoded(body)
        assert ours.decode(body) == len(items) == 200


def test_comparing_decoders_gives_a_time_for_each_round():
    found = compare(50, "mixed", 2)
    assert len(found.ours_us) == len(found.stock_us) == 2
    assert min(found.stock_us) > 0


# --- queues ---


def subscription(queue, most=1000, **more):
    made = Subscription(
        id=1, ticks=TICKS, mix="double", publishing_s=0.1, keep_alive=10, lifetime=100,
        most=most, counts=Counts(), **more,
    )  # fmt: skip
    made.add(numbers(3), numbers(3) + 1, queue, TICKS.at_us(5))
    return made


def parts(message):
    return [(tick, flooded) for _, tick, flooded in message.parts]


def test_a_message_holds_all_ticks_that_wait_and_then_none_wait():
    sub = subscription(queue=10)
    now_us = TICKS.at_us(8)
    assert sub.waiting(now_us)
    assert parts(sub.take(now_us)) == [(5, False), (6, False), (7, False), (8, False)]
    assert not sub.waiting(now_us)
    assert sub.waiting(now_us + TICKS.period_us)


def test_a_queue_drops_its_oldest_ticks_counts_them_and_says_so_once():
    sub = subscription(queue=3)
    message = sub.take(TICKS.at_us(9))
    assert parts(message) == [(7, True), (8, False), (9, False)]
    assert sub.counts.dropped == 2 * 3
    assert parts(sub.take(TICKS.at_us(10))) == [(10, False)]


def test_a_message_never_holds_more_values_than_allowed():
    sub = subscription(queue=100, most=7)
    now_us = TICKS.at_us(10)
    sizes = []
    while sub.waiting(now_us):
        sizes.append(sub.take(now_us).values(TICKS).count)
    assert sizes == [6, 6, 6]


def test_items_of_one_call_more_than_a_message_holds_come_in_several():
    sub = subscription(queue=100, most=2)
    now_us = TICKS.at_us(6)
    seen = []
    while sub.waiting(now_us):
        message = sub.take(now_us)
        seen += [(int(n), tick) for run, tick, _ in message.parts for n in run.nodes]
    assert sorted(seen) == sorted(itertools.product(range(3), (5, 6)))


def test_a_message_can_be_had_again_byte_for_byte_until_it_is_acknowledged():
    sub = subscription(queue=10)
    first = sub.take(TICKS.at_us(5))
    before = [bytes(piece) for piece in first.values(TICKS).data]
    sub.take(TICKS.at_us(6))
    again = sub.sent[first.sequence].values(TICKS)
    assert [bytes(piece) for piece in again.data] == before
    assert sub.acknowledge(first.sequence)
    assert not sub.acknowledge(first.sequence)
    assert list(sub.available) == [2]


def test_after_the_largest_number_comes_one():
    sub = subscription(queue=10)
    sub.sequence = 0xFFFF_FFFF
    assert sub.take(TICKS.at_us(5)).sequence == 0xFFFF_FFFF
    assert sub.take(TICKS.at_us(6)).sequence == 1


# --- frames ---


@given(data=st.lists(st.binary(max_size=64), max_size=8))
def test_foreign_bytes_end_in_one_error_or_in_waiting_for_more(data):
    frames = Frames()
    try:
        for piece in data:
            list(frames.feed(piece))
    except NotOpcUa:
        return


def test_a_message_in_pieces_is_whole_again_whatever_the_cuts():
    writer, reader = Frames(), Frames()
    body = bytes(range(256)) * 300
    writer.token = 7
    raw = b"".join(bytes(piece) for piece in writer.message(5, body))
    for cut in (1, 7, 8192, len(raw)):
        found = [
            request
            for first in range(0, len(raw), cut)
            for request in reader.feed(raw[first : first + cut])
        ]
        assert [(request.number, request.body) for request in found] == [(5, body)]


# --- audit ---


def batch(rows):
    """Rows (node, tick) or (node, tick, value) of Double nodes."""
    plain = [(*row, None)[:3] for row in rows]
    nodes = np.array([row[0] for row in plain], np.int64)
    ticks = np.array([row[1] for row in plain], np.int64)
    values = doubles(nodes, ticks)
    for place, row in enumerate(plain):
        values[place] = values[place] if row[2] is None else row[2]
    at = pa.array(TICKS.zero_us + ticks * TICKS.period_us).view(SAMPLES.field("at").type)
    count = len(plain)
    return pa.record_batch(
        [
            pa.array((nodes + 1).astype(np.int32)), at, at, at, pa.array(values),
            pa.nulls(count, pa.int64()), pa.nulls(count, pa.string()),
            pa.array(np.zeros(count, np.uint32)),
            pa.array(np.full(count, int(Origin.MEASURED), np.uint8)),
        ],
        schema=SAMPLES,
    )  # fmt: skip


def audited(*batches, nodes=2, coverage=()):
    audit = Audit(nodes, "double", TICKS)
    for rows in batches:
        audit.take(batch(rows))
    found = audit.verdict(coverage)
    return found.missing, found.doubled, found.wrong, found.told


WHOLE = [(0, 3), (1, 3), (0, 4), (1, 4), (0, 5), (1, 5)]


def test_a_whole_run_has_no_fault_whatever_its_order():
    assert audited(WHOLE) == (0, 0, 0, 0)
    assert audited(WHOLE[3:], WHOLE[:3]) == (0, 0, 0, 0)


@given(lost=st.sampled_from(WHOLE[2:5]))
def test_a_value_that_never_came_is_missing(lost):
    assert audited([row for row in WHOLE if row != lost]) == (1, 0, 0, 0)


def test_history_from_long_before_the_first_value_heard_is_neither_wrong_nor_missing():
    late = [(node, tick) for node in (0, 1) for tick in range(700, 710)]
    early = [(node, tick) for node in (0, 1) for tick in range(90, 700)]
    assert audited(late, early) == (0, 0, 0, 0)
    assert audited(late, early[1:]) == (0, 0, 0, 0)  # a node counts from its first tick on
    assert audited(late, [*early[:5], *early[6:]]) == (1, 0, 0, 0)
    assert audited(late, early, early[:7], late[:2]) == (0, 9, 0, 0)


def test_a_node_that_never_came_is_missing_at_every_tick():
    assert audited([(0, 3), (0, 4)]) == (2, 0, 0, 0)


@given(twice=st.sampled_from(WHOLE))
def test_a_value_that_came_twice_is_doubled_in_one_batch_or_two(twice):
    assert audited([*WHOLE, twice]) == (0, 1, 0, 0)
    assert audited(WHOLE, [twice]) == (0, 1, 0, 0)


def test_a_value_under_another_tag_is_wrong_and_missing_under_its_own():
    swapped = [row for row in WHOLE if row[1] != 4]
    tag_of_the_other = [(0, 4, 1e8 + 4.0), (1, 4, 4.0)]
    assert audited([*swapped, *tag_of_the_other]) == (2, 0, 2, 0)


def test_a_value_of_another_tick_is_wrong():
    assert audited([*WHOLE, (0, 6, 5.0), (1, 6)]) == (1, 0, 1, 0)


def gap(first, last, *, alive=False, cause="", lost=None):
    return CoverageRow(
        endpoint="plc", from_us=TICKS.at_us(first), to_us=TICKS.at_us(last), alive=alive,
        cause=cause, lost=lost,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("coverage", "told"),
    [
        ([], 0),
        ([gap(4, 5)], 2),
        ([gap(5, 6)], 0),
        ([gap(3, 5, alive=True)], 0),
        ([gap(3, 5, alive=True, lost=2)], 2),
        ([gap(3, 5), gap(3, 5, alive=True, cause="recovered: from its queues")], 0),
    ],
)
def test_a_loss_is_told_by_a_gap_or_a_count_and_not_by_a_gap_that_was_taken_back(coverage, told):
    lost = [row for row in WHOLE if row[1] != 4]
    assert audited(lost, coverage=coverage) == (2, 0, 0, told)
