"""The service: what pages, routes and verbs ask, answered from the actors and the files."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import pyarrow as pa

from cluster import assets, bindings, whatif_texts
from cluster.acting import ACTOR
from cluster.certificate_desk import CertificateDesk
from cluster.control_service import ControlService
from cluster.endpoint_desk import EndpointDesk
from cluster.engine import whatif_slots
from cluster.engine_start import EngineStart
from cluster.errand_report import Report
from cluster.errands import Errands
from cluster.event_desk import events_of
from cluster.gateway_desk import GatewayDesk
from cluster.history import check_query, state_table
from cluster.jobs import JobQueue, JobSettings, run_of
from cluster.live_park import LivePark
from cluster.metadata.store import MetadataStore
from cluster.metadata.tables import NoteRow
from cluster.metadata.upgrade import open_store
from cluster.onboarding_desk import OnboardingDesk
from cluster.plant_certificates import PlantCertificates
from cluster.plant_start import told_addresses
from cluster.ports import (
    Alarm,
    Asset,
    BrowsedNode,
    CertificateEntry,
    EndpointSpec,
    EndpointStatus,
    EndpointTest,
    FigureSpec,
    Frame,
    GatewayTokenEntry,
    Headroom,
    HistoryQuery,
    IssuedToken,
    Outcome,
    ParkSummary,
    Part,
    Receipt,
    Renewal,
    Run,
    SignedConfig,
    Tag,
    Vitals,
)
from cluster.settings import ParkSettings, ServiceSettings
from cluster.sums import energy_rows, kpi_table
from cluster.tonight import headroom_of
from cluster.whatif_start import WhatifStart
from cluster.whatif_tasks import PARK_WORK, warm_up
from cluster.workers import RayWorkers
from connectors.clock import wall_us
from connectors.opcua.budget import share_sessions
from connectors.opcua.reach import allow_reach, reach_of
from models.errors import Conflict, InputError, NotFound, TwinError, Unavailable
from twin.delivery import Delivered
from twin.disk import OsDisk
from twin.park import Park
from twin.parkfile.load import load_park, read_park
from twin.shard import Cut
from twin.tags import TagChange

logger = logging.getLogger(__name__)

_ENGINE, _STORE = "engine", "metadata"
T = TypeVar("T")


class Service(ControlService):
    """One service of one or more parks; implements `ParkService` and `Operations`.

    Parameters
    ----------
    settings
        What to run.
    engine
        Ray, when it is already starting.
    """

    def __init__(self, settings: ServiceSettings, engine: EngineStart | None = None) -> None:
        self.settings = settings
        self._files = [(load_park(Path(park.file)), park) for park in settings.parks]
        self._parks: dict[str, LivePark] = {}
        self._certificate_desk = CertificateDesk(settings.folder.pki, self._parks)
        known = [park.id for park, _ in self._files]
        self._errands = Errands()
        self._gateway_desk = GatewayDesk(self._park, known, self._need_store, errands=self._errands)
        allow_reach(reach_of(settings.networks, settings.ports))
        share_sessions(settings.folder.sessions)
        self._parts: dict[str, Part] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._engine = engine
        self._store: MetadataStore | None = None
        self._jobs: JobQueue | None = None

    @property
    def default_park(self) -> str | None:
        """Park shown when an address names none."""
        return self._files[0][0].id if self._files else None

    # Life

    async def begin(self) -> None:
        """Start in the background; until it is done, questions get `Unavailable`."""
        self._say(_STORE, "opening the metadata store")
        self._keep(self._start_all(), "start")

    async def end(self) -> None:
        """Stop everything: gateways, twins, Ray, store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._errands.trials.stop()
        await asyncio.gather(*(park.close() for park in self._parks.values()))
        if self._engine is not None:
            await asyncio.to_thread(self._engine.stop)
        if self._store is not None:
            self._store.close()

    async def _start_all(self) -> None:
        try:
            await self._start()
        except TwinError as error:
            logger.exception("the service cannot start")
            self._say("start", f"failed: {error}")
        except Exception as error:
            logger.exception("the service cannot start")
            self._say("start", f"failed: {type(error).__name__}: {error}")

    async def _start(self) -> None:
        settings = self.settings
        self._store = await asyncio.to_thread(open_store, settings.folder.root, settings.database)
        await asyncio.to_thread(self._store.settle_deeds)
        self._done(_STORE)
        self._say(_ENGINE, "starting Ray")
        if self._engine is None:
            self._engine = EngineStart(settings)
        await asyncio.wrap_future(self._engine.engine)
        self._done(_ENGINE)
        await asyncio.gather(*(self._open(park, chosen) for park, chosen in self._files))
        self._jobs = self._queue(settings.whatif_slots or whatif_slots())
        self._keep(self._jobs.dispatch(), "what-if")
        self._keep(self._certificate_desk.watch(), "certificates")

    def _queue(self, slots: int) -> JobQueue:
        store, settings = self._need_store(), self.settings
        return JobQueue(
            store,
            RayWorkers(slots, partial(warm_up, [park.text for park, _ in self._files])),
            PARK_WORK,
            settings.folder.runs,
            WhatifStart(self._parks, store, settings).plan,
            lambda: OsDisk().free_fraction(settings.folder.root),
            JobSettings(
                keep_s=settings.whatif_keep_days * 86_400.0,
                keep_runs=round(settings.whatif_keep_runs),
            ),
        )

    async def _open(self, park: Park, chosen: ParkSettings) -> None:
        part = f"park {park.id}"
        if chosen.ready:
            self._say(part, "waiting for the virtual plant")
            output = self.settings.folder.plant_output
            chosen = replace(chosen, urls=await told_addresses(Path(chosen.ready), output))
        self._say(part, f"opening the twin of {park.id}")
        live = LivePark(park, chosen, self.settings, self._need_store(), self._errands)
        await live.open()
        self._parks[park.id] = live
        self._done(part)
        self._keep(live.keep_beating(), f"beat {park.id}")
        self._keep(live.rules.run(EndpointDesk(live).bind, self._audit), f"rules {park.id}")

    def _keep(self, work: Coroutine[object, object, None], name: str) -> None:
        """Run something in the background; when it ends by a fault, the parts say so."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error(
                "a part of the service ended", exc_info=error, extra={"part": task.get_name()}
            )
            self._say(task.get_name(), f"failed: {type(error).__name__}: {error}")

    def _say(self, part: str, cause: str) -> None:
        self._parts[part] = Part(name=part, ok=False, cause=cause)

    def _done(self, part: str) -> None:
        self._parts[part] = Part(name=part, ok=True)

    def _need_jobs(self) -> JobQueue:
        if self._jobs is None:
            raise Unavailable("the service is starting", "wait some seconds")
        return self._jobs

    def _need_store(self) -> MetadataStore:
        if self._store is None:
            raise Unavailable("the service is starting", "wait some seconds")
        return self._store

    def _park(self, park: str) -> LivePark:
        live = self._parks.get(park)
        if live is not None:
            return live
        known = tuple(file.id for file, _ in self._files)
        if park not in known:
            raise NotFound("park", park, known)
        waiting = [part.cause for part in self._parts.values() if not part.ok]
        raise Unavailable(f"park {park} is starting ({', '.join(waiting)})", "wait some seconds")

    # Parks and figures

    async def parks(self) -> Sequence[ParkSummary]:
        """All parks of this service."""
        return [assets.summary(self._park(park.id)) for park, _ in self._files]

    async def specs(self, park: str) -> Sequence[FigureSpec]:
        """The live figures of a park, in order."""
        return self._park(park).specs

    async def frame(self, park: str) -> Frame:
        """The newest frame."""
        return self._park(park).frame()

    async def recent(self, park: str, figures: Sequence[str], minutes: float) -> pa.Table:
        """Recent values of figures."""
        live = self._park(park)
        known = live.recent.known()
        for name in figures:
            if name not in known:
                raise NotFound("figure", name, known)
        return live.recent.table(figures, live.now_us, minutes * live.speed)

    async def headroom(self, park: str) -> Headroom:
        """Headroom of the station tonight."""
        return await headroom_of(self._park(park))

    async def assets(self, park: str) -> Sequence[Asset]:
        """All assets, parents before children."""
        live = self._park(park)
        return assets.all_assets(live.park, live.specs, live.dictionary.open.values())

    async def tags(self, park: str, pattern: str = "") -> Sequence[Tag]:
        """Tags whose path contains the pattern, with latest values."""
        live = self._park(park)
        latest = cast("pa.RecordBatch", await live.ask("latest"))
        return assets.tags(live.dictionary.open.values(), latest, pattern)

    # The past

    async def state(self, park: str, at_us: int | None, known_at_us: int | None) -> pa.Table:
        """Every tag at a time."""
        live = self._park(park)
        if at_us is None and known_at_us is None:
            latest = cast("pa.RecordBatch", await live.ask("latest"))
            rows = list(live.dictionary.open.values())
            return state_table(pa.Table.from_batches([latest]), rows)
        cut = cast("Cut", await live.ask("cut", None))
        when_us = live.now_us if at_us is None else at_us
        rows = live.dictionary.all()
        return await asyncio.to_thread(live.reader.state, cut, rows, when_us, known_at_us)

    async def history(self, park: str, query: HistoryQuery) -> pa.Table:
        """History of tags."""
        live = self._park(park)
        check_query(query, live.now_us)
        rows = live.dictionary.of(query.tags)
        cut = cast("Cut", await live.ask("cut", [row.tag for row in rows]))
        past = live.dictionary.past(rows)
        return await asyncio.to_thread(live.reader.history, cut, rows, past, query)

    async def kpis(self, park: str, since_us: int, until_us: int, every_us: int | None) -> pa.Table:
        """ISO 22400 KPIs per line."""
        return await kpi_table(self._park(park), since_us, until_us, every_us)

    async def energy(self, park: str, since_us: int, until_us: int, every_us: int) -> pa.Table:
        """Energy, cost and emissions by flow."""
        return await energy_rows(self._park(park), since_us, until_us, every_us)

    # Alarms and notes

    async def alarms(self, park: str, *, history: bool = False) -> Sequence[Alarm]:
        """Unresolved alarms, or the ended ones too."""
        return cast("Sequence[Alarm]", await self._park(park).ask("alarms", history=history))

    async def acknowledge(self, park: str, alarms: Sequence[str], by: str, note: str) -> None:
        """Acknowledge alarms."""
        live = self._park(park)
        await live.ask("command", alarm_command("acknowledge", alarms, by, note))
        await self._audit(by, "alarm.acknowledge", park, {"alarms": list(alarms), "note": note})

    async def shelve(
        self, park: str, alarms: Sequence[str], by: str, minutes: float, reason: str
    ) -> None:
        """Shelve alarms for a limited time."""
        if minutes > 0 and not reason.strip():
            raise InputError("no reason is given", "say why it may be put aside", "reason")
        command = alarm_command("shelve", alarms, by, reason) | {"minutes": minutes}
        await self._park(park).ask("command", command)
        detail = {"alarms": list(alarms), "minutes": minutes, "reason": reason}
        await self._audit(by, "alarm.shelve", park, detail)

    async def note(self, park: str, asset: str, text: str, by: str) -> None:
        """Keep a note at an asset."""
        live = self._park(park)
        if asset and asset not in live.park.assets:
            raise NotFound("asset", asset, tuple(live.park.assets))
        row = NoteRow(park=park, asset=asset, at_us=live.now_us, by=by, text=text)
        await asyncio.to_thread(self._need_store().add_note, row)

    # Endpoints

    async def endpoints(self, park: str) -> Sequence[EndpointStatus]:
        """All endpoints with their status."""
        return self._park(park).statuses

    async def endpoint_tags(self, park: str, endpoint: str) -> Sequence[Mapping[str, object]]:
        """How each tag of an endpoint does, by its gateway."""
        return await EndpointDesk(self._park(park)).tags(endpoint)

    async def endpoint_events(
        self, park: str, endpoint: str, since_us: int, until_us: int, limit: int
    ) -> Sequence[Mapping[str, object]]:
        """What the notifiers of an endpoint told, the newest first."""
        return await events_of(self._park(park), endpoint, since_us, until_us, limit)

    async def endpoint_test(self, spec: EndpointSpec) -> EndpointTest:
        """Try an endpoint without saving it."""
        if not self._parks:
            raise Unavailable("no park is running yet", "wait some seconds")
        return await EndpointDesk(next(iter(self._parks.values()))).try_spec(spec)

    async def endpoint_trial_begin(self, park: str, spec: EndpointSpec) -> str:
        """Start to try an endpoint without saving it; the name to ask for it."""
        return await EndpointDesk(self._park(park)).trial_begin(spec)

    async def endpoint_trial(self, park: str, trial: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, and whether it is over."""
        return await EndpointDesk(self._park(park)).trial(trial)

    async def endpoint_test_again(self, park: str, endpoint: str) -> EndpointTest:
        """Try an endpoint as it is registered: its security, user and mapping."""
        return await EndpointDesk(self._park(park)).test_again(endpoint)

    async def endpoint_add(self, park: str, spec: EndpointSpec, *, force: bool = False) -> None:
        """Test, then save and connect."""
        await EndpointDesk(self._park(park)).add(spec, force=force)
        await self._audit("", "endpoint.add", f"{park}/{spec.id}", {"url": spec.url})

    async def endpoint_remove(self, park: str, endpoint: str) -> None:
        """Disconnect and forget; its tags are closed, their history stays."""
        await EndpointDesk(self._park(park)).remove(endpoint)
        await self._audit("", "endpoint.remove", f"{park}/{endpoint}", {})

    async def endpoint_browse(self, park: str, url_or_id: str, node: str) -> Sequence[BrowsedNode]:
        """Children of a node with proposals for the mapping."""
        return await EndpointDesk(self._park(park)).browse(url_or_id, node)

    async def endpoint_map(self, park: str, endpoint: str, mapping: Mapping[str, str]) -> None:
        """Bind nodes to tag paths."""
        await EndpointDesk(self._park(park)).bind(endpoint, mapping)
        await self._audit("", "endpoint.map", f"{park}/{endpoint}", dict(mapping))

    async def endpoint_crawl(
        self, park: str, url_or_id: str, *, fresh: bool, spec: EndpointSpec | None = None
    ) -> Mapping[str, object]:
        """Start a crawl, or tell how far it is."""
        return await OnboardingDesk(self._park(park)).crawl(url_or_id, fresh=fresh, spec=spec)

    async def endpoint_crawl_stop(self, park: str, url_or_id: str) -> Mapping[str, object]:
        """Stop a crawl under way; begun again, it goes on where it was."""
        return await OnboardingDesk(self._park(park)).stop(url_or_id)

    async def endpoint_review(
        self, park: str, url_or_id: str, endpoint: str, mapping: Mapping[str, str]
    ) -> Mapping[str, object]:
        """What saving a mapping would do; nothing is changed."""
        return await OnboardingDesk(self._park(park)).review(url_or_id, endpoint, mapping)

    async def endpoint_propose(self, park: str, url_or_id: str) -> Sequence[Mapping[str, object]]:
        """Proposed mapping of a finished crawl."""
        return await OnboardingDesk(self._park(park)).propose(url_or_id)

    async def endpoint_lint(self, park: str, endpoint: str) -> Sequence[Mapping[str, object]]:
        """Findings of an endpoint's mapping."""
        return await OnboardingDesk(self._park(park)).lint(endpoint)

    async def endpoint_diff(
        self, park: str, endpoint: str, data: bytes, name: str
    ) -> Mapping[str, object]:
        """What applying a tag list would do."""
        return await OnboardingDesk(self._park(park)).diff(endpoint, data, name)

    async def endpoint_export(self, park: str, endpoint: str) -> Sequence[Sequence[str]]:
        """The mapping of an endpoint as rows of a tag list."""
        return await OnboardingDesk(self._park(park)).export(endpoint)

    async def endpoint_later(self, park: str, endpoint: str) -> Mapping[str, str]:
        """Nodes that the park file's rules take and that are not bound yet."""
        return await OnboardingDesk(self._park(park)).later(endpoint)

    async def endpoint_trust(
        self, park: str, endpoint: str, fingerprint: str, gateway: str = ""
    ) -> None:
        """Trust the server certificate with this SHA-256 fingerprint."""
        subject = f"{park}/{endpoint}"
        detail = {"sha256": fingerprint} | ({"gateway": gateway} if gateway else {})
        try:
            await EndpointDesk(self._park(park)).trust(endpoint, fingerprint, gateway)
        except Unavailable as fault:  # it may have been done, though the answer did not come
            lost = {"result": "unknown", "cause": str(fault)}
            await self._audit("", "endpoint.trust", subject, detail | lost)
            raise
        await self._audit("", "endpoint.trust", subject, detail)

    # Certificates

    async def certificates(self) -> Sequence[CertificateEntry]:
        """Our certificate, those of servers, and revocation lists."""
        return await self._certificate_desk.entries()

    async def certificate_der(self, *, staged: bool = False) -> bytes:
        """Our certificate as DER; with `staged` the new one that waits to be trusted."""
        return await self._certificate_desk.der(staged=staged)

    async def certificate_trust(self, fingerprint: str) -> None:
        """Trust a certificate that a server has shown."""
        await self._certificate_desk.trust(fingerprint)
        await self._audit("", "certificate.trust", fingerprint, {})
        await self._certificate_desk.tell("certificate trusted", "")

    async def certificate_distrust(self, fingerprint: str) -> None:
        """Take trust back; endpoints that rest on it are cut off at once."""
        await self._certificate_desk.distrust(fingerprint)
        await self._audit("", "certificate.distrust", fingerprint, {})
        await self._certificate_desk.tell("certificate no longer trusted", fingerprint)

    async def certificate_renew(self, *, force: bool = False) -> Renewal:
        """Make a new certificate of ours, and use it once every server takes it."""
        if not force:
            for park, _ in self._files:
                self._park(park.id)  # servers of one that is starting cannot be asked
        renewal = await self._certificate_desk.renew(force=force)
        detail = {"used": renewal.used, "refused": dict(renewal.refused), "force": force}
        await self._audit("", "certificate.renew", renewal.fingerprint, detail)
        if renewal.used:
            await self._certificate_desk.tell("our certificate was renewed", "*")
        return renewal

    # What-if

    def whatif_schema(self) -> Mapping[str, object]:
        """JSON Schema of ``kind: WhatIf``."""
        return whatif_texts.schema()

    async def whatif_submit(self, text: str, by: str, priority: int = 0) -> Run:
        """Queue a what-if given as YAML or JSON text."""
        files = {live.id: live.park for live in self._parks.values()}
        request = await asyncio.to_thread(whatif_texts.read_request, text, files)
        run = await self._need_jobs().submit(text, request, by, priority)
        await self._audit(by, "whatif.submit", f"{run.park}/{run.id}", {"name": run.name})
        return run

    async def whatif_runs(self, park: str) -> Sequence[Run]:
        """All runs, newest first."""
        self._park(park)
        rows = await asyncio.to_thread(self._need_store().runs, park)
        return [run_of(row) for row in rows]

    async def whatif_run(self, run: str) -> Run:
        """One run."""
        return run_of(await asyncio.to_thread(self._need_store().run, run))

    async def whatif_spec(self, run: str) -> str:
        """The text it was submitted with."""
        return (await asyncio.to_thread(self._need_store().run, run)).spec

    async def whatif_outcome(self, run: str) -> Outcome:
        """Its outcome; Unavailable while it is not done."""
        return await self._need_jobs().outcome(run)

    async def whatif_cancel(self, run: str, by: str) -> None:
        """Cancel a queued or running run."""
        await self._need_jobs().cancel(run, by)
        await self._audit(by, "whatif.cancel", run, {})

    # Operations

    async def parts(self) -> Sequence[Part]:
        """Every part of the service and whether it works."""
        names = {f"park {park.id}" for park, _ in self._files} - self._parts.keys()
        waiting = [Part(name=name, ok=False, cause="not begun yet") for name in sorted(names)]
        running = [part for live in self._parks.values() for part in live.parts()]
        return [*self._parts.values(), *waiting, *running]

    async def vitals(self) -> Sequence[Vitals]:
        """Numbers of every park."""
        return [live.vitals() for live in self._parks.values()]

    async def waiting_runs(self) -> int | None:
        """How many what-ifs wait."""
        if self._store is None:
            return None
        return await asyncio.to_thread(self._store.queued)

    async def gateway_session(self, park: str, source: str, count: int = 1) -> int:
        """Count a start of a gateway outside the service."""
        name = stream_of(self._park(park), source)
        return await asyncio.to_thread(self._need_store().next_session, name, wall_us(), count)

    async def gateway_admit(
        self, token: str | None, park: str, source: str, *, beside: bool
    ) -> None:
        """Let a gateway outside the service in, or not."""
        await self._gateway_desk.admit(token, park, source, beside=beside)

    async def gateway_known(self, token: str) -> None:
        """Refuse a token of a gateway that does not count."""
        await self._gateway_desk.known(token)

    async def gateway_hello(
        self, token: str, nonce: str, told: Mapping[str, Sequence[EndpointStatus]]
    ) -> SignedConfig:
        """Take what a gateway says of its endpoints; what it has to read."""
        return await self._gateway_desk.hello(token, nonce, told)

    async def gateway_errands(
        self, token: str, nonce: str, run: str, reports: Sequence[Report]
    ) -> SignedConfig:
        """Take what a gateway says of its errands; which are open for it."""
        return await self._gateway_desk.errands(token, nonce, run, reports)

    def plant_certificates(self, gateway: str) -> PlantCertificates:
        """The certificates of a gateway in a plant."""
        return PlantCertificates(gateway, self._errands, partial(self._audit, ""))

    async def gateway_tokens(self) -> Sequence[GatewayTokenEntry]:
        """All tokens of gateways."""
        return await self._gateway_desk.entries()

    async def gateway_token_create(
        self, gateway: str, parks: Sequence[str], days: float
    ) -> IssuedToken:
        """Make a token of a gateway."""
        issued = await self._gateway_desk.issue(gateway, parks, days)
        detail = {"gateway": gateway, "parks": list(parks), "days": days}
        await self._audit("", "gateway-token.create", issued.id, detail)
        return issued

    async def gateway_token_revoke(self, token: str) -> None:
        """End a token of a gateway at once."""
        await self._gateway_desk.revoke(token)
        await self._audit("", "gateway-token.revoke", token, {})

    async def ingest(
        self, park: str, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Receipt:
        """Take one numbered batch of a gateway outside the service."""
        live = self._park(park)
        call = live.ask("deliver", stream_of(live, source), session, seq, batch)
        answer = cast("Delivered", await call)
        return Receipt(session=answer.session, acked_seq=answer.acked_seq, expect=answer.expect)

    async def apply(self, park: str, text: str, *, dry_run: bool) -> Sequence[TagChange]:
        """Bring a park to an edited file; what that does to its tags."""
        live = self._park(park)
        edited = await asyncio.to_thread(read_park, text, live.settings.file)
        if edited.id != park:
            raise InputError(f"the file holds park {edited.id!r}", f"send that of {park!r}", "id")
        if dry_run:
            return await live.plan(edited)
        changes = await live.adopt(edited)
        await self._audit("", "park.apply", park, {"digest": edited.digest})
        return changes

    async def backup(self, park: str, to: str) -> Mapping[str, object]:
        """Back the memory of a park up into a new folder of the server."""
        live = self._park(park)
        found = await live.ask_patiently("backup", to)
        await self._audit("", "backup", park, {"to": to})
        return cast("Mapping[str, object]", found)

    async def _audit(
        self, who: str, action: str, subject: str, detail: Mapping[str, object]
    ) -> None:
        store = self._need_store()
        await asyncio.to_thread(store.audit, wall_us(), who or ACTOR.get(), action, subject, detail)


def stream_of(live: LivePark, source: str) -> str:
    """Name of the numbered stream of a gateway outside the service.

    Raises
    ------
    Conflict
        When it is that of the service's own gateway, whose sessions another would end.
    """
    name = f"{live.id}-{source}"
    if bindings.is_own_gateway(source):
        raise Conflict(
            f"source {source!r} is the service's own gateway", "give yours another name", "source"
        )
    return name


def alarm_command(verb: str, alarms: Sequence[str], by: str, note: str) -> dict[str, object]:
    """A command to the alarms of a park, as the journal keeps it."""
    return {"alarm": verb, "ids": list(alarms), "by": by, "note": note}
