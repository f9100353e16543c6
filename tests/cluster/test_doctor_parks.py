"""Doctor reads every park of a data folder as a start would."""

from pathlib import Path

from cluster.doctor import BAD, OK, examine
from cluster.layout import DataFolder
from cluster.wanted import write_wanted

MINIMAL = (Path(__file__).parents[2] / "examples" / "minimal.yaml").read_text(encoding="utf-8")


def park_files(data):
    (found,) = (f for f in examine(data, 0, full=False) if f.check == "park files")
    return found


def test_a_park_this_version_cannot_read_is_found_with_its_line(tmp_path):
    data = DataFolder(root=tmp_path)
    assert park_files(tmp_path).state == OK
    write_wanted(data, "small", MINIMAL, ())
    assert "1 park(s)" in park_files(tmp_path).detail
    write_wanted(data, "other", MINIMAL + "\nbogus: 1\n", ())
    found = park_files(tmp_path)
    assert (found.state, "park other" in found.detail, "bogus" in found.detail) == (BAD, True, True)
    assert "apply" in found.remedy
