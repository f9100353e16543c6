"""Whatever thread writes it, and whenever: the newest version lies in the file."""

from connectors.latest_file import LatestFile


def test_an_older_version_never_overwrites_a_newer_one(tmp_path):
    file = LatestFile(tmp_path / "deep" / "state.json", 0o600)
    older, newer = file.work("older"), file.work("newer")
    newer()
    older()
    assert file.path.read_text() == "newer"
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_what_is_removed_does_not_come_back_by_a_write_that_was_on_its_way(tmp_path):
    file = LatestFile(tmp_path / "state.json")
    late = file.work("late")
    file.write("there")
    file.remove()
    late()
    assert not file.path.exists()
    file.write("again")
    assert file.path.read_text() == "again"


def test_a_disk_that_refuses_leaves_what_was_there(tmp_path, caplog):
    file = LatestFile(tmp_path / "state.json")
    file.write("first")
    (tmp_path / "state.new").mkdir()
    file.write("second")
    assert file.path.read_text() == "first"
    assert "not noted" in caplog.text
