"""Outages of the ``opcua`` bench: what is missing, doubled or wrong, and whether it was told."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from cluster.bench.report import Figure, at_least, at_most
from cluster.bench.stage import Stage
from connectors.load.audit import Verdict
from connectors.load.faults import QUICK, Fault, Kind, Outages, Setting


def _fault(stage: Stage, kind: Kind, seconds: float, quick_s: float, *, holds: bool) -> Fault:
    runs = stage.size(20, 3)
    return Fault(kind=kind, seconds=quick_s if stage.quick else seconds, runs=runs, holds=holds)


def _verdicts(stage: Stage, faults: Sequence[Fault]) -> list[Verdict]:
    setting = Setting(gateway=QUICK) if stage.quick else Setting()
    found = []
    for number, fault in enumerate(faults):
        stage.tell(f"{fault.runs} times {fault.kind} for {fault.seconds:g} s")
        folder = stage.folder / f"fault{number}-{fault.holds}"
        found.append(asyncio.run(Outages(folder, fault, setting).run()))
    return found


_WORDS: Final[Mapping[Kind, str]] = {
    "cut": "link cut",
    "flap": "link that flaps",
    "blackhole": "blackhole",
    "restart": "server restart",
    "receiver": "receiver away",
}


def outages(stage: Stage) -> Sequence[Figure]:
    """Outages that queues, or a history, hold: nothing may be missing."""
    faults = [
        _fault(stage, "cut", 0.1, 0.1, holds=True),
        _fault(stage, "cut", 5.0, 1.0, holds=True),
        _fault(stage, "cut", 60.0, 3.0, holds=True),
        _fault(stage, "flap", 0.5, 0.1, holds=True),
        _fault(stage, "restart", 1.0, 0.2, holds=True),
        _fault(stage, "blackhole", 20.0, 3.0, holds=True),
        _fault(stage, "receiver", 10.0, 1.0, holds=True),
    ]
    return [
        at_most(
            f"{_WORDS[f.kind]}, {f.seconds:g} s, {f.runs} runs: {what}", value, 0, "",
            n=found.values,
        )
        for f, found in zip(faults, _verdicts(stage, faults), strict=True)
        for what, value in (
            ("values missing", found.missing),
            ("duplicates", found.doubled),
            ("wrong tags", found.wrong),
        )
    ]  # fmt: skip


def told_of_losses(stage: Stage) -> Sequence[Figure]:
    """Outages that nothing holds: what is lost has to be told."""
    faults = [
        _fault(stage, "cut", 5.0, 2.0, holds=False),
        _fault(stage, "flap", 2.0, 1.0, holds=False),
        _fault(stage, "restart", 1.0, 0.2, holds=False),
        _fault(stage, "blackhole", 20.0, 3.0, holds=False),
    ]
    found = _verdicts(stage, faults)
    missing, told = sum(each.missing for each in found), sum(each.told for each in found)
    share = 100.0 * told / missing if missing else 100.0
    return (
        at_least("lost values in a gap row or a counter, all faults", share, 100, "%", n=missing),
    )
