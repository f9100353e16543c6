"""A whole address space: many nodes per call, several calls under way, resumable, bounded.

A plain recursive browse asks for one node at a time and waits each time. Here a wave of nodes is
cut into calls of as many as the server takes, several calls are outstanding, and the attributes of
each call's variables are read while the next are browsed; no object is made of a request or an
answer (`connectors.opcua.space`). Everything found is written to a state
file as it comes (0600), so that a crawl whose link was lost goes on where it stood, in the same
process or the next one.
"""

import asyncio
import contextlib
import logging
import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import orjson
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from connectors.onboarding.seen import Observed, SeenNode, observed
from connectors.opcua.config import EndpointConfig
from connectors.opcua.hooks import Encoded, send_encoded
from connectors.opcua.kernel import Bytes
from connectors.opcua.nodes import UA_NAMESPACE, split_node
from connectors.opcua.security import Pki
from connectors.opcua.session import (
    Limits,
    close,
    explain,
    open_session,
    read_identity,
    read_limits,
    read_values,
)
from connectors.opcua.space import (
    CHILDREN,
    SUPERTYPE,
    Browsed,
    Names,
    Reference,
    Told,
    Unit,
    attribute,
    browse,
    browse_next,
    browsed,
    is_null,
    read,
    told,
)
from connectors.opcua.wire import Malformed, malformed
from models.errors import InputError, Unavailable

_log = logging.getLogger(__name__)

