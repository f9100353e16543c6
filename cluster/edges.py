"""What gateways in the plants say of the endpoints they read for a park."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from connectors.opcua.report import EndpointState, EndpointStatus

SILENT_S: Final = 45.0
"""A gateway in the plant is heard every 15 s; three in a row are missing."""


class Edges:
    """The newest word of every gateway outside the service.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, dict[str, EndpointStatus]]] = {}

    def take(self, gateway: str, statuses: Sequence[EndpointStatus]) -> None:
        """Remember what a gateway says."""
        told = {status.id: replace(status, gateway=gateway) for status in statuses}
        self._heard[gateway] = (self._clock(), told)

    def statuses(self, endpoints: Iterable[EndpointStatus]) -> list[EndpointStatus]:
        """How endpoints in plants are.

        Parameters
        ----------
        endpoints
            What is known of them without their gateways, see `cluster.bindings.in_plants`.
        """
        return [self._status(endpoint) for endpoint in endpoints]

    def _status(self, endpoint: EndpointStatus) -> EndpointStatus:
        name = endpoint.gateway
        heard_s, told = self._heard.get(name, (0.0, {}))
        found = told.get(endpoint.id)
        if found is None and name in self._heard:
            cause = f"gateway {name} does not read it yet: it asks every 15 s"
            return replace(endpoint, state=EndpointState.CONNECTING, cause=cause)
        if found is None:
            cause = f"gateway {name} has not been heard since the service started"
            return replace(endpoint, cause=cause)
        silent_s = self._clock() - heard_s
        if silent_s > SILENT_S:
            # It may be sampling: what it keeps on its disk comes when it is back.
            cause = f"gateway {name} has been silent for {silent_s:.0f} s"
            return replace(found, state=EndpointState.OFFLINE, cause=cause, values_per_s=0.0)
        return found
