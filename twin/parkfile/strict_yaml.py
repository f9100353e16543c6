"""YAML and JSON read strictly: what is written is what is read, and every node keeps its line.

Scalars follow the YAML 1.2 core schema, so ``no``, ``12:30`` and ``2026-02-17`` are texts.
Refused, with the line: anchors, aliases, tags, merge keys, duplicate keys, numbers that are not
finite, nesting deeper than `MAX_DEPTH`, texts over `MAX_BYTES`. A text in JSON is read by its own
linear scanner: a YAML scanner looks ahead over long lines, which a hostile file could use to keep
it busy for minutes.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from models.errors import InvalidInput, Problem

MAX_BYTES: Final = 4 * 2**20
MAX_DEPTH: Final = 32
MAX_LINE: Final = 4096
"""Longest line of a YAML text; JSON may stand on one line."""

Path = tuple[str | int, ...]

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE: Final = frozenset(("true", "True", "TRUE"))
_FALSE: Final = frozenset(("false", "False", "FALSE"))
_INT: Final = re.compile(r"[-+]?[0-9]{1,400}")
_OTHER_BASE: Final = re.compile(r"0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_JSON_TOKEN: Final = re.compile(
    r'[ \t\r\n]+|"(?:[^"\\\x00-\x1f]|\\.)*"|[{}\[\],:]|true|false|null'
    r"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file.

    Parameters
    ----------
    value
        Plain data: dict, list, text, number, bool, None.
    lines
        Path → line, counted from 1; of a mapping's entry the line of its key.
    line
        First line of the document.
    text
        The document's own text, from its first line to its last.
    """

    value: object
    lines: Mapping[Path, int]
    line: int
    text: str

    @property
    def kind(self) -> str:
        """What stands under ``kind``; empty when nothing does."""
        found = self.value.get("kind") if isinstance(self.value, dict) else None
        return found if isinstance(found, str) else ""

    def line_of(self, path: Path) -> int:
        """Line of a path, or of its nearest ancestor that is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def read_documents(text: str, file: str = "") -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Read all documents of a text, and what is forbidden in them.

    Parameters
    ----------
    text
        YAML or JSON.
    file
        Name shown in problems.

    Returns
    -------
    tuple of documents, tuple of problems
        A document with problems is still returned, so that its other faults can be listed too.

    Raises
    ------
    InvalidInput
        When the text is no YAML, or is too large or too deep: nothing more can be said then.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        _refuse(file, None, f"{size:,} bytes is over the {MAX_BYTES:,} a file may have", "split it")
    tokens = _json_tokens(text)
    if tokens is not None:
        return _from_json(text, tokens, file)
    return _from_yaml(text, file)


def dotted(path: Path) -> str:
    """A path as people write it: ``sites[2].areas[0].id``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(slots=True)
class _Open:
    """A collection that is being filled."""

    value: dict[str, object] | list[object]
    path: Path
    key: str | None = None
    has_key: bool = False


@dataclass(slots=True)
class _Builder:
    """Fills plain data from a flat stream of starts, scalars and ends; never recurses."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    lines: dict[Path, int] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    root: object = None

    def start(self, made: dict[str, object] | list[object], line: int) -> None:
        """Open a mapping or a sequence."""
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and not top.has_key:
            _refuse(self.file, line, "a list or a mapping is used as a key", "write a plain key")
        path = self._place(made, line)
        if len(self.stack) >= MAX_DEPTH:
            _refuse(self.file, line, f"nested deeper than {MAX_DEPTH} levels", "write it flatter")
        self.stack.append(_Open(value=made, path=path))

    def end(self) -> None:
        """Close the innermost collection."""
        self.stack.pop()

    def scalar(self, value: object, line: int) -> None:
        """Take a key or a value."""
        if isinstance(value, str) and _LONE_SURROGATE.search(value):
            self.say(line, f"{value!r} holds half a character", "write the whole character")
            value = ""
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and not top.has_key:
            self._key(top, value, line)
        else:
            self._place(value, line)

    def say(self, line: int, message: str, suggestion: str) -> None:
        """Note a problem where we stand."""
        top = self.stack[-1] if self.stack else None
        path: Path = top.path if top is not None else ()
        if top is not None and top.key is not None and top.has_key:
            path = (*path, top.key)
        self.problems.append(
            Problem(
                message=message, path=dotted(path), file=self.file, line=line, suggestion=suggestion
            )
        )

    def _key(self, top: _Open, value: object, line: int) -> None:
        key = value if isinstance(value, str) else json.dumps(value, default=str)
        if key == "<<":
            self.say(line, "'<<' is a merge key", "write the keys out")
        elif key in top.value:
            first = self.lines.get((*top.path, key), line)
            self.say(line, f"'{key}' stands twice", f"it is already in line {first}; keep one")
        else:
            self.lines[(*top.path, key)] = line
        top.key, top.has_key = key, True

    def _place(self, value: object, line: int) -> Path:
        if not self.stack:
            self.root = value
            return ()
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            path: Path = (*top.path, len(top.value) - 1)
            self.lines[path] = line
            return path
        key = top.key if top.key is not None else ""
        if key not in top.value and key != "<<":
            top.value[key] = value
        top.has_key = False
        return (*top.path, key)


def _from_yaml(text: str, file: str) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            _refuse(file, number, f"the line has {len(line):,} characters", "break the line")
    documents: list[Document] = []
    problems: list[Problem] = []
    written = text.splitlines(keepends=True)
    builder, first = _Builder(file), 1
    for event in _events(text, file):
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            builder, first = _Builder(file), line
        elif isinstance(event, DocumentEndEvent):
            own = "".join(written[first - 1 : event.end_mark.line])
            documents.append(
                Document(value=builder.root, lines=builder.lines, line=first, text=own or text)
            )
            problems += builder.problems
        else:
            _take(builder, event, line)
    return tuple(documents), tuple(problems)


def _events(text: str, file: str) -> Iterator[Event]:
    """Events of the YAML parser; its faults become ours, with their line."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        _refuse(file, mark.line + 1 if mark else None, f"no YAML: {what}", _YAML_REMEDY)
    except (YAMLError, ValueError, RecursionError) as error:
        what = str(error).split("\n", maxsplit=1)[0]
        _refuse(file, None, f"no YAML: {what}", _YAML_REMEDY)


