"""The twin's OPC UA server on a real socket, in a thread with a loop of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from connectors.twin_server.feed import Figures, News
from connectors.twin_server.limits import Limits
from connectors.twin_server.plan import namespace_of, plan_space
from connectors.twin_server.server import TwinServer
from connectors.twin_server.settings import ServerSettings
from twin.figure_specs import layout_of
from twin.parkfile.load import load_park

T = TypeVar("T")
PARK = load_park(Path(__file__).parent / "plant" / "park.yaml")
SPECS = layout_of(PARK, 2026).specs
URI = namespace_of(PARK.id)
AT_US = 1_790_000_000_000_000


def figures(seq: int, **more: float | None) -> Figures:
    """A frame in which every figure is 1.5, but some."""
    values: dict[str, float | None] = {spec.id: 1.5 for spec in SPECS}
    values |= {name.replace("__", "."): value for name, value in more.items()}
    return Figures(seq=seq, at_us=AT_US + seq * 1_000_000, speed=1.0, values=values)


class HeldServer:
    """A server that runs until it is stopped; the loop is not the test's."""

    def __init__(self, settings: ServerSettings, limits: Limits | None = None) -> None:
        self.settings = settings
        self.first_looks: list[int] = []
        self.server = TwinServer(plan_space(PARK, SPECS), settings, limits)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="twin server")
        self._thread.start()
        try:
            self.own = self.ask(self.server.start())
        except BaseException:
            self._end()
            raise

    @property
    def url(self) -> str:
        """Where clients find it."""
        return self.settings.url

    def ask(self, question: "Coroutine[object, object, T]") -> T:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(60)

    def show(self, seq: int, **more: float | None) -> None:
        """Feed one frame."""
        self.ask(self.server.take(News(figures=figures(seq, **more))))

    def stop(self) -> None:
        """Stop serving."""
        self.ask(self.server.stop())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
