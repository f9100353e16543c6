"""Integers that a float64 cannot hold come out as they are."""

import io
import zipfile

import numpy as np
import orjson
import pyarrow as pa
import pytest

from cluster.asking import MAX_TAGS
from cluster.history import check_query, state_table
from cluster.ports import HistoryQuery
from cluster.wire import render
from models.errors import InputError
from twin.samples import sample_batch
from twin.tags import Binding, Kind, TagRow

NOW_US = 1_795_000_000_000_000
COUNTER = 2**63 - 25


def counted() -> pa.Table:
    """State of a 64-bit counter, and of a gauge."""
    rows = [
        TagRow(tag=tag, binding=Binding(path=path, kind=Kind(kind)), valid_from_us=0)
        for tag, path, kind in ((1, "meter/energy", "counter"), (2, "meter/power", "gauge"))
    ]
    batch = sample_batch(
        tag=np.array([1, 2]),
        at_us=NOW_US,
        value=[float(COUNTER), 1.5],
        exact=[COUNTER, None],
        seen_us=NOW_US,
    )
    return state_table(pa.Table.from_batches([batch]), rows)


def test_the_state_holds_the_integer_and_not_its_rounding():
    assert counted().column("exact").to_pylist() == [COUNTER, None]
    assert float(COUNTER) != COUNTER


@pytest.mark.parametrize("form", ["json", "arrow", "csv", "xlsx"])
def test_every_format_shows_every_digit(form):
    body = render(counted(), form)
    if form == "json":
        assert [row["exact"] for row in orjson.loads(body)] == [COUNTER, None]
    elif form == "arrow":
        assert pa.ipc.open_stream(body).read_all().column("exact").to_pylist() == [COUNTER, None]
    elif form == "csv":
        assert str(COUNTER) in body.decode("utf-8-sig")
    else:
        with zipfile.ZipFile(io.BytesIO(body)) as book:
            parts = [book.read(name).decode() for name in book.namelist() if "xml" in name]
        assert any(f">{COUNTER}<" in part for part in parts)


def test_a_question_names_a_bounded_number_of_tags():
    def question(count: int) -> HistoryQuery:
        tags = tuple(f"p/t{number}" for number in range(count))
        return HistoryQuery(tags=tags, since_us=NOW_US - 60_000_000, until_us=NOW_US)

    check_query(question(MAX_TAGS), NOW_US)
    with pytest.raises(InputError, match="501 tags are too many") as caught:
        check_query(question(MAX_TAGS + 1), NOW_US)
    assert caught.value.where == "tags"
