"""Trying an endpoint before it is saved: each phase with its time, and what to do when it fails.

``address → tcp → endpoints → certificate → session → namespaces → status → browse → subscribe``.
The first failing step ends the trial. Nothing is raised for a server that does not answer: the
outcome says which phase failed and why.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.object_ids import ObjectIds

from connectors.clock import wall_us
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.decode import Decoder
from connectors.opcua.guarded import GuardedClient, clock_remedy
from connectors.opcua.hooks import connect, send
from connectors.opcua.kernel import Bytes
from connectors.opcua.monitor import Monitor
from connectors.opcua.publishing import Publisher
from connectors.opcua.reach import Reach, allowed_reach
from connectors.opcua.report import EndpointTest, TestStep
from connectors.opcua.reverse import WAIT_S, listener
from connectors.opcua.rows import Rows
from connectors.opcua.security import Pki, fingerprint_of, first_certificate
from connectors.opcua.session import (
    MAX_MESSAGE_BYTES,
    CertificateRefused,
    Identity,
    close,
    explain,
    forget_offered,
    new_client,
    offered,
    ours_of,
    policies_of,
    read_identity,
    read_limits,
    read_values,
    reserve,
    secured,
)
from connectors.opcua.wire import Content, Notification
from models.errors import InputError, Refused, Unavailable

_SUBSCRIBE_S: Final = 2.0
_SAMPLE_ITEMS: Final = 100
_CLOCK_WARNING_S: Final = 60.0


@dataclass(slots=True)
class _Trial:
    """What the steps found so far."""

    config: EndpointConfig
    pki: Pki | None
    reach: Reach
    timeout_s: float
    url: str = ""
    steps: list[TestStep] = field(default_factory=list)
    policies: tuple[str, ...] = ()
    fingerprint: str = ""
    identity: Identity | None = None
    client: GuardedClient | None = None

    async def step(self, name: str, work: Callable[[], Awaitable[str]]) -> bool:
        """Run a phase; note what it found or why it failed."""
        began = time.monotonic()
        try:
            detail, remedy, ok = await work(), "", True
        except Exception as fault:  # noqa: BLE001 - whatever a stranger's server does is an outcome
            detail, remedy = _explained(name, fault)
            detail += ours_of(fault, self.config.url)
            clock = clock_remedy(self.client) if self.client is not None else ""
            remedy = "; ".join(filter(None, (clock, remedy)))
            ok = False
            if isinstance(fault, CertificateRefused):
                self.fingerprint = fault.fingerprint
        ms = (time.monotonic() - began) * 1000.0
        self.steps.append(TestStep(step=name, ok=ok, detail=detail, remedy=remedy, ms=ms))
        return ok

    # --- phases ---

    async def address(self) -> str:
        """Is the address allowed, and does its name exist? The next steps go to what it is now."""
        if self.config.reverse:
            self.reach.claimed(self.config.url)
            self.url = self.config.url
            forget_offered(self.url)
            return "the server connects to us"
        self.url = await self.reach.pinned(self.config.url)
        place = urlsplit(self.url)
        return f"{place.hostname}, port {place.port}"

    async def tcp(self) -> str:
        """Does anything listen? Or does the server connect to us?"""
        if self.config.reverse:
            return f"{await listener().arrival(self.url)} has connected"
        place = urlsplit(self.url)
        async with asyncio.timeout(self.timeout_s):
            _, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.close()
        return "connected"

    async def endpoints(self) -> str:
        """Is it an OPC UA server, and what does it offer?"""
        endpoints = await offered(self.url, self.timeout_s, reverse=self.config.reverse)
        self.policies = policies_of(endpoints)
        for endpoint in endpoints:
            if endpoint.ServerCertificate:
                certificate = first_certificate(endpoint.ServerCertificate)
                self.fingerprint = fingerprint_of(certificate)
        return f"offers {', '.join(self.policies) or 'nothing'}"

    async def certificate(self) -> str:
        """Is the wanted policy offered, and is the server's certificate good and trusted?"""
        client = self.client = new_client(self.url, self.timeout_s, reverse=self.config.reverse)
        await secured(client, self.config, self.pki)
        if self.config.policy == "None":
            return "no security, as it was asked for: anyone on the network can read and forge"
        shown = self.pki.shown.get(self.config.id) if self.pki is not None else None
        return "; ".join(
            (f"trusted, SHA-256 {self.fingerprint}", *(shown.remarks if shown is not None else ()))
        )

    async def session(self) -> str:
        """Does the server let us in?"""
        assert self.client is not None  # noqa: S101 - the step before made it
        await reserve(self.client, self.config.url, "test", self.timeout_s)
        async with asyncio.timeout(self.timeout_s * 2 + WAIT_S * self.config.reverse):
            await connect(self.client, None, MAX_MESSAGE_BYTES)
        return f"as {self.config.user or 'anonymous'}"

    async def namespaces(self) -> str:
        """Does the server have the namespaces of the mapping?"""
        client = self._connected()
        self.identity = identity = await read_identity(client)
        missing = {item.namespace for item in self.config.items} - set(identity.namespaces)
        if missing:
            raise Unavailable(
                f"the server has no namespace {', '.join(sorted(missing))}",
                "it has " + ", ".join(identity.namespaces) + ": map the endpoint anew",
            )
        return f"{len(identity.namespaces)} namespaces"

    async def status(self) -> str:
        """Is it running, and does its clock agree with ours?"""
        state, current = await read_values(
            self._connected(),
            [ObjectIds.Server_ServerStatus_State, ObjectIds.Server_ServerStatus_CurrentTime],
        )
        name = ua.ServerState(state).name if isinstance(state, int) else "not told"
        if not isinstance(current, datetime):
            return f"state {name}, its clock is not told"
        offset_s = (current - datetime.now(UTC)).total_seconds()
        told = f"state {name}, its clock is {offset_s:+.1f} s off"
        if abs(offset_s) > _CLOCK_WARNING_S:
            told += ": correct it, or set time_policy receive; secure connections may fail"
        return told

    async def browse(self) -> str:
        """Can we see its nodes?"""
        client = self._connected()
        children = await client.nodes.objects.get_children_descriptions()
        names = [str(child.DisplayName.Text) for child in children[:8]]
        return f"{len(children)} below Objects: {', '.join(names)}"

    async def subscribe(self) -> str:
        """Do values come? Two seconds of the mapping's first items, or of the server's clock."""
        client, identity = self._connected(), self.identity
        assert identity is not None  # noqa: S101 - the step before read it
        config = self.config
        if not config.items:
            clock = Item(tag=1, namespace=identity.namespaces[0], identifier="i=2258")
            config = replace(config, items=(clock,), sampling_ms=500.0, publishing_ms=500.0)
        items = list(enumerate(config.items[:_SAMPLE_ITEMS], start=1))
        rows = Rows()
        decoder = Decoder(rows, "source", wall_us, 0)
        for handle, item in items:
            decoder.bind(handle, item)

        def take(message: Notification, body: Bytes) -> bool:
            for part in message.parts:
                if part.content is Content.DATA:
                    decoder.take_notified(body, part.start, part.stop, part.count)
            return True

        limits, profile = await read_limits(client), identity.profile
        per_call = profile.call_for(limits.monitor)
        monitor = Monitor(client, config, identity.namespaces, per_call, profile)
        publisher = Publisher(
            take=take, heard=_nothing, lost=_no_loss, ended=_no_end, timeout_s=self.timeout_s
        )
        publisher.attach(partial(send, client), ())
        await monitor.start(items, time.monotonic())
        publisher.start()
        try:
            await asyncio.sleep(_SUBSCRIBE_S)
        finally:
            await publisher.stop()
        return _subscription_told(monitor, decoder, rows, len(items))

    def found(self, phases: int) -> EndpointTest:
        """What was found so far; it is good when all phases passed."""
        identity = self.identity
        return EndpointTest(
            url=self.config.url,
            ok=len(self.steps) == phases and all(step.ok for step in self.steps),
            steps=tuple(self.steps),
            namespaces=identity.namespaces if identity is not None else (),
            product=identity.product if identity is not None else "",
            policies=self.policies,
            fingerprint=self.fingerprint,
        )

    def _connected(self) -> Client:
        assert self.client is not None  # noqa: S101 - the session step made it
        return self.client


