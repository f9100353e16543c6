"""Routes of OPC UA endpoints: list, try, add, browse, map, trust and remove."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from cluster.acting import acting
from cluster.asking import parse_time
from cluster.bindings import is_own_gateway
from cluster.ports import (
    BrowsedNode,
    CertificateEntry,
    EndpointSpec,
    EndpointStatus,
    EndpointTest,
    InputError,
    Label,
    NotFound,
    ParkService,
)
from cluster.routes.alarms import Body
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape
from cluster.routes.parks import Time, summary
from cluster.routes.tag_files import attached, csv_of, xlsx_of
from cluster.wire import iso, plain
from connectors.opcua.budget import holders_at
from twin.parkfile.schema import DEADBAND, REFERENCE

_LIST_MOST: Final = 16 * 2**20
_AHEAD_US: Final = 300_000_000
"""Times of a source that is this much ahead are believed."""
GATEWAY: Final = r"^([a-z][a-z0-9_.-]{0,47})?$"
Asked = Annotated[
    str, Query(description="Endpoint id, or an address: opc.tcp://…, or gateway@opc.tcp://…")
]


class EndpointBody(Body):
    """An endpoint. Passwords, certificates and keys of users by reference only.

    ``env:PARKTWIN_NAME``, ``file:NAME`` or ``keyring:NAME``.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    url: str = Field(max_length=500, examples=["opc.tcp://10.0.4.21:4840"])
    label_vi: str = Field("", max_length=200)
    label_en: str = Field("", max_length=200)
    policy: str = "None"
    mode: str = "None"
    allow_insecure: bool = False
    user: str = Field("", max_length=200)
    password: str = Field("", pattern=REFERENCE, max_length=500)
    user_certificate: str = Field("", pattern=REFERENCE, max_length=500)
    user_key: str = Field("", pattern=REFERENCE, max_length=500)
    time_policy: str = "source"
    sampling_ms: float = Field(1000.0, gt=0, le=3_600_000, allow_inf_nan=False)
    publishing_ms: float = Field(1000.0, gt=0, le=3_600_000, allow_inf_nan=False)
    bridge_s: float = Field(10.0, gt=0, le=86_400, allow_inf_nan=False)
    deadband: str = Field("", pattern=DEADBAND, description="0.5, or `2 %` of the range")
    spares: tuple[str, ...] = Field((), max_length=8, description="Redundant servers")
    redundancy: str = "cold"
    events: tuple[str, ...] = Field((), max_length=50, description="Notifiers, e.g. i=2253")
    heartbeat: str = Field("", max_length=500, description="Node that changes while it lives")
    heartbeat_s: float = Field(60.0, gt=0, le=86_400, allow_inf_nan=False)
    reverse: bool = Field(
        default=False, description="The server connects to the gateway, which listens for it"
    )
    poll: bool = False
    enabled: bool = True
    gateway: str = Field(
        "", pattern=GATEWAY, description="Name of the gateway in a plant that reads it"
    )
    mapping: dict[str, str] = Field(default={}, description="node → tag path", max_length=20_000)

    def spec(self) -> EndpointSpec:
        """The same as a value of the service."""
        plain = self.model_dump(exclude={"label_vi", "label_en", "mapping"})
        bound = tuple({"node": node, "path": path} for node, path in self.mapping.items())
        return EndpointSpec(**plain, label=Label(vi=self.label_vi, en=self.label_en), mapping=bound)


class TrustBody(Body):
    """SHA-256 fingerprint of the server certificate to trust.

    ``gateway``: the one in a plant to which it was shown, for an endpoint that is not saved yet.
    """

    fingerprint: str = Field(min_length=32, max_length=128)
    gateway: str = Field("", pattern=GATEWAY)


def endpoints_router(service: ParkService) -> APIRouter:
    """Build the routes of endpoints."""
    router = APIRouter(tags=["endpoints"], responses=ERRORS)
    _reading(router, service)
    _onboarding(router, service)
    _changing(router, service)
    _one(router, service)
    return router


def expiries(entries: Sequence[CertificateEntry]) -> dict[str, int]:
    """``park/endpoint`` → when the certificate of its server expires [us]."""
    return {
        endpoint: one.until_us
        for one in entries
        for endpoint in one.endpoints
        if one.until_us is not None and one.place in ("trusted", "vouched")
    }


