"""What a service asks of a gateway in a plant besides reading: the question, and what came of it.

An errand names one method and carries plain JSON; passwords stay references, which the plant's own
machine resolves. Both sides read through the types named here: neither takes the other's word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from cluster.config_json import config_from, plain_of
from cluster.errand_report import Fault
from cluster.ports import CertificateEntry, EndpointTest, Renewal
from connectors.onboarding.seen import SeenNode
from connectors.opcua.config import EndpointConfig
from connectors.opcua.report import BrowsedNode
from models.errors import Conflict, Corrupt, InputError, Refused, TwinError, Unavailable

ERRANDS: Final = b"errands"
"""Signed with an answer, so that it can be taken for no configuration."""
REPORT_MOST: Final = 8_000_000
"""Bytes of what one errand may find; longer lists are asked for in pages."""
_TEXT_MOST: Final = 4_000
"""Characters of an error that are believed: it goes into answers, logs and the trail."""
PAGE: Final = 5_000
"""Nodes of a crawl that travel at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of errand: what it takes and finds, and how long it may take [s]."""

    takes: TypeAdapter[Any]
    finds: TypeAdapter[Any]
    limit_s: float


def _kind(takes: TypeAdapter[Any], finds: TypeAdapter[Any], limit_s: float = 30.0) -> Kind:
    return Kind(takes=takes, finds=finds, limit_s=limit_s)


_CONFIG = dict[str, object]
_NOTHING: Final[TypeAdapter[Any]] = TypeAdapter(None)
_NAMED: Final[TypeAdapter[Any]] = TypeAdapter(tuple[str])
_FLAG: Final[TypeAdapter[Any]] = TypeAdapter(tuple[bool])
_TOLD: Final[TypeAdapter[Any]] = TypeAdapter(dict[str, object])
KINDS: Final[Mapping[str, Kind]] = {
    "try_endpoint": _kind(TypeAdapter(tuple[_CONFIG]), TypeAdapter(EndpointTest), 90.0),
    "browse": _kind(TypeAdapter(tuple[str, str]), TypeAdapter(tuple[BrowsedNode, ...]), 60.0),
    "crawl": _kind(TypeAdapter(tuple[str, bool] | tuple[str, bool, _CONFIG]), _TOLD),
    "crawl_stop": _kind(_NAMED, _TOLD),
    "crawled": _kind(TypeAdapter(tuple[str, int, int]), TypeAdapter(tuple[SeenNode, ...])),
    "tag_counts": _kind(_NAMED, TypeAdapter(dict[int, dict[str, object]])),
    "trust": _kind(TypeAdapter(tuple[str, str]), _NOTHING),
    "certificates": _kind(TypeAdapter(tuple[()]), TypeAdapter(list[CertificateEntry])),
    "certificate_der": _kind(_FLAG, TypeAdapter(str)),
    "certificate_trust": _kind(_NAMED, _NOTHING),
    "certificate_distrust": _kind(_NAMED, _NOTHING),
    "certificate_renew": _kind(_FLAG, TypeAdapter(Renewal), 110.0),
}
_FAULTS: Final[Mapping[str, type[InputError | Unavailable | Refused]]] = {
    "InputError": InputError,
    "Conflict": Conflict,
    "Unavailable": Unavailable,
    "Refused": Refused,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One errand.

    Parameters
    ----------
    id
        Given once.
    park
        Whose endpoints it is about; empty where that does not matter.
    method
        One of `KINDS`.
    arguments
        Plain JSON values.
    limit_s
        The gateway gives it up after so long [s].
    """

    id: str
    park: str
    method: str
    arguments: tuple[object, ...]
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a gateway is to do: all errands that are open for it, by the service's word.

    Parameters
    ----------
    news
        Another number than before: what it has to read has changed.
    errands
        One it does not know yet is begun; one that is not named any more is given up.
    """

    news: int
    errands: tuple[Errand, ...]


_WANTED: Final = TypeAdapter(Wanted)


def plain_wanted(wanted: Wanted) -> dict[str, object]:
    """Plain data of what is wanted."""
    return asdict(wanted)


def read_wanted(body: bytes) -> Wanted:
    """What is wanted, from a body whose signature was verified.

    Raises
    ------
    Corrupt
        When this version does not understand it.
    """
    try:
        return _WANTED.validate_json(body)
    except ValidationError as fault:
        raise Corrupt(
            f"errands cannot be read ({fault.error_count()} fault(s))",
            "run the same version of parktwin here and at the service",
        ) from fault


def plain_arguments(arguments: Sequence[object]) -> tuple[object, ...]:
    """Arguments as plain JSON; a configuration carries its passwords as references only."""
    return tuple(plain_of(one) if isinstance(one, EndpointConfig) else one for one in arguments)


def read_arguments(errand: Errand) -> tuple[object, ...]:
    """Inverse of `plain_arguments`.

    Raises
    ------
    InputError
        When this version knows no such errand, or other arguments of it.
    """
    kind = KINDS.get(errand.method)
    remedy = "run the same version of parktwin in the plant and at the service"
    if kind is None:
        raise InputError(f"the gateway knows no errand {errand.method[:40]!r}", remedy)
    try:
        plain = kind.takes.validate_python(tuple(errand.arguments))
        return tuple(config_from(one) if isinstance(one, dict) else one for one in plain)
    except (ValidationError, TypeError, KeyError, ValueError) as fault:
        raise InputError(
            f"the gateway cannot read errand {errand.method} ({type(fault).__name__})", remedy
        ) from fault


def fault_of(error: TwinError) -> Fault:
    """An error as it travels."""
    nearest = (name for kind in type(error).__mro__ if (name := kind.__name__) in _FAULTS)
    return Fault(
        error=next(nearest, "Unavailable"),
        what=_sendable(getattr(error, "what", error)),
        remedy=_sendable(getattr(error, "remedy", "")),
        where=_sendable(getattr(error, "where", "")),
    )


def _sendable(text: object) -> str:
    """A text without what JSON cannot carry: names of servers that are no UTF-8 hold surrogates.

    A report that cannot be sent would stay, and no other one would be sent with it either.
    """
    return str(text).encode(errors="replace").decode()


def error_of(fault: Fault) -> TwinError:
    """Inverse of `fault_of`, as far as errors of the tree can be told apart from outside."""
    kind = _FAULTS.get(fault.error, Unavailable)
    what, remedy, where = (text[:_TEXT_MOST] for text in (fault.what, fault.remedy, fault.where))
    if issubclass(kind, InputError):
        return kind(what, remedy, where)
    return kind(what, remedy)