_FORMAT: Final = 1
_SERVER_OBJECT: Final = f"nsu={UA_NAMESPACE};i=2253"
_OBJECTS: Final = f"nsu={UA_NAMESPACE};i=85"
_HAS_PROPERTY: Final = f"nsu={UA_NAMESPACE};i={int(ObjectIds.HasProperty)}"
_PER_NODE: Final = 2000
"""References asked for at once per node; the rest comes by continuation point."""
_KEPT_PROPERTIES: Final = frozenset({"EngineeringUnits", "EURange"})
_STATE_NUMBER: Final = "Number"
_VALUE: Final = attribute(AttributeIds.Value)
_RANK: Final = attribute(AttributeIds.ValueRank)
_SHOWN: Final = attribute(AttributeIds.DisplayName)
_ATTRIBUTES: Final = (
    attribute(AttributeIds.DataType),
    attribute(AttributeIds.AccessLevel),
    attribute(AttributeIds.Description),
    _VALUE,
)
_TEXT_MOST: Final = 500
_TOO_MANY: Final = frozenset(
    {
        StatusCodes.BadTooManyOperations,
        StatusCodes.BadResponseTooLarge,
        StatusCodes.BadRequestTooLarge,
        StatusCodes.BadEncodingLimitsExceeded,
    }
)
_LOST: Final = frozenset(
    {
        StatusCodes.BadSessionIdInvalid,
        StatusCodes.BadSessionClosed,
        StatusCodes.BadSessionNotActivated,
        StatusCodes.BadSecureChannelClosed,
        StatusCodes.BadSecureChannelIdInvalid,
        StatusCodes.BadConnectionClosed,
        StatusCodes.BadConnectionRejected,
        StatusCodes.BadServerHalted,
        StatusCodes.BadShutdown,
        StatusCodes.BadTimeout,
        StatusCodes.BadRequestTimeout,
    }
)
"""Faults of the session: the call itself was not at fault."""
_LATER_MOST: Final = 3
_CLASSES: Final = {int(kind): kind.name for kind in ua.NodeClass}
_VARIABLE: Final = int(ua.NodeClass.Variable)
_TYPE_DEPTH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlLimits:
    """Where a crawl stops and how hard it asks.

    Parameters
    ----------
    nodes, depth
        Nodes found, and levels below the root.
    children
        Children of one node; a server that never ends its list is left there.
    outstanding
        Calls under way at once.
    patience_s
        How long a lost link is tried again before the crawl gives up [s]; its state is kept.
    retry_s
        First pause before a lost link is opened again [s]; it doubles.
    """

    nodes: int = 100_000
    depth: int = 30
    children: int = 100_000
    outstanding: int = 4
    patience_s: float = 60.0
    retry_s: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a crawl is.

    Parameters
    ----------
    nodes, levels, left
        Nodes found, deepest level reached, nodes found and not yet looked into.
    per_s
        Nodes found per second of this run.
    """

    nodes: int
    levels: int
    left: int
    per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawl:
    """What a crawl found; ``complete`` is false when a limit or the server stopped it.

    Parameters
    ----------
    nodes
        In the order they were found, parents before children.
    faults
        Nodes that could not be browsed, with the server's reason.
    """

    nodes: tuple[SeenNode, ...]
    complete: bool
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """A node that was met; its children and attributes follow when its turn comes."""

    node: str
    name: str
    kind: int
    type_node: str
    path: str
    level: int


@dataclass(slots=True)
class _Opened:
    """One node looked into: its children, and where its unit and range stand."""

    found: _Found
    children: list[_Found]
    properties: dict[str, bytes]
    fault: str = ""
    later: bool = False
    id: bytes = b""


class CrawlState:
    """What was found so far, in memory and in a file of 0600 that the next run can read.

    Parameters
    ----------
    file
        Where it is kept; None keeps it in memory only.
    url, root
        What is crawled; a file of another endpoint or root is refused.
    """

    def __init__(self, file: Path | None, url: str, root: str) -> None:
        self._header = {"format": _FORMAT, "url": url, "root": root}
        self.known: set[str] = {root, _SERVER_OBJECT}
        self.waiting: deque[_Found] = deque()
        self.rows: list[SeenNode] = []
        self.faults: dict[str, str] = {}
        self.found = 0
        self.levels = 0
        self.whole = True
        """False once a limit has left something out."""
        self._file: IO[bytes] | None = None
        if file is not None:
            self._load(file)
            self._file = _private(file)
            if not file.stat().st_size:
                self._write(self._header)

    def begin(self, root: str) -> None:
        """Put the root in the queue of a state that is new."""
        if not self.rows and not self.waiting:
            self.waiting.append(_Found(root, "", int(ua.NodeClass.Object), "", "", 0))

    def take(self, opened: Sequence[_Opened], rows: Sequence[SeenNode]) -> None:
        """Note what a call found."""
        fresh: list[_Found] = []
        for one in opened:
            if one.fault:
                self.faults[one.found.node] = one.fault
            for child in one.children:
                if child.node not in self.known:
                    self.known.add(child.node)
                    fresh.append(child)
                    self.levels = max(self.levels, child.level)
        self.found += len(fresh)
        self.waiting.extend(fresh)
        self.rows.extend(rows)
        if self._file is not None:
            self._write(
                {
                    "whole": self.whole,
                    "done": [one.found.node for one in opened],
                    "faults": {o.found.node: o.fault for o in opened if o.fault},
                    "found": [_found_row(one) for one in fresh],
                    "rows": [_node_row(row) for row in rows],
                }
            )

    def close(self) -> None:
        """Close the file; the next run reads it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, row: Mapping[str, object]) -> None:
        assert self._file is not None  # noqa: S101 - the callers looked
        self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()

    def _load(self, file: Path) -> None:
        if not file.exists() or not file.stat().st_size:
            return
        whole = 0
        waiting: dict[str, _Found] = {}
        with file.open("rb") as lines:
            for number, line in enumerate(lines):
                row = _line(line)
                if row is None:
                    break
                if number == 0:
                    self._check(row, file)
                else:
                    self._replay(row, waiting)
                whole += len(line)
        self.waiting.extend(waiting.values())
        if whole < file.stat().st_size:
            # The last line of a process that died in the middle of it.
            os.truncate(file, whole)

    def _check(self, row: Mapping[str, Any], file: Path) -> None:
        if dict(row) != self._header:
            raise InputError(
                f"{file.name} is the state of another crawl ({row.get('url')}, {row.get('root')})",
                "remove it, or name another file",
                "state",
            )

    def _replay(self, row: Mapping[str, Any], waiting: dict[str, _Found]) -> None:
        for done in row["done"]:
            waiting.pop(str(done), None)
        for each in row["found"]:
            one = _Found(*each)
            self.known.add(one.node)
            waiting[one.node] = one
            self.levels = max(self.levels, one.level)
        self.found += len(row["found"])
        self.rows.extend(_node_of(each) for each in row["rows"])
        self.faults.update(row["faults"])
        self.whole = self.whole and bool(row.get("whole", True))


