"""Outcomes on disk: Arrow files with checksums, written whole or not at all."""

import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final, cast

import pyarrow as pa

from models.errors import Corrupt
from twin.disk import OsDisk
from twin.whatif.outcome import BANDS, KPIS, PAIRS, Outcome, Provenance

_TABLES: Final = {"kpis": KPIS, "bands": BANDS, "pairs": PAIRS}
_REMEDY: Final = "run the what-if again: the same inputs give the same hash"


def write(folder: Path, outcome: Outcome) -> dict[str, object]:
    """Store an outcome in a folder of its own; what to remember of it.

    Every file is on disk before its name stands; an outcome that was stored before is replaced.
    """
    disk = OsDisk()
    disk.make_folder(folder)
    checks: dict[str, object] = {}
    for name in _TABLES:
        data = _bytes(getattr(outcome, name))
        draft = folder / f"{name}.new"
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        disk.rename(draft, folder / f"{name}.arrow")
        checks[name] = {"bytes": len(data), "crc32": zlib.crc32(data)}
    disk.sync_folder(folder)
    return {"tables": checks, "provenance": asdict(outcome.provenance)}


def read(folder: Path, remembered: Mapping[str, object]) -> Outcome:
    """An outcome with every byte checked.

    Raises
    ------
    Corrupt
        When a file is missing or fails its checksum.
    """
    checks = cast("Mapping[str, Mapping[str, int]]", remembered["tables"])
    tables = {name: _checked(folder / f"{name}.arrow", checks[name]) for name in _TABLES}
    provenance = Provenance(**cast("dict[str, object]", remembered["provenance"]))  # type: ignore[arg-type]
    return Outcome(
        kpis=tables["kpis"], bands=tables["bands"], pairs=tables["pairs"], provenance=provenance
    )


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return cast("bytes", sink.getvalue().to_pybytes())


def _checked(path: Path, check: Mapping[str, int]) -> pa.Table:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Corrupt(f"{path} cannot be read ({error.strerror})", _REMEDY) from error
    if len(data) != check["bytes"] or zlib.crc32(data) != check["crc32"]:
        raise Corrupt(f"{path} fails its checksum", _REMEDY)
    return pa.ipc.open_file(data).read_all()
