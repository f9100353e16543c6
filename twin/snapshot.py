"""A shard's snapshot as bytes: plain data and the state, behind a checksum."""

import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

from models.errors import Corrupt, NewerFormat
from twin.records import pack_plain, unpack_plain

FORMAT: Final = 1
MAGIC: Final = b"PTWINSNP"
_HEAD: Final = struct.Struct("<8sIIQ")
_RESTORE: Final = "remove it: the snapshot before it and the journal replace it"


def pack_snapshot(plain: Mapping[str, object], state: bytes) -> bytes:
    """Magic, format, CRC32 of the rest, length of the plain data (JSON), it, and the state."""
    text = pack_plain(plain)
    crc = zlib.crc32(state, zlib.crc32(text, zlib.crc32(struct.pack("<Q", len(text)))))
    return _HEAD.pack(MAGIC, FORMAT, crc, len(text)) + text + state


def unpack_snapshot(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Inverse of `pack_snapshot`.

    Raises
    ------
    Corrupt
        When the bytes fail their checksum.
    NewerFormat
        When a newer parktwin wrote them.
    """
    if len(data) < _HEAD.size or data[: len(MAGIC)] != MAGIC:
        raise Corrupt("a shard snapshot is damaged", _RESTORE)
    _, version, crc, size = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    if zlib.crc32(body, zlib.crc32(struct.pack("<Q", size))) != crc:
        raise Corrupt("a shard snapshot fails its checksum", _RESTORE)
    if version > FORMAT:
        raise NewerFormat("a shard snapshot", version, FORMAT)
    return unpack_plain(body[:size]), bytes(body[size:])
