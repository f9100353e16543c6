"""Named steps at which a test stops the world.

The core calls a `Failpoint` with the name of every step it is about to leave behind
(``journal.written``, ``journal.synced``, ``deliver.folded``, …). By default nothing happens. A test
passes one that raises; a real process under test installs `from_setting` at its door.
"""

import os
import signal
from collections.abc import Callable
from typing import Final

from models.errors import InputError

Failpoint = Callable[[str], None]

VARIABLE: Final = "PARKTWIN_FAILPOINT"
"""Environment variable with ``name:count``; read at the process's door, never in the core."""


def never(_step: str) -> None:
    """Do nothing: the fail-point of ordinary runs."""


def kill_at(name: str, count: int) -> Failpoint:
    """A fail-point that ends this process with SIGKILL at the count-th meeting of step `name`."""
    left = count

    def step(met: str) -> None:
        nonlocal left
        if met != name:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def from_setting(setting: str | None) -> Failpoint:
    """The fail-point that ``name:count`` asks for; `never` for None or an empty text.

    Raises
    ------
    InputError
        When the text is not a name, a colon and a count of at least 1.
    """
    if not setting:
        return never
    name, colon, count = setting.rpartition(":")
    if not colon or not name or not count.isdecimal() or int(count) < 1:
        raise InputError(f"{setting!r} is no fail-point", "write name:count", VARIABLE)
    return kill_at(name, int(count))
