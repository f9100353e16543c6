"""Endpoints and tags of a park: what its file says, and what people registered while it ran."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final, cast

from cluster.metadata.store import REGISTERED
from cluster.metadata.tables import EndpointRow, MappingRow
from cluster.ports import EndpointSpec
from connectors.opcua.config import (
    EndpointConfig,
    endpoint_config,
    items_of,
    notifiers_of,
    rate_of,
)
from connectors.opcua.report import EndpointState, EndpointStatus
from models.errors import InputError, NotFound
from twin.metrics import METRICS
from twin.notifiers import notifiers
from twin.park import Park
from twin.parkfile.mapping import Target, scale_to, source_unit
from twin.tags import Binding, TagRow

_CONFIG_FIELDS: Final = (
    *("url", "policy", "mode", "allow_insecure", "user", "password", "time_policy"),
    *("user_certificate", "user_key", "sampling_ms", "publishing_ms", "enabled"),
    *("bridge_s", "spares", "redundancy", "heartbeat", "heartbeat_s", "poll", "reverse"),
)
"""Fields of a registered endpoint that its gateway is told as they are."""


def wanted(
    park: Park, endpoints: Sequence[EndpointRow], mappings: Sequence[MappingRow]
) -> tuple[Binding, ...]:
    """Every tag a park wants now.

    A node mapped at run time takes its path from whatever the file bound to that path or node; the
    tags of a removed endpoint are gone.
    """
    removed = {row.id for row in endpoints if row.removed_us is not None}
    changed = {(row.endpoint, row.node) for row in mappings}
    taken = {split_unit(row.path)[0] for row in mappings if row.path}
    kept = [
        binding
        for binding in park.bindings
        if binding.endpoint not in removed
        and (binding.endpoint, binding.node) not in changed
        and binding.path not in taken
    ]
    new = [
        binding_of(park, row.endpoint, row.node, row.path)
        for row in mappings
        if row.path and row.endpoint not in removed
    ]
    told = [
        binding
        for row in endpoints
        if row.removed_us is None and row.origin == REGISTERED
        for binding in notifiers(park.id, row.id, _events(row.spec))
    ]
    return (*kept, *new, *told)


def binding_of(park: Park, endpoint: str, node: str, path: str) -> Binding:
    """The tag of a path: its unit and kind are those of the asset's metric.

    A path may end in the unit at the source, ``vsip1/acme/l1/p01/active_power [W]``: the values are
    converted to the stored one.

    Raises
    ------
    InputError, NotFound
        When the node or the path is none.
    """
    namespace, identifier = split_node(node)
    path, unit = split_unit(path)
    asset, metric = split_path(park, path)
    kind = park.assets[asset].type
    found = next((m for m in METRICS.get(kind, ()) if m.name == metric), None)
    if found is None:
        raise NotFound(f"metric of a {kind}", metric, tuple(m.name for m in METRICS.get(kind, ())))
    return Binding(
        path=path,
        unit=found.unit,
        kind=found.kind,
        endpoint=endpoint,
        namespace=namespace,
        identifier=identifier,
        scale=scale_to(Target(asset=asset, type=kind, metric=found), unit or None),
    )


def written(binding: Binding) -> str:
    """Path of a binding as a mapping keeps it: with the unit at its source where that differs."""
    unit = source_unit(binding)
    return f"{binding.path} [{unit}]" if unit else binding.path


def split_unit(path: str) -> tuple[str, str]:
    """Path and unit of ``path [unit]``; the unit is empty where none is written."""
    plain, bracket, unit = path.partition(" [")
    return (plain, unit.removesuffix("]")) if bracket and unit.endswith("]") else (path, "")


def split_path(park: Park, path: str) -> tuple[str, str]:
    """Asset id and metric of a tag path.

    Raises
    ------
    InputError
        When it has no such form, or is another park's.
    NotFound
        When there is no such asset.
    """
    asset, slash, metric = path.removeprefix(f"{park.id}/").rpartition("/")
    if not slash or not path.startswith(f"{park.id}/"):
        raise InputError(
            f"{path!r} is no tag path of this park", f"write {park.id}/<asset>/<metric>", "path"
        )
    if asset not in park.assets:
        raise NotFound("asset", asset, tuple(park.assets))
    return asset, metric


def split_node(node: str) -> tuple[str, str]:
    """Namespace URI and identifier of ``nsu=<URI>;s=…``.

    Raises
    ------
    InputError
        When it is written another way; a bare index means another node after a restart.
    """
    head, semicolon, identifier = node.partition(";")
    if (
        not head.startswith("nsu=")
        or not semicolon
        or identifier[:2] not in {"s=", "i=", "g=", "b="}
    ):
        raise InputError(
            f"{node[:80]!r} is no node", "write nsu=<URI>;s=<name> (or i=, g=, b=)", "node"
        )
    return head.removeprefix("nsu="), identifier


def configs(
    park: Park,
    endpoints: Sequence[EndpointRow],
    rows: Sequence[TagRow],
    urls: Mapping[str, str],
) -> tuple[EndpointConfig, ...]:
    """What the service has to read itself: endpoints of the file, and registered ones.

    Those of a gateway in the plant are not among them, see `edge_configs`.

    Parameters
    ----------
    park, endpoints
        The file, and what was registered or removed.
    rows
        Open rows of the tag dictionary.
    urls
        Addresses that take the place of the file's.
    """
    known = {row.id: row for row in endpoints}
    found = [
        endpoint_config(endpoint, rows, url=urls.get(name))
        for name, endpoint in park.endpoints.items()
        if name not in known and not endpoint.gateway
    ]
    found += [
        config_of(row.id, row.spec, rows)
        for row in endpoints
        if row.removed_us is None and row.origin == REGISTERED and not _gateway(row)
    ]
    return tuple(found)


def is_own_gateway(name: str) -> bool:
    """Whether a name is one of the service's own gateways: ``gateway``, ``gateway-2``, …"""
    return re.fullmatch(r"gateway(-\d+)?", name) is not None


