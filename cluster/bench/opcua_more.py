"""Figures of the ``opcua`` bench that need a server to be crawled and mapped, not subscribed."""

from collections.abc import Sequence

from cluster.bench.report import Figure
from cluster.bench.stage import Stage


def more_figures(stage: Stage) -> Sequence[Figure]:
    """Figures of crawl and proposed mapping."""
    del stage
    return ()
