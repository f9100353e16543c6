"""Made-up load: parks of plain tags, and sample batches as gateways send them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from twin.samples import sample_batch
from twin.tags import Binding

START_US: Final = 1_767_225_600_000_000
"""2026-01-01 00:00 UTC [us]: park time at which made-up load begins."""
SECOND_US: Final = 1_000_000


def bindings(count: int) -> list[Binding]:
    """Gauges of a park, tags 1 to `count`."""
    return [Binding(path=f"bench/t{number:05d}", unit="kW") for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Batches with one row per tag, a second apart.

    Parameters
    ----------
    tags
        Rows of a batch.
    seed
        Of the values: 1/8 kW steps, so that they compress as measured ones do.
    """

    tags: int = 10_000
    seed: int = 20_261_122

    def now_us(self, number: int) -> int:
        """Park time at which batch `number` (0, 1, 2, …) is delivered [us]."""
        return START_US + (number + 1) * SECOND_US

    def batch(self, number: int) -> pa.RecordBatch:
        """Batch `number`; the same whenever it is asked for."""
        chance = np.random.default_rng((self.seed, number))
        tag = np.arange(1, self.tags + 1)
        level = 40.0 + 30.0 * np.sin(tag + number / 600.0)
        at_us = START_US + number * SECOND_US + chance.integers(0, SECOND_US, self.tags)
        return sample_batch(
            tag=tag,
            at_us=at_us,
            server_us=at_us + 1000,
            seen_us=at_us + 50_000,
            value=np.round((level + chance.normal(0.0, 1.0, self.tags)) * 8.0) / 8.0,
        )
