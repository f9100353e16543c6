"""The tables of the metadata store: everything that is not measured.

Times are wall times in microseconds since 1970. Telemetry never enters this store.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Float, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_SERIAL = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Declarative base of the store."""


class ParkRow(Base):
    """A park this installation runs, with the text it was applied from."""

    __tablename__ = "parks"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    demo: Mapped[bool] = mapped_column(Boolean)
    applied_us: Mapped[int] = mapped_column(BigInteger)


class EndpointRow(Base):
    """An endpoint of a park: from its park file (``origin`` file) or registered at run time.

    A removed endpoint keeps its row (``removed_us``), so that the park file does not bring it back.
    """

    __tablename__ = "endpoints"

    park: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    url: Mapped[str] = mapped_column(Text)
    spec: Mapped[dict[str, object]] = mapped_column(JSON)
    fingerprint: Mapped[str] = mapped_column(String(128), default="")
    created_us: Mapped[int] = mapped_column(BigInteger)
    removed_us: Mapped[int | None] = mapped_column(BigInteger, default=None)


class MappingRow(Base):
    """A node bound to a tag path at run time; an empty path unbinds what the park file bound."""

    __tablename__ = "mappings"

    park: Mapped[str] = mapped_column(String(64), primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(64), primary_key=True)
    node: Mapped[str] = mapped_column(String(512), primary_key=True)
    path: Mapped[str] = mapped_column(String(512))


class GatewayRow(Base):
    """A gateway × shard and its session counter, which grows at each start."""

    __tablename__ = "gateways"

    source: Mapped[str] = mapped_column(String(128), primary_key=True)
    session: Mapped[int] = mapped_column(BigInteger)
    started_us: Mapped[int] = mapped_column(BigInteger)


class GatewayTokenRow(Base):
    """A token of a gateway outside the service; of its secret only a hash is kept.

    ``versions``: park → version and digest of the configuration it was given last.
    """

    __tablename__ = "gateway_tokens"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    gateway: Mapped[str] = mapped_column(String(64), index=True)
    parks: Mapped[list[str]] = mapped_column(JSON)
    verifier: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int] = mapped_column(BigInteger)
    expires_us: Mapped[int] = mapped_column(BigInteger)
    revoked_us: Mapped[int | None] = mapped_column(BigInteger, default=None)
    heard_us: Mapped[int | None] = mapped_column(BigInteger, default=None)
    versions: Mapped[dict[str, list[object]]] = mapped_column(JSON, default=dict)


class RunRow(Base):
    """A what-if run: the durable queue, and where its outcome lies."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    park: Mapped[str] = mapped_column(String(64), index=True)
    spec: Mapped[str] = mapped_column(Text)
    plan: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    state: Mapped[str] = mapped_column(String(16), index=True)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    priority: Mapped[int] = mapped_column(Integer, default=0)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    submitted_by: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[int] = mapped_column(BigInteger, index=True)
    started_us: Mapped[int | None] = mapped_column(BigInteger, default=None)
    finished_us: Mapped[int | None] = mapped_column(BigInteger, default=None)
    heartbeat_us: Mapped[int | None] = mapped_column(BigInteger, default=None)
    owner: Mapped[str] = mapped_column(String(64), default="")
    cancel_by: Mapped[str] = mapped_column(String(200), default="")
    from_us: Mapped[int | None] = mapped_column(BigInteger, default=None)
    horizon_us: Mapped[int] = mapped_column(BigInteger)
    branches: Mapped[list[str]] = mapped_column(JSON)
    replications: Mapped[int] = mapped_column(Integer)
    error: Mapped[str] = mapped_column(Text, default="")
    result_hash: Mapped[str] = mapped_column(String(80), default="")
    outcome: Mapped[dict[str, object] | None] = mapped_column(JSON, default=None)


class AuditRow(Base):
    """Who did what; append-only, each row's hash covers the one before it."""

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(_SERIAL, primary_key=True, autoincrement=True)
    at_us: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(512))
    detail: Mapped[dict[str, object]] = mapped_column(JSON)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)


class DeedRow(Base):
    """A write to a PLC, or a call, that is under way: it ends as one row of the audit trail."""

    __tablename__ = "deeds"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    at_us: Mapped[int] = mapped_column(BigInteger)
    who: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(512))
    detail: Mapped[dict[str, object]] = mapped_column(JSON)


class NoteRow(Base):
    """A note somebody left at an asset."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(_SERIAL, primary_key=True, autoincrement=True)
    park: Mapped[str] = mapped_column(String(64), index=True)
    asset: Mapped[str] = mapped_column(String(256))
    at_us: Mapped[int] = mapped_column(BigInteger)
    by: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
