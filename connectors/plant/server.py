"""One server process of the virtual plant: ``python -m connectors.plant.server``, fed by the plant.

It reads its setup and frames from standard input (see `connectors.plant.wire`), shows them as an
OPC UA server, and writes one JSON object per line to standard output: ``{"ready": url}`` once, and
what a client asked for through the methods of PlantControl. It ends when its input ends.
"""

import asyncio
import ctypes
import gc
import hmac
import json
import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from asyncua import ua
from asyncua.common.methods import uamethod
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

from connectors.plant.address_space import AddressSpace, clock_value
from connectors.plant.ids import named, numbered
from connectors.plant.layout import MACHINERY, PLANT
from connectors.plant.wire import Frame, ServerSetup, read_frame
from twin.samples import from_us

_LIMIT: Final = 64 * 1024 * 1024
_BACKLOG: Final = 5
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Ask the kernel (Linux) to kill this process when its parent ends, even while stopped."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class OneUser(UserManager):
    """Log in with the one name and password, nothing else."""

    def __init__(self, name: str, password: str) -> None:
        self._name, self._password = name, password

    def get_user(
        self,
        iserver: object,
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: object = None,
    ) -> User | None:
        """The user when both fit, else None."""
        del iserver, certificate
        given = password.decode() if isinstance(password, bytes) else password or ""
        same = hmac.compare_digest(given.encode(), self._password.encode())
        return User(role=UserRole.User, name=username) if same and username == self._name else None


@dataclass(slots=True)
class Clock:
    """The clock nodes of a server."""

    time: ua.NodeId
    speed: ua.NodeId
    server: Server

    async def show(self, frame: Frame) -> None:
        """Write time and speed."""
        at = from_us(frame.clock_us)
        await self.server.write_attribute_value(self.time, clock_value(at, at))
        await self.server.write_attribute_value(self.speed, clock_value(frame.speed, at))


@dataclass(slots=True)
class PlantServerProcess:
    """One OPC UA server that shows what the plant sends."""

    setup: ServerSetup
    server: Server = field(init=False)
    space: AddressSpace = field(init=False)
    clock: Clock = field(init=False)

    async def start(self) -> None:
        """Build the address space and listen."""
        users = OneUser(self.setup.user, self.setup.password) if self.setup.user else None
        self.server = Server(user_manager=users)
        await self.server.init()
        self.server.set_endpoint(self.setup.url)
        self.server.set_server_name(f"Virtual plant {self.setup.endpoint}")
        await self.server.set_application_uri(f"urn:parktwin:plant:{self.setup.endpoint}")
        await self.server.set_build_info(
            f"urn:parktwin:plant:{self.setup.endpoint}",
            "Virtual Plant",
            "parktwin virtual plant",
            "1",
            "1",
            datetime.fromtimestamp(0).astimezone(),
        )
        await self._secure()
        indexes = {uri: await self.server.register_namespace(uri) for uri in self.setup.namespaces}
        folders: dict[tuple[str, ...], ua.NodeId] = {}
        if MACHINERY in indexes:
            folders[("Machines",)] = await self._machines_folder(indexes[MACHINERY])
        self.space = AddressSpace(self.server, indexes, folders)
        await self.space.build(self.setup.nodes)
        await self._control(indexes[PLANT])
        await self.server.start()

    async def show(self, frame: Frame) -> None:
        """Show one frame: the clock, then new values or, for a dead PLC, the old ones held."""
        await self.clock.show(frame)
        if len(frame.values):
            await self.space.show(frame)
        else:
            await self.space.hold(frame.clock_us)

    async def _secure(self) -> None:
        if self.setup.user:
            self.server.set_identity_tokens([ua.UserNameIdentityToken])
        else:
            self.server.set_identity_tokens([ua.AnonymousIdentityToken])
        if not self.setup.secure:
            self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            return
        pki = Path(self.setup.pki)
        await self.server.load_certificate(pki / "plant_cert.der")
        await self.server.load_private_key(pki / "plant_key.pem")
        self.server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])

    async def _machines_folder(self, index: int) -> ua.NodeId:
        """OPC 40001-1 gives the Machines folder the identifier 1001 of its own namespace."""
        objects = self.server.get_objects_node()
        own = numbered(1001, index)
        await objects.add_folder(own, ua.QualifiedName("Machines", index))
        return own

    async def _control(self, index: int) -> None:
        objects = self.server.get_objects_node()
        clock = await objects.add_object(named("PlantClock", index), f"{index}:PlantClock")
        start = datetime.fromtimestamp(0).astimezone()
        time = await clock.add_variable(
            named("PlantClock.Time", index), f"{index}:Time", start, ua.VariantType.DateTime
        )
        speed = await clock.add_variable(
            named("PlantClock.Speed", index), f"{index}:Speed", 1.0, ua.VariantType.Double
        )
        self.clock = Clock(time.nodeid, speed.nodeid, self.server)
        text, number = ua.VariantType.String, ua.VariantType.Double
        control = await objects.add_object(named("PlantControl", index), f"{index}:PlantControl")
        await control.add_method(
            named("PlantControl.InjectFault", index),
            f"{index}:InjectFault",
            _inject_fault,
            [text, text, number, number],
            [],
        )
        await control.add_method(
            named("PlantControl.ClearFault", index),
            f"{index}:ClearFault",
            _clear_fault,
            [text, text],
            [],
        )


@uamethod
async def _inject_fault(
    parent: ua.NodeId, kind: str, target: str, size: float, duration_s: float
) -> None:
    """Ask the plant for a fault; a duration of 0 lasts until it is cleared."""
    del parent
    tell({"fault": {"kind": kind, "target": target, "size": size, "duration_s": duration_s}})


@uamethod
async def _clear_fault(parent: ua.NodeId, kind: str, target: str) -> None:
    del parent
    tell({"clear": {"kind": kind, "target": target}})


def tell(message: Mapping[str, object]) -> None:
    """Write one line to the plant."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    return reader


async def _frames_to_queue(
    reader: asyncio.StreamReader, queue: asyncio.Queue[Frame | None]
) -> None:
    while True:
        frame = await read_frame(reader)
        await queue.put(frame)
        if frame is None:
            return


async def run() -> None:
    """Serve until the input ends."""
    reader = await _input()
    line = await reader.readline()
    if not line:
        return
    process = PlantServerProcess(ServerSetup.from_line(line))
    try:
        await process.start()
    except OSError as error:
        tell({"failed": error.strerror or str(error)})
        return
    gc.freeze()
    gc.enable()
    tell({"ready": process.setup.url})
    queue: asyncio.Queue[Frame | None] = asyncio.Queue()
    reading = asyncio.create_task(_frames_to_queue(reader, queue))
    try:
        while (frame := await queue.get()) is not None:
            # After a pause only the present counts: a PLC does not replay what it did not send.
            while queue.qsize() > _BACKLOG and frame is not None:
                frame = await queue.get()
            if frame is None:
                break
            await process.show(frame)
    finally:
        reading.cancel()
        await process.server.stop()


def main() -> None:
    """Entry of the process."""
    die_with_parent()
    # Thousands of nodes are made and none is dropped: collecting meanwhile doubles the start.
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    asyncio.run(run())


if __name__ == "__main__":
    main()
