"""The park host as a Ray actor: restarted when it dies, never retried by Ray.

Ray's retries would repeat calls out of order; gateways resend their unacknowledged batches instead.
"""

import ray

from cluster.park_host import ParkHost

ParkActor = ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0.5)(ParkHost)
