"""The park as the twin knows it: assets, edges, endpoints and tag bindings of one park file."""

from collections.abc import Mapping
from dataclasses import dataclass

from twin.label import Label
from twin.parkfile.schema import Endpoint, ParkFile
from twin.tags import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetNode:
    """One asset.

    Parameters
    ----------
    id
        Path below the park: ``acme/moulding/l1/p01``, ``ss1/t1``, ``feeder07``, ``g1``.
    type
        site, aggregate, area, line, machine, buffer, substation, transformer, feeder, pv, bess,
        gate, yard, dock, berth, siding, boiler, wastewater_plant, weather, endpoint.
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
    text, digest
        The file's text and its SHA-256.
    """

    spec: ParkFile
    assets: Mapping[str, AssetNode]
    edges: tuple[Edge, ...]
    bindings: tuple[Binding, ...]
    endpoints: Mapping[str, Endpoint]
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
