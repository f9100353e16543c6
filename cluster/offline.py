"""What verbs do without a service: restore, migrate, a what-if right here."""

import re
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from cluster.backup_label import labelled_park
from cluster.layout import DataFolder
from cluster.metadata.upgrade import open_store
from cluster.ports import Outcome
from cluster.settings import ServiceSettings
from cluster.supervisor import only_one
from cluster.whatif_tasks import (
    combine_bytes,
    compile_bytes,
    libraries_hash,
    more_bytes,
    run_bytes,
)
from cluster.whatif_texts import read_request
from connectors.clock import wall_us
from models.errors import InputError
from twin.memory.backup import restore as restore_memory
from twin.memory.migrate import migrate as migrate_memory
from twin.parkfile.load import load_park
from twin.whatif.plan import Plan
from twin.whatif.snapshot import nominal

_PARK_ID: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did: whose memory, how many files, and where lies what was there before."""

    park: str
    files: int
    before: str


def run_whatif(text: str, park_file: Path, workers: int) -> Outcome:
    """Run a what-if from the park file alone: an empty park, or nothing measured yet."""
    park = load_park(park_file)
    request = read_request(text, {park.id: park})
    if request.origin not in {"now", "empty"}:
        raise InputError(
            f"from {request.origin!r} needs a service", "submit it, or start from empty", "from"
        )
    plan = Plan(
        park_text=park.text,
        snapshot=nominal(park, wall_us()).to_json(),
        text=text,
        lock_hash=libraries_hash(),
    ).to_bytes()
    parts: list[bytes] = []
    pieces = compile_bytes(plan)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while pieces:
            if workers == 1:
                parts += [run_bytes(plan, piece) for piece in pieces]
            else:
                parts += pool.map(run_bytes, [plan] * len(pieces), pieces)
            pieces = more_bytes(plan, parts)
    return combine_bytes(plan, parts)


def restore(data: DataFolder, park: str, source: Path) -> Restored:
    """Put a backup of a park's memory in place; what was there is kept beside it.

    Parameters
    ----------
    data
        Data folder of a service that is not running.
    park
        Whose memory it is; empty takes the backup's word.
    source
        The backup.

    Raises
    ------
    InputError, Conflict
        When the park is none, or while a service uses the data folder.
    Refused, Corrupt
        When the backup is not whole, or another park's.
    """
    park = labelled_park(source, park)
    if not _PARK_ID.fullmatch(park):
        raise InputError(f"{park!r} is no id of a park", "write the id of its park file", "park")
    with only_one(data):
        target = data.memory(park)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f"memory.before-{time.strftime('%Y%m%dT%H%M%S')}")
        taken = target.exists() and any(target.iterdir())
        if taken:
            target.rename(aside)
        try:
            files = restore_memory(source, target)
        except BaseException:
            if taken:
                aside.rename(target)
            raise
        if not (data.shard(park) / "journal").exists():
            data.restored(park).touch()
        return Restored(park=park, files=files, before=str(aside) if taken else "")


def migrate(data: DataFolder) -> Mapping[str, tuple[int, ...]]:
    """Bring everything in a data folder to this version's format; what was done, per part.

    Raises
    ------
    InputError
        When the folder holds no park.
    """
    folder = data.root / "parks"
    if not folder.is_dir():
        raise InputError(
            f"{data.root} holds no park", "give the --data folder of a service", "data"
        )
    with only_one(data):
        open_store(data.root, ServiceSettings(data=str(data.root)).database).close()
        parks = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        return {park: migrate_memory(data.memory(park)) for park in parks}
