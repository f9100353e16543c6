"""What may be asked of one gateway besides reading: tests, browsing, crawls, certificates.

The same for a gateway of the service and for one in a plant.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cluster.crawl_room import CrawlRoom
from cluster.trial_room import TrialRoom
from connectors.gateway import Gateway
from connectors.onboarding.seen import SeenNode
from connectors.opcua.browse import browse_children
from connectors.opcua.certificates import plain
from connectors.opcua.config import EndpointConfig
from connectors.opcua.report import BrowsedNode, EndpointState, EndpointTest
from connectors.opcua.security import Pki, Shown
from connectors.opcua.session import close, open_session
from connectors.opcua.trial import try_endpoint
from models.errors import TwinError

_ASKED_AT_ONCE: Final = 16
_ASK_S: Final = 3.0


class GatewayHands:
    """Does what is asked beside those endpoints that a gateway reads.

    Parameters
    ----------
    gateway
        The gateway.
    pki
        Certificates.
    folder
        Where states of unfinished crawls are kept.
    configs
        What it reads, by id; it may change.
    """

    def __init__(
        self, gateway: Gateway, pki: Pki, folder: Path, configs: Mapping[str, EndpointConfig]
    ) -> None:
        self._gateway, self._pki, self._reads = gateway, pki, configs
        self._crawls = CrawlRoom(folder, pki)
        self._trials = TrialRoom()

    async def begin(self) -> int:
        """Have the gateway started; the process id."""
        return os.getpid()

    async def ask_gateway(self, method: str, *arguments: object) -> object:
        """Call a method by its name, as a park asks its gateways."""
        return await getattr(self, method)(*arguments)

    async def rest(self) -> None:
        """End what is under way; states of crawls stay."""
        await self._crawls.stop()
        await self._trials.stop()

    async def tag_counts(self, endpoint: str) -> dict[int, dict[str, object]]:
        """How each tag of an endpoint does."""
        await self.begin()
        return self._gateway.tag_counts(endpoint)

    async def try_endpoint(
        self, config: EndpointConfig, told: Callable[[EndpointTest], None] = lambda _: None
    ) -> EndpointTest:
        """Try an endpoint step by step, beside those that are held; `told` after each step."""
        return await try_endpoint(config, pki=self._pki, told=told)

    async def browse(self, url_or_id: str, node: str) -> tuple[BrowsedNode, ...]:
        """Children of a node of an endpoint that is held, or of an open server by its address."""
        config = self._reads.get(url_or_id)
        if config is None:
            config = EndpointConfig(id="browsed", url=url_or_id, allow_insecure=True)
        return await browse_children(config, node, pki=self._pki)

    async def trial_begin(self, config: EndpointConfig) -> str:
        """Start a test of an endpoint; the name to ask for it."""
        return self._trials.begin(config, self.try_endpoint)

    async def trial_told(self, trial: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, and whether it is over."""
        return self._trials.told(trial)

    async def crawl(
        self,
        url_or_id: str,
        fresh: bool,  # noqa: FBT001 - called by name over Ray
        unsaved: EndpointConfig | None = None,
    ) -> dict[str, object]:
        """Start a crawl, or tell how far it is; `unsaved` says how to speak with a new address."""
        config = self._reads.get(url_or_id) or unsaved
        if config is None:
            config = EndpointConfig(id="browsed", url=url_or_id, allow_insecure=True)
        return self._crawls.begin(url_or_id, config, fresh=fresh)

    async def crawl_stop(self, url_or_id: str) -> dict[str, object]:
        """Stop a crawl under way; begun again, it goes on where it was."""
        return await self._crawls.cancel(url_or_id)

    async def crawled(self, url_or_id: str) -> tuple[SeenNode, ...]:
        """Nodes of a finished crawl, with what was observed of their values."""
        return self._crawls.nodes(url_or_id)

    async def trust(self, endpoint: str, fingerprint: str) -> None:
        """Trust a certificate that was shown, and connect again at once."""
        await asyncio.to_thread(self._pki.trust, fingerprint)
        await self._gateway.reconnect(endpoint, "certificate trusted")

    async def shown(self) -> dict[str, Shown]:
        """The good certificate each endpoint's server showed last."""
        await self.begin()
        return dict(self._pki.shown)

    async def certificates_changed(self, cause: str, fingerprint: str) -> None:
        """Connect endpoints again after trust or our certificate has changed.

        Parameters
        ----------
        cause
            Why, for the coverage rows.
        fingerprint
            Certificate whose endpoints are cut off; ``*`` for all secure ones, empty for those
            that are not connected.
        """
        await self.begin()
        up = {one.id for one in self._gateway.status() if one.state is EndpointState.CONNECTED}
        for name, config in list(self._reads.items()):
            shown = self._pki.shown.get(name)
            if config.policy == "None" or not config.enabled:
                continue
            rests = shown is not None and shown.fingerprint == plain(fingerprint)
            if fingerprint == "*" or rests or (not fingerprint and name not in up):
                if rests:
                    del self._pki.shown[name]
                await self._gateway.reconnect(name, cause)

    async def ask_with_staged(self) -> dict[str, str]:
        """Endpoint → what its server says to our new certificate; empty when it takes it."""
        await self.begin()
        pki, few = self._pki.with_staged(), asyncio.Semaphore(_ASKED_AT_ONCE)

        async def one(config: EndpointConfig) -> str:
            async with few:
                try:
                    await close(await open_session(config, pki, _ASK_S))
                except TwinError as fault:
                    return str(fault)
                return ""

        secure = [c for c in self._reads.values() if c.policy != "None" and c.enabled]
        answers = await asyncio.gather(*(one(config) for config in secure))
        return {config.id: told for config, told in zip(secure, answers, strict=True)}
