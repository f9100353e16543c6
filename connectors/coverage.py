"""Coverage: when an endpoint was alive and when it was not, and why.

Under report-by-exception silence is not a gap; these rows say what silence means. An alive row may
carry a cause too: ``frozen`` (the server answers, but no source time moves: the state shows stale)
or a number of values the server is known to have dropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from twin.samples import COVERAGE, TIME

KIND_KEY = b"kind"
KIND_SAMPLES = b"samples"
KIND_COVERAGE = b"coverage"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """One interval of an endpoint.

    Parameters
    ----------
    endpoint
        Id of the endpoint.
    from_us, to_us
        Park time [us], from <= to.
    alive
        Whether values of this interval were received, or nothing changed.
    cause
        Why it was not alive, or what else is to be known; empty when there is nothing to say.
    lost
        Values known to be lost; None when nobody can know.
    """

    endpoint: str
    from_us: int
    to_us: int
    alive: bool
    cause: str = ""
    lost: int | None = None


def coverage_batch(rows: Iterable[CoverageRow]) -> pa.RecordBatch:
    """Rows as one batch with the schema `COVERAGE`, marked with kind ``coverage``."""
    every = list(rows)
    # Over numpy: from a list, pyarrow would first import pandas, if that is installed.
    return pa.record_batch(
        [
            pa.array(np.array([r.endpoint for r in every], np.object_), pa.string()),
            pa.array(np.array([r.from_us for r in every], np.int64)).view(TIME),
            pa.array(np.array([r.to_us for r in every], np.int64)).view(TIME),
            pa.array(np.array([r.alive for r in every], np.bool_)),
            pa.array(np.array([r.cause for r in every], np.object_), pa.string()),
            pa.array(np.array([r.lost for r in every], np.object_), pa.int64()),
        ],
        schema=COVERAGE.with_metadata({KIND_KEY: KIND_COVERAGE}),
    )


def is_coverage(batch: pa.RecordBatch) -> bool:
    """Whether a numbered batch holds coverage rows; all others hold samples."""
    metadata = batch.schema.metadata or {}
    return bool(metadata.get(KIND_KEY) == KIND_COVERAGE)
