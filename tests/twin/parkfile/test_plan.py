"""What an edit of a park file does to tags and history."""

from pathlib import Path

from twin.parkfile.load import read_park
from twin.parkfile.plan import HISTORY_EFFECTS, effect_of, plan_apply
from twin.tags import TagDictionary

MINIMAL = (Path(__file__).parents[3] / "examples" / "minimal.yaml").read_text()


def changes_after(edit: tuple[str, str]) -> list[tuple[str, str]]:
    dictionary = TagDictionary()
    rows, _ = dictionary.plan(read_park(MINIMAL).bindings, 0)
    dictionary.add_rows(rows)
    before = dictionary.rows
    assert MINIMAL.count(edit[0]) >= 1
    plan = plan_apply(dictionary, read_park(MINIMAL.replace(*edit)), 1)
    assert dictionary.rows == before  # a plan changes nothing
    assert all(effect_of(change).vi and effect_of(change).en for change in plan)
    return [(change.action, change.path) for change in plan]


def test_an_edit_that_touches_no_tag_plans_nothing():
    assert changes_after(("rating: 2 MVA", "rating: 3 MVA")) == []


def test_a_line_with_a_new_name_keeps_its_tags():
    # the nodes hold {machine} and {metric} only, so they stay the same
    dictionary = TagDictionary()
    rows, _ = dictionary.plan(read_park(MINIMAL).bindings, 0)
    dictionary.add_rows(rows)
    text = MINIMAL.replace("{id: l1,", "{id: line1,").replace("hall/l1", "hall/line1")
    renamed = plan_apply(dictionary, read_park(text), 1)
    assert {change.action for change in renamed} == {"rename"}
    assert len(renamed) == 10


def test_one_more_mapping_is_one_more_tag():
    plan = changes_after(
        (
            '{metric}"}]',
            '{metric}"}, {match: "nsu=urn:acme:plc;s=Air", to: "weather/irradiance"}]',
        )
    )
    assert plan == [("add", "small/weather/irradiance")]


def test_a_node_under_another_name_is_a_new_tag_and_closes_the_old_one():
    plan = changes_after(("s={machine}.{metric}", "s=Hall.{machine}.{metric}"))
    assert {action for action, _ in plan} == {"replace"}


def test_every_action_has_its_effect_on_history_in_both_languages():
    assert set(HISTORY_EFFECTS) == {"add", "rename", "replace", "remove", "revive"}
