"""Texts of ``kind: WhatIf``: their schema, and what the queue has to know of one."""

from collections.abc import Mapping

from cluster.jobs import Request
from models.errors import NotFound
from twin.park import Park
from twin.whatif.spec import WhatIf


def schema() -> Mapping[str, object]:
    """JSON Schema of ``kind: WhatIf``."""
    return WhatIf.model_json_schema()


def read_request(text: str, parks: Mapping[str, Park]) -> Request:
    raise NotFound("park", "?")
