"""Tag lists, wildcard rules and lint: what integrators bring, and what is wrong with it."""

import contextlib
import io
import unicodedata
import zipfile
from dataclasses import replace

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.bench_match import FOLDER, park_of, rows, truth_of
from connectors.onboarding import taglist, wildcard, xlsx
from connectors.onboarding.lint import lint
from connectors.onboarding.seen import SeenNode, observed
from connectors.onboarding.wildcard import Rule, added, expand_rules, later
from models.errors import InputError
from twin.parkfile.load import load_park
from twin.parkfile.mapping import bind, catalogue_of, is_rule
from twin.tags import Kind

NS = "nsu=urn:kepware:mekong-foods;s="
L1 = "mekong/mekong_foods/packing/l1"


@pytest.fixture(scope="module")
def plant():
    return park_of("abbr"), list(rows("abbr"))


def bound(park, node, path, unit=""):
    catalogue = catalogue_of({a.id: a.type for a in park.assets.values()})
    return bind(park.id, "plc", node, path, catalogue, unit)


def workbook(*table):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        for n, row in enumerate(table):
            sheet.write_row(n, 0, row)
    return out.getvalue()


# --- lists in ---


def test_our_own_csv_says_node_and_path(plant):
    park, nodes = plant
    text = f"node,path,unit\n{NS}CH1.PLC_L1.L1_M01_KW,{L1}/m01/active_power,W\n"
    found = taglist.diff(taglist.read_text(text), nodes, park, "plc", ())
    assert found.mapping() == {f"{NS}CH1.PLC_L1.L1_M01_KW": f"{L1}/m01/active_power [W]"}
    assert not found.problems


def test_pasted_rows_without_a_header_and_semicolons_inside_node_ids(plant):
    park, nodes = plant
    text = f"{NS}CH1.PLC_L1.L1_M01_KW\t{L1}/m01/active_power\n"
    listed = taglist.read_text(text)
    assert listed.dialect == "pasted"
    assert len(taglist.diff(listed, nodes, park, "plc", ()).mapping()) == 1
    quoted = f'node;path\n"{NS}CH1.PLC_L1.L1_M01_KW";{L1}/m01/active_power\n'
    assert taglist.read_text(quoted).entries[0].path == f"{L1}/m01/active_power"


def test_a_kepware_export_is_looked_up_and_proposed(plant):
    park, nodes = plant
    text = (
        '"Tag Name","Address","Data Type","Respect Data Type","Client Access","Scan Rate",'
        '"Description"\r\n'
        '"PLC_L1.L1_M01_KW","D100","Float",1,"R/O",100,"Công suất máy 1 (kW)"\r\n'
        '"PLC_L1.L1_M01_TEMP_SP","D104","Float",1,"R/W",100,""\r\n'
        '"PLC_L1.NOT_THERE","D108","Float",1,"R/O",100,""\r\n'
    )
    listed = taglist.read_text(text, "kep.csv")
    assert listed.dialect == "kepware"
    found = taglist.diff(listed, nodes, park, "plc", (), "kep.csv")
    assert found.mapping() == {f"{NS}CH1.PLC_L1.L1_M01_KW": f"{L1}/m01/active_power"}
    (problem,) = found.problems
    assert (problem.line, problem.file) == (4, "kep.csv")
    assert "NOT_THERE" in problem.message


def test_a_tia_export_as_a_workbook_uses_its_names_not_its_folders(plant):
    park, nodes = plant
    data = workbook(
        ("Name", "Path", "Data Type", "Logical Address", "Comment"),
        ("M01.rActPwr", "Default tag table", "Real", "%MD100", "kW"),
        ("M01.bReset", "Default tag table", "Bool", "%M1.0", ""),
    )
    listed = taglist.read_list(data, "tags.xlsx")
    assert listed.dialect == "tia"
    assert [entry.data_type for entry in listed.entries] == ["Float", "Boolean"]
    found = taglist.diff(listed, nodes, park, "plc", ())
    assert list(found.mapping().values()) == ["mekong/mekong_foods/packing/l3/m01/active_power"]


def test_names_in_nfc_and_nfd_are_equal():
    park, nodes = park_of("vi"), list(rows("vi"))
    path = "Chuyền ép 1/Máy ép 03/Độ rung"
    text = unicodedata.normalize("NFD", f"Tên,Ghi chú\n{path},\n")
    found = taglist.diff(taglist.read_text(text), nodes, park, "plc", ())
    assert list(found.mapping().values()) == ["nhua/binh_minh/xuong_ep/c1/ep03/vibration"]