def _line(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    with contextlib.suppress(orjson.JSONDecodeError):
        row = orjson.loads(line)
        if isinstance(row, dict):
            return row
    return None


def _private(file: Path) -> IO[bytes]:
    """Open for appending, readable by its owner only; a link is not followed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    handle = os.open(file, flags, 0o600)
    os.fchmod(handle, 0o600)
    return os.fdopen(handle, "ab")


Opener = Callable[[], Awaitable[Client]]


async def crawl_all(
    config: EndpointConfig,
    node: str = "",
    *,
    pki: Pki | None = None,
    limits: CrawlLimits | None = None,
    timeout_s: float = 10.0,
    state: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Crawl:
    """Everything below a node over a session of its own, each node once.

    Parameters
    ----------
    config, pki
        Endpoint and certificates.
    node
        Where to begin; empty for the Objects folder.
    limits
        Where to stop.
    timeout_s
        Longest wait for one answer [s].
    state
        File that keeps what was found; a crawl that stopped goes on from it. It is removed when
        the crawl has come to its end, so that the next one looks anew.
    progress
        Told after each call.

    Raises
    ------
    InputError
        When the root cannot be read, or the state is that of another crawl.
    Unavailable
        When the link is lost and does not come back in time; the state is kept.
    """
    if node:
        split_node(node)
    return await crawl_with(
        lambda: open_session(config, pki, timeout_s),
        config.url,
        node,
        limits=limits or CrawlLimits(),
        state=state,
        progress=progress,
        languages=not config.user,
    )


async def crawl_with(
    opener: Opener,
    url: str,
    node: str = "",
    *,
    limits: CrawlLimits,
    state: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    languages: bool = False,
) -> Crawl:
    """`crawl_all` over sessions that `opener` opens; a lost one is opened again."""
    root = node or _OBJECTS
    kept = CrawlState(state, url, root)
    kept.begin(root)
    crawler = Crawler(kept, limits, progress)
    until = time.monotonic() + limits.patience_s
    delay_s, opened_once = limits.retry_s, False
    try:
        while True:
            before = kept.found
            client = None
            try:
                client = await opener()
                opened_once = True
                await crawler.run(client)
                nodes = await crawler.finished(client, languages=languages)
                break
            except (UaError, OSError, TimeoutError, Unavailable) as fault:
                if not opened_once and isinstance(fault, Unavailable):
                    raise
                if kept.found > before:
                    until, delay_s = time.monotonic() + limits.patience_s, limits.retry_s
                if time.monotonic() + delay_s > until:
                    what, remedy = explain(fault)
                    raise Unavailable(
                        f"the crawl stopped after {kept.found} nodes: {what}",
                        f"{remedy}; started again it goes on from there" if state else remedy,
                    ) from fault
                _log.warning("crawl goes on after a fault", extra={"fault": repr(fault)})
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 5.0)
            finally:
                if client is not None:
                    await close(client)
    finally:
        kept.close()
    if state is not None:
        await asyncio.to_thread(state.unlink, missing_ok=True)
    whole = kept.whole and not kept.faults
    return Crawl(nodes=nodes, complete=whole, faults=dict(kept.faults))


class Crawler:
    """Opens what waits in a state, over one session after another.

    Parameters
    ----------
    state
        What was found so far.
    limits
        Where to stop.
    progress
        Told after each call.
    """

    def __init__(
        self, state: CrawlState, limits: CrawlLimits, progress: Callable[[Progress], None]
    ) -> None:
        self._state, self._limits, self._progress = state, limits, progress
        self._began, self._first = time.monotonic(), state.found
        self._per_call = 0
        self._later: dict[str, int] = {}

    async def run(self, client: Client) -> None:
        """Look into everything that waits; calls are taken in the order they were made.

        Raises
        ------
        asyncua.ua.uaerrors.UaError, OSError
            When the link is lost; what was under way waits again.
        """
        link = await _Link.of(client)
        self._per_call = self._per_call or link.limits.browse
        under_way: deque[tuple[list[_Found], asyncio.Task[tuple[list[_Opened], list[SeenNode]]]]]
        under_way = deque()
        try:
            while self._state.waiting or under_way:
                while self._state.waiting and len(under_way) < self._limits.outstanding:
                    if under_way and len(self._state.waiting) < self._per_call // 4:
                        break  # a full call is worth the wait for what is under way
                    members = self._next()
                    if not members:
                        break
                    task = asyncio.create_task(self._look(link, members))
                    under_way.append((members, task))
                if not under_way:
                    break
                _, task = under_way[0]
                opened, rows = await task
                under_way.popleft()
                self._take(opened, rows)
        finally:
            for _, task in under_way:
                task.cancel()
            await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
            for members, _ in reversed(under_way):
                self._state.waiting.extendleft(reversed(members))

    async def finished(self, client: Client, *, languages: bool) -> tuple[SeenNode, ...]:
        """The nodes with what only the whole shows: base types, names in the second language."""
        link = await _Link.of(client)
        rows = self._state.rows[: self._limits.nodes]
        rows = await link.with_types(rows)
        if languages:
            rows = await link.with_names(rows)
        return tuple(rows)

    def _next(self) -> list[_Found]:
        members: list[_Found] = []
        waiting = self._state.waiting
        while waiting and len(members) < self._per_call:
            one = waiting.popleft()
            if one.level >= self._limits.depth:
                self._state.whole = False
                self._state.take([_Opened(one, [], {})], [_row(one)])
                continue
            members.append(one)
        return members

    async def _look(
        self, link: "_Link", members: list[_Found]
    ) -> tuple[list[_Opened], list[SeenNode]]:
        """Children and attributes of some nodes; a call that fails is halved."""
        try:
            opened = await link.opened(members, self._limits.children)
            rows = await link.described([one for one in opened if not one.later])
        except (UaStatusCodeError, Malformed) as fault:
            code = fault.code if isinstance(fault, UaStatusCodeError) else 0
            if code in _LOST:
                raise
            if len(members) == 1:
                why = ua.StatusCode(ua.UInt32(code)).name if code else str(fault)
                return [_Opened(members[0], [], {}, why)], [_row(members[0])]
            half = len(members) // 2
            if code in _TOO_MANY:
                self._per_call = max(1, min(self._per_call, half))
            first = await self._look(link, members[:half])
            second = await self._look(link, members[half:])
            return first[0] + second[0], first[1] + second[1]
        return opened, rows

    def _take(self, opened: Sequence[_Opened], rows: Sequence[SeenNode]) -> None:
        if any(one.later for one in opened):
            self._per_call = max(1, self._per_call // 2)
        ready = [one for one in opened if not (one.later and self._again(one))]
        given_up = [_row(one.found) for one in ready if one.later]
        room = self._limits.nodes - self._state.found
        if sum(len(one.children) for one in ready) > room:
            self._cut(ready, room)
        self._state.take(ready, [row for row in (*rows, *given_up) if row.path])
        elapsed = max(time.monotonic() - self._began, 1e-6)
        self._progress(
            Progress(
                nodes=self._state.found,
                levels=self._state.levels,
                left=len(self._state.waiting),
                per_s=(self._state.found - self._first) / elapsed,
            )
        )

    def _again(self, one: _Opened) -> bool:
        """Whether a node the server had no continuation point for is asked once more, later."""
        tries = self._later[one.found.node] = self._later.get(one.found.node, 0) + 1
        if tries > _LATER_MOST:
            one.fault = "BadNoContinuationPoints"
            return False
        self._state.waiting.append(one.found)
        return True

    def _cut(self, ready: Sequence[_Opened], room: int) -> None:
        """Keep only as many new children as the limit allows."""
        known = self._state.known
        for one in ready:
            fresh = [child for child in one.children if child.node not in known]
            if len(fresh) > room:
                self._state.whole = False
                fresh = fresh[: max(room, 0)]
            room -= len(fresh)
            one.children[:] = fresh


class _Link:
    """Calls of one session."""

    def __init__(self, client: Client, namespaces: Sequence[str], limits: Limits) -> None:
        self._client, self._names, self.limits = client, Names(namespaces), limits
        self._timeout_s = float(client.uaclient.protocol.timeout)  # type: ignore[union-attr]

    @classmethod
    async def of(cls, client: Client) -> "_Link":
        identity = await read_identity(client)
        return cls(client, identity.namespaces, await read_limits(client))

    async def _browse(self, nodes: Sequence[bytes], what: bytes, most: int) -> list[Browsed]:
        request = browse([node + what for node in nodes], most)
        results = browsed(await self._send(request), more=False)
        return _as_many(results, len(nodes))

    async def _send(self, request: Encoded) -> Bytes:
        return await send_encoded(self._client, request, self._timeout_s)

    async def opened(self, members: Sequence[_Found], most: int) -> list[_Opened]:
        """References of each node, with all that continuation points hold."""
        ids = [self._names.encoded(one.node) for one in members]
        results = await self._browse(ids, CHILDREN, _PER_NODE)
        references = [result.references for result in results]
        faults = [_fault(result) for result in results]
        points = {n: r.point for n, r in enumerate(results) if r.point}
        await self._continue(points, references, faults, most)
        return [
            self._opened(one, node, refs, fault)
            for one, node, refs, fault in zip(members, ids, references, faults, strict=True)
        ]

    async def _continue(
        self,
        points: dict[int, bytes],
        references: list[list[Reference]],
        faults: list[str],
        most: int,
    ) -> None:
        """Fetch what is left of long lists, all of them per call; release what is not wanted."""
        try:
            while points:
                asked = list(points)
                request = browse_next(list(points.values()), release=False)
                results = browsed(await self._send(request), more=True)
                for n, result in zip(asked, _as_many(results, len(asked)), strict=True):
                    del points[n]
                    references[n].extend(result.references)
                    faults[n] = _fault(result)
                    if not result.point:
                        continue
                    points[n] = result.point
                    if not result.references or len(references[n]) >= most:
                        faults[n] = "the server does not come to an end"
                        await self._release([points.pop(n)])
        finally:
            if points:
                await self._release(list(points.values()))

    async def _release(self, points: Sequence[bytes]) -> None:
        with contextlib.suppress(UaError, OSError, TimeoutError):
            await self._send(browse_next(points, release=True))

    def _opened(
        self, one: _Found, own: bytes, references: Sequence[Reference], fault: str
    ) -> _Opened:
        children: list[_Found] = []
        properties: dict[str, bytes] = {}
        names = self._names
        above, level = f"{one.path}/" if one.path else "", one.level + 1
        for reference in references:
            kind, node, name, shown, node_class, type_node, uri, server = reference
            if server:
                continue  # it lies on another server
            if name != _STATE_NUMBER and names.often(kind) == _HAS_PROPERTY:
                if name in _KEPT_PROPERTIES:
                    properties[name] = names.encoded(names.target(reference)) if uri else node
                continue
            shown = (shown or name)[:_TEXT_MOST].replace("/", "∕")
            children.append(
                _Found(
                    names.target(reference) if uri else names.text(node),
                    shown,
                    node_class,
                    "" if is_null(type_node) else names.often(type_node),
                    above + shown,
                    level,
                )
            )
        later = fault == "BadNoContinuationPoints"
        return _Opened(one, children, properties, "" if later else fault, later, own)

    async def described(self, opened: Sequence[_Opened]) -> list[SeenNode]:
        """Rows of the nodes themselves, variables with their attributes, unit and range."""
        variables = [one for one in opened if one.found.kind == _VARIABLE]
        asked = [one.id + what for one in variables for what in _ATTRIBUTES]
        extra = [(n, name) for n, one in enumerate(variables) for name in one.properties]
        asked.extend(variables[n].properties[name] + _VALUE for n, name in extra)
        values = await self.read(asked)
        properties: dict[int, dict[str, Told]] = {}
        for (n, name), value in zip(
            extra, values[len(_ATTRIBUTES) * len(variables) :], strict=True
        ):
            properties.setdefault(n, {})[name] = value
        ranks = await self._ranks(variables, values[3 :: len(_ATTRIBUTES)])
        rows: list[SeenNode] = []
        n = 0
        for one in opened:
            if one.found.kind != _VARIABLE:
                rows.append(_row(one.found))
                continue
            own = values[n * len(_ATTRIBUTES) : (n + 1) * len(_ATTRIBUTES)]
            rows.append(self._variable(one.found, own, ranks[n], properties.get(n, {})))
            n += 1
        return rows

    def _variable(
        self, found: _Found, own: Sequence[Told], rank: int, properties: Mapping[str, Told]
    ) -> SeenNode:
        kind, access, description, value = own
        unit, span = None, None
        if properties:
            unit = properties["EngineeringUnits"].good if "EngineeringUnits" in properties else None
            span = properties["EURange"].good if "EURange" in properties else None
        kind_node, told_access, said, raw = kind.good, access.good, description.good, value.good
        return SeenNode(
            node=found.node,
            path=found.path,
            node_class="Variable",
            type_node=found.type_node,
            data_type=self._data_type(kind_node) if isinstance(kind_node, bytes) else "",
            rank=rank,
            access=told_access if isinstance(told_access, int) else 1,
            description=said[:_TEXT_MOST] if isinstance(said, str) else "",
            unit=unit.shown[:_TEXT_MOST] if isinstance(unit, Unit) else "",
            unit_id=unit.number if isinstance(unit, Unit) else None,
            span=span if isinstance(span, tuple) and not isinstance(span, Unit) else None,
            status=value.status,
            observed=observed((float(raw),)) if isinstance(raw, bool | int | float) else None,
        )

    def _data_type(self, node: bytes) -> str:
        """Name of a built-in type, else the type's node."""
        text = self._names.often(node)
        number = text.removeprefix(f"nsu={UA_NAMESPACE};i=")
        return _BASE_TYPES.get(int(number), text) if number.isdecimal() else text

    async def _ranks(self, variables: Sequence[_Opened], values: Sequence[Told]) -> list[int]:
        """Rank of each variable: a value shows it; the server is asked where there is none."""
        ranks = [-1 if v.rank is None else v.rank for v, _ in zip(values, variables, strict=False)]
        dark = [n for n in range(len(variables)) if values[n].rank is None]
        asked = [variables[n].id + _RANK for n in dark]
        for n, value in zip(dark, await self.read(asked), strict=True):
            ranks[n] = value.good if isinstance(value.good, int) else -1
        return ranks

    async def read(self, asked: Sequence[bytes]) -> list[Told]:
        """Attributes (NodeId and `attribute`), in calls the server takes."""
        values: list[Told] = []
        for first in range(0, len(asked), self.limits.read):
            part = asked[first : first + self.limits.read]
            values.extend(_as_many(told(await self._send(read(part))), len(part)))
        return values

    def asking(self, nodes: Iterable[SeenNode], what: bytes = _VALUE) -> list[bytes]:
        """What to read for one attribute of each node."""
        return [self._names.encoded(node.node) + what for node in nodes]

    async def with_types(self, rows: Sequence[SeenNode]) -> list[SeenNode]:
        """Rows whose own types and data types are led back to those of the base namespace."""
        own = f"nsu={UA_NAMESPACE};"
        kinds = {
            row.type_node for row in rows if row.type_node and not row.type_node.startswith(own)
        }
        kinds |= {row.data_type for row in rows if row.data_type.startswith("nsu=")}
        if not kinds:
            return list(rows)
        above = await self._supertypes(kinds)
        return [
            replace(
                row,
                bases=tuple(k for k in _chain(row.type_node, above) if not k.startswith(own)),
                data_type=_base_name(row.data_type, above),
            )
            for row in rows
        ]

    async def _supertypes(self, kinds: Iterable[str]) -> dict[str, str]:
        above: dict[str, str] = {}
        wave = set(kinds)
        for _ in range(_TYPE_DEPTH):
            asked = sorted(kind for kind in wave if kind not in above)
            if not asked:
                break
            wave = set()
            for first in range(0, len(asked), self.limits.browse):
                chunk = asked[first : first + self.limits.browse]
                ids = [self._names.encoded(kind) for kind in chunk]
                for kind, result in zip(chunk, await self._browse(ids, SUPERTYPE, 0), strict=True):
                    above[kind] = ""
                    if result.references:
                        above[kind] = self._names.target(result.references[0])
                        wave.add(above[kind])
        return above

    async def with_names(self, rows: Sequence[SeenNode]) -> list[SeenNode]:
        """Rows with their Vietnamese and English names, where the server has both."""
        (locales,) = await read_values(
            self._client, [ObjectIds.Server_ServerCapabilities_LocaleIdArray]
        )
        if not isinstance(locales, list) or len({str(each)[:2] for each in locales}) < 2:
            return list(rows)
        variables = [(n, row) for n, row in enumerate(rows) if row.node_class == "Variable"]
        out = list(rows)
        for language in ("en", "vi"):
            self._client.set_locale([language])
            await self._client.activate_session()
            asked = self.asking((row for _, row in variables), _SHOWN)
            for (n, row), value in zip(variables, await self.read(asked), strict=True):
                raw = value.value
                if isinstance(raw, str) and raw and raw != row.name:
                    out[n] = replace(out[n], names={**out[n].names, language: raw})
        return out


async def look(
    client: Client, nodes: Sequence[SeenNode], *, rounds: int = 5, every_s: float = 1.0
) -> tuple[SeenNode, ...]:
    """Read the values of scalar variables a few times; nodes with what was observed.

    Parameters
    ----------
    client
        Connected client.
    nodes
        Any nodes; only numeric scalars are read.
    rounds, every_s
        How often, and how far apart [s].
    """
    link = await _Link.of(client)
    asked = [n for n, node in enumerate(nodes) if node.node_class == "Variable" and node.rank < 0]
    ids = link.asking(nodes[n] for n in asked)
    series: list[list[float]] = [[] for _ in asked]
    good = [0] * len(asked)
    status = [0] * len(asked)
    due = time.monotonic()
    for number in range(rounds):
        for at, value in enumerate(await link.read(ids)):
            status[at] = value.status
            if value.status >> 30 == 0:
                good[at] += 1
                if isinstance(value.value, bool | int | float):
                    series[at].append(float(value.value))
        due += every_s
        if number + 1 < rounds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    out = list(nodes)
    for at, n in enumerate(asked):
        seen = observed(series[at], good[at] / rounds)
        out[n] = replace(nodes[n], observed=seen or _silent(good[at] / rounds), status=status[at])
    return tuple(out)


def _silent(good: float) -> Observed:
    return Observed(
        n=0, least=math.nan, most=math.nan, distinct=0, rises=0, falls=0, whole=False, good=good
    )


def _row(found: _Found) -> SeenNode:
    kind = _CLASSES.get(found.kind, "Unspecified")
    return SeenNode(node=found.node, path=found.path, node_class=kind, type_node=found.type_node)


_BASE_TYPES: Final = {
    1: "Boolean", 2: "SByte", 3: "Byte", 4: "Int16", 5: "UInt16", 6: "Int32", 7: "UInt32",
    8: "Int64", 9: "UInt64", 10: "Float", 11: "Double", 12: "String", 13: "DateTime", 14: "Guid",
    15: "ByteString", 21: "LocalizedText", 22: "Structure", 24: "BaseDataType", 26: "Number",
    27: "Integer", 28: "UInteger", 29: "Enumeration", 290: "Duration", 294: "UtcTime",
}  # fmt: skip


def _base_name(kind: str, above: Mapping[str, str]) -> str:
    """Name of the built-in type a data type derives from."""
    if not kind.startswith("nsu="):
        return kind
    for each in (kind, *_chain(kind, above)):
        number = each.removeprefix(f"nsu={UA_NAMESPACE};i=")
        if number.isdigit() and int(number) in _BASE_TYPES:
            return _BASE_TYPES[int(number)]
    return "Structure"


def _chain(kind: str, above: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    while (kind := above.get(kind, "")) and kind not in found:
        found.append(kind)
    return found


_Answer = TypeVar("_Answer", Browsed, Told)


def _as_many(results: list[_Answer], asked: int) -> list[_Answer]:
    if len(results) != asked:
        raise malformed(f"{len(results)} results for {asked} nodes")
    return results


def _fault(result: Browsed) -> str:
    return str(ua.StatusCode(ua.UInt32(result.status)).name) if result.status >> 31 else ""


def _found_row(one: _Found) -> list[object]:
    return [one.node, one.name, one.kind, one.type_node, one.path, one.level]


def _node_row(row: SeenNode) -> dict[str, object]:
    kept: dict[str, object] = {
        "node": row.node, "path": row.path, "node_class": row.node_class,
        "description": row.description, "data_type": row.data_type, "unit": row.unit,
        "unit_id": row.unit_id, "span": row.span, "access": row.access, "rank": row.rank,
        "type_node": row.type_node, "status": row.status,
    }  # fmt: skip
    if row.observed is not None:
        kept["value"] = row.observed.least
    return {name: value for name, value in kept.items() if value not in (None, "")}


def _node_of(kept: object) -> SeenNode:
    assert isinstance(kept, dict)  # noqa: S101 - written by `_node_row`
    plain = dict(kept)
    value, span = plain.pop("value", None), plain.pop("span", None)
    return SeenNode(
        **plain,
        span=(span[0], span[1]) if span else None,
        observed=observed([value]) if value is not None else None,
    )
