"""The park as the twin knows it: assets, edges, endpoints and tag bindings of one park file."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import NotFound, Problem
from twin.label import Label
from twin.parkfile.schema import ChainItem, Endpoint, EquipmentClass, ParkFile, Strict
from twin.tags import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetNode:
    """One asset.

    Parameters
    ----------
    id
        Path below the park: ``acme/moulding/l1/p01``, ``ss1/t1``, ``feeder07``, ``g1``.
    type
        site, aggregate, area, line, machine, buffer, grid, substation, transformer, feeder, pv,
        bess, gate, yard, dock, berth, siding, boiler, wastewater_plant, weather, endpoint.
    label
        Name in both languages.
    parent
        Id of the parent; None for those directly below the park.
    owner
        Organisation.
    attributes
        Shown as they are written in the file, with units.
    """

    id: str
    type: str
    label: Label
    parent: str | None
    owner: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A typed, directed edge: contains, feeds, routes, moves, supplies or measures."""

    kind: str
    source: str
    target: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """A checked park file, compiled.

    Parameters
    ----------
    spec
        The file as it was read: quantities as floats in canonical units.
    assets
        All assets by id, parents before children.
    edges
        All edges.
    bindings
        Every tag the park wants: ``<park>/<asset>/<metric>``.
    endpoints
        Endpoints by id.
    elements
        The schema's element of each asset (the weather station has none).
    sampling_s
        Wanted sampling interval of each tag path [s].
    warnings
        What is allowed but looks wrong.
    text, digest
        The file's text and its SHA-256.
    """

    spec: ParkFile
    assets: Mapping[str, AssetNode]
    edges: tuple[Edge, ...]
    bindings: tuple[Binding, ...]
    endpoints: Mapping[str, Endpoint]
    elements: Mapping[str, Strict]
    sampling_s: Mapping[str, float]
    warnings: tuple[Problem, ...] = ()
    text: str
    digest: str

    @property
    def id(self) -> str:
        """Id of the park."""
        return self.spec.id

    @property
    def tz(self) -> str:
        """IANA zone the park is shown in."""
        return self.spec.tz

    def of_type(self, kind: str) -> tuple[AssetNode, ...]:
        """Assets of a type, in the file's order."""
        return tuple(node for node in self.assets.values() if node.type == kind)

    def below(self, asset: str) -> tuple[AssetNode, ...]:
        """Assets whose id lies below an asset's id, in the file's order."""
        return tuple(n for i, n in self.assets.items() if i.startswith(f"{asset}/"))

    def class_of(self, machine: str) -> EquipmentClass:
        """Equipment class of a machine.

        Raises
        ------
        NotFound
            When no machine has that id.
        """
        item = self.elements.get(machine)
        if not isinstance(item, ChainItem) or item.type is None:
            raise NotFound("machine", machine, tuple(n.id for n in self.of_type("machine")))
        return self.spec.types[item.type]
