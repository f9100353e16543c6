"""What gateways in the plants say of the endpoints they read for a park."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from connectors.opcua.report import EndpointState, EndpointStatus
from twin.parkfile.schema import Endpoint

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

    def statuses(
        self, endpoints: Mapping[str, Endpoint], removed: Collection[str] = ()
    ) -> list[EndpointStatus]:
        """The endpoints of a park file that gateways in plants read.

        Parameters
        ----------
        endpoints
            Those of the file.
        removed
            Ids that somebody removed since.
        """
        return [
            self._status(endpoint)
            for endpoint in endpoints.values()
            if endpoint.gateway and endpoint.id not in removed
        ]

    def _status(self, endpoint: Endpoint) -> EndpointStatus:
        name = endpoint.gateway
        heard_s, told = self._heard.get(name, (0.0, {}))
        found = told.get(endpoint.id)
        if found is None:
            heard = name in self._heard
            cause = (
                f"gateway {name} does not read it yet: it asks every 15 s"
                if heard
                else f"gateway {name} has not been heard since the service started"
            )
            return EndpointStatus(
                id=endpoint.id, url=endpoint.url, security=endpoint.security, gateway=name,
                state=EndpointState.CONNECTING if heard else EndpointState.OFFLINE,
                cause=cause, time_policy=endpoint.time_policy,
            )  # fmt: skip
        silent_s = self._clock() - heard_s
        if silent_s > SILENT_S:
            # It may be sampling: what it keeps on its disk comes when it is back.
            cause = f"gateway {name} has been silent for {silent_s:.0f} s"
            return replace(found, state=EndpointState.OFFLINE, cause=cause, values_per_s=0.0)
        return found
