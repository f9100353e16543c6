"""Texts of ``kind: WhatIf``: their schema, and what the queue has to know of one."""

from collections.abc import Mapping

from cluster.jobs import Request
from models.errors import NotFound
from twin.park import Park
from twin.whatif.parse import check_whatif, parse_whatif
from twin.whatif.spec import WhatIf

_MICRO = 1_000_000


def schema() -> Mapping[str, object]:
    """JSON Schema of ``kind: WhatIf``."""
    return WhatIf.model_json_schema()


def read_request(text: str, parks: Mapping[str, Park]) -> Request:
    """Read a text and check it against the park it names.

    Raises
    ------
    InvalidInput
        With every fault at once.
    NotFound
        When no such park is here.
    """
    spec, document = parse_whatif(text)
    park = parks.get(spec.park)
    if park is None:
        raise NotFound("park", spec.park, tuple(parks))
    check_whatif(spec, park.spec, document)
    return Request(
        name=spec.id,
        park=spec.park,
        origin=spec.from_,
        horizon_us=round(spec.horizon * _MICRO),
        branches=tuple(spec.branches),
        replications=spec.ensemble.most,
    )
