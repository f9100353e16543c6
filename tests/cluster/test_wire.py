"""How values leave: JSON with UTC times, and tables in five formats that read back the same."""

import csv
import io
import zipfile
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.asking import check_windows, parse_step, parse_time
from cluster.ring import Recent
from cluster.wire import plain, render, to_json
from models.errors import InputError
from twin.label import Label
from twin.samples import TIME, to_us

NOON_US = 1_795_348_800_123_456  # 2026-11-22T12:00:00.123456Z
NOW_US = NOON_US


def table() -> pa.Table:
    return pa.table(
        {
            "path": ["p/a/power", "p/b/tên"],
            "at": pa.array([NOON_US, None]).cast(TIME),
            "value": [1.5, float("nan")],
            "text": [None, "=cmd()"],
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    now_us: int
    ended_us: int | None
    horizon_us: int
    at_us: np.ndarray
    label: Label
    share: float


def test_instants_become_utc_texts_and_durations_seconds():
    thing = Thing(
        now_us=NOON_US,
        ended_us=None,
        horizon_us=86_400_000_000,
        at_us=np.array([0]),
        label=Label(vi="a", en="b"),
        share=float("inf"),
    )
    assert plain(thing) == {
        "now": "2026-11-22T12:00:00.123456Z",
        "ended": None,
        "horizon_s": 86_400.0,
        "at": ["1970-01-01T00:00:00Z"],
        "label": {"vi": "a", "en": "b"},
        "share": None,
    }


def test_json_of_a_table_has_no_nan():
    rows = orjson.loads(render(table(), "json"))
    assert rows[0]["at"] == "2026-11-22T12:00:00.123456Z"
    assert (rows[1]["value"], rows[1]["at"]) == (None, None)


def test_arrow_and_parquet_read_back_the_same():
    with pa.ipc.open_stream(render(table(), "arrow")) as reader:
        assert reader.read_all().equals(table()) or reader.schema.equals(table().schema)
    read = pq.read_table(io.BytesIO(render(table(), "parquet")), page_checksum_verification=True)
    assert read.column("path").to_pylist() == ["p/a/power", "p/b/tên"]
    assert read.column("at").cast(pa.int64()).to_pylist() == [NOON_US, None]


def test_vietnamese_spreadsheets_get_a_mark_semicolons_and_decimal_commas():
    body = render(table(), "csv", "vi")
    assert body.startswith(b"\xef\xbb\xbf")
    lines = body.decode("utf-8-sig").split("\r\n")
    assert lines[0] == "path;at;value;text"
    assert lines[1] == "p/a/power;2026-11-22T12:00:00.123456Z;1,5;"
    assert lines[2].endswith("'=cmd()")


def test_english_csv_has_commas_and_points():
    assert render(table(), "csv").decode().split("\r\n")[1] == (
        "p/a/power,2026-11-22T12:00:00.123456Z,1.5,"
    )


def test_a_sheet_is_a_zip_and_holds_real_numbers():
    body = render(table(), "xlsx")
    assert body[:2] == b"PK"


def test_a_sheet_makes_no_link_and_no_formula_of_a_text():
    texts = ["http://elsewhere.vn/", r"external:\\host\x.xlsx", "=1+1", "{=1+1}", "mailto:a@b"]
    with zipfile.ZipFile(io.BytesIO(render(pa.table({"text": texts}), "xlsx"))) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        assert not any("worksheets/_rels" in name for name in book.namelist())
    assert "<hyperlink" not in sheet
    assert "<f>" not in sheet
    assert all(f"<t>{text}</t>" in sheet for text in texts)


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("text", ["=1+1", "@x", "\t=1+1", "\r=1", " +1", "\n-1", "＝1+1"])
def test_no_spreadsheet_finds_a_formula_in_a_csv(text, lang):
    body = render(pa.table({"text": [text], "value": [-1.0]}), "csv", lang).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(body, newline=""), delimiter=";" if lang == "vi" else ","))
    assert rows[1] == [f"'{text}", "-1,0" if lang == "vi" else "-1.0"]


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="parquet"):
        render(table(), "pdf")


def test_a_set_of_strange_numbers_is_still_json():
    assert to_json({"a": [float("nan"), float("-inf"), 1.5]}) == b'{"a":[null,null,1.5]}'


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("now", NOW_US),
        ("-3h", NOW_US - 3 * 3_600_000_000),
        ("now-15min", NOW_US - 900_000_000),
        ("2026-11-22T19:00:00+07:00", 1_795_348_800_000_000),
        ("2026-11-22T12:00:00Z", 1_795_348_800_000_000),
        ("2026-11-22T19:00:00 07:00", 1_795_348_800_000_000),  # a plus sign lost in an address
    ],
)
def test_times_as_people_write_them(text, us):
    assert parse_time(text, "since", NOW_US) == us


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1601-01-01T00:00:00Z", "2000"),
        ("2099-01-01T00:00:00Z", "31 days"),
        ("2026-11-22T12:00:00", "zone"),
        ("yesterday", "no time"),
        ("", "no time"),
        ("NaN", "no time"),
    ],
)
def test_times_nobody_can_mean_are_refused_with_the_argument_named(text, what):
    with pytest.raises(InputError, match=what) as refused:
        parse_time(text, "since", NOW_US)
    assert refused.value.where == "since"
    assert refused.value.remedy


@pytest.mark.parametrize(("text", "us"), [("1s", 10**6), ("15min", 9 * 10**8), ("1d", 864 * 10**8)])
def test_steps(text, us):
    assert parse_step(text, "every") == us


@pytest.mark.parametrize("text", ["", "0s", "-1h", "15 minutes", "1.5h", "9999999s", "NaN"])
def test_steps_nobody_can_mean(text):
    with pytest.raises(InputError, match="1min"):
        parse_step(text, "every")


def test_too_many_windows_come_with_a_step_that_fits():
    day = 86_400_000_000
    with pytest.raises(InputError, match="every=") as refused:
        check_windows(100, NOW_US - 30 * day, NOW_US, 1_000_000)
    step = parse_step(refused.value.remedy.split("every=")[1].split(" ")[0], "every")
    check_windows(100, NOW_US - 30 * day, NOW_US, step)


def test_recent_figures_are_fine_at_the_end_and_coarse_before():
    recent = Recent(["a", "b"])
    for second in range(3600):
        recent.add(second * 10**6, np.array([float(second), np.nan]))
    rows = recent.table(["a"], 3599 * 10**6, 60)
    seconds = [to_us(at) // 10**6 for at in rows.column("at").to_pylist()]
    assert seconds[-900:] == list(range(2700, 3600))
    assert seconds[:3] == [0, 5, 10]
    assert seconds == sorted(set(seconds))
    assert rows.column("a").to_pylist() == [float(s) for s in seconds]


@given(count=st.integers(0, 2000), minutes=st.floats(0.1, 60))
def test_recent_figures_lie_in_the_span_asked_for(count, minutes):
    recent = Recent(["a"])
    for second in range(count):
        recent.add(second * 10**6, np.array([float(second)]))
    now_us = max(count - 1, 0) * 10**6
    rows = recent.table(["a"], now_us, minutes)
    at = rows.column("at").cast(pa.int64()).to_pylist()
    assert all(us >= now_us - round(minutes * 60e6) for us in at)
    assert at == sorted(at)


def test_unknown_figures_are_null():
    recent = Recent(["a"])
    recent.add(10**6, np.array([np.nan]))
    assert recent.table(["a"], 10**6, 1).column("a").to_pylist() == [None]
