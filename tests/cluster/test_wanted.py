import pytest

from cluster.layout import DataFolder
from cluster.wanted import read_wanted, write_wanted
from models.errors import Corrupt, Unavailable
from twin.tags import Binding, Kind

BINDINGS = (
    Binding(path="small/a/power", unit="kW", endpoint="plc", namespace="urn:x", identifier="s=P"),
    Binding(path="small/a/parts", kind=Kind.COUNTER, scale=0.001),
)


def test_a_twin_finds_what_was_wanted_last(tmp_path):
    data = DataFolder(root=tmp_path)
    write_wanted(data, "small", "id: old", ())
    write_wanted(data, "small", "id: small # Bình Dương", BINDINGS)
    assert read_wanted(data, "small") == ("id: small # Bình Dương", BINDINGS)


def test_a_twin_without_a_wish_says_who_writes_it(tmp_path):
    with pytest.raises(Unavailable, match="start the service"):
        read_wanted(DataFolder(root=tmp_path), "small")


@pytest.mark.parametrize("damage", ["{", "[]", '{"text": "x", "bindings": [{"path": 1}]}'])
def test_a_damaged_wish_is_told(tmp_path, damage):
    data = DataFolder(root=tmp_path)
    write_wanted(data, "small", "id: small", BINDINGS)
    data.wanted("small").write_text(damage)
    with pytest.raises(Corrupt, match=r"wanted\.json cannot be read"):
        read_wanted(data, "small")
