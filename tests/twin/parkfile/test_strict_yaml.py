"""YAML and JSON read strictly."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InvalidInput
from twin.parkfile.strict_yaml import MAX_BYTES, MAX_DEPTH, dotted, read_documents


def value_of(text: str) -> object:
    documents, problems = read_documents(text)
    assert problems == ()
    return documents[0].value


def only_problem(text: str) -> str:
    try:
        _, problems = read_documents(text, "park.yaml")
    except InvalidInput as error:
        problems = error.problems
    assert len(problems) == 1
    return str(problems[0])


def test_scalars_follow_yaml_1_2_so_no_and_times_are_texts():
    text = "a: no\nb: 12:30\nc: 2026-02-17\nd: 010\ne: 0o10\nf: .5\ng: ~\nh: True\ni: '5'\nj: 1_000"
    assert value_of(text) == {
        "a": "no",
        "b": "12:30",
        "c": "2026-02-17",
        "d": 10,
        "e": 8,
        "f": 0.5,
        "g": None,
        "h": True,
        "i": "5",
        "j": "1_000",
    }


def test_every_path_knows_its_line():
    documents, _ = read_documents("# head\na:\n  - x: 1\n    y: {z: 2}\n  - 3\nb: |\n  text\n")
    assert documents[0].lines == {
        ("a",): 2,
        ("a", 0): 3,
        ("a", 0, "x"): 3,
        ("a", 0, "y"): 4,
        ("a", 0, "y", "z"): 4,
        ("a", 1): 5,
        ("b",): 6,
    }
    assert documents[0].line_of(("a", 0, "missing", "deeper")) == 3


def test_json_gives_the_same_data_and_lines_as_yaml():
    text = '{\n  "a": [1, {"b": "ờ\\ud83d\\ude00"}],\n\t"c": true\n}'
    documents, problems = read_documents(text)
    assert problems == ()
    assert documents[0].value == json.loads(text)
    assert documents[0].lines[("c",)] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "park.yaml:3: 'a' stands twice (it is already in line 1; keep one)"),
        ('{"a": 1,\n"a": 2}', "park.yaml:2: 'a' stands twice"),
        ("a: &x 1", "park.yaml:1: a: '&x' is an anchor"),
        ("a: !!python/object:os.system 1", "park.yaml:1: a: 'tag:yaml.org,2002:python/object"),
        ("<<: {a: 1}", "park.yaml:1: '<<' is a merge key (write the keys out)"),
        ("a: .nan", "park.yaml:1: a: '.nan' is not a finite number"),
        ("a: 1e999", "park.yaml:1: a: '1e999' is not a finite number"),
        ("? [a]\n: 1", "park.yaml:1: a list or a mapping is used as a key"),
        ("a: [1, 2", "park.yaml:1: no YAML: while parsing a flow sequence"),
        ("a: 1\n  b: 2", "park.yaml:2: no YAML: mapping values are not allowed here"),
        ('{"a": 1,}', "park.yaml:1: no JSON: "),
        ("a: \x07", "no YAML: "),
        ("a: " + "x" * 5000, "park.yaml:1: the line has 5,003 characters (break the line)"),
    ],
)
def test_what_is_forbidden_is_named_with_its_line(text, said):
    assert said in only_problem(text)


def test_an_alias_is_refused_beside_its_anchor():
    _, problems = read_documents("a: &x [1, 2]\nb: *x")
    assert [(p.line, p.message) for p in problems] == [
        (1, "'&x' is an anchor"),
        (2, "'*x' is an alias"),
    ]


def test_an_alias_bomb_is_refused_without_being_expanded():
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{k}: &a{k} [{','.join(f'*a{k - 1}' for _ in range(10))}]\n" for k in range(1, 30)
    )
    _, problems = read_documents(bomb)
    assert len(problems) == 30 + 290


@pytest.mark.parametrize("opening", ["[", "- ", "[\n", '{"a":', "{a: "])
def test_deep_nesting_is_refused_in_no_time(opening):
    started = time.process_time()
    with pytest.raises(InvalidInput, match=f"nested deeper than {MAX_DEPTH}|characters"):
        read_documents(opening * 20_000)
    assert time.process_time() - started < 5.0


def test_depth_32_is_read_and_33_is_not():
    read_documents("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(InvalidInput, match="nested deeper"):
        read_documents("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_a_text_over_the_limit_is_refused_before_it_is_read():
    with pytest.raises(InvalidInput, match=r"over the 4,194,304"):
        read_documents("# " + "x" * MAX_BYTES)


def test_documents_of_one_file_are_kept_apart_with_their_own_text():
    documents, _ = read_documents("kind: Park\nid: a\n---\nkind: WhatIf\nfrom: now\n")
    assert [d.kind for d in documents] == ["Park", "WhatIf"]
    assert documents[1].lines[("from",)] == 5
    assert read_documents(documents[1].text)[0][0].value == documents[1].value


def test_paths_are_written_as_people_write_them():
    assert dotted(("sites", 2, "areas", 0, "id")) == "sites[2].areas[0].id"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8).filter(lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcde", min_size=1), PLAIN, min_size=1, max_size=3))
def test_whatever_json_can_say_is_read_back_exactly(data):
    assert value_of(json.dumps(data)) == data
    assert value_of(json.dumps(data, ensure_ascii=False, indent=1)) == data


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab:-[]{}\n \"'&*!|>#,?%@~0.<\t"), max_size=60))
def test_any_text_is_read_or_refused_never_worse(text):
    with suppress(InvalidInput):
        read_documents(text, "f")
