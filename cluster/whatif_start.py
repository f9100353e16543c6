"""Where a what-if starts: the twin now, the twin then, another run, or an empty park."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from cluster.live_park import LivePark
from cluster.metadata.store import MetadataStore
from cluster.settings import ServiceSettings
from cluster.whatif_tasks import libraries_hash
from models.errors import Conflict, InputError, NotFound
from twin.memory.snapshots import Snapshots
from twin.shard import Cut
from twin.snapshot import unpack_snapshot
from twin.state import ShardState
from twin.tags import TagDictionary, TagRow
from twin.whatif import snapshot as park_snapshot
from twin.whatif.origin import Origin, read_origin
from twin.whatif.parse import parse_whatif
from twin.whatif.plan import Plan


class WhatifStart:
    """Makes the plan of a run: park file, snapshot and text, complete for every later attempt.

    Parameters
    ----------
    parks
        The running parks.
    store
        The metadata store, for runs that others fork from.
    settings
        Where their memories are.
    """

    def __init__(
        self, parks: Mapping[str, LivePark], store: MetadataStore, settings: ServiceSettings
    ) -> None:
        self._parks, self._store, self._settings = parks, store, settings

    async def plan(self, park: str, text: str) -> tuple[bytes, int]:
        """Plan of a run, and the park time it starts from [us]."""
        live = self._parks[park]
        origin = read_origin(parse_whatif(text)[0].from_)
        parent: Plan | None = None
        if origin.kind == "run":
            parent = await asyncio.to_thread(self._parent, park, origin)
            taken = parent.snapshot
        else:
            taken = await self._snapshot(live, origin)
        plan = Plan(
            park_text=live.park.text if parent is None else parent.park_text,
            snapshot=taken,
            text=text,
            lock_hash=await asyncio.to_thread(libraries_hash),
            parent=parent,
        )
        start_us = park_snapshot.Snapshot.from_json(taken).at_us + origin.after_us
        return plan.to_bytes(), start_us

    async def _snapshot(self, live: LivePark, origin: Origin) -> bytes:
        if origin.kind == "now":
            return cast("bytes", await live.ask("whatif_snapshot"))
        if origin.kind == "empty":
            return park_snapshot.nominal(live.park, live.now_us).to_json()
        if origin.at_us > live.now_us:
            raise InputError("lies in the future", "start from now, or from a past time", "from")
        cut = cast("Cut", await live.ask("cut", None))
        memory = self._settings.folder.memory(live.id)
        return await asyncio.to_thread(past, live, cut, memory, origin.at_us)

    def _parent(self, park: str, origin: Origin) -> Plan:
        row = self._store.run(origin.run)
        if row.park != park:
            raise NotFound(f"run of park {park}", origin.run)
        if row.plan is None:
            raise Conflict(f"run {origin.run} has not begun", "wait until it has", "from")
        return Plan.from_bytes(row.plan)


def past(live: LivePark, cut: Cut, memory: Path, at_us: int) -> bytes:
    """The park at a past time: the newest state kept before it, and the samples up to it."""
    state, dictionary, since_us = kept_state(memory, at_us)
    if state is None:
        state, dictionary = ShardState(live.dictionary.all()), TagDictionary(live.rows)
        rows = live.reader.last(cut, live.dictionary.all(), at_us)
    else:
        state.add_rows([row for row in live.rows if row.tag not in dictionary.open])
        rows = live.reader.samples(cut, live.dictionary.all(), since_us, at_us + 1)
    fold(state, rows)
    return park_snapshot.take(live.park, TagDictionary(live.rows), state, at_us, 0).to_json()


def kept_state(memory: Path, at_us: int) -> tuple[ShardState | None, TagDictionary, int]:
    """The newest state kept before a time, its dictionary, and its own time [us]."""
    kept = Snapshots(memory).before(at_us)
    if kept is None:
        return None, TagDictionary(), 0
    plain, state = unpack_snapshot(kept.data)
    rows = [TagRow.from_dict(row) for row in plain["tags"]]
    return ShardState.restore(state), TagDictionary(rows), kept.at_us


def fold(state: ShardState, samples: pa.Table) -> None:
    """Take samples in the order of their source times."""
    ordered = samples.sort_by([("at", "ascending")]).combine_chunks()
    for batch in ordered.to_batches():
        state.fold(batch, np.zeros(batch.num_rows, np.bool_))
