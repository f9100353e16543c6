"""Event tags: one for each notifier of an endpoint, which is a node that tells events.

Their paths, ``park/endpoint/<endpoint>/events_<name>``, lie beside the assets: an endpoint tells of
whatever it stands for. The name follows from the node, so that a notifier keeps its tag whatever is
listed with it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final

from models.errors import InputError
from twin.tags import Binding, Kind

STANDARD: Final = "http://opcfoundation.org/UA/"
"""Namespace of nodes that are written without one, like ``i=2253``: the server itself."""
SERVER: Final = "i=2253"
_NODE: Final = re.compile(r"(?:nsu=(?P<namespace>[^;]+);)?(?P<identifier>[isgb]=.+)")
_LONGEST: Final = 32


def notifiers(park: str, endpoint: str, nodes: Iterable[str]) -> Iterator[Binding]:
    """Bindings of the event tags of an endpoint.

    Raises
    ------
    InputError
        When a node is none.
    """
    for node in nodes:
        found = _NODE.fullmatch(node)
        if found is None:
            raise InputError(
                f"{node!r} is no node", "write nsu=<URI>;s=<name>, or i=2253", f"{endpoint}.events"
            )
        namespace, identifier = found["namespace"] or STANDARD, found["identifier"]
        yield Binding(
            path=f"{park}/endpoint/{endpoint}/events_{_name(namespace, identifier)}",
            kind=Kind.EVENT,
            endpoint=endpoint,
            namespace=namespace,
            identifier=identifier,
        )


def is_notifier(binding: Binding) -> bool:
    """Whether a tag is the event tag of a notifier."""
    return binding.kind is Kind.EVENT and bool(binding.endpoint)


def _name(namespace: str, identifier: str) -> str:
    """Short, plain, and another one for another node."""
    if (namespace, identifier) == (STANDARD, SERVER):
        return "server"
    digest = hashlib.sha256(f"{namespace};{identifier}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "_", identifier[2:].lower()).strip("_")[:_LONGEST]
    return f"{plain}_{digest}" if plain else digest
