"""The gateway host as an asynchronous Ray actor that delivers to its park's actor directly."""

import asyncio
import logging
from pathlib import Path

import pyarrow as pa
import ray
from ray.actor import ActorHandle

from cluster import logs
from cluster.control_host import ControlHost
from cluster.gateway_host import GatewayHostSettings
from cluster.layout import DataFolder
from models.errors import TwinError
from twin.delivery import Delivered

logger = logging.getLogger(__name__)


class GatewayRayHost(ControlHost):
    """A gateway host whose receiver is another actor.

    Parameters
    ----------
    settings
        What the gateway needs.
    park
        Name of the park's actor. A handle would lie in the object store, and a restart of this
        actor would fail when that is gone.
    """

    def __init__(self, settings: GatewayHostSettings, park: str) -> None:
        folder = DataFolder(root=Path(settings.data)).logs
        logs.configure(folder, settings.source, settings.log_level, settings.log_style)
        self._name = park
        self._park: ActorHandle[object] | None = None
        super().__init__(settings, self._to_park)
        # By itself, not at its first call: the service would ask up to seconds later.
        self._beginning = asyncio.get_running_loop().create_task(self._begin_unasked())

    async def _begin_unasked(self) -> None:
        try:
            await self.begin()
        except TwinError as error:
            # The next call tries again, and tells whoever asks.
            logger.warning("cannot begin yet", extra={"cause": str(error)})

    async def _to_park(
        self, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Delivered:
        if self._park is None:
            self._park = ray.get_actor(self._name)
        call = getattr(self._park, "deliver").remote(source, session, seq, batch)  # noqa: B009
        answer: Delivered = await call
        return answer


GatewayActor = ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0.25)(GatewayRayHost)
