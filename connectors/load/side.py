"""``python -m connectors.load.side SIDE JSON``: one side of the OPC UA bench, alone in a process.

Sides: ``ours`` and ``poll`` are a source, ``handler``, ``iterator`` and ``polling`` are asyncua;
``decode`` decodes messages without a connection. Prints one line of JSON.
"""

import asyncio
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from connectors.load.decoding import compare
from connectors.load.peers import PEERS
from connectors.load.taker import Plant, config_of, take
from connectors.load.values import Mix, Ticks
from connectors.opcua.security import Pki
from connectors.plant.server import die_with_parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a side shall do.

    Parameters
    ----------
    port, nodes, mix, zero_us, period_us
        The load server, as it told.
    seconds, publishing_ms, linger_s
        How long [s], publishing interval [ms], and pause before a batch is made [s].
    rounds
        How often to decode.
    policy, pki, certificate
        Security policy, folder for our certificates, and the server's.
    core
        Processor core to stay on; below 0 any.
    """

    nodes: int
    mix: Mix = "double"
    port: int = 0
    zero_us: int = 0
    period_us: int = 1
    seconds: float = 1.0
    publishing_ms: float = 100.0
    linger_s: float = 0.05
    rounds: int = 1
    policy: str = "None"
    pki: str = ""
    certificate: str = ""
    core: int = -1

    @property
    def plant(self) -> Plant:
        """The load server it speaks to."""
        return Plant(
            url=f"opc.tcp://127.0.0.1:{self.port}/load",
            nodes=self.nodes,
            mix=self.mix,
            ticks=Ticks(zero_us=self.zero_us, period_us=self.period_us),
        )


async def _run(side: str, task: Task) -> Mapping[str, object]:
    if side in PEERS:
        return asdict(await PEERS[side](task.plant, task.seconds, task.publishing_ms))
    config = config_of(
        task.plant, publishing_ms=task.publishing_ms, poll=side == "poll", policy=task.policy
    )
    pki = _trusting(Path(task.pki), Path(task.certificate)) if task.pki else None
    taken = await take(config, task.plant, task.seconds, linger_s=task.linger_s, pki=pki)
    return asdict(taken)


def _trusting(folder: Path, certificate: Path) -> Pki:
    """Certificates of our own, and trust in one server."""
    pki = Pki(folder)
    pki.own(datetime.now(UTC))
    shutil.copy(certificate, folder / "trusted")
    return pki


def main() -> None:
    """Entry of the process."""
    die_with_parent()
    # What it says about a server's revised intervals is no news here.
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    side, told = sys.argv[1:]
    task = Task(**json.loads(told))
    if task.core >= 0:
        os.sched_setaffinity(0, {task.core})
    if side == "decode":
        found: Mapping[str, object] = asdict(compare(task.nodes, task.mix, task.rounds))
    else:
        found = asyncio.run(_run(side, task))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
