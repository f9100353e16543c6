"""The queue of what-if runs with a runner that stays in the process."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cluster.jobs import JobQueue, JobSettings, Request
from cluster.metadata.store import MetadataStore
from cluster.metadata.upgrade import open_store
from cluster.ports import Outcome, Provenance, RunState
from cluster.whatif_tasks import Work
from cluster.workers import WorkerLost, WorkFailed
from connectors.clock import wall_us
from models.errors import Conflict, Corrupt, InputError, NotFound, Unavailable
from twin.whatif.outcome import BANDS, KPIS, PAIRS
from twin.whatif.plan import Piece

REQUEST = Request(
    name="n", park="p", origin="now", horizon_us=1, branches=("base",), replications=32
)
QUICK = JobSettings(look_s=0.01, beat_s=0.02, stale_s=5.0, attempts=3)


def outcome(result_hash: str) -> Outcome:
    return Outcome(
        kpis=KPIS.empty_table(),
        bands=BANDS.empty_table(),
        pairs=PAIRS.empty_table(),
        provenance=Provenance(
            snapshot_hash="s",
            spec_hash="t",
            code_version="0",
            lock_hash="l",
            seed=1,
            result_hash=result_hash,
            replications=32,
            from_us=7,
            cpu="x",
        ),
    )


class Here:
    """Workers that are functions of this process."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.most = self._busy = 0

    def share(self, value: object) -> object:
        return value

    async def call(self, function: Callable[..., object], *arguments: object, limit_s: float):
        self._busy += 1
        self.most = max(self.most, self._busy)
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(0)
                made = function(*arguments)
                return await made if asyncio.iscoroutine(made) else made
        except TimeoutError as error:
            raise WorkFailed("too long") from error
        finally:
            self._busy -= 1


def simple_work(pieces: int = 4) -> Work:
    def combine(plan: bytes, parts: Sequence[bytes]) -> Outcome:
        return outcome(b"+".join(parts).decode())

    return Work(
        compile=lambda plan: tuple(Piece(first=16 * n, count=16) for n in range(pieces)),
        run=lambda plan, piece: str(piece.first).encode(),
        more=lambda plan, parts: (),
        combine=combine,
    )


class Bench:
    """A queue with its dispatcher running."""

    def __init__(self, store: MetadataStore, folder, work: Work, **changes) -> None:
        self.workers = changes.pop("workers", Here())
        self.plans = 0
        self.store = store

        async def make_plan(park: str, text: str) -> tuple[bytes, int]:
            self.plans += 1
            return b"plan", 7

        self.queue = JobQueue(
            store,
            self.workers,
            work,
            folder,
            changes.pop("make_plan", make_plan),
            changes.pop("free", lambda: 1.0),
            replace(QUICK, **changes),
        )

    async def __aenter__(self) -> "Bench":
        self._task = asyncio.create_task(self.queue.dispatch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def ended(self, run: str) -> str:
        waiting = {RunState.QUEUED, RunState.RUNNING}
        await self._until(lambda: self.store.run(run).state not in waiting)
        return self.store.run(run).state

    async def running(self, run: str) -> None:
        await self._until(lambda: self.store.run(run).state == RunState.RUNNING)

    async def _until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - a table tells nobody that it changed
                await asyncio.sleep(0.01)


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "data")
    yield opened
    opened.close()


async def test_a_run_is_done_and_its_outcome_kept(store, tmp_path):
    async with Bench(store, tmp_path / "runs", simple_work()) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        assert await bench.ended(run.id) == RunState.DONE
        found = await bench.queue.outcome(run.id)
    assert found.provenance.result_hash == "0+16+32+48"
    assert store.run(run.id).from_us == 7


