"""Both languages say the same things."""

import re
from pathlib import Path

import orjson
import pytest

from cluster import whatif_texts
from cluster.ports import AlarmState, EndpointState, Priority
from dashboard.form import change_types, ensemble_fields, kpi_names
from dashboard.words.book import FOLDER, flatten, key_module, words
from twin.whatif.compare import SERIES_UNITS

VI, EN = (flatten(orjson.loads((FOLDER / f"{name}.json").read_bytes())) for name in ("vi", "en"))
SOURCES = [p for p in FOLDER.parent.rglob("*.py") if "verbs" not in p.parts]


def test_both_languages_have_the_same_keys():
    assert VI.keys() == EN.keys()


def test_no_text_is_empty():
    assert [k for k, v in (VI | EN).items() if not v.strip()] == []


def test_both_languages_fill_the_same_places():
    places = re.compile(r"\{(\w+)\}")
    differing = [k for k in VI if set(places.findall(VI[k])) != set(places.findall(EN[k]))]
    assert differing == []


def test_the_typed_keys_are_those_of_the_files():
    assert (FOLDER / "key.py").read_text() == key_module()


def test_every_key_is_used_somewhere():
    source = "\n".join(p.read_text() for p in SOURCES if p.name != "key.py")
    groups = set(re.findall(r"""code\(\s*["']([\w.]+)["']""", source)) | {
        "verdict",
        "endpoint.policy",
    }
    groups |= {"endpoint.time", "info.kind"}
    unused = [
        k
        for k in EN
        if not re.search(rf"['\"]{re.escape(k)}['\"]", source) and k.rsplit(".", 1)[0] not in groups
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("group", "codes"),
    [
        ("alarm.state", [s.value for s in AlarmState]),
        ("priority", [p.value for p in Priority]),
        ("endpoint.state", [s.value for s in EndpointState]),
        ("run.state", ["queued", "running", "done", "failed", "cancelled"]),
    ],
)
def test_every_code_of_the_contracts_has_a_word(group, codes):
    assert [c for c in codes if f"{group}.{c}" not in VI] == []


def test_everything_the_what_if_form_shows_has_a_word():
    schema = whatif_texts.schema()
    types, ensemble = change_types(schema), ensemble_fields(schema)
    fields = [*ensemble, *(field for each in types for field in each.fields)]
    shown = {f"whatif.change.{each.name}" for each in types}
    shown |= {f"whatif.field.{field.name}" for field in fields}
    shown |= {f"whatif.option.{option}" for field in fields for option in field.options}
    shown |= {f"whatif.option.{truth}" for truth in ("true", "false")}
    shown |= {f"kpi.{name}" for name in kpi_names(schema)}
    shown |= {f"series.{name}" for name in SERIES_UNITS}
    assert len(types) >= 11
    assert sorted(shown - VI.keys()) == []
    assert sorted(shown - EN.keys()) == []


def test_words_of_the_house_are_used():
    assert VI["nav.whatif"] == "Thử phương án"
    assert VI["nav.endpoints"] == "Điểm kết nối"
    assert VI["energy.grid"] == "Điện nhận từ lưới"
    assert VI["verdict.word.about_same"] == "gần như bằng nhau"


def test_a_code_that_has_no_word_is_shown_as_it_is():
    assert words("vi").code("kpi", "brand_new") == "brand_new"


def test_words_are_read_from_the_package():
    assert Path(FOLDER / "vi.json").is_file()
