"""Writes and calls that people ask for: refused unless the park file allows them, and recorded.

Each attempt is one row of the audit trail, also one that was refused or failed. What is going to be
sent is written down before it is sent: of a service that dies meanwhile the next start records that
nobody knows how it ended. While the store does not answer, nothing is sent.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Final, cast

from cluster import bindings
from cluster.control_ports import ControlOutcome
from cluster.live_park import LivePark
from cluster.metadata.tables import DeedRow
from connectors.clock import wall_us
from connectors.opcua import control
from connectors.opcua.config import EndpointConfig
from connectors.opcua.deed import (
    FAILED,
    REFUSED,
    UNKNOWN,
    Actor,
    CallOrder,
    Deed,
    Given,
    WriteOrder,
)
from connectors.opcua.fitted import shown
from models.errors import Conflict, NotFound, Refused, TwinError, Unavailable
from twin.parkfile.mapping import source_unit
from twin.tags import Binding, TagRow

_WRITE: Final = "endpoint.write"
_CALL: Final = "endpoint.call"
_SUBJECT_MOST: Final = 512


class ControlDesk:
    """What may be written to the PLCs of one park, and called there.

    Parameters
    ----------
    live
        The running park.
    beside
        Whether who asks sits at the service's own machine, over no proxy. There is no login yet
        that could tell others apart.
    """

    def __init__(self, live: LivePark, *, beside: bool) -> None:
        self._live, self._store, self._beside = live, live.store, beside

    async def write(
        self, endpoint: str, tag: str, value: Given, actor: Actor, *, dry_run: bool
    ) -> ControlOutcome:
        """Write a value to the node of a tag, and read it back.

        Raises
        ------
        TwinError
            When it is not allowed, does not fit or fails; that is recorded too.
        """
        note = self._note(_WRITE, endpoint, tag, shown(value), actor)
        try:
            config = await self._config(endpoint)
            row = self._row(endpoint, tag)
            control.writable(config, row.tag, row.binding.node, actor)
        except TwinError as fault:
            await self._not_begun(note, fault, dry_run=dry_run)
            raise
        order = WriteOrder(tag=row.tag, node=row.binding.node, value=value, dry_run=dry_run)
        deed = await self._done("write", endpoint, order, actor, note, row.binding)
        return _outcome(deed, row.binding)

    async def call(
        self, endpoint: str, method: str, arguments: Sequence[Given], actor: Actor, *, dry_run: bool
    ) -> ControlOutcome:
        """Call a method; see `write`."""
        asked = ", ".join(map(shown, arguments))
        note = self._note(_CALL, endpoint, method, asked, actor)
        try:
            config = await self._config(endpoint)
            control.callable_method(config, method, actor)
        except TwinError as fault:
            await self._not_begun(note, fault, dry_run=dry_run)
            raise
        order = CallOrder(method=method, arguments=tuple(arguments), dry_run=dry_run)
        deed = await self._done("call", endpoint, order, actor, note, None)
        return _outcome(deed, None)

    async def _done(
        self,
        how: str,
        endpoint: str,
        order: WriteOrder | CallOrder,
        actor: Actor,
        note: DeedRow,
        binding: Binding | None,
    ) -> Deed:
        """Have the gateway do it; the deed, once it is recorded."""
        recorded, deed_id = not order.dry_run, note.id
        if recorded:
            await asyncio.to_thread(self._store.begin_deed, note)
        try:
            deed = cast("Deed", await self._live.ask_gateway(how, endpoint, order, actor))
        except TwinError as fault:
            if not recorded:
                raise
            lost = Unavailable(
                f"the gateway was lost before it answered ({fault})",
                "it may have been done: read the value before you try again",
            )
            end = {"result": UNKNOWN, "cause": str(lost)}
            await asyncio.to_thread(self._store.end_deed, deed_id, end)
            raise lost from fault
        if recorded:
            await asyncio.to_thread(self._store.end_deed, deed_id, _told(deed, binding))
        if deed.fault is not None:
            raise deed.fault
        return deed

    async def _not_begun(self, note: DeedRow, fault: TwinError, *, dry_run: bool) -> None:
        """Record what was refused here; a dry run changes nothing and leaves no record."""
        if dry_run:
            return
        result = REFUSED if isinstance(fault, Refused) else FAILED
        detail = {**note.detail, "result": result, "cause": str(fault)}
        await asyncio.to_thread(
            self._store.audit, note.at_us, note.who, note.action, note.subject, detail
        )

    def _note(self, action: str, endpoint: str, target: str, asked: str, actor: Actor) -> DeedRow:
        return DeedRow(
            id=uuid.uuid4().hex,
            at_us=wall_us(),
            who=actor.name,
            action=action,
            subject=f"{self._live.id}/{endpoint} {target}"[:_SUBJECT_MOST],
            detail={"role": actor.role, "asked": asked},
        )

    async def _config(self, endpoint: str) -> EndpointConfig:
        """The endpoint as the park file has it now; what a gateway was told may be older."""
        if not self._beside:
            raise Refused(
                "writes and calls are taken on the service's own machine only, over no proxy",
                "there is no login yet that could tell who asks: use `parktwin endpoint` there",
            )
        live = self._live
        known = await asyncio.to_thread(self._store.endpoints, live.id)
        rows = list(live.dictionary.open.values())
        found = await asyncio.to_thread(
            bindings.configs, live.park, known, rows, live.settings.urls
        )
        config = next((one for one in found if one.id == endpoint), None)
        if config is not None:
            return config
        statuses = {status.id: status for status in live.statuses}
        if endpoint in statuses:
            raise Conflict(
                f"endpoint {endpoint!r} is read by gateway {statuses[endpoint].gateway} in its "
                "plant: it writes and calls nothing for the service",
                "do it at the machine, or have the service read the endpoint (no `gateway`)",
                "endpoint",
            )
        raise NotFound("endpoint", endpoint, tuple(statuses))

    def _row(self, endpoint: str, tag: str) -> TagRow:
        rows = {
            row.binding.path: row
            for row in self._live.dictionary.open.values()
            if row.binding.endpoint == endpoint
        }
        path = tag if tag.startswith(f"{self._live.id}/") else f"{self._live.id}/{tag}"
        if path not in rows:
            raise NotFound(f"tag of endpoint {endpoint}", tag, tuple(rows))
        return rows[path]


def _told(deed: Deed, binding: Binding | None) -> Mapping[str, object]:
    """What the audit trail keeps of a deed."""
    return {
        "target": deed.target,
        "unit": "" if binding is None else binding.unit,
        "before": deed.before,
        "sent": deed.sent,
        "after": deed.held,
        "status": deed.status,
        "result": deed.result,
        "cause": "" if deed.fault is None else str(deed.fault),
    }


def _outcome(deed: Deed, binding: Binding | None) -> ControlOutcome:
    return ControlOutcome(
        who=deed.who,
        role=deed.role,
        at_us=deed.at_us,
        endpoint=deed.endpoint,
        tag="" if binding is None else binding.path,
        target=deed.target,
        unit="" if binding is None else binding.unit,
        sent_unit="" if binding is None else source_unit(binding) or binding.unit,
        data_type=deed.data_type,
        asked=deed.asked,
        before=deed.before,
        sent=deed.sent,
        after=deed.held,
        as_sent=deed.as_sent,
        low=deed.low,
        high=deed.high,
        result=deed.result,
        status=deed.status,
    )
