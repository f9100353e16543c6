"""Benches by name, without what they compare with, and on the command line."""

import json
import sys
from pathlib import Path

import pytest

import dashboard.verbs.bench
from cluster.bench.catalogue import BENCHES, bench_of, chosen
from cluster.bench.report import Figure, Report
from dashboard.main import run
from models.errors import NotFound, Unavailable


def test_no_name_means_every_bench_in_order():
    assert chosen([]) == tuple(BENCHES)
    assert chosen(["whatif", "journal"]) == ("journal", "whatif")


def test_an_unknown_bench_offers_a_near_one():
    with pytest.raises(NotFound, match="did you mean 'journal'"):
        chosen(["jurnal"])


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_loads(name):
    assert callable(bench_of(name))


@pytest.mark.parametrize(("name", "peer"), [("journal", "duckdb"), ("whatif", "simpy")])
def test_a_peer_that_is_not_installed_is_named(name, peer, monkeypatch):
    for module in [m for m in sys.modules if m.startswith("cluster.bench.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, peer, None)
    with pytest.raises(Unavailable, match=f"{peer}, which is not installed: install"):
        bench_of(name)


def made(*_given, **_more):
    figure = Figure(name="rows", value=123_456.0, unit="rows/s", target=">= 1 rows/s", holds=True)
    yield Report(bench="journal", machine="a machine", figures=(figure,))


def test_the_verb_prints_json_for_programs(monkeypatch, capsys):
    monkeypatch.setattr(dashboard.verbs.bench, "run_all", made)
    assert run(["bench", "journal", "--quick", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["bench"] == "journal"
    assert report["figures"][0]["value"] == 123_456.0


def test_the_verb_prints_a_table_for_people(monkeypatch, capsys):
    monkeypatch.setattr(dashboard.verbs.bench, "run_all", made)
    assert run(["bench", "journal"]) == 0
    out = capsys.readouterr().out
    assert "journal on a machine" in out
    assert ">= 1 rows/s" in out


def test_the_verb_refuses_a_name_and_a_folder_that_are_not_there(tmp_path: Path, capsys):
    assert run(["bench", "nothing"]) == 2
    assert "no bench 'nothing'" in capsys.readouterr().err
    assert run(["bench", "journal", "--data", str(tmp_path / "gone")]) == 2
    assert "--data" in capsys.readouterr().err
