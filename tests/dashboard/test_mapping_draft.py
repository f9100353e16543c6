"""A mapping that is being made: decided, undone, never one tag for two nodes."""

from hypothesis import given
from hypothesis import strategies as st

from dashboard.mapping_draft import (
    KEPT_MOST,
    Draft,
    Drafts,
    Row,
    path_of,
    unit_of,
    written_as,
)

ROWS = {
    f"n{i}": Row(node=f"n{i}", path=f"p/a/m{i % 6}", unit="W", stored="kW", confidence=i / 10)
    for i in range(10)
}
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.sampled_from(sorted(ROWS))),
        st.tuples(st.just("refuse"), st.sampled_from(sorted(ROWS))),
        st.tuples(st.just("above"), st.floats(0, 1)),
    ),
    max_size=12,
)


def after(draft, act, value):
    if act == "above":
        return draft.accept_above(value)
    return draft.accept([value]) if act == "accept" else draft.refuse(value)


@given(acts=ACTS)
def test_undo_walks_back_through_every_change(acts):
    draft = Draft(rows=ROWS, bound={"n1": "p/a/m1"})
    seen = [draft]
    for act, value in acts:
        draft = after(draft, act, value)
        if draft is not seen[-1]:
            seen.append(draft)
    for earlier in reversed(seen[:-1]):
        draft = draft.undo()
        assert draft.decided == earlier.decided
    assert draft.undo() is draft


@given(acts=ACTS)
def test_no_tag_is_ever_accepted_for_two_nodes(acts):
    draft = Draft(rows=ROWS, bound={"n1": "p/a/m1"})
    for act, value in acts:
        draft = after(draft, act, value)
    held = [
        path_of(draft.tag(node))
        for node in draft.rows
        if draft.standing(node) in ("accepted", "bound")
    ]
    assert len(held) == len(set(held))
    assert sum(draft.counts().values()) == len(draft.rows)


def test_a_threshold_takes_what_reaches_it_and_leaves_what_was_refused():
    draft = Draft(rows=ROWS).refuse("n9").accept_above(0.7)
    assert [n for n in ROWS if draft.standing(n) == "accepted"] == ["n7", "n8"]
    assert draft.mapping() == {"n7": "p/a/m1 [W]", "n8": "p/a/m2 [W]"}


def test_what_is_bound_is_sent_only_when_it_changes():
    row = Row(node="n", path="p/a/m", unit="kW", stored="kW")
    draft = Draft(rows={"n": row}, bound={"n": "p/a/m"})
    assert draft.standing("n") == "bound"
    assert draft.accept(["n"]).mapping() == {}
    assert draft.refuse("n").standing("n") == "removed"
    assert draft.refuse("n").mapping() == {"n": ""}


def test_a_unit_is_written_where_it_differs_from_the_stored_one():
    assert Row(node="n", path="p/a/m", unit="W", stored="kW").written == "p/a/m [W]"
    assert Row(node="n", path="p/a/m", unit="kW", stored="kW").written == "p/a/m"
    assert (path_of("p/a/m [W]"), unit_of("p/a/m [W]"), unit_of("p/a/m")) == ("p/a/m", "W", "")
    assert written_as(" p/a/m ", "") == "p/a/m"


def test_only_the_latest_drafts_are_kept():
    drafts = Drafts()
    names = [drafts.begin(Draft(rows={})) for _ in range(KEPT_MOST + 1)]
    assert drafts.get(names[0]) is None
    assert drafts.get(names[-1]) is not None
