"""The decoder's machine code, made once for an installation and kept beside its source.

A gateway that is killed while it compiles would have to begin anew at every start. So it is made in
a process of its own before the first gateway starts. Nothing heavy is imported here: who looks
whether there is something to do must not pay for it.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("kernel.py")
_LAST: Final = "walk"
"""The function that calls the others, so it is compiled last."""
_PYTHON: Final = f"py{sys.version_info.major}{sys.version_info.minor}"
"""Numba writes it into the names: code of another Python is no use to this one."""
_MAKE: Final = "from connectors.opcua.decode import warm; warm()"


def is_compiled() -> bool:
    """Whether machine code lies beside the source, and is newer than it."""
    since = _SOURCE.stat().st_mtime
    kept = (_SOURCE.parent / "__pycache__").glob(f"{_SOURCE.stem}.{_LAST}-*.{_PYTHON}.nbi")
    return any(index.stat().st_mtime >= since for index in kept)


def compile_once(tell: Callable[[str], None]) -> None:
    """Compile the decoder unless that was done; it takes about a quarter of a minute.

    Where the installation cannot be written to, numba keeps the code in the user's own cache; then
    this only loads it. Should it fail, the first gateway compiles for itself and tells why.

    Parameters
    ----------
    tell
        Who hears that it takes a while.
    """
    if is_compiled():
        return
    tell("preparing the decoder: about 15 s the first time, while it is compiled")
    subprocess.run([sys.executable, "-c", _MAKE], check=False)


if __name__ == "__main__":
    compile_once(print)