def test_problems_come_by_line_all_at_once(plant):
    park, nodes = plant
    kw = f"{NS}CH1.PLC_L1.L1_M01_KW"
    text = (
        "node,path,unit\n"
        f"ns=2;s=X,{L1}/m01/active_power,\n"
        f"{kw},{L1}/m01/activ_power,\n"
        f"{kw},{L1}/m01/active_power,furlong\n"
        f"{kw},{L1}/m01/active_power,kW\n"
        f"{NS}CH1.PLC_L1.L1_M02_KW,{L1}/m01/active_power,kW\n"
        f"{NS}gone,{L1}/m03/active_power,kW\n"
    )
    found = taglist.diff(taglist.read_text(text), nodes, park, "plc", ())
    assert [problem.line for problem in found.problems] == [2, 3, 4, 6, 7]
    assert len(found.mapping()) == 1


def test_the_diff_tells_add_move_remove_and_same(plant):
    park, nodes = plant
    kw, kwh, amp = (f"{NS}CH1.PLC_L1.L1_M01_{x}" for x in ("KW", "KWH", "AMP"))
    here = [
        bound(park, kw, f"{L1}/m01/active_power"),
        bound(park, kwh, f"{L1}/m02/active_energy"),
        bound(park, amp, f"{L1}/m01/current"),
    ]
    text = (
        f"node,path\n{kw},{L1}/m01/active_power\n{kwh},{L1}/m01/active_energy\n{amp},-\n"
        f"{NS}CH1.PLC_L1.L1_M01_VIB,{L1}/m01/vibration\n"
    )
    found = taglist.diff(taglist.read_text(text), nodes, park, "plc", here)
    assert {c.node: c.action for c in found.changes} == {
        kw: "same", kwh: "move", amp: "remove", f"{NS}CH1.PLC_L1.L1_M01_VIB": "add",
    }  # fmt: skip
    assert found.mapping()[amp] == ""


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a,b\n1,2\n", "no header"),
        (b"\x00\x01\x02" * 10, "no text"),
        (b"x" * (taglist.BYTES_MOST + 1), "MB"),
        (b"PK\x03\x04broken", "no XLSX"),
        (b"", "no header"),
    ],
)
def test_what_is_no_list_is_refused_with_what_to_do(data, what):
    with pytest.raises(InputError, match=what):
        taglist.read_list(data, "list")


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in members.items():
            book.writestr(name.replace("__", "/") + ".xml", text)
    return out.getvalue()


def test_a_workbook_that_unpacks_to_too_much_or_declares_entities_is_refused():
    sheet = "<worksheet><sheetData><row><c><v>1</v></c></row></sheetData></worksheet>"
    with pytest.raises(InputError, match="unpacks to"):
        list(xlsx.rows_of(zipped(xl__worksheets__sheet1=sheet + " " * 70_000_000)))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + sheet
    with pytest.raises(InputError, match="declares entities"):
        list(xlsx.rows_of(zipped(xl__worksheets__sheet1=bomb)))
    with pytest.raises(InputError, match="no sheet"):
        list(xlsx.rows_of(zipped(other="<a/>")))
    wide = '<worksheet><sheetData><row><c r="ZZ1"><v>1</v></c></row></sheetData></worksheet>'
    with pytest.raises(InputError, match="too many columns"):
        list(xlsx.rows_of(zipped(xl__worksheets__sheet1=wide)))
    text = '<worksheet><sheetData><row><c t="s"><v>7</v></c></row></sheetData></worksheet>'
    with pytest.raises(InputError, match="not there"):
        list(xlsx.rows_of(zipped(xl__worksheets__sheet1=text)))


@pytest.mark.parametrize(
    ("sheet", "what"),
    [
        ("<a>" * 1000, "nested"),
        ('<w><row><c t="s"><v>²</v></c></row></w>', "not there"),
        ('<w><row><c t="s"><v>' + "9" * 5000 + "</v></c></row></w>", "not there"),
    ],
)
def test_a_workbook_made_to_break_its_reader_is_refused(sheet, what):
    with pytest.raises(InputError, match=what):
        list(xlsx.rows_of(zipped(xl__worksheets__sheet1=sheet)))


def test_a_row_whose_number_is_none_is_counted():
    sheet = '<w><row r="²"><c><v>1</v></c></row></w>'
    assert list(xlsx.rows_of(zipped(xl__worksheets__sheet1=sheet))) == [(1, ["1"])]


def test_a_workbook_packed_with_a_dictionary_of_its_own_size_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as book:
        book.writestr("xl/worksheets/sheet1.xml", "<w/>")
    with pytest.raises(InputError, match="packed in a way"):
        list(xlsx.rows_of(out.getvalue()))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_workbook_is_read_or_refused(spots):
    data = bytearray(zipped(xl__worksheets__sheet1="<w><row><c><v>1.5</v></c></row></w>" * 3))
    for at, byte in spots:
        data[at % len(data)] = byte
    with contextlib.suppress(InputError):
        list(xlsx.rows_of(bytes(data)))