_YAML_REMEDY: Final = "check indentation, quotes and brackets there"


def _take(builder: _Builder, event: Event, line: int) -> None:
    """Feed one event to the builder, noting what is forbidden."""
    if isinstance(event, AliasEvent):
        builder.say(line, f"'*{event.anchor}' is an alias", "write the value out")
        builder.scalar(None, line)
    elif isinstance(event, SequenceEndEvent | MappingEndEvent):
        builder.end()
    elif isinstance(event, SequenceStartEvent | MappingStartEvent | ScalarEvent):
        if event.anchor is not None:
            builder.say(line, f"'&{event.anchor}' is an anchor", "remove it; aliases are not read")
        # ruamel gives flow and block collections no tag unless one is written
        if event.tag is not None:
            builder.say(line, f"'{event.tag}' is a tag", "remove it; values need no tags here")
        if isinstance(event, SequenceStartEvent):
            builder.start([], line)
        elif isinstance(event, MappingStartEvent):
            builder.start({}, line)
        else:
            builder.scalar(_scalar(builder, event, line), line)


def _scalar(builder: _Builder, event: ScalarEvent, line: int) -> object:
    """Value of a scalar by the YAML 1.2 core schema; quoted and block scalars are texts."""
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NOT_FINITE.fullmatch(text):
        builder.say(line, f"'{text}' is not a finite number", "write a number")
        return None
    return _number(builder, text, line)


def _number(builder: _Builder, text: str, line: int) -> object:
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if not _FLOAT.fullmatch(text):
        return text
    value = float(text)
    if not math.isfinite(value):
        builder.say(line, f"'{text}' is not a finite number", "write a smaller number")
        return None
    return value


class _Token(NamedTuple):
    text: str
    line: int


def _json_tokens(text: str) -> list[_Token] | None:
    """Tokens when the text is JSON by its tokens; None when it is not, so that YAML may try."""
    if text[:1] not in "{[" and not text.lstrip().startswith(("{", "[")):
        return None
    tokens: list[_Token] = []
    line, at = 1, 0
    while at < len(text):
        found = _JSON_TOKEN.match(text, at)
        if found is None:
            return None
        token = found.group()
        if token[0] in " \t\r\n":
            line += token.count("\n")
        else:
            tokens.append(_Token(token, line))
        at = found.end()
    return tokens


def _from_json(
    text: str, tokens: list[_Token], file: str
) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    depth = 0
    for token in tokens:
        depth += (token.text in "{[") - (token.text in "}]")
        if depth > MAX_DEPTH:
            _refuse(file, token.line, f"nested deeper than {MAX_DEPTH} levels", "write it flatter")
    try:
        json.loads(text, parse_int=_json_int)
    except json.JSONDecodeError as error:
        _refuse(file, error.lineno, f"no JSON: {error.msg}", "check commas, quotes and brackets")
    builder = _Builder(file)
    for token in tokens:
        _take_json(builder, token)
    document = Document(value=builder.root, lines=builder.lines, line=tokens[0].line, text=text)
    return (document,), tuple(builder.problems)


def _take_json(builder: _Builder, token: _Token) -> None:
    match token.text:
        case "{":
            builder.start({}, token.line)
        case "[":
            builder.start([], token.line)
        case "}" | "]":
            builder.end()
        case "," | ":":
            pass
        case "true" | "false" | "null":
            builder.scalar({"true": True, "false": False}.get(token.text), token.line)
        case text if text.startswith('"'):
            builder.scalar(json.loads(text), token.line)
        case text:
            builder.scalar(_number(builder, text, token.line), token.line)


def _json_int(text: str) -> int | str:
    """An integer, or its text when it is absurdly long (Python refuses to read those)."""
    return int(text) if len(text) <= 400 else text


def _refuse(file: str, line: int | None, message: str, suggestion: str) -> None:
    raise InvalidInput((Problem(message=message, file=file, line=line, suggestion=suggestion),))
