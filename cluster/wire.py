"""How values leave over HTTP: plain JSON with UTC times, and tables in five formats."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Final, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xlsxwriter

from models.errors import InputError
from twin.samples import from_us

FORMATS: Final[Mapping[str, str]] = {
    "json": "application/json",
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
DURATIONS: Final = frozenset({"horizon_us", "every_us"})
_XLSX_ROWS: Final = 1_048_575
_SPOOL_BYTES: Final = 16 * 2**20
_MICRO: Final = 1_000_000
_FORMULA: Final = re.compile(r"[\s\x00]*[=+\-@＝＋－＠]")
"""What a spreadsheet takes for a formula; it looks past blanks and at full-width signs too."""


def iso(us: int) -> str:
    """ISO 8601 in UTC with Z."""
    return from_us(us).isoformat().replace("+00:00", "Z")


def plain(value: object) -> object:
    """Return plain data: names lose ``_us``; instants become ISO texts and durations seconds."""
    if is_dataclass(value) and not isinstance(value, type):
        return dict(_field(f.name, getattr(value, f.name)) for f in fields(value))
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, pa.Table):
        return rows_of(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, Sequence):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value: object) -> bytes:
    """Return JSON of anything `plain` takes; what is not a number becomes null."""
    return orjson.dumps(plain(value), option=orjson.OPT_SERIALIZE_NUMPY)


def rows_of(table: pa.Table) -> list[dict[str, object]]:
    """Rows of a table as mappings, times as ISO texts."""
    rows = _with_texts(table).to_pylist()
    return cast("list[dict[str, object]]", rows)


def render(table: pa.Table, form: str, lang: str = "en") -> bytes:
    """Render a table in one of `FORMATS`.

    Parameters
    ----------
    table
        Any table with UTC times.
    form
        ``json``, ``arrow`` (an IPC stream), ``csv``, ``xlsx`` or ``parquet``.
    lang
        ``vi`` writes CSV as Vietnamese spreadsheets read it: BOM, semicolons, decimal comma.

    Raises
    ------
    InputError
        When the format is unknown, or a sheet cannot hold that many rows.
    """
    if form == "json":
        return orjson.dumps(rows_of(table))
    if form == "arrow":
        return _arrow(table)
    if form == "csv":
        return _csv(table, lang)
    if form == "xlsx":
        return _xlsx(table)
    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        return cast("bytes", sink.getvalue().to_pybytes())
    raise InputError(f"no format {form!r}", f"one of {', '.join(FORMATS)}", "format")


def _field(name: str, value: object) -> tuple[str, object]:
    if name in DURATIONS:
        seconds = value / _MICRO if isinstance(value, int) else None
        return f"{name.removesuffix('_us')}_s", seconds
    if not name.endswith("_us"):
        return name, plain(value)
    short = name.removesuffix("_us")
    if isinstance(value, np.ndarray):
        return short, [iso(int(us)) for us in value]
    return short, iso(value) if isinstance(value, int) else None


def _with_texts(table: pa.Table) -> pa.Table:
    """Times become ISO texts: far quicker in one call than one by one."""
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            texts = pc.strftime(table.column(index), format="%Y-%m-%dT%H:%M:%S")
            texts = pc.binary_join_element_wise(texts, "Z", "")
            table = table.set_column(index, field.name, texts)
        elif pa.types.is_floating(field.type):
            column = table.column(index)
            finite = pc.if_else(pc.is_finite(column), column, pa.scalar(None, field.type))
            table = table.set_column(index, field.name, finite)
    return table


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return cast("bytes", sink.getvalue().to_pybytes())


def _csv(table: pa.Table, lang: str) -> bytes:
    vietnamese = lang == "vi"
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";" if vietnamese else ",", lineterminator="\r\n")
    writer.writerow(table.column_names)
    cell = _comma_cell if vietnamese else _cell
    for batch in _with_texts(table).to_batches():
        columns = [column.to_pylist() for column in batch.columns]
        writer.writerows([cell(v) for v in row] for row in zip(*columns, strict=True))
    return out.getvalue().encode("utf-8-sig" if vietnamese else "utf-8")


def _cell(value: object) -> object:
    """A cell; a text that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return "" if value is None else value


def _comma_cell(value: object) -> object:
    return repr(value).replace(".", ",") if isinstance(value, float) else _cell(value)


def _xlsx(table: pa.Table) -> bytes:
    if table.num_rows > _XLSX_ROWS:
        raise InputError(
            f"{table.num_rows} rows do not fit on a sheet",
            "ask for a coarser step (every=) or another format",
            "format",
        )
    with SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
        options = {
            "constant_memory": True,
            "remove_timezone": True,
            # A text of a plant stays a text: no formula, and no link to a file or a page.
            "strings_to_formulas": False,
            "strings_to_urls": False,
        }
        with xlsxwriter.Workbook(cast("Path", file), options) as book:
            sheet = book.add_worksheet("parktwin")
            when = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
            sheet.write_row(
                0, 0, [f"{f.name} (UTC)" if _is_time(f) else f.name for f in table.schema]
            )
            times = [when if _is_time(field) else None for field in table.schema]
            for number, row in enumerate(_plain_rows(table), start=1):
                for column, value in enumerate(row):
                    _write_cell(sheet, number, column, value, times[column])
        file.seek(0)
        return file.read()


def _is_time(field: pa.Field) -> bool:
    return bool(pa.types.is_timestamp(field.type))


def _plain_rows(table: pa.Table) -> "zip[tuple[object, ...]]":
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


_SHEET_INTEGER: Final = 2**53


def _write_cell(sheet: object, row: int, column: int, value: object, form: object) -> None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return
    if isinstance(value, int) and abs(value) > _SHEET_INTEGER:
        value = str(value)  # a sheet counts in float64: its last digits would be others
    sheet.write(row, column, value, form)  # type: ignore[attr-defined]
