"""Companion models: what a node's type says, whatever it is called.

Recognised by the type definitions of DI, Machinery (OPC 40001-1), MachineTool (OPC 40501-1), PackML
(OPC 30050) and ISA-95 (OPC 10030). A mode or state whose codes are not those of the twin is told
and left: PackML's and MachineTool's modes count differently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connectors.onboarding.seen import SeenNode

_MACHINERY: Final = "nsu=http://opcfoundation.org/UA/Machinery/;i="
_MACHINE_TOOL: Final = "nsu=http://opcfoundation.org/UA/MachineTool/;i="
_PACKML: Final = "nsu=http://opcfoundation.org/UA/PackML/;i="
_ISA95: Final = "nsu=http://www.OPCFoundation.org/UA/2013/01/ISA95;i="
_DI: Final = "nsu=http://opcfoundation.org/UA/DI/;i="

_STATE_MACHINES: Final[Mapping[str, str]] = {
    f"{_MACHINERY}1002": "item_state",
    f"{_MACHINERY}1008": "operation_mode",
}
_OWN_CODES: Final[Mapping[str, str]] = {
    f"{_MACHINE_TOOL}26": "MachineTool.OperationMode",
    f"{_PACKML}4": "PackML.Status",
    f"{_PACKML}3": "PackML.BaseStateMachine",
    f"{_PACKML}2": "PackML.MachineState",
    f"{_PACKML}1": "PackML.ExecuteState",
}
_MEMBERS: Final[Mapping[tuple[str, str], str]] = {
    (f"{_MACHINE_TOOL}20", "PartsProducedInLifetime"): "part_count",
}
_OTHERS: Final[Mapping[str, str]] = {
    f"{_MACHINERY}1004": "Machinery identification",
    f"{_MACHINERY}1012": "Machinery identification",
    f"{_MACHINERY}1005": "Machinery identification",
    f"{_MACHINE_TOOL}11": "MachineTool identification",
    f"{_MACHINERY}1009": "Machinery operation counters",
    f"{_MACHINERY}1015": "Machinery lifetime counters",
    f"{_MACHINE_TOOL}29": "MachineTool production job",
    f"{_MACHINE_TOOL}32": "MachineTool program",
    f"{_MACHINE_TOOL}15": "MachineTool program state",
}
_MODELS: Final[Mapping[str, str]] = {
    _MACHINERY: "Machinery", _MACHINE_TOOL: "MachineTool", _PACKML: "PackML",
    _ISA95: "ISA-95", _DI: "DI",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What the model says of a variable: a metric of the twin, or why it is none."""

    model: str
    metric: str = ""
    why_not: str = ""
    steps: int = 1
    """How many of the path's last steps are the model's own."""


class Companions:
    """The types above each node of an address space.

    Parameters
    ----------
    nodes
        Every node, objects too, by path.
    """

    def __init__(self, nodes: Mapping[str, SeenNode]) -> None:
        self._nodes = nodes

    def of(self, node: SeenNode) -> Told | None:
        """What the companion model says of a variable; None when it says nothing."""
        above = self._nodes.get(node.path.rpartition("/")[0])
        if above is None:
            return None
        if node.name == "Number" and above.name == "CurrentState":
            machine = self._nodes.get(above.path.rpartition("/")[0])
            return self._state(machine) if machine is not None else None
        for kind in (above.type_node, *above.bases):
            metric = _MEMBERS.get((kind, node.name))
            if metric:
                return Told(_model(kind), metric)
            if kind in _OWN_CODES and node.data_type in {"Enumeration", "Int32", "UInt32"}:
                return Told(_model(kind), why_not=f"{_OWN_CODES[kind]} has codes of its own")
            if kind in _OTHERS:
                return Told(_model(kind), why_not=f"part of {_OTHERS[kind]}")
        return None

    def _state(self, machine: SeenNode) -> Told:
        for kind in (machine.type_node, *machine.bases):
            if kind in _STATE_MACHINES:
                return Told(_model(kind), _STATE_MACHINES[kind], steps=3)
        return Told(
            _model(machine.type_node), why_not=f"state of {machine.name}, with codes of its own"
        )


def models_of(node: SeenNode) -> str:
    """Companion model a node's type belongs to; empty for none."""
    return next((m for k in (node.type_node, *node.bases) if (m := _model(k))), "")


def _model(kind: str) -> str:
    return next((name for begin, name in _MODELS.items() if kind.startswith(begin)), "")
