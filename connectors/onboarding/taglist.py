"""Tag lists in and out: what an integrator keeps in Excel, TIA Portal or Kepware.

In: CSV, XLSX or pasted text. The dialect is told by its columns: our own (``node``, ``path``),
a TIA export (``Name``, ``Path``, ``Data Type``, ``Logical Address``) or a Kepware export (``Tag
Name``, ``Address``, ``Data Type``). Each row becomes an entry, or a problem with its line. Names
are compared in NFC, so a list from a Mac and a server from Windows agree. Out: the mapping as CSV
or rows for XLSX, with every text that a spreadsheet would run as a formula made harmless.
"""

import csv
import io
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.onboarding import xlsx
from connectors.onboarding.eu_units import unit_of
from connectors.onboarding.match import Matcher
from connectors.onboarding.seen import SeenNode
from models.errors import InputError, Problem, did_you_mean
from twin.park import Park
from twin.parkfile.mapping import bind, catalogue_of, source_unit
from twin.tags import Binding

BYTES_MOST: Final = 16 * 2**20
ROWS_MOST: Final = xlsx.ROWS_MOST
_FIELD_MOST: Final = 2000
_STEPS_MOST: Final = 16
"""Steps of a name that are compared, from its end: a server may tell a name of thousands."""
_TITLES_MOST: Final = 5
"""Rows of titles before the header that are passed over."""
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")
COLUMNS: Final = ("node", "path", "unit", "data_type", "description")