async def test_parts_are_combined_in_order_whatever_the_number_of_slots(store, tmp_path):
    hashes = set()
    for slots in (1, 4):
        async with Bench(store, tmp_path / "runs", simple_work(9), workers=Here(slots)) as bench:
            run = await bench.queue.submit("text", REQUEST, "me", 0)
            await bench.ended(run.id)
            hashes.add(store.run(run.id).result_hash)
            assert bench.workers.most <= slots
    assert len(hashes) == 1


async def test_a_stopping_rule_asks_for_more_pieces(store, tmp_path):
    work = replace(
        simple_work(1),
        more=lambda plan, parts: (Piece(first=16, count=16),) if len(parts) < 2 else (),
    )
    async with Bench(store, tmp_path / "runs", work) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        await bench.ended(run.id)
    assert store.run(run.id).result_hash == "0+16"


async def test_a_run_whose_worker_dies_is_tried_again_from_the_same_plan(store, tmp_path):
    tries = []

    def die_twice(plan: bytes, piece: Piece) -> bytes:
        tries.append(piece)
        if len(tries) <= 2:
            raise WorkerLost("its process died")
        return b"ok"

    async with Bench(store, tmp_path / "runs", replace(simple_work(1), run=die_twice)) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        assert await bench.ended(run.id) == RunState.DONE
        assert bench.plans == 1
    assert store.run(run.id).attempt == 3


async def test_a_poison_run_is_given_up_and_the_next_one_runs(store, tmp_path):
    def poison(plan: bytes) -> tuple[Piece, ...]:
        raise WorkerLost("segmentation fault")

    async with Bench(store, tmp_path / "runs", replace(simple_work(), compile=poison)) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        assert await bench.ended(run.id) == RunState.FAILED
    assert "given up after 3 attempts" in store.run(run.id).error
    async with Bench(store, tmp_path / "runs", simple_work()) as bench:
        good = await bench.queue.submit("text", REQUEST, "me", 0)
        assert await bench.ended(good.id) == RunState.DONE


async def test_a_fault_of_the_input_is_told_and_not_tried_again(store, tmp_path):
    def wrong(plan: bytes) -> tuple[Piece, ...]:
        raise InputError("no battery 'b9'", "did you mean 'b1'?", "branches.x")

    async with Bench(store, tmp_path / "runs", replace(simple_work(), compile=wrong)) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        assert await bench.ended(run.id) == RunState.FAILED
        with pytest.raises(Conflict, match="no battery"):
            await bench.queue.outcome(run.id)
    assert store.run(run.id).attempt == 1


async def test_an_endless_piece_is_stopped_and_fails_its_run_only(store, tmp_path):
    async def endless(plan: bytes, piece: Piece) -> bytes:
        await asyncio.sleep(3600)
        return b""

    work = replace(simple_work(1), run=endless)
    async with Bench(store, tmp_path / "runs", work, task_s=0.05) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        assert await bench.ended(run.id) == RunState.FAILED


async def test_a_running_run_can_be_cancelled(store, tmp_path):
    async def slow(plan: bytes, piece: Piece) -> bytes:
        await asyncio.sleep(3600)
        return b""

    async with Bench(store, tmp_path / "runs", replace(simple_work(), run=slow)) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        await bench.running(run.id)
        await bench.queue.cancel(run.id, "boss")
        assert await bench.ended(run.id) == RunState.CANCELLED
    assert store.run(run.id).error == "cancelled by boss"


async def test_a_run_under_way_waits_for_the_next_service_when_this_one_ends(store, tmp_path):
    async def slow(plan: bytes, piece: Piece) -> bytes:
        await asyncio.sleep(3600)
        return b""

    async with Bench(store, tmp_path / "runs", replace(simple_work(), run=slow)) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        await bench.running(run.id)
    assert store.run(run.id).state == RunState.QUEUED
    async with Bench(store, tmp_path / "runs", simple_work()) as bench:
        assert await bench.ended(run.id) == RunState.DONE


