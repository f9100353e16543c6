"""Routes of what-if runs: schema, submit, list, show, outcome, compare and cancel."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from cluster.ports import ParkService, Run
from cluster.routes.answers import ERRORS, answer, table
from cluster.routes.documents import shape
from cluster.routes.parks import Format
from cluster.wire import plain
from models.errors import InputError


def whatif_router(service: ParkService) -> APIRouter:
    """Build the routes of what-if runs."""
    router = APIRouter(tags=["what-if"], responses=ERRORS)
    _queue(router, service)
    _results(router, service)
    return router


def _queue(router: APIRouter, service: ParkService) -> None:
    @router.get("/whatif/schema")
    async def schema() -> Response:
        """Return the JSON Schema of ``kind: WhatIf``."""
        return answer(service.whatif_schema())

    @router.post("/whatif", status_code=202, responses={202: {"model": shape(Run)}})
    async def submit(
        request: Request,
        by: Annotated[str, Query(min_length=1, max_length=200)] = "api",
        priority: Annotated[int, Query(ge=-100, le=100)] = 0,
    ) -> Response:
        """Queue a what-if; the body is its YAML or JSON text."""
        text = text_of(await request.body())
        return answer(await service.whatif_submit(text, by, priority), 202)

    @router.get("/parks/{park}/whatif", responses={200: {"model": list[shape(Run)]}})  # type: ignore[misc]
    async def runs(park: str) -> Response:
        """List runs, newest first."""
        return answer(await service.whatif_runs(park))

    @router.get("/whatif/{run}", responses={200: {"model": shape(Run)}})
    async def show(run: str) -> Response:
        """Return one run with its progress."""
        return answer(await service.whatif_run(run))

    @router.post("/whatif/{run}/cancel", status_code=204)
    async def cancel(
        run: str, by: Annotated[str, Query(min_length=1, max_length=200)] = "api"
    ) -> None:
        """Cancel a queued or running run."""
        await service.whatif_cancel(run, by)


def _results(router: APIRouter, service: ParkService) -> None:
    @router.get("/whatif/{run}/spec")
    async def spec(run: str) -> Response:
        """Return the text a run was submitted with."""
        return Response(await service.whatif_spec(run), media_type="application/yaml")

    @router.get("/whatif/{run}/outcome")
    async def outcome(
        run: str,
        part: Literal["all", "kpis", "bands", "pairs"] = "all",
        format: Format = "json",
        lang: Literal["vi", "en"] = "en",
    ) -> Response:
        """Return the outcome: KPIs, bands, pairs and provenance."""
        found = await service.whatif_outcome(run)
        if part == "all":
            if format != "json":
                raise InputError(
                    f"{format} holds one table", "ask part=kpis, bands or pairs", "part"
                )
            return answer(found)
        rows = {"kpis": found.kpis, "bands": found.bands, "pairs": found.pairs}[part]
        return table(rows, format, lang, f"{run}-{part}")

    @router.get("/whatif/{run}/compare")
    async def compare(run: str) -> Response:
        """Return only the paired differences with their verdicts."""
        found = await service.whatif_outcome(run)
        return answer({"pairs": plain(found.pairs), "provenance": found.provenance})


def text_of(body: bytes) -> str:
    """The text of a body.

    Raises
    ------
    InputError
        When it is not UTF-8.
    """
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InputError("the body is not UTF-8", "send YAML or JSON text", "body") from error
