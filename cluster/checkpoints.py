"""Where a restarted twin goes on: its state of some seconds ago, so that little is replayed.

A shortcut and nothing more: the journal stays the whole truth, the memory keeps its own snapshots,
and a checkpoint that is missing, damaged or ahead of the journal is passed over.
"""

import logging
import time
from pathlib import Path
from typing import Final

from models.errors import Corrupt
from twin.memory.snapshots import Snapshot, Snapshots
from twin.shard import FOREVER_US, Shard

logger = logging.getLogger(__name__)

EVERY_S: Final = 30.0
"""Wall seconds between two checkpoints: one costs some milliseconds, as a tick does to replay."""
_FIRST_S: Final = 2.0
"""Wall seconds to the first: what a start replayed need not be replayed by the next one."""


class Checkpoints:
    """The checkpoints of one shard; only the newest is kept.

    Parameters
    ----------
    folder
        The shard's own folder.
    every_s
        Wall seconds between two.
    """

    def __init__(self, folder: Path, every_s: float = EVERY_S) -> None:
        self._files, self._every_s = Snapshots(folder), every_s
        self._due_s = time.monotonic() + min(_FIRST_S, every_s)

    def newest(self) -> Snapshot | None:
        """The newest one; None when there is none that is whole."""
        try:
            return self._files.before(FOREVER_US)
        except (Corrupt, OSError, ValueError) as error:
            logger.warning("checkpoint passed over", extra={"cause": str(error)})
            return None

    def look(self, shard: Shard) -> None:
        """Keep one when it is due; called between other calls of the shard."""
        if time.monotonic() >= self._due_s:
            self.keep(shard)

    def keep(self, shard: Shard) -> None:
        """Keep one now. Without room there is none, and the next start takes longer."""
        self._due_s = time.monotonic() + self._every_s
        try:
            self._files.put(shard.now_us, shard.offset, shard.snapshot())
            self._files.drop_before(shard.now_us, keep=1)
        except OSError as error:
            logger.warning("no checkpoint", extra={"cause": str(error)})