def _reading(router: APIRouter, service: ParkService) -> None:
    @router.get(
        "/parks/{park}/endpoints",
        responses={200: {"model": list[shape(EndpointStatus)]}},  # type: ignore[misc]
    )
    async def endpoints(park: str) -> Response:
        """List endpoints with their status."""
        return answer(await service.endpoints(park))

    @router.post("/endpoints/test", responses={200: {"model": shape(EndpointTest)}})
    async def test(body: EndpointBody) -> Response:
        """Try an endpoint step by step without saving it."""
        return answer(await service.endpoint_test(body.spec()))

    @router.post(
        "/parks/{park}/endpoints/{endpoint}/test", responses={200: {"model": shape(EndpointTest)}}
    )
    async def test_again(park: str, endpoint: str) -> Response:
        """Try an endpoint as it is registered, with its user and mapping."""
        return answer(await service.endpoint_test_again(park, endpoint))

    @router.get(
        "/parks/{park}/endpoints/browse",
        responses={200: {"model": list[shape(BrowsedNode)]}},  # type: ignore[misc]
    )
    async def browse(
        park: str,
        endpoint: Asked,
        node: Annotated[str, Query(description="nsu=<URI>;…; the Objects folder when empty")] = "",
    ) -> Response:
        """List the children of a node, with proposals for the mapping."""
        return answer(await service.endpoint_browse(park, endpoint, node))


def _one(router: APIRouter, service: ParkService) -> None:
    """Routes whose last part may be an id; they come after those of fixed names."""

    @router.get(
        "/parks/{park}/endpoints/{endpoint}", responses={200: {"model": shape(EndpointStatus)}}
    )
    async def endpoint(park: str, endpoint: str) -> Response:
        """Return one endpoint: its status in full, and when its server's certificate expires.

        `sessions`: the processes of this machine that have a session to its server; none where a
        gateway in a plant reads it.
        """
        found = {one.id: one for one in await service.endpoints(park)}
        if endpoint not in found:
            raise NotFound("endpoint", endpoint, tuple(found))
        until_us = expiries(await service.certificates()).get(f"{park}/{endpoint}")
        until_us = until_us or found[endpoint].certificate_us
        told = cast("dict[str, object]", plain(found[endpoint]))
        # Behind a gateway in a plant the same address is another server.
        by = found[endpoint].gateway
        here = not by or is_own_gateway(by.removeprefix(f"{park}-"))
        held = await asyncio.to_thread(holders_at, found[endpoint].url) if here else ()
        return answer(
            {
                **told,
                "certificate_until": iso(until_us) if until_us else None,
                "sessions": [asdict(holder) for holder in held],
            }
        )

    @router.get("/parks/{park}/endpoints/{endpoint}/events")
    async def events(
        park: str,
        endpoint: str,
        since: Time = "-7d",
        until: Time | None = None,
        limit: Annotated[int, Query(ge=1, le=5000)] = 200,
    ) -> Response:
        """List what the notifiers of an endpoint told, the newest first.

        `what`: `event`, `standing` (a condition that stood when the server was asked, after a
        connect) or `missing` (a time whose events may have been lost, and why).
        """
        now_us = (await summary(service, park)).now_us
        begin_us = parse_time(since, "since", now_us)
        # Its clock may be ahead of ours: what it told just now is asked for too.
        end_us = now_us + _AHEAD_US if until is None else parse_time(until, "until", now_us)
        return answer(await service.endpoint_events(park, endpoint, begin_us, end_us, limit))

    @router.get("/parks/{park}/endpoints/{endpoint}/tags")
    async def tags(park: str, endpoint: str) -> Response:
        """List how each tag of an endpoint does: values, bad, overflowed, newest source time."""
        return answer(await service.endpoint_tags(park, endpoint))


