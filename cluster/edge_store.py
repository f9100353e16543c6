"""What a gateway in a plant keeps on its own disk, so that it starts without its service.

``config.json`` holds what it has to read, as the service signed it; ``sessions.json`` the session
numbers that the service has set aside for its next starts. Both are its owner's alone.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import orjson

from cluster.config_json import config_from
from cluster.gateway_token import GatewayToken
from connectors.clock import wall_us
from connectors.opcua.config import EndpointConfig
from models.errors import Corrupt, InputError, Refused
from twin.memory.fsync import write_durably

logger = logging.getLogger(__name__)

SET_ASIDE: Final = 64
"""Starts a gateway may make while its service is away; asked for again when half are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """What a gateway has to read.

    Parameters
    ----------
    gateway
        Its name at the service.
    expires_us
        When its token ends [us].
    parks
        Park → version and endpoints.
    kept_us
        When it was written to this disk [us], for one that was read from there; else 0.
    """

    gateway: str
    expires_us: int
    parks: dict[str, tuple[int, tuple[EndpointConfig, ...]]]
    kept_us: int = field(default=0, compare=False)


def read_config(body: bytes) -> EdgeConfig:
    """The configuration in a body whose signature was verified.

    Raises
    ------
    Corrupt
        When this version does not understand it.
    """
    try:
        plain = orjson.loads(body)
        return EdgeConfig(
            gateway=str(plain["gateway"]),
            expires_us=int(plain["expires_us"]),
            parks={
                str(one["park"]): (
                    int(one["version"]),
                    tuple(config_from(endpoint) for endpoint in one["endpoints"]),
                )
                for one in plain["parks"]
            },
        )
    except (ValueError, KeyError, TypeError, InputError) as fault:
        raise Corrupt(
            f"the configuration cannot be read ({type(fault).__name__}: {fault})",
            "run the same version of parktwin here and at the service",
        ) from fault


class EdgeStore:
    """The files of one gateway.

    Parameters
    ----------
    folder
        Its folder.
    token
        Its token, whose signature the configuration bears.
    """

    def __init__(self, folder: Path, token: GatewayToken) -> None:
        self._folder, self._token = folder, token
        self._kept = b""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def keep(self, nonce: str, body: bytes, signature: str) -> EdgeConfig:
        """Verify a configuration, and keep it where it is another one than before.

        Raises
        ------
        Refused
            When this gateway's token has not signed it for this question.
        """
        if not self._token.signed(signature, nonce.encode(), body):
            raise Refused(
                "the configuration is not signed with this gateway's token",
                "whoever answers is not the service that made the token: look at --to",
            )
        found = read_config(body)
        if body != self._kept:
            kept = {"nonce": nonce, "signature": signature, "body": body.decode()}
            _write(self._folder / "config.json", {**kept, "kept_us": wall_us()})
            self._kept = body
        return found

    def kept(self) -> EdgeConfig | None:
        """The configuration that was kept last; None without one of this token and version."""
        try:
            plain = orjson.loads((self._folder / "config.json").read_bytes())
            body = str(plain["body"]).encode()
            signed = self._token.signed(str(plain["signature"]), str(plain["nonce"]).encode(), body)
            kept_us = min(int(plain.get("kept_us", 0)), wall_us())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        try:
            return replace(read_config(body), kept_us=kept_us) if signed else None
        except Corrupt as fault:
            logger.warning("what was kept is asked for again", extra={"cause": str(fault)})
            return None

    def sessions_left(self, park: str) -> int:
        """How many starts are set aside."""
        first, until = self._sessions(park)
        return until - first + 1

    def set_aside(self, park: str, first: int, until: int) -> None:
        """Keep session numbers that the service gave; higher than every one before."""
        _write(self._file(park), {"next": first, "until": until})

    def next_session(self, park: str) -> int | None:
        """Use up the next session number; None when none is left. Durable before it is used."""
        first, until = self._sessions(park)
        if first > until:
            return None
        _write(self._file(park), {"next": first + 1, "until": until})
        return first

    def _sessions(self, park: str) -> tuple[int, int]:
        try:
            plain = orjson.loads(self._file(park).read_bytes())
            return int(plain["next"]), int(plain["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return 1, 0

    def _file(self, park: str) -> Path:
        return self._folder / park / "sessions.json"


def _write(file: Path, plain: Mapping[str, object]) -> None:
    """Replace a file, durable, its owner's alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(file, orjson.dumps(plain), mode=0o600)
