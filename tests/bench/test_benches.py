"""Each bench that needs no service, small: its figures have their shape, its checks can fail."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster import processes
from cluster.bench import damage, demo, idle, journal, live, query, whatif
from cluster.bench.children import Child
from cluster.bench.damage import flipped_journal, flipped_memory, reads_while_sealing
from cluster.bench.load import Load, bindings
from cluster.bench.past import RANGE_TAG, Past, PastSize
from cluster.bench.stage import Stage
from connectors.bench_server import identifier, namespace, value_of
from models.errors import Unavailable

SMALL = PastSize(days=3, year_tags=1, range_days=1, range_tags=1, wide_tags=3)


def staged(folder: Path) -> Stage:
    folder.mkdir(exist_ok=True)
    return Stage(folder=folder, quick=True, tell=lambda _: None)


def checked_shape(figures) -> dict:
    by_name = {figure.name: figure for figure in figures}
    assert len(by_name) == len(figures)
    for figure in figures:
        assert np.isfinite(figure.value)
        assert (figure.holds is None) == (figure.target == "")
        assert (figure.peer_value is None) == (figure.peer == "")
    return by_name


def test_the_journal_bench_compares_both_ways_of_writing_with_duckdb(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "ROWS", 500)
    found = checked_shape(journal.run(staged(tmp_path / "s")))
    assert found["bare journal over DuckDB"].target == ">= 3 x"
    assert found["whole shard"].peer_value == found["bare journal"].peer_value > 0


def test_load_is_the_same_whenever_it_is_made():
    load = Load(tags=50)
    assert load.batch(3).equals(load.batch(3))
    assert not load.batch(3).equals(load.batch(4))
    assert [b.path for b in bindings(2)] == ["bench/t00001", "bench/t00002"]


def test_the_query_bench_asks_both_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(query, "_QUICK", SMALL)
    found = checked_shape(query.run(staged(tmp_path / "s")))
    assert found["latest of 10,000 tags"].unit == "ms"
    assert [f.value for name, f in found.items() if "silently" in name] == [0, 0]
    assert [f.value for name, f in found.items() if "hole or a duplicate" in name] == [0]


def test_other_answers_than_the_peers_are_noticed(tmp_path):
    past = Past(tmp_path, SMALL)
    question = 'SELECT * FROM samples WHERE tag = ? ORDER BY "at"'
    try:
        one, other = (past.ask_duck(question, RANGE_TAG + k) for k in (0, 1))
    finally:
        past.close()
    query.same_values(one, one)
    with pytest.raises(AssertionError, match="value of a raw range"):
        query.same_values(one, other)


def test_bits_that_are_served_in_silence_would_be_counted(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(b"no checksum")
    silent = damage._silent([path], 5, lambda: [repr(path.read_bytes())], ["b'no checksum'"])
    assert silent == 5
    assert path.read_bytes() == b"no checksum"


def test_a_few_flipped_bits_and_reads_under_sealing_are_right(tmp_path):
    assert flipped_memory(tmp_path / "memory", 6) == 0
    assert flipped_journal(tmp_path / "journal", 6) == 0
    wrong, _seals = reads_while_sealing(tmp_path / "sealing", 20)
    assert wrong == 0


def test_the_line_bench_asserts_that_every_departure_is_simpys(tmp_path):
    found = checked_shape(whatif.line_figures(staged(tmp_path / "s")))
    assert found["line of 10 machines over SimPy, one core"].value > 1
    line = whatif.bench_line()
    other = replace(line, buffers=(whatif.SPACES + 1, *line.buffers[1:]))
    made = whatif.ready_draws(other, seed=whatif.SEED, replication=0, parts=400)
    whatif.check_equal(line, [made], 3600.0, 400)
    wrong = [replace(made[0], process=[t + 1 for t in made[0].process]), *made[1:]]
    with pytest.raises(AssertionError, match="replication 0, machine 0"):
        whatif.check_equal(line, [wrong], 3600.0, 400)


def test_a_value_of_the_bench_server_says_where_it_belongs():
    value = value_of(2, 17, 1_000_003)
    assert value == 2_017_000_003.0
    assert (namespace(2), identifier(17)) == ("urn:parktwin:bench:2", "s=V17")


def test_a_child_that_ends_is_told():
    with Child("this") as child:
        assert child.line(20).startswith("The Zen of Python")
        for _ in range(20):
            child.line(20)
        with pytest.raises(Unavailable, match="this ended with 0"):
            child.line(20)


def test_a_silent_child_is_told_and_gone_afterwards():
    with Child("timeit", ("-n", "1", "__import__('time').sleep(60)")) as silent:
        mark = processes.mark(silent.pid)
        with pytest.raises(Unavailable, match=r"timeit said nothing for 0\.1 s"):
            silent.line(0.1)
    assert mark is not None
    assert not processes.alive(mark)


def test_cpu_of_a_process_that_came_or_went_is_counted_once(monkeypatch):
    old, new = (processes.ProcessMark(pid=pid, started=1) for pid in (11, 12))
    used = {11: 5.0, 12: 2.0}
    monkeypatch.setattr(processes, "cpu_seconds", lambda pid: used[pid])
    watch = idle.Watch()
    watch.look({old: "twin"}, weigh=False)  # what it used before is not ours
    used[11] = 6.5
    watch.look({old: "twin", new: "twin"}, weigh=False)  # new ones count from their start
    used[12] = 3.0
    watch.look({new: "twin"}, weigh=False)
    assert watch.spent_s["twin"] == pytest.approx(1.5 + 2.0 + 1.0)


def test_processes_are_known_by_their_command_line(monkeypatch):
    with Child("connectors.bench_server", ("x", "y", "z")) as child:
        assert demo.part_of(child.pid) == "other"
    assert demo.part_of(2**30) == "other"
    for command, part in {
        f"{sys.executable} -m connectors.plant park.yaml": demo.PLANT,
        f"{sys.executable} -m dashboard.main serve x": demo.SERVICE,
        "ray::ParkHost.tick": demo.TWIN,
        "ray::GatewayRayHost": demo.GATEWAY,
        "ray::IDLE": "ray workers",
    }.items():
        raw = command.replace(" ", "\0").encode()
        monkeypatch.setattr(Path, "read_bytes", lambda _path, raw=raw: raw)
        assert demo.part_of(1) == part


def test_live_figures_name_the_page_with_the_largest_frame():
    browsers = [live.Browser(p, snapshot=9000, frames=[100 + k]) for k, p in
                enumerate(live.PROFILES)]  # fmt: skip
    figures = live._figures(browsers, 1.0, {"overview": [0.5]}, (0.1, 0.2))
    found = checked_shape(figures)
    assert found["frame per browser, mean, logistics page"].value == 103
    browsers[0].frames.clear()
    with pytest.raises(Unavailable, match="no frame came to overview"):
        live._figures(browsers, 1.0, {"overview": [0.5]}, (0.1, 0.2))
