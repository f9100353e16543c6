"""A service for tests of routes and verbs: small, fixed answers; it remembers what was asked."""

from dataclasses import asdict

import pyarrow as pa

from cluster.acting import ACTOR
from cluster.history import check_query
from cluster.ports import (
    Alarm,
    AlarmState,
    Asset,
    CertificateEntry,
    Conflict,
    EndpointSpec,
    EndpointStatus,
    EndpointTest,
    FigureSpec,
    Frame,
    GatewayTokenEntry,
    HistoryQuery,
    InputError,
    InvalidInput,
    IssuedToken,
    Label,
    NotFound,
    ParkSummary,
    Part,
    Priority,
    Problem,
    Receipt,
    Refused,
    Renewal,
    Run,
    Tag,
    TestStep,
    Unavailable,
    Vitals,
)
from twin.samples import TIME
from twin.tags import TagChange

NOW_US = 1_795_348_800_000_000
LABEL = Label(vi="Khu mẫu", en="Sample")


TOKEN = GatewayTokenEntry(
    id="0123456789ab", gateway="hall-2", parks=("small",), created_us=NOW_US,
    expires_us=NOW_US + 86_400_000_000, revoked_us=None, heard_us=None,
)  # fmt: skip


class FakeService:
    """Implements both protocols for one park called small."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.ready = True

    def _park(self, park: str) -> None:
        if park != "small":
            raise NotFound("park", park, ("small",))

    async def parks(self):
        return [
            ParkSummary(
                id="small",
                label=LABEL,
                region=LABEL,
                tz="Asia/Ho_Chi_Minh",
                now_us=NOW_US,
                demo=True,
                speed=1.0,
                endpoints_up=1,
                endpoints=1,
                tags=1,
            )
        ]

    async def specs(self, park):
        self._park(park)
        return [FigureSpec(id="park.load_mw", label=LABEL, unit="MW")]

    async def frame(self, park):
        self._park(park)
        return Frame(
            seq=1,
            now_us=NOW_US,
            speed=1.0,
            values={"park.load_mw": 1.5, "park.pv_mw": None},
            quality={"park.pv_mw": 2},
            measured={},
            alarms={"high": 1},
            age_s=0.5,
        )

    async def recent(self, park, figures, minutes):
        self._park(park)
        return pa.table({"at": pa.array([NOW_US]).cast(TIME), figures[0]: [1.5]})

    async def headroom(self, park):
        raise Unavailable("no figures yet", "wait")

    async def assets(self, park):
        self._park(park)
        return [
            Asset(
                id="acme",
                type="site",
                label=LABEL,
                parent=None,
                owner="acme",
                attributes={"base_load": "1 MW"},
                tags=("small/acme/active_power",),
                figures=(),
            )
        ]

    async def tags(self, park, pattern=""):
        self._park(park)
        path = "small/acme/active_power"
        tag = Tag(
            tag=1,
            path=path,
            unit="kW",
            kind="gauge",
            endpoint="plc",
            node="nsu=u;s=P",
            at_us=NOW_US,
            seen_us=NOW_US,
            value=1.25,
            text=None,
            status=0,
            quality=0,
            origin="measured",
        )
        return [tag] if pattern in path else []

    async def state(self, park, at_us, known_at_us):
        self._park(park)
        self.asked.append(("state", at_us, known_at_us))
        return self._samples()

    async def history(self, park, query: HistoryQuery):
        self._park(park)
        check_query(query, NOW_US)
        self.asked.append(("history", query))
        if query.tags != ("small/acme/active_power",):
            raise NotFound("tag", query.tags[0], ("small/acme/active_power",))
        return self._samples()

    def _samples(self):
        return pa.table(
            {
                "path": ["small/acme/active_power"],
                "at": pa.array([NOW_US]).cast(TIME),
                "value": [1.25],
                "text": pa.nulls(1, pa.string()),
                "status": pa.array([0], pa.uint32()),
                "origin": ["measured"],
            }
        )

    async def kpis(self, park, since_us, until_us, every_us):
        self._park(park)
        return self._samples()

    async def energy(self, park, since_us, until_us, every_us):
        self._park(park)
        return self._samples()

    async def alarms(self, park, *, history=False):
        self._park(park)
        return [
            Alarm(
                id="hot@acme",
                rule="hot",
                asset="acme",
                label=LABEL,
                priority=Priority.HIGH,
                state=AlarmState.UNACKNOWLEDGED,
                active=True,
                raised_us=NOW_US,
            )
        ]

    async def acknowledge(self, park, alarms, by, note):
        self.asked.append(("acknowledge", tuple(alarms), by, note))

    async def shelve(self, park, alarms, by, minutes, reason):
        self.asked.append(("shelve", tuple(alarms), by, minutes, reason))

    async def endpoints(self, park):
        self._park(park)
        return [
            EndpointStatus(id="plc", url="opc.tcp://127.0.0.1:4840", lag_ms=12.5, gaps=8, lost=9)
        ]

    async def endpoint_test(self, spec: EndpointSpec):
        step = TestStep(step="connect", ok=False, detail="refused", remedy="check the port")
        return EndpointTest(url=spec.url, ok=False, steps=(step,))

    async def endpoint_add(self, park, spec, *, force=False):
        if spec.id == "plc":
            raise Conflict("endpoint 'plc' is there", "take another id", "id")
        self.asked.append(("add", spec.id, force))

    async def endpoint_remove(self, park, endpoint):
        self.asked.append(("remove", endpoint))

    async def endpoint_browse(self, park, url_or_id, node):
        self.asked.append(("browse", url_or_id, node))
        return []

    async def endpoint_map(self, park, endpoint, mapping):
        self.asked.append(("map", endpoint, dict(mapping)))

    async def endpoint_crawl(self, park, url_or_id, *, fresh):
        self.asked.append(("crawl", url_or_id, fresh))
        state = {"state": "running" if len(self.asked) < 2 else "done", "nodes": 2, "left": 0}
        return state | {"levels": 1, "per_s": 1.0, "complete": True, "what": "", "remedy": ""}

    async def endpoint_propose(self, park, url_or_id):
        row = {
            "node": "nsu=urn:a;s=P",
            "browsed": "L1/P",
            "unit": "W",
            "why": "name",
            "reasons": [],
        }
        path = "small/acme/hall/l1/p01/active_power"
        return [row | {"path": path, "confidence": 0.9, "sure": True}]

    async def endpoint_lint(self, park, endpoint):
        finding = {"code": "unit.wrong", "severity": "error", "node": "nsu=urn:a;s=P"}
        return [finding | {"path": "small/a/p", "why": "the unit is A", "remedy": "map anew"}]

    async def endpoint_diff(self, park, endpoint, data, name):
        if b"bad" in data:
            raise InputError("the list has no header we know", "name the columns")
        change = {"action": "add", "node": "nsu=urn:a;s=P", "path": "small/a/p", "unit": ""}
        problem = {"file": name, "line": 3, "message": "no such node", "suggestion": "browse"}
        return {
            "dialect": "own",
            "changes": [change | {"was": "", "why": "", "confidence": 1.0}],
            "problems": [problem] if b"twice" in data else [],
            "mapping": {"nsu=urn:a;s=P": "small/a/p"},
        }

    async def endpoint_export(self, park, endpoint):
        return [["node", "path"], ["nsu=urn:a;s=P", "small/a/p"]]

    async def endpoint_tags(self, park, endpoint):
        self._park(park)
        return [{"path": "small/a/p", "node": "nsu=urn:a;s=P", "values": 40, "bad": 10}]

    async def endpoint_events(self, park, endpoint, since_us, until_us, limit):
        self._park(park)
        assert since_us < until_us
        told = {"what": "event", "severity": 700.0, "source": "Bồn 1", "message": "Mức cao"}
        return [{"at": "2026-11-22T10:00:00Z", "notifier": "i=2253", **told}][:limit]

    async def endpoint_later(self, park, endpoint):
        return {"nsu=urn:a;s=Q": "small/a/q"}

    async def endpoint_trust(self, park, endpoint, fingerprint, gateway=""):
        raise Refused("not yours", "ask the operator")

    async def certificates(self):
        return [
            CertificateEntry(
                place="own",
                fingerprint="AB" * 32,
                subject="parktwin gateway",
                until_us=NOW_US,
                days_left=29.5,
                due=30,
            )
        ]

    async def certificate_der(self, *, staged=False):
        return b"\x30new" if staged else b"\x30old"

    async def certificate_trust(self, fingerprint):
        self.asked.append(("certificate trust", fingerprint, ACTOR.get()))

    async def certificate_distrust(self, fingerprint):
        self.asked.append(("certificate distrust", fingerprint, ACTOR.get()))

    async def certificate_renew(self, *, force=False):
        return Renewal(fingerprint="CD" * 32, used=force, accepted=(), refused={"p/e": "not yet"})

    def whatif_schema(self):
        return {"title": "WhatIf"}

    async def whatif_submit(self, text, by, priority=0):
        if "kind: WhatIf" not in text:
            problem = Problem(message="no what-if", path="kind", line=1, suggestion="write one")
            raise InvalidInput((problem, problem))
        return self._run("queued")

    async def whatif_runs(self, park):
        return [self._run("done")]

    async def whatif_run(self, run):
        return self._run("done")

    async def whatif_spec(self, run):
        return "kind: WhatIf"

    async def whatif_outcome(self, run):
        raise Unavailable(f"run {run} is queued", "wait for it")

    async def whatif_cancel(self, run, by):
        self.asked.append(("cancel", run, by))

    async def parts(self):
        return [Part(name="engine", ok=self.ready, cause="" if self.ready else "starting Ray")]

    async def vitals(self):
        return [
            Vitals(
                park="small",
                rows=10,
                tail_rows=5,
                offset=7,
                sealed_offset=3,
                restarts=2,
                free_fraction=0.5,
                frame_age_s=0.1,
                seal_faults=1,
                buffered_batches=6,
                buffered_bytes=7000,
                overflows=3,
            )
        ]

    async def waiting_runs(self):
        return 4

    async def gateway_session(self, park, source, count=1):
        return 3

    async def gateway_admit(self, token, park, source, *, beside):
        if token is None and not beside:
            raise Refused("no token", "send one")

    async def gateway_tokens(self):
        return [TOKEN]

    async def gateway_token_create(self, gateway, parks, days):
        self.asked.append(("token", gateway, tuple(parks), days, ACTOR.get()))
        return IssuedToken(token="ptg_0123456789ab_secret", **asdict(TOKEN))

    async def gateway_token_revoke(self, token):
        self.asked.append(("revoke", token, ACTOR.get()))

    async def ingest(self, park, source, session, seq, batch):
        self.asked.append(("ingest", source, session, seq, batch.num_rows))
        return Receipt(session=session, acked_seq=seq, expect=None)

    async def note(self, park, asset, text, by):
        self.asked.append(("note", asset, text, by))

    async def apply(self, park, text, *, dry_run):
        return [TagChange(action="add", path="small/x", tag=None, reason="new path")]

    async def backup(self, park, to):
        return {"to": to, "files": 3}

    def _run(self, state):
        return Run(
            id="r1",
            name="battery",
            park="small",
            state=state,
            progress=1.0,
            priority=0,
            attempt=1,
            submitted_by="me",
            created_us=NOW_US,
            started_us=None,
            finished_us=None,
            from_us=None,
            horizon_us=86_400_000_000,
            branches=("base",),
            replications=2,
            error="",
            result_hash="",
        )
