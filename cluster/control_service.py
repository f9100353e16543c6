"""The part of the service that writes, calls, and tells who changed what."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from cluster.asking import parse_time
from cluster.control_desk import ControlDesk
from cluster.control_ports import AuditEntry, AuditPage, AuditQuery, ControlOutcome
from cluster.live_park import LivePark
from cluster.metadata.store import MetadataStore
from connectors.clock import wall_us
from connectors.opcua.deed import Actor, Given


class ControlService(ABC):
    """Implements `Control` for the parks of a service."""

    @abstractmethod
    def _park(self, park: str) -> LivePark: ...

    @abstractmethod
    def _need_store(self) -> MetadataStore: ...

    async def endpoint_write(
        self,
        park: str,
        endpoint: str,
        tag: str,
        value: Given,
        who: str,
        role: str,
        *,
        dry_run: bool,
        beside: bool,
    ) -> ControlOutcome:
        """Write a value to the node of a tag."""
        desk, actor = ControlDesk(self._park(park), beside=beside), Actor(name=who, role=role)
        return await desk.write(endpoint, tag, value, actor, dry_run=dry_run)

    async def endpoint_call(
        self,
        park: str,
        endpoint: str,
        method: str,
        arguments: Sequence[Given],
        who: str,
        role: str,
        *,
        dry_run: bool,
        beside: bool,
    ) -> ControlOutcome:
        """Call a method of a server."""
        desk, actor = ControlDesk(self._park(park), beside=beside), Actor(name=who, role=role)
        return await desk.call(endpoint, method, arguments, actor, dry_run=dry_run)

    async def audit(self, query: AuditQuery) -> AuditPage:
        """Rows of the audit trail, newest first."""
        now_us = wall_us()
        rows = await asyncio.to_thread(
            self._need_store().audit_page,
            since_us=parse_time(query.since, "since", now_us) if query.since else None,
            until_us=parse_time(query.until, "until", now_us) if query.until else None,
            who=query.who,
            action=query.action,
            subject=query.subject,
            before=query.before,
            limit=query.limit + 1,  # one more tells whether there are older ones
        )
        shown = rows[: query.limit]
        return AuditPage(
            rows=tuple(
                AuditEntry(
                    seq=row.seq,
                    at_us=row.at_us,
                    who=row.who,
                    action=row.action,
                    subject=row.subject,
                    detail=row.detail,
                )
                for row in shown
            ),
            next=shown[-1].seq if len(rows) > len(shown) else None,
        )

    async def audit_check(self) -> int:
        """Rows of the trail, when all follow from one another."""
        return await asyncio.to_thread(self._need_store().verify_audit)