_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "node": ("node", "nodeid", "node id", "opc node", "opc ua node", "nut"),
    "path": ("path", "tag path", "tag", "duong dan", "diem do", "park path", "maps to"),
    "unit": ("unit", "units", "eu", "engineering units", "don vi"),
    "data_type": ("data type", "datatype", "type", "kieu", "kieu du lieu"),
    "description": ("description", "comment", "mo ta", "ghi chu", "chu thich"),
    "name": ("name", "tag name", "ten", "ten tag", "symbol", "ten bien"),
    "group": ("group", "folder", "nhom"),
    "address": ("address", "logical address", "dia chi"),
}
_TIA_SIGN: Final = frozenset({"name", "path", "data type", "logical address"})
_KEPWARE_SIGN: Final = frozenset({"tag name", "address", "data type"})
_TYPES: Final[Mapping[str, str]] = {
    "bool": "Boolean", "boolean": "Boolean", "byte": "Byte", "usint": "Byte", "sint": "SByte",
    "char": "SByte", "int": "Int16", "short": "Int16", "word": "UInt16", "uint": "UInt16",
    "dint": "Int32", "long": "Int32", "dword": "UInt32", "udint": "UInt32", "lint": "Int64",
    "llong": "Int64", "qword": "UInt64", "ulint": "UInt64", "lword": "UInt64", "real": "Float",
    "float": "Float", "lreal": "Double", "double": "Double", "string": "String",
    "wstring": "String", "date": "DateTime", "dtl": "Structure", "time": "Int32",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a list.

    Parameters
    ----------
    line
        Line or row it stood in, from 1.
    name
        Name of the tag; steps between ``.``.
    node
        ``nsu=<URI>;…`` when the list says it.
    path
        Tag path in the park when the list says it; ``-`` unbinds.
    unit, data_type, description
        As far as told; the type as OPC UA calls it.
    """

    line: int
    name: str = ""
    node: str = ""
    path: str = ""
    unit: str = ""
    data_type: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagList:
    """A list that was read: its dialect, its rows, and what was wrong by line."""

    dialect: str
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What applying a list does to one node: ``add``, ``move``, ``remove`` or ``same``.

    ``unit`` is the unit at the source where it is not the stored one.
    """

    action: str
    node: str
    path: str
    unit: str = ""
    was: str = ""
    why: str = ""
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """A list against a mapping."""

    changes: tuple[Change, ...]
    problems: tuple[Problem, ...] = field(default=())

    def mapping(self) -> dict[str, str]:
        """Node → path as the service takes it; an empty path unbinds."""
        return {
            c.node: f"{c.path} [{c.unit}]" if c.unit else c.path
            for c in self.changes
            if c.action != "same"
        }


# --- in ---


def read_list(data: bytes, name: str = "") -> TagList:
    """Read a list from a file's bytes.

    Parameters
    ----------
    data
        The file.
    name
        Its name, for messages.

    Raises
    ------
    InputError
        When it is too large, no table at all, or has no column we know.
    """
    if len(data) > BYTES_MOST:
        raise InputError(
            f"{name or 'the list'} has {len(data) / 2**20:.0f} MB",
            f"at most {BYTES_MOST // 2**20} MB: keep the tags only",
        )
    if data[:4] == b"PK\x03\x04":
        return _listed(xlsx.rows_of(data), name)
    return read_text(_decoded(data, name), name)


def read_text(text: str, name: str = "") -> TagList:
    """Read pasted text or a CSV; separator comma, semicolon or tab, told by the first lines.

    Raises
    ------
    InputError
        When it has no column we know, or too many rows.
    """
    if len(text) > BYTES_MOST:
        raise InputError("the text is too long", f"at most {BYTES_MOST // 2**20} MB")
    plain = text.removeprefix("\ufeff")
    return _listed(_rows(plain), name)


def _decoded(data: bytes, name: str) -> str:
    wide = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
    if b"\0" in data and not wide:
        raise InputError(f"{name or 'the list'} is no text", "save it as CSV or XLSX")
    encodings = ("utf-16",) if wide else ("utf-8-sig", "cp1258", "cp1252")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{name or 'the list'} is in no known encoding", "save it as CSV UTF-8")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=False)
    count = 0
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            count += 1
            if count > ROWS_MOST:
                raise InputError(f"more than {ROWS_MOST:,} rows", "split the list")
            yield reader.line_num, row
    except csv.Error as fault:
        raise InputError(f"line {reader.line_num}: {fault}", "check the quotes there") from fault


def _separator(text: str) -> str:
    heads = [line for line in text.splitlines()[:20] if line.strip()]
    counts = Counter({each: sum(line.count(each) for line in heads) for each in ("\t", ";", ",")})
    # A node id holds a semicolon itself; a tab never stands in one.
    counts[";"] -= sum(line.count("nsu=") for line in heads)
    best, most = max(counts.items(), key=lambda item: item[1])
    return best if most > 0 else ","


def _listed(rows: Iterable[tuple[int, list[str]]], name: str) -> TagList:
    table = iter(rows)
    for skipped, (line, row) in enumerate(table):
        columns = _columns(row)
        if columns is not None:
            dialect, places = columns
            return _entries(table, dialect, places, name)
        if _is_pair(row):
            first = [(line, row)]
            return _pairs(first, table, name)
        if skipped > _TITLES_MOST:
            break
    known = ", ".join(sorted({names[0] for names in _HEADERS.values()}))
    raise InputError(
        f"{name or 'the list'} has no header we know",
        f"name the columns, e.g. node and path (known: {known}), or export it from TIA or Kepware",
    )


def _columns(row: Sequence[str]) -> tuple[str, dict[str, int]] | None:
    said = [_plain(cell) for cell in row]
    places: dict[str, int] = {}
    dialect = "own"
    if set(said) >= _TIA_SIGN:
        # In a TIA export, Path is the tag table, not a path in the park.
        dialect = "tia"
    elif set(said) >= _KEPWARE_SIGN:
        dialect = "kepware"
    for field_, names in _HEADERS.items():
        for at, cell in enumerate(said):
            if cell in names and field_ not in places:
                if dialect == "tia" and field_ == "path":
                    continue
                places[field_] = at
    if "node" in places or "name" in places:
        return dialect, places
    return None


def _is_pair(row: Sequence[str]) -> bool:
    return len(row) >= 2 and row[0].strip().startswith("nsu=")


def _pairs(
    first: list[tuple[int, list[str]]], rest: Iterable[tuple[int, list[str]]], name: str
) -> TagList:
    def every() -> Iterator[tuple[int, list[str]]]:
        yield from first
        yield from rest

    return _entries(every(), "pasted", {"node": 0, "path": 1, "unit": 2}, name)


def _entries(
    rows: Iterable[tuple[int, list[str]]], dialect: str, places: Mapping[str, int], name: str
) -> TagList:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for line, row in rows:
        told = {f: _cell(row, at) for f, at in places.items()}
        long = next((f for f, text in told.items() if len(text) > _FIELD_MOST), "")
        if long:
            problems.append(_problem(name, line, f"{long} is longer than {_FIELD_MOST}", "shorten"))
            continue
        entry = _entry(line, dialect, told)
        fault = _fault(entry)
        if fault is not None:
            problems.append(_problem(name, line, *fault))
        elif entry.node or entry.name:
            entries.append(entry)
    return TagList(dialect=dialect, entries=tuple(entries), problems=tuple(problems))


def _cell(row: Sequence[str], at: int) -> str:
    # Cut before it is looked at letter by letter; what is too long is told by `_entries`.
    text = row[at].strip()[: _FIELD_MOST + 1] if at < len(row) else ""
    # A leading quote is ours or the spreadsheet's, to keep a text from being a formula.
    if text.startswith("'") and len(text) > 1 and text[1] in "=+-@":
        text = text[1:]
    return unicodedata.normalize("NFC", text)


def _entry(line: int, dialect: str, told: Mapping[str, str]) -> Entry:
    name = told.get("name", "")
    if dialect in {"own", "pasted"} and told.get("group"):
        name = f"{told['group']}.{name}"
    kind = told.get("data_type", "")
    return Entry(
        line=line,
        name=name.strip('"'),
        node=told.get("node", ""),
        path=told.get("path", ""),
        unit=unit_of(told["unit"]) if told.get("unit") else "",
        data_type=_TYPES.get(_plain(kind), kind),
        description=told.get("description", ""),
    )


def _fault(entry: Entry) -> tuple[str, str] | None:
    if entry.node.startswith("ns="):
        return (
            f"{entry.node[:80]!r} has a bare namespace index",
            "write nsu=<URI>;s=…: an index changes when the server restarts",
        )
    if entry.node and not entry.node.startswith("nsu="):
        return f"{entry.node[:80]!r} is no node", "write nsu=<URI>;s=…"
    if entry.path and not entry.node and not entry.name:
        return f"{entry.path[:80]!r} has no node", "fill in node or name"
    return None


def _problem(name: str, line: int, what: str, remedy: str) -> Problem:
    return Problem(message=what, file=name, line=line, suggestion=remedy)


def _plain(text: str) -> str:
    marks = unicodedata.normalize("NFD", text.strip().casefold().replace("đ", "d"))
    letters = "".join(c for c in marks if not unicodedata.combining(c))
    return " ".join(letters.replace("_", " ").split())


# --- against the mapping ---


def diff(
    listed: TagList,
    nodes: Sequence[SeenNode],
    park: Park,
    endpoint: str,
    bound: Iterable[Binding],
    name: str = "",
) -> Diff:
    """What applying a list would do.

    Rows with node and path bind them. Rows with a name only are looked up in the crawl; what they
    say (unit, type, description) is added to the node, and the matcher proposes their tags.

    Parameters
    ----------
    listed, nodes
        The list, and a crawl of the endpoint; without a crawl only rows with node and path count.
    park, endpoint, bound
        Where it would be applied, and what is bound there now.
    name
        File name, for messages.
    """
    catalogue = catalogue_of({asset.id: asset.type for asset in park.assets.values()})
    here = {b.node: b for b in bound if b.identifier and b.endpoint == endpoint}
    problems = list(listed.problems)
    wanted: dict[str, Change] = {}
    paths: dict[str, int] = {}
    named: list[tuple[Entry, SeenNode]] = []
    lookup = _Names(nodes)
    for entry in listed.entries:
        node = _node_of(entry, lookup, problems, name)
        if node is None:
            continue
        if not entry.path:
            named.append((entry, lookup.nodes.get(node) or SeenNode(node=node, path=entry.name)))
            continue
        if entry.path == "-":
            wanted[node] = _change(node, None, here)
            continue
        try:
            binding = bind(park.id, endpoint, node, entry.path, catalogue, entry.unit)
        except InputError as fault:
            problems.append(_problem(name, entry.line, fault.what, fault.remedy))
            continue
        if binding.path in paths or node in wanted:
            first = paths.get(binding.path, entry.line)
            problems.append(
                _problem(
                    name,
                    entry.line,
                    f"{binding.path} or its node stands twice (line {first})",
                    "keep one of the rows",
                )
            )
            continue
        paths[binding.path] = entry.line
        wanted[node] = _change(node, binding, here)
    for change in _proposed(named, nodes, park, here, wanted):
        wanted.setdefault(change.node, change)
    changes = sorted(wanted.values(), key=lambda c: (c.action == "same", c.path, c.node))
    return Diff(changes=tuple(changes), problems=tuple(problems))


class _Names:
    """Nodes of a crawl by identifier, by path and by the ends of both."""

    def __init__(self, nodes: Sequence[SeenNode]) -> None:
        self.nodes = {node.node: node for node in nodes}
        self._by_name: dict[str, set[str]] = defaultdict(set)
        for node in nodes:
            if node.node_class != "Variable":
                continue
            for text in (node.identifier, node.path):
                if text:
                    steps = _steps(text)
                    for first in range(len(steps)):
                        self._by_name[".".join(steps[first:])].add(node.node)

    def of(self, name: str) -> set[str]:
        return self._by_name.get(".".join(_steps(name)), set())

    def near(self, name: str) -> str:
        return did_you_mean(".".join(_steps(name)), tuple(self._by_name))


def _steps(text: str) -> list[str]:
    plain = unicodedata.normalize("NFC", text).replace("/", ".").replace('"', "")
    found = [step.strip().casefold() for step in plain.split(".") if step.strip()]
    return found[-_STEPS_MOST:]


def _node_of(entry: Entry, lookup: _Names, problems: list[Problem], name: str) -> str | None:
    if entry.node:
        if lookup.nodes and entry.node not in lookup.nodes:
            node = unicodedata.normalize("NFC", entry.node)
            same = [n for n in lookup.nodes if unicodedata.normalize("NFC", n) == node]
            if len(same) == 1:
                return same[0]
            problems.append(
                _problem(name, entry.line, f"the server has no node {entry.node[:120]}",
                         "browse it: was it renamed?")
            )  # fmt: skip
            return None
        return entry.node
    found = lookup.of(entry.name)
    if len(found) == 1:
        return next(iter(found))
    what = (
        f"{len(found)} nodes are called {entry.name}"
        if found
        else f"the server has no node called {entry.name}"
    )
    remedy = "write its node" if found else (lookup.near(entry.name) or "write its node, or browse")
    problems.append(_problem(name, entry.line, what, remedy))
    return None


def _change(node: str, binding: Binding | None, here: Mapping[str, Binding]) -> Change:
    was = here.get(node)
    before = was.path if was is not None else ""
    if binding is None:
        return Change(
            action="remove" if was is not None else "same", node=node, path="", was=before
        )
    unit = source_unit(binding)
    if was is not None and (was.path, was.scale) == (binding.path, binding.scale):
        return Change(action="same", node=node, path=binding.path, unit=unit, was=before)
    action = "move" if was is not None else "add"
    return Change(action=action, node=node, path=binding.path, unit=unit, was=before)


def _proposed(
    named: Sequence[tuple[Entry, SeenNode]],
    nodes: Sequence[SeenNode],
    park: Park,
    here: Mapping[str, Binding],
    wanted: Mapping[str, Change],
) -> Iterator[Change]:
    if not named:
        return
    told = {node.node: _richer(node, entry) for entry, node in named}
    whole = [told.get(node.node, node) for node in nodes] or list(told.values())
    taken = {change.path for change in wanted.values()}
    for match in Matcher(park).match(whole):
        if match.node in told and match.sure and match.path not in taken and match.node not in here:
            yield Change(
                action="add", node=match.node, path=match.path, unit=match.unit, why=match.why,
                confidence=match.confidence,
            )  # fmt: skip


def _richer(node: SeenNode, entry: Entry) -> SeenNode:
    """A node with what the list knows and the server does not tell."""
    return SeenNode(
        node=node.node,
        path=node.path or entry.name.replace(".", "/"),
        node_class="Variable",
        names=node.names,
        description=node.description or entry.description,
        data_type=node.data_type or entry.data_type,
        unit=node.unit or entry.unit,
        unit_id=node.unit_id,
        span=node.span,
        access=node.access,
        rank=node.rank,
        type_node=node.type_node,
        bases=node.bases,
        status=node.status,
        observed=node.observed,
    )


# --- out ---


def harmless(text: str) -> str:
    """A cell that no spreadsheet runs: what could begin a formula gets a quote before it."""
    return f"'{text}" if text.startswith(_DANGEROUS) else text


def table(bindings: Iterable[Binding], nodes: Sequence[SeenNode] = ()) -> list[tuple[str, ...]]:
    """Header and rows of a mapping, texts harmless; the same for CSV and XLSX."""
    seen = {node.node: node for node in nodes}
    out: list[tuple[str, ...]] = [COLUMNS]
    for binding in sorted(bindings, key=lambda b: b.path):
        if not binding.identifier:
            continue
        node = seen.get(binding.node)
        unit = source_unit(binding) or binding.unit
        told = (
            binding.node,
            binding.path,
            unit,
            node.data_type if node is not None else "",
            node.description if node is not None else "",
        )
        out.append(tuple(harmless(text) for text in told))
    return out


def as_csv(rows: Iterable[Sequence[str]], separator: str = ",") -> str:
    """Rows as CSV with a byte order mark, so that Excel reads its Vietnamese."""
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\r\n").writerows(rows)
    return "\ufeff" + out.getvalue()
