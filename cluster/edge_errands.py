"""Errands in the plant: asked for every two seconds, carried out, reported while they run.

The answer is signed with the gateway's token for the question that was asked, as a configuration
is. What may be done is a list of names; the code is that of the service's own gateways.
"""

import asyncio
import base64
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

import orjson

from cluster.certificate_desk import CertificateDesk
from cluster.edge_link import Link
from cluster.errand import (
    ERRANDS,
    KINDS,
    REPORT_MOST,
    Errand,
    Wanted,
    fault_of,
    read_arguments,
    read_wanted,
)
from cluster.errand_report import Fault, Report
from cluster.gateway_hands import GatewayHands
from cluster.gateway_token import SIGNATURE
from cluster.ports import EndpointTest, Renewal
from connectors.opcua.config import EndpointConfig
from connectors.opcua.session import explain
from models.errors import Refused, TwinError, Unavailable

logger = logging.getLogger(__name__)

_JSON: Final = "application/json"
_LATER_S: Final = 10.0
"""After this long without an errand it asks less often again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often errands are asked for [s]: while there are none, while there are, after a fault."""

    idle_s: float = 2.0
    busy_s: float = 0.3
    fault_s: float = 5.0


@dataclass(slots=True)
class _Doing:
    """An errand that was begun."""

    errand: Errand
    task: "asyncio.Task[None] | None" = None
    report: Report | None = None