def test_a_name_of_thousands_of_steps_is_found_by_its_end():
    deep = SeenNode(node="nsu=urn:a;s=deep", path="/".join(["a"] * 5000) + "/P01/Power")
    names = taglist._Names([deep])
    assert names.of("P01.Power") == {deep.node}
    assert names.of(deep.path) == {deep.node}
    assert len(names._by_name) <= 20


def test_a_workbook_gives_texts_numbers_and_gaps_and_no_formula():
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "Máy ép")
        sheet.write(0, 2, 12)
        sheet.write(2, 1, 1.5)
        sheet.write_formula(3, 0, "=1+1", None, 2)
    assert list(xlsx.rows_of(out.getvalue())) == [
        (1, ["Máy ép", "", "12"]),
        (3, ["", "1.5"]),
        (4, ["2"]),
    ]


# --- lists out ---


@given(st.text(min_size=1, max_size=30))
def test_no_exported_text_begins_a_formula(text):
    assert not taglist.harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_what_is_exported_is_read_back_as_the_same_mapping(plant):
    park, nodes = plant
    here = [bound(park, node, path) for node, path in truth_of("abbr").items()]
    evil = [replace(n, description="=cmd|' /C calc'!A0") for n in nodes]
    text = taglist.as_csv(taglist.table(here, evil))
    assert "\n=cmd" not in text
    assert ",=cmd" not in text
    assert text.startswith("\ufeffnode")
    found = taglist.diff(taglist.read_list(text.encode()), nodes, park, "plc", here)
    assert not found.problems
    assert {change.action for change in found.changes} == {"same"}
    assert len(found.changes) == len(here)
    book = workbook(*taglist.table(here, nodes))
    assert not taglist.diff(taglist.read_list(book), nodes, park, "plc", here).mapping()


# --- rules ---


def test_a_rule_takes_many_nodes_and_those_that_come_later(plant):
    park, nodes = plant
    rule = Rule(
        match=f"{NS}CH1.*.L1_{{machine}}_KW", to="mekong_foods/packing/l1/{machine}/active_power"
    )
    early = [node for node in nodes if "M03" not in node.path]
    first = expand_rules([rule], early, park, "plc")
    paths = {binding.path for binding in first.bindings}
    assert paths == {f"{L1}/m{n:02d}/active_power" for n in (1, 2, 4)}
    (late,) = added([rule], nodes, park, "plc", first.bindings)
    assert late.path == f"{L1}/m03/active_power"
    assert not added([rule], nodes, park, "plc", (*first.bindings, late))


def test_a_rule_takes_no_tag_from_another_endpoint(plant):
    park, nodes = plant
    to = "mekong_foods/packing/l1/{machine}/active_power"
    rule = Rule(match=f"{NS}CH1.*.L1_{{machine}}_KW", to=to, automatic=True)
    elsewhere = replace(
        bound(park, "nsu=urn:meter;s=M03", f"{L1}/m03/active_power"), endpoint="meter"
    )
    park = replace(park, bindings=(elsewhere,))
    free = {f"{L1}/m{n:02d}/active_power" for n in (1, 2, 4)}
    assert {binding.path for binding in added([rule], nodes, park, "plc", ())} == free
    found = later([rule], nodes, park, "plc", ())
    assert {binding.path for binding in found.automatic[rule]} == free


def test_a_rule_without_a_target_leaves_the_tag_to_the_matcher(plant):
    park, nodes = plant
    found = expand_rules([Rule(match="path:CH2/**")], nodes, park, "plc")
    assert len(found.bindings) == 40
    assert all("/l2/" in binding.path for binding in found.bindings)


def test_a_node_that_cannot_be_bound_is_told_and_does_not_stop_its_rule(plant, monkeypatch):
    park, nodes = plant
    below = [node for node in nodes if node.path.startswith("CH2/")]
    sure, unsure = wildcard._matched(below, nodes, park, {})
    odd = replace(sure[0], node=f"{NS}{{x}}")
    monkeypatch.setattr(wildcard, "_matched", lambda *_: ([odd, *sure[1:]], unsure))
    found = expand_rules([Rule(match="path:CH2/**")], nodes, park, "plc")
    assert {binding.path for binding in found.bindings} == {match.path for match in sure[1:]}
    assert any(odd.node in problem for problem in found.problems)


def test_rules_that_cannot_work_are_told(plant):
    park, nodes = plant
    rules = [
        Rule(match="ns=2;s=*"),
        Rule(match=f"{NS}Nothing*"),
        Rule(match=f"{NS}*", to="mekong_foods/{x}/active_power"),
        Rule(match="path:" + "**/**/" * 3),
        Rule(match=f"{NS}CH1.*.L1_{{m}}_KW_MAX", to="mekong_foods/packing/l1/{m}/nothing"),
    ]
    found = expand_rules(rules, nodes, park, "plc")
    assert not found.bindings
    text = " ".join(found.problems)
    for part in ("bare ns=", "no node matches", "one side only", "too many wildcards", "nothing"):
        assert part in text