def _onboarding(router: APIRouter, service: ParkService) -> None:
    @router.post("/parks/{park}/endpoints/crawl")
    async def crawl(park: str, endpoint: Asked, *, fresh: bool = False) -> Response:
        """Start a crawl, or tell how far it is: ask again until its state is not `running`."""
        return answer(await service.endpoint_crawl(park, endpoint, fresh=fresh))

    @router.delete("/parks/{park}/endpoints/crawl")
    async def crawl_stop(park: str, endpoint: Asked) -> Response:
        """Stop a crawl under way; begun again, it goes on where it was."""
        return answer(await service.endpoint_crawl_stop(park, endpoint))

    @router.get("/parks/{park}/endpoints/proposals")
    async def proposals(park: str, endpoint: Asked) -> Response:
        """Propose tags for everything a finished crawl found, the most certain first."""
        return answer(await service.endpoint_propose(park, endpoint))

    @router.get("/parks/{park}/endpoints/{endpoint}/lint")
    async def lint(park: str, endpoint: str) -> Response:
        """List what is wrong with a mapping, each with the reason and what to do."""
        return answer(await service.endpoint_lint(park, endpoint))

    @router.get("/parks/{park}/endpoints/{endpoint}/mapping")
    async def mapping(park: str, endpoint: str) -> Response:
        """Export a mapping as rows of a tag list, header first."""
        return answer(await service.endpoint_export(park, endpoint))

    @router.get("/parks/{park}/endpoints/{endpoint}/mapping.csv", response_class=Response)
    async def mapping_csv(park: str, endpoint: str) -> Response:
        """Export a mapping as a tag list that spreadsheets and `diff` read."""
        return attached(csv_of(await service.endpoint_export(park, endpoint)), f"{endpoint}.csv")

    @router.get("/parks/{park}/endpoints/{endpoint}/mapping.xlsx", response_class=Response)
    async def mapping_xlsx(park: str, endpoint: str) -> Response:
        """Export a mapping as a workbook."""
        rows = await service.endpoint_export(park, endpoint)
        return attached(xlsx_of(rows), f"{endpoint}.xlsx")

    @router.post("/parks/{park}/endpoints/review")
    async def review(park: str, endpoint: Asked, body: dict[str, str]) -> Response:
        """Tell what binding nodes to paths would do: changes, findings; nothing is changed."""
        return answer(await service.endpoint_review(park, endpoint, endpoint, body))

    @router.get("/parks/{park}/endpoints/{endpoint}/later")
    async def later(park: str, endpoint: str) -> Response:
        """Tell nodes that the park file's rules take and that are not bound yet."""
        return answer(await service.endpoint_later(park, endpoint))

    @router.post("/parks/{park}/endpoints/{endpoint}/diff")
    async def diff(park: str, endpoint: str, request: Request, name: str = "") -> Response:
        """Tell what applying a tag list (CSV, XLSX, TIA, Kepware) would do; nothing is changed."""
        data = await _bounded(request)
        return answer(await service.endpoint_diff(park, endpoint, data, name[:200]))


async def _bounded(request: Request) -> bytes:
    """Body of a list; one that is too large is left before it is all here."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > _LIST_MOST:
            raise InputError(
                f"the list has more than {_LIST_MOST // 2**20} MB", "keep the tags only"
            )
    return bytes(data)


def _changing(router: APIRouter, service: ParkService) -> None:
    acts = [Depends(acting)]

    @router.post("/parks/{park}/endpoints", status_code=201, dependencies=acts)
    async def add(park: str, body: EndpointBody, *, force: bool = False) -> Response:
        """Test, then save and connect; `force` saves one that does not answer yet."""
        await service.endpoint_add(park, body.spec(), force=force)
        return answer({"id": body.id}, 201)

    @router.delete("/parks/{park}/endpoints/{endpoint}", status_code=204, dependencies=acts)
    async def remove(park: str, endpoint: str) -> None:
        """Disconnect and forget; the history stays."""
        await service.endpoint_remove(park, endpoint)

    @router.put("/parks/{park}/endpoints/{endpoint}/mapping", status_code=204, dependencies=acts)
    async def remap(park: str, endpoint: str, body: dict[str, str]) -> None:
        """Bind nodes to tag paths; an empty path unbinds."""
        await service.endpoint_map(park, endpoint, body)

    @router.put("/parks/{park}/endpoints/{endpoint}/trust", status_code=204, dependencies=acts)
    async def trust(park: str, endpoint: str, body: TrustBody) -> None:
        """Trust the server certificate with this fingerprint."""
        await service.endpoint_trust(park, endpoint, body.fingerprint, body.gateway)
