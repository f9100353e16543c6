"""Ray's start in a thread: seconds of waiting, in which the service imports everything else."""

from concurrent.futures import Future, ThreadPoolExecutor

from cluster.engine import Engine, EngineSettings, whatif_slots
from cluster.settings import ServiceSettings
from models.errors import TwinError


class EngineStart:
    """An engine that is starting, from the moment this is made.

    Parameters
    ----------
    settings
        The service it is for.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        # Kept: the kernel ends Ray's processes with the thread that started them.
        self._thread = ThreadPoolExecutor(1, "engine")
        self.engine: Future[Engine] = self._thread.submit(_start, settings)

    def stop(self) -> None:
        """Wait until it has started, and stop it."""
        try:
            engine = self.engine.result()
        except TwinError:
            return
        engine.stop()


def _start(settings: ServiceSettings) -> Engine:
    engine = EngineSettings(
        address=settings.ray_address,
        temp=settings.temp,
        whatif_slots=settings.whatif_slots or whatif_slots(),
    )
    return Engine.start(settings.folder, engine)
