"""Tag lists as files to download."""

import io
from collections.abc import Sequence

import xlsxwriter
from fastapi.responses import Response

from connectors.onboarding.taglist import as_csv

_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def csv_of(rows: Sequence[Sequence[str]]) -> bytes:
    """Rows as CSV that Excel reads with its Vietnamese."""
    return as_csv(rows).encode()


def xlsx_of(rows: Sequence[Sequence[str]]) -> bytes:
    """Rows as a workbook; every cell is a text, never a formula."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False}) as book:
        sheet = book.add_worksheet("tags")
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write_string(number, column, cell)
    return out.getvalue()


def attached(data: bytes, name: str) -> Response:
    """A file to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)
