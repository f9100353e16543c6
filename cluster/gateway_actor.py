"""The gateway host as an asynchronous Ray actor that delivers to its park's actor directly."""

from pathlib import Path

import pyarrow as pa
import ray
from ray.actor import ActorHandle

from cluster import logs
from cluster.gateway_host import GatewayHost, GatewayHostSettings
from cluster.layout import DataFolder
from twin.shard import Delivered


class GatewayRayHost(GatewayHost):
    """A gateway host whose receiver is another actor."""

    def __init__(self, settings: GatewayHostSettings, park: "ActorHandle[object]") -> None:
        folder = DataFolder(root=Path(settings.data)).logs
        logs.configure(folder, settings.source, settings.log_level, settings.log_style)

        async def deliver(source: str, session: int, seq: int, batch: pa.RecordBatch) -> Delivered:
            answer: Delivered = await park.deliver.remote(source, session, seq, batch)
            return answer

        super().__init__(settings, deliver)


GatewayActor = ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0.25)(GatewayRayHost)
