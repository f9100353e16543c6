"""The park host as a Ray actor: restarted when it dies, never retried by Ray.

Ray's retries would repeat calls out of order; gateways resend their unacknowledged batches instead.

Whoever holds a handle of an actor imports the module of its class. This one is slim, so that a
restarted gateway does not import a whole twin before it delivers.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import ray

from twin.delivery import Delivered

if TYPE_CHECKING:
    from cluster.park_host import HostSettings


class ParkRayHost:
    """A park host behind a door that is quick to import.

    Parameters
    ----------
    settings
        What the host holds.
    """

    def __init__(self, settings: "HostSettings") -> None:
        # Imported here: only the actor's own process needs it (see above).
        from cluster.park_host import ParkHost

        self._host = ParkHost(settings)

    def deliver(self, source: str, session: int, seq: int, batch: pa.RecordBatch) -> Delivered:
        """Take one numbered batch (`ParkHost.deliver`)."""
        return self._host.deliver(source, session, seq, batch)

    def ask(self, method: str, arguments: Sequence[object], named: Mapping[str, object]) -> object:
        """Answer with a method of the host."""
        return getattr(self._host, method)(*arguments, **named)


ParkActor = ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0.5)(ParkRayHost)
