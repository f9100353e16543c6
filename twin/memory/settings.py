"""Settings of the memory: how long things are kept and how sealed files are cut."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
_GROUPS: Final = 128
"""Row groups a file of samples may have before they grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """How a memory keeps what it is given.

    Parameters
    ----------
    raw_days, minute_days
        How long samples and 1-minute rollups are kept [d]; 1-hour rollups are kept for ever.
    late_days
        Files of samples are kept this much longer [d], so that the latest acceptable late row
        still finds the samples its minute is recomputed from.
    pin_s
        A version stays readable this long after it was superseded [s].
    row_group, rollup_row_group
        Most rows per Parquet row group of samples and of rollups. A chart reads one tag of a
        rollup file, so its groups are small. Files of samples have groups of down to an eighth
        of that as long as they are few: one tag is then read with few others, and the footers,
        which readers keep, stay small.
    merge_rows
        Rows held in memory at once while files are merged.
    checkpoint_every
        Commits of a Delta table between two checkpoints of its log.
    max_windows
        Most windows one rollup read may ask for, over all its tags.
    alarm_free, whatif_free, ack_free
        Free part of the disk below which an alarm is raised, what-if stops, acknowledging stops.
    """

    raw_days: int = 90
    minute_days: int = 5 * 365
    late_days: int = 2
    pin_s: int = 3_600
    row_group: int = 131_072
    rollup_row_group: int = 16_384
    merge_rows: int = 4_000_000
    checkpoint_every: int = 50
    max_windows: int = 5_000_000
    alarm_free: float = 0.15
    whatif_free: float = 0.10
    ack_free: float = 0.05

    def group_rows(self, bucket_us: int, count: int) -> int:
        """Rows per row group of a file of ``count`` rows; ``bucket_us`` is 0 for samples."""
        if bucket_us > 0:
            return self.rollup_row_group
        return min(self.row_group, max(self.row_group // 8, count // _GROUPS, 1))


class DiskLevel(IntEnum):
    """What the free disk still allows; each level includes the ones before it."""

    OK = 0
    ALARM = 1
    NO_WHATIF = 2
    NO_ACK = 3


def disk_level(free: float, settings: MemorySettings) -> DiskLevel:
    """Level of a free fraction of the disk, 0 to 1."""
    if free < settings.ack_free:
        return DiskLevel.NO_ACK
    if free < settings.whatif_free:
        return DiskLevel.NO_WHATIF
    if free < settings.alarm_free:
        return DiskLevel.ALARM
    return DiskLevel.OK
