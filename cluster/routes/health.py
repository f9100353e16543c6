"""Routes for those who watch the service: health, live, ready, and figures for Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cluster.ports import (
    CertificateEntry,
    EndpointState,
    EndpointStatus,
    Operations,
    ParkService,
    Part,
    Unavailable,
    Vitals,
)
from cluster.routes.answers import answer

_GAUGES: Final = {
    "parktwin_tail_rows": ("tail_rows", "Samples that are journalled and not yet sealed"),
    "parktwin_offset": ("offset", "Last offset of the journal"),
    "parktwin_sealed_offset": ("sealed_offset", "Last offset of the journal that is sealed"),
    "parktwin_free_fraction": ("free_fraction", "Free part of the disk, 0 to 1"),
    "parktwin_frame_age_seconds": ("frame_age_s", "Time since the newest frame of figures"),
    "parktwin_buffered_batches": (
        "buffered_batches",
        "Batches the gateway holds that are not acknowledged",
    ),
    "parktwin_buffered_bytes": ("buffered_bytes", "Size of the gateway's buffer on its disk"),
}
_COUNTERS: Final = {
    "parktwin_rows": ("rows", "Samples journalled since the twin's process started"),
    "parktwin_restarts": ("restarts", "Times the twin's process was replaced"),
    "parktwin_seal_faults": ("seal_faults", "Times sealing failed in the twin's process"),
    "parktwin_buffer_overflows": ("overflows", "Times the gateway's buffer stopped taking in"),
}


def health_router(operations: Operations) -> APIRouter:
    """Build ``health``, ``live`` and ``ready``."""
    router = APIRouter(tags=["health"])

    @router.get("/live")
    async def live() -> Response:
        """Say that the process answers."""
        return answer({"live": True})

    @router.get("/ready", responses={503: {"description": "A part does not work yet"}})
    async def ready() -> Response:
        """Say whether every part works; 503 until it does."""
        parts = await operations.parts()
        ok = all(part.ok for part in parts)
        return answer({"ready": ok, "parts": parts}, 200 if ok else 503)

    @router.get("/health")
    async def health() -> Response:
        """Return every part and the numbers of every park."""
        parts = await operations.parts()
        return answer(
            {
                "ok": all(part.ok for part in parts),
                "parts": parts,
                "parks": await operations.vitals(),
            }
        )

    return router


def metrics_router(service: ParkService, operations: Operations) -> APIRouter:
    """Build ``/metrics`` in the text format of Prometheus, from a registry of its own."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics")
    async def metrics() -> Response:
        """Return the service's numbers for Prometheus."""
        vitals = await operations.vitals()
        families = [
            *_parts(await operations.parts()),
            *_parks(vitals),
            *_queue(await operations.waiting_runs()),
            *await _figures(service, [one.park for one in vitals]),
            _certificates(await service.certificates()),
        ]
        registry = CollectorRegistry()
        registry.register(Collected(families))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


class Collected:
    """Families of numbers as a registry takes them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Give them."""
        yield from self._families


def _parts(parts: Sequence[Part]) -> Iterator[Metric]:
    up = GaugeMetricFamily("parktwin_part_up", "1 while a part works, 0 else", labels=["part"])
    for part in parts:
        up.add_metric([part.name], float(part.ok))
    yield up


def _parks(vitals: Sequence[Vitals]) -> Iterator[Metric]:
    for name, (field, text) in _GAUGES.items():
        yield _of_parks(GaugeMetricFamily(name, text, labels=["park"]), vitals, field)
    for name, (field, text) in _COUNTERS.items():
        yield _of_parks(CounterMetricFamily(name, text, labels=["park"]), vitals, field)


def _of_parks(
    family: GaugeMetricFamily | CounterMetricFamily, vitals: Sequence[Vitals], field: str
) -> Metric:
    for one in vitals:
        family.add_metric([one.park], float(getattr(one, field)))
    return family


def _queue(waiting: int | None) -> Iterator[Metric]:
    if waiting is not None:
        text = "What-ifs that wait in the queue"
        yield GaugeMetricFamily("parktwin_whatif_queued", text, value=waiting)


