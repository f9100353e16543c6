"""Paths of a park to their tags, as history and the lists of tags see them."""

from dataclasses import replace

from cluster.history import Dictionary
from twin.tags import Binding, Kind, TagRow


def row(tag: int, node: str) -> TagRow:
    bound = Binding(
        path="small/acme/active_power",
        unit="kW",
        kind=Kind.GAUGE,
        endpoint="plc",
        namespace="urn:acme:plc",
        identifier=node,
    )
    return TagRow(tag=tag, binding=bound, valid_from_us=1)


def test_a_closed_tag_is_no_longer_listed_but_its_history_is_found():
    opened = row(7, "s=A")
    closed = replace(opened, valid_to_us=2)
    found = Dictionary([opened, closed])
    assert found.open == {}
    assert found.of([opened.binding.path]) == [closed]


def test_of_a_path_that_changed_its_node_the_open_tag_counts_in_either_order():
    old, new = row(7, "s=A"), row(8, "s=B")
    closed = replace(old, valid_to_us=2)
    for rows in ([old, closed, new], [old, new, closed]):
        found = Dictionary(rows)
        assert found.open == {8: new}
        assert found.of([new.binding.path]) == [new]
