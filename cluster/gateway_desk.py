"""Gateways outside the service: their tokens, who may deliver what, and what they have to do."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

import orjson

from cluster import bindings
from cluster.config_json import plain_of
from cluster.errand import ERRANDS, plain_wanted
from cluster.errand_report import Report
from cluster.errands import Errands
from cluster.gateway_token import new_token, parse_token
from cluster.live_park import LivePark
from cluster.metadata.store import MetadataStore
from cluster.metadata.tables import GatewayTokenRow
from cluster.ports import EndpointStatus, GatewayTokenEntry, IssuedToken, SignedConfig
from connectors.clock import wall_us
from models.errors import InputError, NotFound, Refused

_DAY_US: Final = 86_400_000_000
_NEW: Final = "make another one with `parktwin gateway-token create`"


class GatewayDesk:
    """What gateways in plants may ask of a service.

    Parameters
    ----------
    park
        Gives a running park by its id.
    known
        Ids of all parks of the service.
    store
        Gives the metadata store.
    now_us
        Wall clock.
    errands
        What gateways are wanted to do.
    """

    def __init__(
        self,
        park: Callable[[str], LivePark],
        known: Sequence[str],
        store: Callable[[], MetadataStore],
        now_us: Callable[[], int] = wall_us,
        errands: Errands | None = None,
    ) -> None:
        self._park, self._known = park, tuple(known)
        self._store, self._now_us = store, now_us
        self._open = errands or Errands()

    # Tokens

    async def issue(self, gateway: str, parks: Sequence[str], days: float) -> IssuedToken:
        """Make a token; it is shown this once.

        Raises
        ------
        NotFound
            When there is no such park.
        InputError
            When it names none, or is the name of a gateway of the service.
        """
        chosen = tuple(dict.fromkeys(parks))
        if not chosen:
            raise InputError("no park is named", "say which parks it may deliver to", "parks")
        for park in chosen:
            if park not in self._known:
                raise NotFound("park", park, self._known)
        if bindings.is_own_gateway(gateway):
            raise InputError(
                f"{gateway!r} is a gateway of the service itself", "name yours, like hall-2", "name"
            )
        token, now_us = new_token(), self._now_us()
        row = GatewayTokenRow(
            id=token.id,
            gateway=gateway,
            parks=list(chosen),
            verifier=token.verifier,
            created_us=now_us,
            expires_us=now_us + round(days * _DAY_US),
            revoked_us=None,
            heard_us=None,
            versions={},
        )
        await asyncio.to_thread(self._store().put_token, row)
        return IssuedToken(token=token.text, **asdict(_entry(row)))

    async def entries(self) -> Sequence[GatewayTokenEntry]:
        """All tokens, also those that are over."""
        return [_entry(row) for row in await asyncio.to_thread(self._store().tokens)]

    async def revoke(self, token: str) -> None:
        """End a token; its gateway is refused from its next request on."""
        await asyncio.to_thread(self._store().revoke_token, token, self._now_us())

    # Who may do what

    async def admit(self, token: str | None, park: str, source: str, *, beside: bool) -> None:
        """Let a delivery in, or not.

        Parameters
        ----------
        token
            What it presents; None for nothing.
        park, source
            What it wants to deliver to, and as whom.
        beside
            Whether it comes from this machine, over no proxy. Only then it needs no token, and
            only under a name that has none.

        Raises
        ------
        Refused
            With the reason.
        """
        if token is not None:
            row = await self._row(token)
            if park not in row.parks or source != row.gateway:
                raise Refused(
                    f"this token is for gateway {row.gateway} and park {', '.join(row.parks)}, "
                    f"not for {source} and {park}",
                    _NEW,
                )
            return
        named = {row.gateway for row in await asyncio.to_thread(self._store().tokens)}
        if not beside or source in named:
            raise Refused(
                f"gateway {source} has to show its token",
                "send it as Authorization: Bearer ptg_…; `parktwin gateway-token create` makes one",
            )

    async def known(self, token: str) -> None:
        """Refuse a token that does not count, before anything else of its request is read.

        Raises
        ------
        InputError, Refused
            With the reason.
        """
        await self._row(token)

    async def hello(
        self, token: str, nonce: str, told: Mapping[str, Sequence[EndpointStatus]]
    ) -> SignedConfig:
        """Take what a gateway says of its endpoints, and answer what it has to read.

        Parameters
        ----------
        token
            Its token.
        nonce
            Signed with the answer, so that an old answer cannot be given again.
        told
            Park → what it says of its endpoints.

        Raises
        ------
        Refused
            When the token does not count.
        Unavailable
            While a park is starting.
        """
        row = await self._row(token)
        parks = [park for park in row.parks if park in self._known]
        found = [await self._config(row, park, told.get(park, ())) for park in parks]
        body = orjson.dumps(
            {"gateway": row.gateway, "expires_us": row.expires_us, "parks": found},
            option=orjson.OPT_SORT_KEYS,
        )
        signature = parse_token(token).sign(nonce.encode(), body)
        return SignedConfig(body=body, signature=signature)

    async def errands(
        self, token: str, nonce: str, run: str, reports: Sequence[Report]
    ) -> SignedConfig:
        """Take what a gateway says of its errands, and answer which are open for it.

        Parameters
        ----------
        token, nonce
            As of `hello`.
        run
            Names the gateway's process.
        reports
            What it found.

        Raises
        ------
        Refused
            When the token does not count.
        """
        row = await self._row(token)
        wanted = self._open.take(row.gateway, run, reports)
        body = orjson.dumps(plain_wanted(wanted))
        signature = parse_token(token).sign(ERRANDS, nonce.encode(), body)
        return SignedConfig(body=body, signature=signature)

    async def _config(
        self, row: GatewayTokenRow, park: str, told: Sequence[EndpointStatus]
    ) -> dict[str, object]:
        live = self._park(park)
        removed = await asyncio.to_thread(live.store.endpoints, park)
        rows = list(live.dictionary.open.values())
        configs = bindings.edge_configs(live.park, removed, rows, row.gateway)
        own = {config.id for config in configs}
        live.edges.take(row.gateway, [status for status in told if status.id in own])
        endpoints = [plain_of(config) for config in configs]
        plain = orjson.dumps(endpoints, option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(plain).hexdigest()
        version = await asyncio.to_thread(
            self._store().config_version, row.id, park, digest, self._now_us()
        )
        return {"park": park, "version": version, "endpoints": endpoints}

    async def _row(self, text: str) -> GatewayTokenRow:
        token = parse_token(text)
        row = await asyncio.to_thread(self._store().token, token.id)
        if row is None or not token.matches(row.verifier):
            raise Refused("this token is not known here", _NEW)
        if row.revoked_us is not None:
            raise Refused(f"token {row.id} of gateway {row.gateway} was revoked", _NEW)
        if row.expires_us <= self._now_us():
            raise Refused(f"token {row.id} of gateway {row.gateway} has expired", _NEW)
        return row


def _entry(row: GatewayTokenRow) -> GatewayTokenEntry:
    return GatewayTokenEntry(
        id=row.id,
        gateway=row.gateway,
        parks=tuple(row.parks),
        created_us=row.created_us,
        expires_us=row.expires_us,
        revoked_us=row.revoked_us,
        heard_us=row.heard_us,
    )
