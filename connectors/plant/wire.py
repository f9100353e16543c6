"""What the plant tells its server processes: one setup line, then one frame per wall second.

A server process reads its standard input. The first line is its setup as JSON; after it come
frames. The end of the input is the end of the plant, so a server never outlives it.
"""

import asyncio
import json
import struct
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.plant.layout import NodePlan
from models.errors import InputError

_HEAD: Final = struct.Struct("<IqqdI")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSetup:
    """All a server process has to know.

    Parameters
    ----------
    endpoint, url
        Id of the endpoint it plays, and the address it listens at.
    namespaces
        Namespace URIs in the server's order, after the standard one and the server's own.
    nodes
        Variables to create.
    secure
        Offer Basic256Sha256 SignAndEncrypt only, with the key pair in `pki`.
    pki
        Folder of certificate and key; empty when not secure.
    user, password
        Needed to log in when not empty.
    """

    endpoint: str
    url: str
    namespaces: tuple[str, ...]
    nodes: tuple[NodePlan, ...]
    secure: bool = False
    pki: str = ""
    user: str = ""
    password: str = ""

    def line(self) -> bytes:
        """The setup as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "ServerSetup":
        """Inverse of `line`."""
        raw = json.loads(line)
        nodes = tuple(
            NodePlan(**node | {"folders": tuple(node["folders"]), "names": tuple(node["names"])})
            for node in raw.pop("nodes")
        )
        return cls(nodes=nodes, **raw | {"namespaces": tuple(raw["namespaces"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The values of one server at one instant.

    Parameters
    ----------
    at_us
        Source time of the values, with the fault of the PLC's clock if it has one [us].
    clock_us
        True time of the plant [us].
    speed
        Seconds of park time per wall second.
    values
        One per live node, in the order of the setup; NaN where the source has no value.
    """

    at_us: int
    clock_us: int
    speed: float
    values: npt.NDArray[np.float64]

    def encode(self) -> bytes:
        """The frame as bytes, its length first."""
        body = np.ascontiguousarray(self.values, "<f8").tobytes()
        n = len(self.values)
        return _HEAD.pack(_HEAD.size + len(body), self.at_us, self.clock_us, self.speed, n) + body

    @classmethod
    def decode(cls, data: bytes) -> "Frame":
        """Inverse of `encode`.

        Raises
        ------
        InputError
            When the length does not fit.
        """
        size, at_us, clock_us, speed, n = _HEAD.unpack_from(data)
        if size != len(data) or size != _HEAD.size + 8 * n:
            raise InputError(f"a frame of {len(data)} bytes names {n} values", "restart the plant")
        values = np.frombuffer(data, "<f8", n, _HEAD.size)
        return cls(at_us=at_us, clock_us=clock_us, speed=speed, values=values)


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Read the next frame; None at the end of the input."""
    try:
        head = await reader.readexactly(_HEAD.size)
        size = _HEAD.unpack(head)[0]
        return Frame.decode(head + await reader.readexactly(size - _HEAD.size))
    except asyncio.IncompleteReadError:
        return None