async def try_endpoint(
    config: EndpointConfig,
    *,
    pki: Pki | None = None,
    reach: Reach | None = None,
    timeout_s: float = 5.0,
    told: Callable[[EndpointTest], None] = lambda _: None,
) -> EndpointTest:
    """Try an endpoint, step by step; never raises for what the server does or does not do.

    Parameters
    ----------
    config
        Endpoint to try; its items, if any, are sampled for two seconds.
    pki
        Certificates; an untrusted server certificate is kept there, to be trusted by fingerprint.
    reach
        Addresses that may be tried.
    timeout_s
        Longest wait for one answer [s].
    told
        Told after each step what was found so far.
    """
    trial = _Trial(config, pki, reach or allowed_reach(), timeout_s)
    phases = (
        ("address", trial.address),
        ("tcp", trial.tcp),
        ("endpoints", trial.endpoints),
        ("certificate", trial.certificate),
        ("session", trial.session),
        ("namespaces", trial.namespaces),
        ("status", trial.status),
        ("browse", trial.browse),
        ("subscribe", trial.subscribe),
    )
    try:
        for name, work in phases:
            passed = await trial.step(name, work)
            told(trial.found(len(phases)))
            if not passed:
                break
    finally:
        if trial.client is not None:
            await close(trial.client)
    return trial.found(len(phases))


def _nothing() -> None:
    """A trial counts no signs of life."""


def _no_loss(_: int, __: str) -> None:
    """A trial loses nothing that matters."""


def _no_end(_: str) -> None:
    """The next step finds out."""


def _explained(step: str, fault: Exception) -> tuple[str, str]:
    what, remedy = explain(fault)
    if step == "endpoints" and not isinstance(fault, Refused | InputError):
        # TCP works, but nobody answers hello: the usual reason is a port of something else.
        return f"not an OPC UA server, or it does not answer ({what})", "check the port"
    return what, remedy


def _subscription_told(monitor: Monitor, decoder: Decoder, rows: Rows, asked: int) -> str:
    told = f"{monitor.accepted} of {asked} items accepted, {decoder.delivering} sent a value"
    if not monitor.accepted:
        reasons = Counter(refusal.reason for refusal in monitor.refused.values())
        raise Unavailable(
            f"no item was accepted: {', '.join(reasons)}", "browse the server and map anew"
        )
    rate = len(rows) / _SUBSCRIBE_S
    told += f", {rate:.1f} values/s"
    if len(rows):
        good = float(np.mean(rows.columns.status[: len(rows)] >> 30 == 0))
        told += f", {100 * good:.0f} % good"
    if monitor.refused:
        node, reason = next((r.item.node, r.reason) for r in monitor.refused.values())
        told += f"; refused e.g. {node}: {reason}"
    if decoder.unsupported:
        node, reason = next(iter(decoder.unsupported.items()))
        told += f"; not stored e.g. {node}: {reason}"
    return told
