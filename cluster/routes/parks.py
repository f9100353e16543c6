"""Routes of parks: assets, state, figures, KPIs, energy, headroom, tags and history."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from cluster.asking import MINUTE_US, check_range, parse_step, parse_time, step_text
from cluster.history import auto_step_us
from cluster.ports import (
    Asset,
    FigureSpec,
    Frame,
    Headroom,
    HistoryQuery,
    ParkService,
    ParkSummary,
    Tag,
)
from cluster.routes.answers import ERRORS, answer, table
from cluster.routes.documents import shape
from models.errors import InputError, NotFound

Format = Literal["json", "arrow", "csv", "xlsx", "parquet"]
Language = Literal["vi", "en"]
Time = Annotated[str, Query(description="ISO 8601 with zone, `now`, or `-3h`")]
_DAY: Final = "-24h"
_CHART_POINTS: Final = 2_000
_EVERY: Final = (
    "Windows of `1s`, `1min`, `15min`, `1h`; `raw` for rows as they came; `auto` for what shows "
    "the range in `points` (2,000 when left out): raw rows of some hours, else windows of 1 min to "
    "7 d. Left out: `auto` with `points`, `raw` without."
)
_POINTS: Final = (
    "At most so many rows per tag. Of windows those stay that carry the extremes: of equal "
    "stretches the first, the last, and those with the lowest `min` and the highest `max`."
)
_HISTORY: Final[dict[str, object]] = {
    "description": "Rows by tag and time",
    "headers": {
        "X-Every": {
            "description": "Length of the windows, as `every` is written, or `raw`",
            "schema": {"type": "string"},
        }
    },
}


def parks_router(service: ParkService) -> APIRouter:
    """Build the routes below ``/parks``."""
    router = APIRouter(tags=["parks"], responses=ERRORS)
    _whole_park(router, service)
    _now(router, service)
    _past(router, service)
    _sums(router, service)
    return router


async def summary(service: ParkService, park: str) -> ParkSummary:
    """One park.

    Raises
    ------
    NotFound
        With the parks there are.
    """
    parks = {one.id: one for one in await service.parks()}
    if park not in parks:
        raise NotFound("park", park, tuple(parks))
    return parks[park]


def _whole_park(router: APIRouter, service: ParkService) -> None:
    @router.get("/parks", responses={200: {"model": list[shape(ParkSummary)]}})  # type: ignore[misc]
    async def parks() -> Response:
        """List all parks of this service."""
        return answer(await service.parks())

    @router.get("/parks/{park}", responses={200: {"model": list[shape(Asset)]}})  # type: ignore[misc]
    async def assets(park: str) -> Response:
        """List the assets of a park, parents before children."""
        return answer({"park": await summary(service, park), "assets": await service.assets(park)})

    @router.get("/parks/{park}/tags", responses={200: {"model": list[shape(Tag)]}})  # type: ignore[misc]
    async def tags(park: str, pattern: str = "") -> Response:
        """List tags whose path contains the pattern, with their latest values."""
        return answer(await service.tags(park, pattern))


def _now(router: APIRouter, service: ParkService) -> None:
    @router.get("/parks/{park}/figures", responses={200: {"model": shape(Frame)}})
    async def figures(park: str) -> Response:
        """Return the newest frame: every live figure."""
        return answer(await service.frame(park))

    @router.get("/parks/{park}/figures/specs", responses={200: {"model": list[shape(FigureSpec)]}})  # type: ignore[misc]
    async def specs(park: str) -> Response:
        """Describe every live figure: unit, formula, inputs."""
        return answer(await service.specs(park))

    @router.get("/parks/{park}/figures/recent")
    async def recent(
        park: str,
        ids: Annotated[str, Query(description="Figure ids, comma separated")],
        minutes: Annotated[float, Query(gt=0, le=60, allow_inf_nan=False)] = 15.0,
        format: Format = "json",
    ) -> Response:
        """Return figures of the last minutes at full pace."""
        rows = await service.recent(park, _names(ids, "ids"), minutes)
        return table(rows, format, "en", f"{park}-recent")

    @router.get("/parks/{park}/headroom", responses={200: {"model": shape(Headroom)}})
    async def headroom(park: str) -> Response:
        """Headroom of the station tonight, and what would buy more."""
        return answer(await service.headroom(park))


def _past(router: APIRouter, service: ParkService) -> None:
    @router.get("/parks/{park}/state")
    async def state(
        park: str,
        at: Time = "now",
        known_at: Time | None = None,
        format: Format = "json",
        lang: Language = "en",
    ) -> Response:
        """Return every tag at a time; `known_at` gives what was known then."""
        now_us = (await summary(service, park)).now_us
        at_us = None if at == "now" else parse_time(at, "at", now_us)
        known_us = None if known_at is None else parse_time(known_at, "known_at", now_us)
        return table(await service.state(park, at_us, known_us), format, lang, f"{park}-state")

    @router.get("/parks/{park}/history", responses={200: _HISTORY})
    async def history(
        park: str,
        tags: Annotated[str, Query(description="Tag paths or figure:<id>, comma separated")],
        since: Time = _DAY,
        until: Time = "now",
        every: Annotated[str | None, Query(description=_EVERY)] = None,
        points: Annotated[int | None, Query(ge=4, le=100_000, description=_POINTS)] = None,
        known_at: Time | None = None,
        format: Format = "json",
        lang: Language = "en",
    ) -> Response:
        """Return the history of tags: raw rows, or windows; `X-Every` says which."""
        now_us = (await summary(service, park)).now_us
        names = tuple(_names(tags, "tags"))
        since_us, until_us = parse_time(since, "since", now_us), parse_time(until, "until", now_us)
        auto = every == "auto" or (every is None and points is not None)
        if auto:
            points = _CHART_POINTS if points is None else points
            step = auto_step_us(len(names), since_us, until_us, now_us, points)
        else:
            step = None if every in (None, "raw") else parse_step(every, "every")
        query = HistoryQuery(
            tags=names,
            since_us=since_us,
            until_us=until_us,
            every_us=step,
            points=points,
            known_at_us=None if known_at is None else parse_time(known_at, "known_at", now_us),
        )
        answer = table(await service.history(park, query), format, lang, f"{park}-history")
        answer.headers["X-Every"] = "raw" if step is None else step_text(step)
        return answer


def _sums(router: APIRouter, service: ParkService) -> None:
    @router.get("/parks/{park}/kpis")
    async def kpis(
        park: str,
        since: Time = _DAY,
        until: Time = "now",
        every: Annotated[str | None, Query(description="15min, 1h, 1d; one row without")] = None,
        format: Format = "json",
        lang: Language = "en",
    ) -> Response:
        """Return ISO 22400 KPIs of every line."""
        now_us = (await summary(service, park)).now_us
        since_us, until_us = parse_time(since, "since", now_us), parse_time(until, "until", now_us)
        check_range(since_us, until_us, now_us)
        step = None if every is None else parse_step(every, "every")
        return table(
            await service.kpis(park, since_us, until_us, step), format, lang, f"{park}-kpis"
        )

    @router.get("/parks/{park}/energy")
    async def energy(
        park: str,
        since: Time = _DAY,
        until: Time = "now",
        every: Annotated[str, Query(description="15min or coarser")] = "15min",
        format: Format = "json",
        lang: Language = "en",
    ) -> Response:
        """Return energy, cost and emissions of every flow."""
        now_us = (await summary(service, park)).now_us
        since_us, until_us = parse_time(since, "since", now_us), parse_time(until, "until", now_us)
        check_range(since_us, until_us, now_us)
        step = parse_step(every, "every")
        if step % (15 * MINUTE_US):
            raise InputError(f"{every!r} is no multiple of 15 min", "write 15min or 1h", "every")
        return table(
            await service.energy(park, since_us, until_us, step), format, lang, f"{park}-energy"
        )


def _names(text: str, where: str) -> Sequence[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("is empty", "name at least one", where)
    return names
