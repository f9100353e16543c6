"""Processes a bench starts: in their own session, spoken to by lines, ended by id."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final

from cluster import processes
from models.errors import Unavailable

_READ: Final = 65_536
_ENDING_S: Final = 10.0


class Child:
    """A child process whose lines are read with patience.

    Parameters
    ----------
    module, arguments
        ``python -m module arguments``.
    environment
        Variables beside our own.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[object] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._module, self._left = module, b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=processes.die_with_parent,
            bufsize=0,
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def line(self, patience_s: float) -> str:
        """The next line it prints.

        Raises
        ------
        Unavailable
            When it ends or says nothing in time.
        """
        until = time.monotonic() + patience_s
        out = self._process.stdout
        while b"\n" not in self._left:
            left_s = until - time.monotonic()
            if out is None or left_s <= 0 or not select.select([out], [], [], left_s)[0]:
                raise Unavailable(f"{self._module} said nothing for {patience_s:g} s")
            data = os.read(out.fileno(), _READ)
            if not data:
                raise Unavailable(f"{self._module} ended with {self._process.wait(_ENDING_S)}")
            self._left += data
        line, self._left = self._left.split(b"\n", 1)
        return line.decode()

    def say(self, text: str) -> None:
        """Write a line to its input."""
        pipe, left = self._process.stdin, memoryview(f"{text}\n".encode())
        while left and pipe is not None:
            left = left[os.write(pipe.fileno(), left) :]

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self._process.kill()
        self._process.wait(_ENDING_S)

    def end(self) -> None:
        """Ask it to end, then kill it; close its pipes."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_ENDING_S)
            except subprocess.TimeoutExpired:
                self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
