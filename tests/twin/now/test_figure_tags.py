import numpy as np

from twin.figure_tags import (
    KEEP_US,
    FigureWriter,
    figure_bindings,
    is_figure,
    last_session,
)
from twin.figures import FigureSpec, Now
from twin.label import Label
from twin.status import is_good, quality_class
from twin.tags import Kind, TagDictionary

NAME = Label(vi="tải", en="load")
SPECS = (
    FigureSpec(id="park.load_mw", label=NAME, unit="MW"),
    FigureSpec(id="machine.acme/l1/p01.state", label=NAME),
)


def writer() -> FigureWriter:
    dictionary = TagDictionary()
    rows, _ = dictionary.plan(figure_bindings(SPECS), 0)
    dictionary.add_rows(rows)
    return FigureWriter(SPECS, dictionary)


def now(at_us: int, *values: float, quality: tuple[int, int] = (0, 0)) -> Now:
    return Now(
        now_us=at_us,
        value=np.array(values),
        quality=np.array(quality, np.uint8),
        measured=np.ones(2, np.float32),
    )


def test_a_figure_is_a_tag_of_its_own_kind_and_unit():
    load, state = figure_bindings(SPECS)
    assert (load.path, load.unit, load.kind) == ("figure:park.load_mw", "MW", Kind.GAUGE)
    assert state.kind is Kind.STATE
    assert is_figure(load.path)
    assert not is_figure("vsip1/acme/active_power")


def test_only_what_changed_is_written_and_the_rest_after_five_minutes():
    figures = writer()
    assert figures.batch(now(1_000_000, 47.1, 3.0), 5).num_rows == 2
    assert figures.batch(now(2_000_000, 47.1, 3.0), 5) is None
    changed = figures.batch(now(3_000_000, 47.2, 3.0), 5)
    assert changed.column("value").to_pylist() == [47.2]
    assert figures.batch(now(3_000_000 + KEEP_US, 47.2, 3.0), 5).num_rows == 2


def test_an_unknown_figure_is_a_bad_sample_and_an_estimated_one_uncertain():
    batch = writer().batch(now(1, float("nan"), 3.0, quality=(2, 1)), 5)
    assert quality_class(batch.column("status").to_numpy()).tolist() == [2, 1]
    assert not is_good(batch.column("status").to_numpy()).any()


def test_the_stream_goes_on_after_its_newest_session():
    assert last_session({}) == 0
    assert last_session({"figures": [(3, 17), (4, 2)], "gateway": [(9, 1)]}) == 4