class EdgeErrands:
    """Asks for errands and does them.

    Parameters
    ----------
    link
        The way to the service.
    hands
        Park → what does them; it grows with the parks.
    pki
        Folder of the certificates.
    news
        Called when the service says that there is something else to read.
    pace
        How often it asks.
    """

    def __init__(
        self,
        link: Link,
        hands: Mapping[str, GatewayHands],
        pki: Path,
        news: Callable[[], None],
        pace: Pace | None = None,
    ) -> None:
        self._link, self._hands, self._news = link, hands, news
        self._desk = CertificateDesk(pki, hands)
        self._pace = pace or Pace()
        self._run = secrets.token_hex(8)
        self._doing: dict[str, _Doing] = {}
        self._told = asyncio.Event()
        self._known_news: int | None = None
        self._fault = ""

    async def run(self) -> None:
        """Ask for ever; a service that is away is asked again."""
        busy_s = float("-inf")
        try:
            while True:
                if await self._asked():
                    if self._doing:
                        busy_s = time.monotonic()
                    lately = time.monotonic() - busy_s < _LATER_S
                    wait_s = self._pace.busy_s if lately else self._pace.idle_s
                else:
                    wait_s = self._pace.fault_s
                    self._told.clear()  # what did not fit is no reason to ask at once
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._told.wait(), wait_s)
                self._told.clear()
        finally:
            tasks = [one.task for one in self._doing.values() if one.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _asked(self) -> bool:
        """Ask once; whether an answer came."""
        try:
            wanted = await self._ask()
        except (TwinError, OSError) as fault:
            if str(fault) != self._fault:
                logger.warning("errands cannot be asked for", extra={"cause": str(fault)})
            self._fault = str(fault)
            return False
        except Exception:
            # Nobody looks at this task but at its end: errands would be over until a restart.
            logger.exception("errands could not be asked for")
            return False
        self._fault = ""
        self._take(wanted)
        return True

    async def _ask(self) -> Wanted:
        nonce = secrets.token_urlsafe(24)
        told = [asdict(report) for report in self._reports()]
        question = orjson.dumps({"nonce": nonce, "run": self._run, "reports": told})
        body, headers = await self._link.send("/gateway/errands", question, kind=_JSON)
        signature = headers.get(SIGNATURE, "")
        if not self._link.token.signed(signature, ERRANDS, nonce.encode(), body):
            raise Refused(
                "the errands are not signed with this gateway's token",
                "whoever answers is not the service that made the token: look at --to",
            )
        return read_wanted(body)

    def _reports(self) -> list[Report]:
        """What is to be told, as much as fits into one question; the rest goes with the next."""
        found: list[Report] = []
        size = 0
        for one in self._doing.values():
            if one.report is None:
                continue
            size += len(orjson.dumps(one.report.found))
            if found and size > REPORT_MOST:
                self._told.set()
                break
            found.append(one.report)
        return found

    def _take(self, wanted: Wanted) -> None:
        """Begin what is new, give up what nobody waits for any more."""
        named = {errand.id: errand for errand in wanted.errands}
        for gone in self._doing.keys() - named.keys():
            task = self._doing.pop(gone).task
            if task is not None:
                task.cancel()
        for name, errand in named.items():
            if name not in self._doing:
                doing = self._doing[name] = _Doing(errand)
                doing.task = asyncio.create_task(self._do(doing), name=f"errand {errand.method}")
        if self._known_news not in (None, wanted.news):
            self._news()
        self._known_news = wanted.news

    async def _do(self, doing: _Doing) -> None:
        errand = doing.errand
        logger.info("errand", extra={"method": errand.method, "park": errand.park})
        try:
            async with asyncio.timeout(errand.limit_s):
                found = await self._found(doing)
            doing.report = Report(id=errand.id, over=True, found=_plain(errand, found))
        except TimeoutError:
            what = f"{errand.method} took longer than {errand.limit_s:.0f} s in the plant"
            doing.report = _failed(errand, Fault(error="Unavailable", what=what))
        except TwinError as fault:
            doing.report = _failed(errand, fault_of(fault))
        except Exception as fault:
            # Whatever a stranger's server does is told to who asked; sampling goes on.
            logger.exception("an errand broke", extra={"method": errand.method})
            doing.report = _failed(errand, fault_of(Unavailable(*explain(fault))))
        self._told.set()

    async def _found(self, doing: _Doing) -> object:
        """Do it; what came of it."""
        errand = doing.errand
        arguments = read_arguments(errand)
        if errand.method == "try_endpoint":
            return await self._tried(doing, cast("EndpointConfig", arguments[0]))
        if errand.method == "crawled":
            name, first, count = cast("tuple[str, int, int]", arguments)
            nodes = await self._of(errand).crawled(name)
            return nodes[first : first + count]
        own = {
            "certificates": self._desk.entries,
            "certificate_der": self._der,
            "certificate_trust": self._trust,
            "certificate_distrust": self._distrust,
            "certificate_renew": self._renew,
        }.get(errand.method)
        work = own or getattr(self._of(errand), errand.method)  # a name of `KINDS`, as was checked
        return await cast("Callable[..., Awaitable[object]]", work)(*arguments)

    async def _tried(self, doing: _Doing, config: EndpointConfig) -> EndpointTest:
        def told(found: EndpointTest) -> None:
            doing.report = Report(id=doing.errand.id, found=_plain(doing.errand, found))
            self._told.set()

        return await self._of(doing.errand).try_endpoint(config, told)

    def _of(self, errand: Errand) -> GatewayHands:
        found = self._hands.get(errand.park)
        if errand.method == "try_endpoint":  # an address is of no park
            found = found or next(iter(self._hands.values()), None)
        if found is None:
            raise Unavailable(
                f"the gateway has not begun with park {errand.park!r}",
                "wait some seconds; `parktwin gateway-token list` shows for which parks it is",
            )
        return found

    # --- certificates of this plant ---

    async def _der(self, staged: bool) -> str:  # noqa: FBT001 - as the errand has it
        return base64.b64encode(await self._desk.der(staged=staged)).decode()

    async def _trust(self, fingerprint: str) -> None:
        await self._desk.trust(fingerprint)
        await self._desk.tell("certificate trusted", "")

    async def _distrust(self, fingerprint: str) -> None:
        await self._desk.distrust(fingerprint)
        await self._desk.tell("certificate no longer trusted", fingerprint)

    async def _renew(self, force: bool) -> Renewal:  # noqa: FBT001 - as the errand has it
        renewal = await self._desk.renew(force=force)
        if renewal.used:
            await self._desk.tell("our certificate was renewed", "*")
        return renewal


def _plain(errand: Errand, found: object) -> object:
    """What was found as JSON, where it is not too much.

    Raises
    ------
    Unavailable
        When it is.
    """
    body = KINDS[errand.method].finds.dump_json(found, fallback=dict, warnings=False)
    if len(body) > REPORT_MOST:
        raise Unavailable(
            f"the answer has {len(body) / 1e6:.0f} MB, {REPORT_MOST / 1e6:.0f} are told at once",
            "ask for less: browse further below",
        )
    return orjson.loads(body)


def _failed(errand: Errand, fault: Fault) -> Report:
    return Report(id=errand.id, over=True, fault=fault)
