"""The stage of a bench: rounds that alternate, folders that go, words for what is wrong."""

from pathlib import Path

import pytest

from cluster.bench.report import Report, at_least, at_most, machine
from cluster.bench.stage import interleaved, paired_ratio, quantile, stage
from models.errors import InputError


def quiet(_text: str) -> None:
    pass


def test_rounds_alternate_so_that_all_share_one_weather():
    calls = []
    seconds = interleaved(
        {"a": lambda n: calls.append(("a", n)), "b": lambda n: calls.append(("b", n))}, 2, first=3
    )
    assert calls == [("a", 3), ("b", 3), ("a", 4), ("b", 4)]
    assert {name: len(each) for name, each in seconds.items()} == {"a": 2, "b": 2}


def leave_something(folder: Path) -> None:
    with stage(folder, quick=True, tell=quiet) as given:
        assert given.folder.parent == folder
        assert given.size(20, 3) == 3
        (given.folder / "left").touch()
        raise KeyboardInterrupt


def test_the_folder_of_a_stage_is_gone_whatever_happens(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        leave_something(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path):
    gone = tmp_path / "gone"
    with pytest.raises(InputError, match="gone"), stage(gone, quick=True, tell=quiet):
        pass


def test_quantiles_are_values_that_occurred():
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([5.0], 0.99) == 5.0


def test_a_ratio_compares_round_by_round():
    # 2, 3 and 4 times as long in the three rounds: the middle one counts
    assert paired_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == 3.0


def test_a_figure_says_whether_it_holds():
    assert at_most("lost", 0, 0, "").holds
    assert not at_most("away", 5.1, 5.0, "s").holds
    figure = at_least("ratio", 3.0, 3.0, "x", peer="them", peer_value=1.0, n=7)
    plain = Report(bench="b", machine=machine(), figures=(figure,)).as_dict()
    assert set(plain) == {"bench", "machine", "figures"}
    (row,) = plain["figures"]
    assert row == {
        "name": "ratio", "value": 3.0, "unit": "x", "target": ">= 3 x", "holds": True,
        "peer": "them", "peer_value": 1.0, "n": 7,
    }  # fmt: skip
