"""How an endpoint is supervised: the times and sizes that are the same for every server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """How an endpoint is supervised.

    Parameters
    ----------
    timeout_s
        Longest wait for one answer [s].
    probe_s
        Interval of the health probe [s].
    silence_s
        Without any answer for this long the connection is given up [s].
    backoff_first_s, backoff_most_s
        Wait before a new attempt: doubles from first to most, times a random 0.5 to 1 [s].
    coverage_s
        A coverage row at least this often [s].
    frozen_s
        Source times that stand still for this long are suspicious [s]; 0 never.
    rows
        Rows buffered at most; while they are full the server's queues hold what comes.
    """

    timeout_s: float = 5.0
    probe_s: float = 2.0
    silence_s: float = 8.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 15.0
    coverage_s: float = 10.0
    frozen_s: float = 60.0
    rows: int = 200_000
