"""What a source keeps to go on where a connection, or an earlier process, ended."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from asyncua.client.client import Client

from connectors.latest_file import LatestFile
from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder
from connectors.opcua.hooks import ticket_of
from connectors.opcua.monitor import Monitor
from connectors.opcua.publishing import Publisher
from connectors.opcua.recovery import OWNER_ONLY, Kept, Marks, read_kept, without_ticket
from connectors.opcua.session import Identity
from connectors.opcua.telling import Telling


class Keeping:
    """Session and sequence numbers of one endpoint, noted before messages are acknowledged.

    Parameters
    ----------
    config
        The endpoint.
    path
        File for them; None keeps them in this process only.
    decoder, publisher, telling
        Parts of the source whose progress is noted.
    """

    def __init__(
        self,
        config: EndpointConfig,
        path: Path | None,
        *,
        decoder: Decoder,
        publisher: Publisher,
        telling: Telling,
    ) -> None:
        self._config, self._decoder = config, decoder
        self._publisher, self._telling = publisher, telling
        self._file = LatestFile(path, OWNER_ONLY) if path is not None else None
        self._marks = Marks(path.with_suffix(".marks")) if path is not None else None
        self._over = False
        self.kept = _noted(path, self._marks)
        """What can be taken up; None when there is nothing."""
        self.noted_at = 0.0
        """When it was noted last [monotonic s]."""
        self.items = 0
        """Items the server had accepted when the session was kept."""

    def handed(self) -> None:
        """Everything drained is stored: once that is noted, the server may forget it."""
        if self._publisher.stored():
            self.note()

    def note(self) -> None:
        """Note up to where rows are stored, for the next connection or process; acknowledge."""
        if self.kept is None:
            return
        self.kept = replace(
            self.kept,
            lasts=self._publisher.lasts(),
            heard_us=self._telling.sure_us,
            newest_us=self._decoder.newest_us,
            wall_s=time.time() - (time.monotonic() - self._telling.heard_at),
        )
        if self._marks is not None:
            self._marks.note(self.kept)
            if self._over:
                self._marks.close()
        self.noted_at = time.monotonic()
        self._publisher.handed()

    async def keep(self, client: Client, identity: Identity, monitor: Monitor) -> None:
        """Keep what it takes to take this session up again."""
        self.kept = Kept(
            url=self._config.url,
            digest=self._config.digest,
            ticket=ticket_of(client),
            application_uri=identity.application_uri,
            started=identity.started,
            namespaces=identity.namespaces,
            subscriptions=tuple(monitor.subscriptions.values()),
            lasts=self._publisher.lasts(),
            heard_us=self._telling.sure_us,
            newest_us=self._decoder.newest_us,
            wall_s=time.time(),
            stamp=time.time_ns(),
        )
        self.items = monitor.accepted
        if self._file is not None:
            # It names every item: too long a work for the loop.
            await asyncio.to_thread(self._file.work(self.kept.text()))
        self.note()

    def of(self, config: EndpointConfig) -> Kept | None:
        """What is kept, if it is about this configuration."""
        kept = self.kept
        if kept is not None and (kept.digest, kept.url) != (config.digest, config.url):
            self.kept = None
        return self.kept

    def forget(self) -> None:
        """Nothing can be taken up any more."""
        self.kept = None

    def forget_session(self) -> None:
        """The session is gone; its subscriptions may still be there."""
        self.kept = self.kept and without_ticket(self.kept)

    def end(self, *, stay: bool) -> None:
        """The source stops; with `stay` the next process takes up what is kept."""
        self._over = True
        if not stay:
            self.kept = None
            if self._file is not None:
                self._file.remove()
        if self._marks is not None:
            self._marks.close()


def _noted(path: Path | None, marks: Marks | None) -> Kept | None:
    """What an earlier process kept, if anything."""
    kept = read_kept(path) if path is not None else None
    return marks.onto(kept) if kept is not None and marks is not None else kept
