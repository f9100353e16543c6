"""A batch from a body somebody sent: measured before it is unpacked."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import arrow_body
from cluster.arrow_body import one_batch, unpacked_bytes
from connectors.coverage import CoverageRow, coverage_batch, is_coverage
from models.errors import InputError
from twin.samples import sample_batch

NOW_US = 1_795_000_000_000_000


def stream(*batches: pa.RecordBatch, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def rows(count: int, **more) -> pa.RecordBatch:
    return sample_batch(tag=np.arange(count), at_us=NOW_US, seen_us=NOW_US, **{"value": 1.0} | more)


def message_of(body: bytes) -> pa.ipc.Message:
    messages = pa.ipc.MessageReader.open_stream(body)
    messages.read_next_message()
    return messages.read_next_message()


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@given(count=st.integers(0, 300), text=st.one_of(st.none(), st.text(max_size=40)))
def test_a_batch_comes_as_it_was_sent_however_it_is_packed(compression, count, text):
    batch = rows(count, text=[text] * count)
    assert one_batch(stream(batch, compression=compression)).equals(batch)


def test_coverage_keeps_its_mark():
    row = CoverageRow(endpoint="plc", from_us=1, to_us=2, alive=False, cause="x", lost=3)
    found = one_batch(stream(coverage_batch([row]), compression="lz4"))
    assert is_coverage(found)
    assert found.column("lost").to_pylist() == [3]


def test_the_unpacked_size_is_that_of_the_columns():
    # 1,000 rows without nulls: tag and status 4 B, at, seen_at and value 8 B, origin 1 B = 33 kB;
    # server_at, exact and text are null throughout: buffers of zeros, and a mask of 125 B each.
    batch = rows(1000)
    size = unpacked_bytes(message_of(stream(batch, compression="zstd")))
    assert size == unpacked_bytes(message_of(stream(batch, compression="lz4")))
    assert size >= 33_000
    assert size == pytest.approx(batch.nbytes, rel=0.1)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_small_body_that_unpacks_to_much_is_refused_before_it_is_unpacked(
    compression, monkeypatch
):
    body = stream(rows(100_000, value=0.0), compression=compression)
    assert len(body) < 1_000_000
    monkeypatch.setattr(arrow_body, "UNPACKED_MOST", 3_000_000)
    monkeypatch.setattr(pa.ipc, "read_record_batch", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match="MB unpacked, 3 MB are taken"):
        one_batch(body)


def test_the_limit_is_on_the_sum_of_all_buffers(monkeypatch):
    body = stream(rows(1000), compression="zstd")
    size = unpacked_bytes(message_of(body))
    monkeypatch.setattr(arrow_body, "UNPACKED_MOST", size)
    assert one_batch(body).num_rows == 1000
    monkeypatch.setattr(arrow_body, "UNPACKED_MOST", size - 1)
    with pytest.raises(InputError, match="fewer rows"):
        one_batch(body)


def test_a_length_that_lies_is_refused_too():
    batch = rows(1000)
    body = bytearray(stream(batch, compression="lz4"))
    packed = message_of(bytes(body)).body.to_pybytes()
    at = bytes(body).index(packed)
    body[at : at + 8] = (2**40).to_bytes(8, "little")
    with pytest.raises(InputError, match="1099512 MB unpacked"):
        one_batch(bytes(body))


def test_other_columns_are_refused_by_their_schema():
    with pytest.raises(InputError, match="columns are a"):
        one_batch(stream(pa.record_batch({"a": pa.nulls(5)})))


@given(at=st.integers(0), byte=st.integers(0, 255))
def test_a_damaged_body_is_refused_or_read_but_breaks_nothing(at, byte):
    body = bytearray(stream(rows(20, text=["abc"] * 20)))
    body[at % len(body)] = byte
    try:
        found = one_batch(bytes(body))
    except InputError:
        return
    found.validate(full=True)


@given(cut=st.integers(0))
def test_a_torn_body_is_refused_or_is_whole(cut):
    batch = rows(20)
    body = stream(batch, compression="lz4")
    try:
        found = one_batch(body[: cut % len(body)])
    except InputError:
        return
    assert found.equals(batch)


def test_at_most_two_batches_are_looked_at():
    batch = rows(1)
    with pytest.raises(InputError, match="2 or more batches"):
        one_batch(stream(*[batch] * 100))