async def test_nothing_starts_on_a_full_disk(store, tmp_path):
    async with Bench(store, tmp_path / "runs", simple_work(), free=lambda: 0.05) as bench:
        with pytest.raises(Unavailable, match="5%"):
            await bench.queue.submit("text", REQUEST, "me", 0)


async def test_a_flipped_bit_in_an_outcome_is_never_served(store, tmp_path):
    async with Bench(store, tmp_path / "runs", simple_work()) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        await bench.ended(run.id)
        path = tmp_path / "runs" / run.id / "kpis.arrow"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(Corrupt, match="checksum"):
            await bench.queue.outcome(run.id)


async def test_an_outcome_is_asked_for_too_early(store, tmp_path):
    queue = Bench(store, tmp_path / "runs", simple_work()).queue
    run = await queue.submit("text", REQUEST, "me", 0)
    with pytest.raises(Unavailable, match="queued"):
        await queue.outcome(run.id)


async def test_a_step_of_the_wall_clock_takes_no_run_from_the_dispatcher_that_runs_it(
    store, tmp_path, monkeypatch
):
    began, looks, ending = [], [], asyncio.Event()

    async def slow(plan: bytes, piece: Piece) -> bytes:
        began.append(piece)
        await ending.wait()
        return b"ok"

    look = store.requeue_stale

    def looked(*asked):
        looks.append(asked)
        return look(*asked)

    monkeypatch.setattr(store, "requeue_stale", looked)
    work = replace(simple_work(1), run=slow)
    async with Bench(store, tmp_path / "runs", work, beat_s=3600.0) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        await bench.running(run.id)
        monkeypatch.setattr("cluster.jobs.wall_us", lambda: wall_us() + 3_600_000_000)
        seen = len(looks)
        await bench._until(lambda: len(looks) > seen + 2)
        ending.set()
        assert await bench.ended(run.id) == RunState.DONE
    assert (len(began), store.run(run.id).attempt) == (1, 1)


async def test_a_queue_that_is_full_says_so(store, tmp_path):
    queue = Bench(store, tmp_path / "runs", simple_work(), waiting_most=2).queue
    for _ in range(2):
        await queue.submit("text", REQUEST, "me", 0)
    with pytest.raises(Unavailable, match="2 what-ifs wait already"):
        await queue.submit("text", REQUEST, "me", 0)
    assert store.queued() == 2


async def three_done(store, folder) -> list[str]:
    """Three runs that have ended, the oldest first."""
    done = []
    async with Bench(store, folder, simple_work()) as bench:
        for _ in range(3):
            run = await bench.queue.submit("text", REQUEST, "me", 0)
            await bench.ended(run.id)
            done.append(run.id)
    return done


@pytest.mark.parametrize("limit", [{"keep_runs": 1}, {"keep_s": -1.0}])
async def test_old_runs_are_forgotten_with_their_outcomes_but_pinned_ones_stay(
    store, tmp_path, limit
):
    folder = tmp_path / "runs"
    pinned, old, newest = await three_done(store, folder)
    (folder / pinned / "pinned").touch()
    kept = {pinned, newest} if "keep_runs" in limit else {pinned}
    async with Bench(store, folder, simple_work(), **limit) as bench:
        await bench._until(lambda: {run for run, _ in store.ended_runs()} == kept)
        waiting = await bench.queue.submit("text", REQUEST, "me", 0)
        await bench.ended(waiting.id)
    assert {path.name for path in folder.iterdir()} == {*kept, waiting.id}
    with pytest.raises(NotFound):
        store.run(old)


async def test_nothing_is_forgotten_within_the_limits(store, tmp_path):
    done = await three_done(store, tmp_path / "runs")
    async with Bench(store, tmp_path / "runs", simple_work(), tidy_s=0.0) as bench:
        run = await bench.queue.submit("text", REQUEST, "me", 0)
        await bench.ended(run.id)
    assert {run for run, _ in store.ended_runs()} == {*done, run.id}
