"""The metadata store by DATABASE_URL: what is wrong is said, a password never."""

import pytest

from cluster.metadata import connect as door
from cluster.metadata.upgrade import open_store
from models.errors import InputError, Refused, Unavailable

SECRET = "s3cret"


def test_a_text_that_is_no_url_is_refused_without_repeating_it(tmp_path):
    with pytest.raises(InputError, match="postgresql://") as told:
        door.connect(tmp_path, f"me:{SECRET}@host")
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_of_postgresql_means_psycopg_and_a_missing_driver_is_named(
    tmp_path, monkeypatch, scheme
):
    asked = []

    def without_driver(url: str, **_: object) -> None:
        asked.append(url)
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(door, "create_engine", without_driver)
    with pytest.raises(Refused, match=r"psycopg\[binary\]") as told:
        door.connect(tmp_path, f"{scheme}://me:{SECRET}@host/parktwin")
    assert asked == [f"postgresql+psycopg://me:{SECRET}@host/parktwin"]
    assert SECRET not in str(told.value)


def test_a_database_that_does_not_answer_is_unavailable_with_its_cause(tmp_path):
    with pytest.raises(Unavailable, match="unable to open database file"):
        open_store(tmp_path, f"sqlite:///{tmp_path}/no/such/folder/x.db")
