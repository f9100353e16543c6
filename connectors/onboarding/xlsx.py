"""Rows of the first sheet of an XLSX file, read strictly: bounds on everything, no formulas.

No spreadsheet library is among the dependencies, and a tag list needs only the text of its cells.
A workbook is a ZIP of XML: what it unpacks to is bounded before it is unpacked, a document type
(and with it every entity) is refused, formulas are never evaluated, links are never followed.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Final
from xml.parsers import expat

from models.errors import InputError

UNPACKED_MOST: Final = 64 * 2**20
ROWS_MOST: Final = 200_000
COLUMNS_MOST: Final = 256
_MEMBERS_MOST: Final = 2000
_RATIO_MOST: Final = 200
_CELL_MOST: Final = 32_768
_DEPTH_MOST: Final = 64
"""Elements within each other; each open one costs a hundred bytes for three of the file."""
_PACKINGS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What workbooks are packed with; the others let a file name the memory they take."""
_NUMBER: Final = re.compile(r"[0-9]{1,7}")
_SHARED: Final = "xl/sharedStrings.xml"
_SHEET: Final = re.compile(r"xl/worksheets/sheet(\d+)\.xml")
_CELL: Final = re.compile(r"([A-Z]{1,3})(\d{1,7})")


def rows_of(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Rows of the first sheet with their numbers, cells as text, empty ones as empty text.

    Raises
    ------
    InputError
        When it is no workbook, or larger than a tag list can be.
    """
    try:
        book = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as fault:
        raise InputError(
            "the file is no XLSX workbook", "save it as .xlsx or .csv again"
        ) from fault
    with book:
        members = book.infolist()
        _bounded(members)
        names = {member.filename: member for member in members}
        sheets = sorted(
            (int(found.group(1)), name) for name in names if (found := _SHEET.fullmatch(name))
        )
        if not sheets:
            raise InputError("the workbook has no sheet", "save it as .xlsx again")
        shared = _shared(_text(book, names[_SHARED])) if _SHARED in names else []
        yield from _sheet(_text(book, names[sheets[0][1]]), shared)


def _bounded(members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if (
        len(members) > _MEMBERS_MOST
        or total > UNPACKED_MOST
        or total > _RATIO_MOST * max(packed, 1024)
    ):
        raise InputError(
            f"the workbook unpacks to {total / 2**20:.0f} MB", "keep one sheet with the tags only"
        )
    if any(member.flag_bits & 1 for member in members):
        raise InputError("the workbook is encrypted", "save it without a password")
    if not _PACKINGS.issuperset(member.compress_type for member in members):
        raise InputError("the workbook is packed in a way of its own", "save it as .xlsx again")


def _text(book: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with book.open(member) as file:
            data = file.read(UNPACKED_MOST + 1)
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
    ) as fault:
        raise InputError("the workbook is damaged", "save it again") from fault
    if len(data) > UNPACKED_MOST:
        raise InputError("the workbook is too large", "keep one sheet with the tags only")
    return data


class _Reader:
    """The part of expat that is wanted; anything that could reach outside is an error.

    Parameters
    ----------
    start, end, text
        Told of every element with its attributes, of its end, and of characters.
    """

    def __init__(
        self,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None],
        text: Callable[[str], None],
    ) -> None:
        self._start, self._end, self._depth = start, end, 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refused
        self.parser.EntityDeclHandler = self._refused
        self.parser.StartElementHandler = self._begun
        self.parser.EndElementHandler = self._ended
        self.parser.CharacterDataHandler = text

    def _refused(self, *_: object) -> None:
        raise InputError("the workbook declares entities", "save it again with a spreadsheet")

    def _begun(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise InputError("the workbook is nested too deeply", "save it again")
        self._start(_local(name), attributes)

    def _ended(self, name: str) -> None:
        self._depth -= 1
        self._end(_local(name))

    def read(self, data: bytes) -> None:
        try:
            self.parser.Parse(data, True)  # noqa: FBT003 - expat's own signature
        except expat.ExpatError as fault:
            raise InputError("the workbook holds damaged XML", "save it again") from fault


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _shared(data: bytes) -> list[str]:
    found: list[str] = []
    parts: list[str] = []
    inside = {"si": False, "t": False, "rPh": False}

    def start(tag: str, _: dict[str, str]) -> None:
        if tag == "si":
            parts.clear()
        if tag in inside:
            inside[tag] = True

    def end(tag: str) -> None:
        if tag == "si":
            found.append("".join(parts)[:_CELL_MOST])
        if tag in inside:
            inside[tag] = False

    def text(said: str) -> None:
        if inside["si"] and inside["t"] and not inside["rPh"]:
            parts.append(said)

    _Reader(start, end, text).read(data)
    return found


def _sheet(data: bytes, shared: list[str]) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    sheet = _Sheet(rows, shared)
    _Reader(sheet.start, sheet.end, sheet.text).read(data)
    return rows


class _Sheet:
    """Collects the cells of a sheet."""

    def __init__(self, rows: list[tuple[int, list[str]]], shared: list[str]) -> None:
        self._rows, self._shared = rows, shared
        self._row: dict[int, str] = {}
        self._number = 0
        self._column = -1
        self._kind = ""
        self._in: list[str] = []
        self._said: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._in.append(tag)
        if tag == "row":
            self._row = {}
            told = attributes.get("r", "")
            self._number = int(told) if _NUMBER.fullmatch(told) else self._number + 1
            self._column = -1
        elif tag == "c":
            found = _CELL.fullmatch(attributes.get("r", ""))
            self._column = _column(found.group(1)) if found else self._column + 1
            self._kind = attributes.get("t", "n")
            self._said = []

    def text(self, said: str) -> None:
        """Characters."""
        if self._in and self._in[-1] in {"v", "t"} and "rPh" not in self._in:
            self._said.append(said)

    def end(self, tag: str) -> None:
        """An element ends."""
        self._in.pop()
        if tag == "c":
            if self._column >= COLUMNS_MOST:
                raise InputError(f"row {self._number} has too many columns", "keep the tags only")
            self._row[self._column] = self._value()
        elif tag == "row" and any(self._row.values()):
            if len(self._rows) >= ROWS_MOST:
                raise InputError(f"more than {ROWS_MOST:,} rows", "split the list")
            last = max(self._row)
            self._rows.append((self._number, [self._row.get(n, "") for n in range(last + 1)]))

    def _value(self) -> str:
        said = "".join(self._said)[:_CELL_MOST]
        if self._kind == "s":
            at = int(said) if _NUMBER.fullmatch(said) else -1
            if not 0 <= at < len(self._shared):
                raise InputError(f"row {self._number} names a text that is not there", "save again")
            return self._shared[at]
        if self._kind == "n" and said.endswith(".0"):
            return said[:-2]
        return "" if self._kind == "e" else said


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
