"""A node as a crawl or a tag list tells it, and what was observed of its values."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from connectors.opcua.report import BrowsedNode

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What values of a variable did while somebody looked.

    Parameters
    ----------
    n
        Values looked at; those that are no numbers are not counted.
    least, most
        Smallest and largest.
    distinct
        Different values.
    rises, falls
        Steps up, and down.
    whole
        Whether every value was an integer.
    good
        Share of readings with a good status.
    """

    n: int
    least: float
    most: float
    distinct: int
    rises: int
    falls: int
    whole: bool
    good: float = 1.0


def observed(values: Iterable[float], good: float = 1.0) -> Observed | None:
    """Statistics of a series; None when it holds no finite number."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None
    steps = [after - before for before, after in pairwise(known)]
    return Observed(
        n=len(known),
        least=min(known),
        most=max(known),
        distinct=len(set(known)),
        rises=sum(1 for step in steps if step > 0),
        falls=sum(1 for step in steps if step < 0),
        whole=all(value == int(value) for value in known),
        good=good,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNode:
    """One node of an address space with everything that helps to say what it is.

    Parameters
    ----------
    node
        ``nsu=<URI>;<identifier>``.
    path
        Display names from the Objects folder, ``/`` between them.
    node_class
        Object, Variable or Method.
    names
        Display name per language (``vi``, ``en``), where it differs from the last step of the path.
    description, data_type
        As the server tells them; data type is the name of the built-in base.
    unit, unit_id
        Display name and UnitId of EUInformation.
    span
        EURange, low and high.
    access, rank
        AccessLevel bits and ValueRank.
    type_node, bases
        Type definition, and the types it derives from, as ``nsu=…``.
    status
        StatusCode of the last read.
    observed
        Statistics of its values, if somebody looked.
    """

    node: str
    path: str
    node_class: str = "Variable"
    names: Mapping[str, str] = field(default_factory=lambda: _NO_NAMES)
    description: str = ""
    data_type: str = ""
    unit: str = ""
    unit_id: int | None = None
    span: tuple[float, float] | None = None
    access: int = 1
    rank: int = -1
    type_node: str = ""
    bases: tuple[str, ...] = ()
    status: int = 0
    observed: Observed | None = None

    @property
    def name(self) -> str:
        """Last step of the path."""
        return self.path.rpartition("/")[2]

    @property
    def identifier(self) -> str:
        """The identifier without its type, when it is a text; else empty."""
        kind, _, text = self.node.partition(";")[2].partition("=")
        return text if kind == "s" else ""

    @property
    def writable(self) -> bool:
        """Whether the server lets clients write it: setpoints are, measurements are not."""
        return bool(self.access & 2)


def seen_of(browsed: BrowsedNode) -> SeenNode:
    """The same node from the little a plain browse tells."""
    return SeenNode(
        node=browsed.node,
        path=browsed.path or browsed.name,
        node_class=browsed.node_class,
        data_type=browsed.data_type,
        unit=browsed.unit,
        status=browsed.status,
    )