def _certificates(entries: Sequence[CertificateEntry]) -> Metric:
    """When certificates in use expire; those nobody trusts are in nobody's way."""
    until = GaugeMetricFamily(
        "parktwin_certificate_not_after_timestamp_seconds", "When a certificate in use expires",
        labels=["place", "subject", "fingerprint"],
    )  # fmt: skip
    for one in entries:
        if one.until_us is not None and one.place != "rejected":
            until.add_metric([one.place, one.subject, one.fingerprint], one.until_us / 1e6)
    return until


async def _figures(service: ParkService, parks: Iterable[str]) -> list[Metric]:
    """Figures and endpoints of the parks that run; one that does not is told by its part."""
    shown = GaugeMetricFamily(
        "parktwin_figure", "Live figures of a park, in the units of its figures",
        labels=["park", "figure"],
    )  # fmt: skip
    families = {
        name: (kind(f"parktwin_endpoint_{name}", text, labels=["park", "endpoint"]), read)
        for name, (kind, text, read) in _ENDPOINT.items()
    }
    for park in parks:
        try:
            frame, endpoints = await service.frame(park), await service.endpoints(park)
        except Unavailable:
            continue
        for name, value in frame.values.items():
            if name.startswith("park.") and value is not None:
                shown.add_metric([park, name], value)
        for each in endpoints:
            for family, read in families.values():
                number = read(each)
                if number is not None:
                    family.add_metric([park, each.id], number)
    return [shown, *(family for family, _ in families.values())]


def _lag_s(each: EndpointStatus) -> float | None:
    return None if each.lag_ms is None else each.lag_ms / 1000.0


_ENDPOINT: Final[
    Mapping[
        str,
        tuple[
            type[GaugeMetricFamily] | type[CounterMetricFamily],
            str,
            Callable[[EndpointStatus], float | None],
        ],
    ]
] = {
    "lag_seconds": (
        GaugeMetricFamily, "Receive time minus source time, median of the last 10 s", _lag_s,
    ),
    "values_per_second": (
        GaugeMetricFamily, "Values received, mean of the last 10 s", lambda e: e.values_per_s,
    ),
    "up": (
        GaugeMetricFamily, "1 while an endpoint is connected",
        lambda e: float(e.state is EndpointState.CONNECTED),
    ),
    "frozen": (
        GaugeMetricFamily, "1 while an endpoint or a device behind it answers Good and is dead",
        lambda e: float(bool(e.frozen)),
    ),
    "clock_offset_seconds": (
        GaugeMetricFamily, "Measured offset of its clock to ours", lambda e: e.clock_offset_s,
    ),
    "bridge_seconds": (
        GaugeMetricFamily, "Outage the queues of its server survive", lambda e: e.bridge_s,
    ),
    "items_requested": (GaugeMetricFamily, "Items asked for at its server", lambda e: e.requested),
    "items_delivering": (GaugeMetricFamily, "Items that have sent a value", lambda e: e.delivering),
    "certificate_not_after_timestamp_seconds": (
        GaugeMetricFamily, "When the certificate its server showed last expires",
        lambda e: e.certificate_us / 1e6 if e.certificate_us else None,
    ),
    "own_certificate_not_after_timestamp_seconds": (
        GaugeMetricFamily, "When the certificate its gateway shows it expires",
        lambda e: e.own_certificate_us / 1e6 if e.own_certificate_us else None,
    ),
    "gaps": (CounterMetricFamily, "Gaps since its gateway started", lambda e: e.gaps),
    "lost_values": (
        CounterMetricFamily, "Values known to be lost since the gateway started", lambda e: e.lost,
    ),
    "values": (CounterMetricFamily, "Values received since it was started", lambda e: e.values),
    "bad_values": (
        CounterMetricFamily, "Values with a bad status since it was started", lambda e: e.bad,
    ),
    "overflows": (
        CounterMetricFamily, "Values before which its server dropped others", lambda e: e.overflows,
    ),
    "reconnects": (CounterMetricFamily, "Sessions after the first", lambda e: e.reconnects),
    "resumed": (
        CounterMetricFamily, "Returns to the same subscriptions", lambda e: e.resumed,
    ),
    "republished": (
        CounterMetricFamily, "Messages had once more after an outage", lambda e: e.republished,
    ),
    "backfilled_values": (
        CounterMetricFamily, "Values taken from its server's history", lambda e: e.backfilled,
    ),
}  # fmt: skip
"""What is told of each endpoint; of tags there are totals only, of which there may be thousands."""