def test_a_star_stays_within_its_step_and_marks_do_not_matter():
    nodes = [
        SeenNode(node="nsu=urn:a;s=Line1.P01.Power", path="Chuyền 1/P01/Công suất"),
        SeenNode(node="nsu=urn:a;s=Line1.Power", path="Chuyền 1/Công suất"),
    ]

    def hits(match):
        pattern = Rule(match=match).pattern()
        by_path = match.startswith("path:")
        return [bool(pattern.fullmatch(n.path if by_path else n.node)) for n in nodes]

    assert hits("nsu=urn:a;s=Line*.Power") == [False, True]
    assert hits("nsu=urn:a;s=Line**.Power") == [True, True]
    assert hits(unicodedata.normalize("NFD", "path:Chuyền */*/Công suất")) == [True, False]


# --- lint ---


def look(path, *values, **more):
    return SeenNode(
        node=f"{NS}{path}", path=path, data_type=more.pop("data_type", "Double"),
        observed=observed(values), **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "node", "code"),
    [
        ("active_power", look("N", 1.0, 2.0, 3.0, unit="A"), "unit.wrong"),
        ("active_power", look("N", 1.0, 2.0, 3.0, unit="W"), "unit.scale"),
        ("active_power", look("N", 5.0, 5.0, 5.0), "node.still"),
        ("active_power", look("N", 1.0, status=0x80000000), "node.bad"),
        ("active_power", look("N", 1.0, data_type="String"), "type.text"),
        ("active_power", look("N", 1.0, data_type="Boolean"), "type.boolean"),
        ("active_power", look("N", 1.0, rank=1), "type.array"),
        ("active_power", look("N", 1.0, access=2), "access.denied"),
        ("active_power", look("N", 1.0, 200.0, 3.0, span=(0.0, 100.0)), "range.left"),
        ("temperature", look("N", 570.0, 5800.0, 5790.0), "range.implausible"),
        ("part_count", look("N", 9.0, 10.0, 0.0, 1.0, data_type="UInt32"), "counter.falls"),
        ("part_count", look("N", 9.0, 10.0, data_type="Int16"), "type.short"),
        ("item_state", look("N", 1.5, 2.0), "state.real"),
        ("item_state", look("N", 1.0, 2.0), "type.real"),
        ("active_power", replace(look("N"), node_class="Object"), "node.class"),
    ],
)
def test_each_fault_is_told_with_node_reason_and_remedy(plant, metric, node, code):
    park, _ = plant
    binding = bound(park, node.node, f"{L1}/m01/{metric}")
    found = {finding.code: finding for finding in lint([binding], [node])}
    assert code in found
    assert found[code].node == node.node
    assert found[code].path == binding.path
    assert found[code].why
    assert found[code].remedy


def test_a_sound_mapping_has_no_findings_of_weight(plant):
    park, nodes = plant
    here = [bound(park, node, path) for node, path in truth_of("abbr").items()]
    assert not [finding for finding in lint(here, nodes) if finding.severity == "error"]


def test_missing_doubled_and_copied_nodes_are_told(plant):
    park, _ = plant
    a, b = look("A", 1.5, 2.5, 1.7), look("B", 1.5, 2.5, 1.7)
    here = [
        bound(park, a.node, f"{L1}/m01/active_power"),
        bound(park, b.node, f"{L1}/m02/active_power"),
        bound(park, a.node, f"{L1}/m03/active_power"),
        bound(park, f"{NS}gone", f"{L1}/m04/active_power"),
    ]
    codes = {finding.code for finding in lint(here, [a, b])}
    assert {"node.missing", "node.twice", "node.same_values"} <= codes
    assert all(binding.kind is Kind.GAUGE for binding in here)


def test_a_rule_of_the_park_file_waits_for_a_crawl(tmp_path, plant):
    text = (FOLDER / "abbr.park.yaml").read_text(encoding="utf-8")
    text += (
        "endpoints:\n  - {id: plc, url: 'opc.tcp://127.0.0.1:4840', allow_insecure: true, map: ["
        f"{{match: '{NS}CH1.*.L1_{{machine}}_KW', to: 'mekong_foods/packing/l1/{{machine}}/"
        "active_power'}, {match: 'path:CH2/**', to: auto}]}\n"
    )
    file = tmp_path / "park.yaml"
    file.write_text(text, encoding="utf-8")
    park = load_park(file)
    assert not [binding for binding in park.bindings if binding.endpoint]
    assert [is_rule(mapping) for mapping in park.endpoints["plc"].map] == [True, True]
