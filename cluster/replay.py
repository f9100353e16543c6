"""The proof that a twin equals its replay: rebuilt from copies, digests compared."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from cluster.layout import DataFolder
from connectors.clock import wall_us
from models.errors import InputError, NotFound, TwinError
from twin.disk import OsDisk
from twin.memory.snapshots import Snapshots
from twin.memory.store import Memory
from twin.park_logic import ParkLogic, year_of
from twin.parkfile.load import read_park
from twin.shard import Shard

DIGEST_FILE: Final = "digest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Outcome for one park.

    Parameters
    ----------
    park
        Its id.
    offset, digest
        Last journal offset, and the digest rebuilt from the newest snapshot and the journal.
    earlier
        The same from the snapshot before it; empty when the journal does not reach back so far.
    recorded
        What the living twin said at that offset; empty when it did not stop cleanly.
    equal
        Whether all that are there agree.
    note
        What could not be compared, and why.
    """

    park: str
    offset: int
    digest: str
    earlier: str
    recorded: str
    equal: bool
    note: str


def replay(data: DataFolder, parks: tuple[str, ...] = ()) -> tuple[Proof, ...]:
    """Rebuild every park of a data folder, running or not, from copies of its files.

    Raises
    ------
    InputError
        When the folder holds no park.
    """
    folder = data.root / "parks"
    known = tuple(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ()
    if not known:
        raise InputError(
            f"{data.root} holds no park", "give the --data folder of a service", "data"
        )
    for park in parks:
        if park not in known:
            raise NotFound("park", park, known)
    return tuple(_prove(data, park) for park in parks or known)


def record(folder: Path, offset: int, digest: str) -> None:
    """Keep what a living twin says of itself."""
    draft = folder / f"{DIGEST_FILE}.new"
    draft.write_bytes(orjson.dumps({"offset": offset, "digest": digest}))
    draft.replace(folder / DIGEST_FILE)


def _prove(data: DataFolder, park: str) -> Proof:
    notes = []
    with _copied(data, park) as copy:
        offset, digest = _rebuilt(copy, park)
    earlier = ""
    with _copied(data, park) as copy:
        kept = Snapshots(copy.memory(park)).paths()
        if kept:
            kept[-1].unlink()
            try:
                again, earlier = _rebuilt(copy, park)
            except TwinError as error:
                notes.append(f"no earlier start: {error}")
            else:
                if again != offset:
                    notes.append(f"the journal grew from {offset} to {again} meanwhile")
                    earlier = ""
        else:
            notes.append("no snapshot is kept yet: the whole journal was replayed")
    said_offset, said = _recorded(data.shard(park).parent)
    recorded = said if said_offset == offset else ""
    if not recorded:
        notes.append("the twin did not stop at this offset")
    found = {d for d in (digest, earlier, recorded) if d}
    return Proof(
        park=park,
        offset=offset,
        digest=digest,
        earlier=earlier,
        recorded=recorded,
        equal=len(found) == 1,
        note="; ".join(notes),
    )


def _rebuilt(copy: DataFolder, park: str) -> tuple[int, str]:
    memory = Memory.open(copy.memory(park))
    text = (copy.shard(park).parent / "park.yaml").read_text("utf-8")
    shard = Shard.open(
        copy.shard(park),
        park,
        now_us=wall_us(),
        disk=OsDisk(),
        memory=memory,
        logic=(ParkLogic(read_park(text), year_of(wall_us())),),
    )
    try:
        return shard.offset, shard.digest()
    finally:
        shard.close()


def _recorded(folder: Path) -> tuple[int, str]:
    try:
        said = orjson.loads((folder / DIGEST_FILE).read_bytes())
        return int(said["offset"]), str(said["digest"])
    except (OSError, ValueError, KeyError):
        return 0, ""


@contextmanager
def _copied(data: DataFolder, park: str) -> Iterator[DataFolder]:
    """A copy to work on; sealed files never change, so they are linked, the rest is copied."""
    with tempfile.TemporaryDirectory(prefix="replay-", dir=data.root) as folder:
        copy = DataFolder(root=Path(folder))
        shutil.copytree(data.shard(park).parent, copy.shard(park).parent, copy_function=_take)
        yield copy


def _take(source: str, target: str) -> None:
    try:
        if source.endswith(".parquet"):
            os.link(source, target)
        else:
            shutil.copy2(source, target)
    except FileNotFoundError:
        return  # a running service has just removed it
