"""Folders of a Ray session: removed for good, though processes that end still write there."""

import shutil
import time
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 5.0
_LOOK_S: Final = 0.05


def remove(folder: Path, patience_s: float = PATIENCE_S) -> bool:
    """Remove a folder, again and again while somebody writes there; whether it is gone.

    Ray's processes end after their parent has been told so: one look would leave their last files.
    """
    until_s = time.monotonic() + patience_s
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return True
        if time.monotonic() >= until_s:
            return False
        time.sleep(_LOOK_S)
