"""Figures of the OPC UA bench: what they compare, and that a loss or a missing peer shows."""

from dataclasses import dataclass

import pytest

from cluster.bench import opcua, opcua_faults, opcua_turns
from cluster.bench.opcua_turns import Turn
from cluster.bench.stage import Stage
from connectors.load.audit import Verdict
from connectors.load.process import Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Short(Stage):
    """One round of everything."""

    def size(self, whole, quick):
        del whole, quick
        return 1


@pytest.fixture
def stage(tmp_path):
    return Short(folder=tmp_path, quick=True, tell=lambda _: None)


def turn(values, cpu_s, **verdict):
    whole = {"missing": 0, "doubled": 0, "wrong": 0} | verdict
    return Turn(values=values, seconds=1.0, cpu_s=cpu_s, more={"verdict": whole})


def test_a_ratio_is_the_peers_cpu_per_value_over_ours_round_by_round():
    ours, its = [turn(1000, 0.001), turn(1000, 0.002)], [turn(10, 0.0008), turn(10, 0.001)]
    figure = opcua._ratio("x", "peer", 65, ours, its)
    # 80 us over 1 us, and 100 us over 2 us: the median of 80 and 50.
    assert figure.value == pytest.approx(65.0)
    assert figure.holds
    assert figure.peer_value == pytest.approx(90.0)


def test_every_kind_of_fault_spoils_the_figure_of_a_run():
    for kind in ("missing", "doubled", "wrong"):
        figure = opcua._sound("x", [turn(10, 1.0), turn(10, 1.0, **{kind: 1})])
        assert (figure.value, figure.holds) == (1, False)


def test_a_load_server_and_both_clients_of_a_round_are_real(stage, monkeypatch):
    monkeypatch.setattr(opcua, "FEW", 100)
    (figure,) = opcua._polling(stage)
    assert figure.value > 0
    assert figure.peer == "stock read_values [us]"
    assert figure.peer_value > 0


def test_node_opcua_is_left_out_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(opcua_turns.shutil, "which", lambda _: "/usr/bin/node")
    monkeypatch.setattr(opcua_turns, "_NODE_FOLDER", tmp_path)
    assert "npm ci" in opcua_turns.without_node()
    (tmp_path / "node_modules").mkdir()
    assert opcua_turns.without_node() == ""
    monkeypatch.setattr(opcua_turns.shutil, "which", lambda _: None)
    assert opcua_turns.without_node() == "node is not installed"


def test_without_node_opcua_the_figures_say_so_and_the_rest_is_there(stage, monkeypatch):
    class Quiet:
        def side(self, name, **more):
            del name, more
            return turn(100, 0.001)

    class Serving:
        def __init__(self, load):
            assert load == Load(nodes=opcua.MANY)

        def __enter__(self):
            return Quiet()

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(opcua, "serving", Serving)
    monkeypatch.setattr(opcua, "without_node", lambda: "no node")
    figures = opcua._many(stage)
    assert figures[-1].name.endswith("left out (no node)")
    assert figures[-1].holds is None
    assert len(figures) == 6


def outages(verdict):
    class Made:
        def __init__(self, *_):
            pass

        async def run(self):
            return verdict

    return Made


def test_an_outage_that_loses_a_value_does_not_hold(stage, monkeypatch):
    lost = Verdict(values=100, missing=1, doubled=0, wrong=0, told=1)
    monkeypatch.setattr(opcua_faults, "Outages", outages(lost))
    found = {figure.name: figure.holds for figure in opcua_faults.outages(stage)}
    assert {holds for name, holds in found.items() if name.endswith("missing")} == {False}
    assert {holds for name, holds in found.items() if not name.endswith("missing")} == {True}


@pytest.mark.parametrize(("told", "share"), [(8, 100.0), (6, 75.0)])
def test_the_share_of_losses_that_were_told_is_of_all_faults(stage, monkeypatch, told, share):
    lost = Verdict(values=100, missing=8, doubled=0, wrong=0, told=told)
    monkeypatch.setattr(opcua_faults, "Outages", outages(lost))
    (figure,) = opcua_faults.told_of_losses(stage)
    assert figure.value == share
    assert figure.holds is (share == 100.0)