def edge_configs(
    park: Park, endpoints: Sequence[EndpointRow], rows: Sequence[TagRow], gateway: str
) -> tuple[EndpointConfig, ...]:
    """What a gateway in the plant has to read: the endpoints that name it, by file or since."""
    known = {row.id for row in endpoints}
    found = [
        endpoint_config(endpoint, rows)
        for name, endpoint in park.endpoints.items()
        if name not in known and endpoint.gateway == gateway
    ]
    found += [
        config_of(row.id, row.spec, rows)
        for row in endpoints
        if row.removed_us is None and row.origin == REGISTERED and _gateway(row) == gateway
    ]
    return tuple(found)


def in_plants(park: Park, endpoints: Sequence[EndpointRow]) -> tuple[EndpointStatus, ...]:
    """Endpoints that gateways in plants read, as they are before anything is heard of them."""
    known = {row.id for row in endpoints}
    found = [
        EndpointStatus(
            id=one.id, url=one.url, security=one.security, gateway=one.gateway,
            state=EndpointState.OFFLINE, time_policy=one.time_policy,
        )
        for one in park.endpoints.values()
        if one.gateway and one.id not in known
    ]  # fmt: skip
    for row in endpoints:
        if row.removed_us is None and row.origin == REGISTERED and _gateway(row):
            config = config_of(row.id, row.spec, ())
            found.append(
                EndpointStatus(
                    id=row.id, url=config.url, security=config.security, gateway=_gateway(row),
                    state=EndpointState.OFFLINE, time_policy=config.time_policy,
                )
            )  # fmt: skip
    return tuple(found)


def _gateway(row: EndpointRow) -> str:
    """Gateway in a plant that reads a registered endpoint; empty for the service itself."""
    return str(row.spec.get("gateway", ""))


def config_of(name: str, spec: Mapping[str, object], rows: Sequence[TagRow]) -> EndpointConfig:
    """Configuration of a registered endpoint."""
    chosen = {field: spec[field] for field in _CONFIG_FIELDS if field in spec}
    if "spares" in chosen:
        chosen["spares"] = tuple(cast("Sequence[str]", chosen["spares"]))
    rate = rate_of(str(spec.get("deadband", "")))
    items = items_of(rows, name, {re.compile(".*", re.DOTALL): rate})
    events = notifiers_of(rows, name)
    return EndpointConfig(id=name, items=items, events=events, **chosen)  # type: ignore[arg-type]


def _events(spec: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", spec.get("events", ())))


def row_of(park: str, spec: EndpointSpec, now_us: int) -> EndpointRow:
    """A registered endpoint as the store keeps it.

    Raises
    ------
    InputError
        When its notifiers are none, or could not be heard.
    """
    if spec.poll and spec.events:
        raise InputError("an endpoint that is polled tells no events", "subscribe", "events")
    tuple(notifiers(park, spec.id, spec.events))
    plain = asdict(spec)
    plain.pop("mapping")
    return EndpointRow(
        park=park,
        id=spec.id,
        origin=REGISTERED,
        url=spec.url,
        spec=plain,
        fingerprint="",
        created_us=now_us,
        removed_us=None,
    )
