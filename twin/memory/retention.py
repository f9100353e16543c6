"""What may be forgotten: old rows by the settings, old versions when nobody reads them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from twin.memory.manifest import ManifestRow
from twin.memory.settings import DAY_US, MINUTE_US, SECOND_US, MemorySettings


def limits_us(settings: MemorySettings, park_us: int) -> Mapping[str, int]:
    """Table name to the time before which its rows may go [us since 1970]; hours never go.

    Rows are dated in park time, so it is park time that makes them old.

    Samples stay ``late_days`` longer than promised: the latest row that is still accepted must
    find the samples of its minute.
    """
    raw = park_us - (settings.raw_days + settings.late_days) * DAY_US
    minute = park_us - settings.minute_days * DAY_US
    return {"raw": raw // MINUTE_US * MINUTE_US, "minute": minute, "coverage": minute}


def kept_rows(
    all_rows: Sequence[ManifestRow], pinned: set[int], now_us: int, pin_s: int
) -> list[ManifestRow]:
    """Manifest rows whose files must stay: the newest, the pinned, those superseded just now.

    Parameters
    ----------
    all_rows
        Rows, oldest first.
    pinned
        Ids of pinned rows.
    now_us
        Wall time [us since 1970].
    pin_s
        How long a superseded version is still read [s].
    """
    kept = [
        row
        for row, after in pairwise(all_rows)
        if row.id in pinned or after.sealed_us >= now_us - pin_s * SECOND_US
    ]
    return [*kept, *all_rows[-1:]]
