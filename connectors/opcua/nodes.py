"""Node ids as files write them (``nsu=<URI>;s=…``) and as one session of one server knows them.

A namespace index holds for one session of one server only: a restarted server may number its
namespaces differently. So URIs are stored, and indexes are looked up on every connect.
"""

import base64
import uuid
from collections.abc import Sequence

from asyncua import ua

from models.errors import InputError, NotFound

UA_NAMESPACE = "http://opcfoundation.org/UA/"


def split_node(text: str) -> tuple[str, str]:
    """Split ``nsu=<URI>;<identifier>`` into URI and identifier.

    Raises
    ------
    InputError
        When the text is a bare index (``ns=2;…``) or no node id at all.
    """
    head, _, identifier = text.partition(";")
    if text.startswith(("i=", "s=", "g=", "b=")):
        return UA_NAMESPACE, text
    if head.startswith("ns="):
        raise InputError(
            f"{text!r} has a bare namespace index", "write nsu=<URI>;…, as `browse` shows it"
        )
    if not head.startswith("nsu=") or not identifier:
        raise InputError(f"{text!r} is no node id", "write it like nsu=http://acme.vn/plc;s=L1.P01")
    return head[4:], identifier


def resolve(namespace: str, identifier: str, namespaces: Sequence[str]) -> ua.NodeId:
    """Node id for this session.

    Parameters
    ----------
    namespace, identifier
        URI, and identifier with its type: ``s=…``, ``i=…``, ``g=…`` or ``b=…`` (base64).
    namespaces
        The server's NamespaceArray, read in this session.

    Raises
    ------
    NotFound
        When the server has no such namespace.
    InputError
        When the identifier cannot be read.
    """
    if namespace not in namespaces:
        raise NotFound("namespace", namespace, tuple(namespaces))
    index = namespaces.index(namespace)
    kind, _, value = identifier.partition("=")
    try:
        match kind:
            case "s":
                return ua.NodeId(ua.String(value), ua.Int16(index), ua.NodeIdType.String)
            case "i":
                return ua.NodeId(ua.Int32(int(value)), ua.Int16(index), ua.NodeIdType.Numeric)
            case "g":
                return ua.NodeId(ua.Guid(value), ua.Int16(index), ua.NodeIdType.Guid)
            case "b":
                data = base64.b64decode(value, validate=True)
                return ua.NodeId(ua.ByteString(data), ua.Int16(index), ua.NodeIdType.ByteString)
    except ValueError:
        pass
    raise InputError(f"{identifier!r} is no identifier", "write s=…, i=…, g=… or b=…")


def written(node: ua.NodeId, namespaces: Sequence[str]) -> str:
    """Inverse of `resolve`: ``nsu=<URI>;<identifier>``; an unknown index becomes an empty URI."""
    index = int(node.NamespaceIndex)
    uri = namespaces[index] if index < len(namespaces) else ""
    value = node.Identifier
    match value:
        case bytes():
            return f"nsu={uri};b={base64.b64encode(value).decode()}"
        case uuid.UUID():
            return f"nsu={uri};g={value}"
        case str():
            return f"nsu={uri};s={value}"
        case _:
            return f"nsu={uri};i={value}"
