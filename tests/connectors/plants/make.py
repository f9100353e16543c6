# ruff: noqa: E501 - the rows of a park file and of a table are read as lines
"""Write the frozen plants; see `sheet`. They were made once, before the matcher.

The fourth, ``companion``, is made of instances of the companion nodesets as node-opcua builds them
(``../node/companions.js``); its truth leaves what the codes of the twin cannot say: PackML's and
MachineTool's own modes, counts inside structures.
"""

import json
import subprocess

from sheet import HERE, Sheet, chain, head, line, nfd


def vietnamese() -> None:
    """A plastics plant: names in Vietnamese, with and without marks, NFC and NFD."""
    s = Sheet("vi", "urn:nhua-binh-minh:scada", 11)
    top = "Nhà máy Nhựa Bình Minh"
    machines = {
        "c1": [("ep01", "Máy ép 01"), ("ep02", "Máy ép 02"), ("ep03", "Máy ép 03")],
        "c2": [("ep04", "Máy ép 04"), ("ep05", "Máy ép 05"), ("ep06", "Máy ép 06")],
    }
    for c, (line_id, members) in enumerate(machines.items(), 1):
        for id_, label in members:
            asset = f"nhua/binh_minh/xuong_ep/{line_id}/{id_}"
            folder = f"{top}/Xưởng ép nhựa/Chuyền ép {c}/{label}"
            if line_id == "c2":
                folder = f"{top}/Xuong ep nhua/Chuyen ep {c}/{label.replace('Máy ép', 'May ep')}"
            vi_press(s, folder, asset, marks=line_id == "c1", apart=id_ in ("ep03",))
    for id_, label in (("dg01", "Máy đóng gói"), ("cat01", "Máy cắt bavia")):
        vi_packer(
            s, f"{top}/Xưởng ép nhựa/Công đoạn sau/{label}", f"nhua/binh_minh/xuong_ep/c3/{id_}"
        )
    for id_, label in (("say01", "Lò sấy sơn"), ("phun01", "Buồng phun sơn")):
        vi_paint(s, f"{top}/Xưởng sơn/Chuyền sơn/{label}", f"nhua/binh_minh/xuong_son/son/{id_}")
    vi_site(s, top)
    vi_utilities(s)
    vi_noise(s, top)
    park = (
        head("nhua", "Khu nhựa", "Plastics park")
        + f"""organisations:
  - {{id: bm, role: tenant, label: {{vi: "Nhựa Bình Minh", en: "Binh Minh Plastics"}}}}
sites:
  - id: binh_minh
    label: {{vi: "Nhà máy Nhựa Bình Minh", en: "Binh Minh plastics plant"}}
    owner: bm
    feeder: lo471
    areas:
      - id: xuong_ep
        label: {{vi: "Xưởng ép nhựa", en: "Moulding hall"}}
        lines:
{line("c1", "Chuyền ép 1", "Moulding line 1", chain(("ep01", "Máy ép 01", "Press 01"), ("buffer:b1", "Bộ đệm B1", "Buffer B1"), ("ep02", "Máy ép 02", "Press 02"), ("ep03", "Máy ép 03", "Press 03")))}{line("c2", "Chuyền ép 2", "Moulding line 2", chain(("ep04", "Máy ép 04", "Press 04"), ("ep05", "Máy ép 05", "Press 05"), ("ep06", "Máy ép 06", "Press 06")))}{line("c3", "Công đoạn sau", "Finishing", chain(("cat01", "Máy cắt bavia", "Deflasher"), ("dg01", "Máy đóng gói", "Packer")))}      - id: xuong_son
        label: {{vi: "Xưởng sơn", en: "Paint shop"}}
        lines:
{line("son", "Chuyền sơn", "Paint line", chain(("phun01", "Buồng phun sơn", "Spray booth"), ("say01", "Lò sấy sơn", "Drying oven")))}utilities:
  electricity:
    connection: {{id: grid, voltage: 22 kV, tariff: vn_industrial_one_part}}
    substations:
      - id: tba1
        label: {{vi: "Trạm 22 kV", en: "22 kV station"}}
        feeder_voltage: 22 kV
        transformers: [{{id: t1, rating: 2 MVA}}, {{id: t2, rating: 2 MVA}}]
        feeders: [{{id: lo471, rating: 50 A, transformer: t1}}, {{id: lo472, rating: 50 A, transformer: t2}}]
    pv: [{{id: mai_a, label: {{vi: "Điện mặt trời mái A", en: "Solar roof A"}}, feeder: lo471, site: binh_minh, peak: 800 kWp}}]
  boilers: [{{id: lo_hoi_1, label: {{vi: "Lò hơi số 1", en: "Boiler 1"}}, site: binh_minh, steam: 4 t/h, pressure: 8 bar, fuel: biomass}}, {{id: lo_hoi_2, label: {{vi: "Lò hơi số 2", en: "Boiler 2"}}, site: binh_minh, steam: 4 t/h, pressure: 8 bar, fuel: biomass}}]
  wastewater: [{{id: xlnt, label: {{vi: "Trạm xử lý nước thải", en: "Wastewater plant"}}, capacity: 400 m3/d}}]
logistics:
  gates: [{{id: cong_chinh, label: {{vi: "Cổng chính", en: "Main gate"}}, lanes: 2, service: 60 s}}]
"""
    )
    s.write(park)


def vi_press(s: Sheet, folder: str, asset: str, *, marks: bool, apart: bool) -> None:
    def say(with_marks: str, without: str) -> str:
        if marks:
            return nfd(with_marks) if apart else with_marks
        return without

    g, f = s.gauge, folder
    s.put(
        f"{f}/{say('Trạng thái máy', 'Trang thai may')}",
        "Int32",
        s.state(0, 1, 2, 3),
        truth=f"{asset}/item_state",
    )
    s.put(
        f"{f}/{say('Chế độ vận hành', 'Che do van hanh')}",
        "Int32",
        s.state(0, 2, 3),
        truth=f"{asset}/operation_mode",
    )
    s.put(
        f"{f}/{say('Tổng sản phẩm', 'Tong san pham')}",
        "UInt32",
        s.count(18000, 1),
        truth=f"{asset}/part_count",
    )
    s.put(
        f"{f}/{say('Sản phẩm lỗi', 'San pham loi')}",
        "UInt32",
        s.count(210, 1),
        truth=f"{asset}/scrap_count",
    )
    s.put(
        f"{f}/{say('Công suất tiêu thụ', 'Cong suat tieu thu')}",
        "Float",
        g(44),
        unit="kW",
        eu=marks,
        truth=f"{asset}/active_power",
    )
    s.put(
        f"{f}/{say('Điện năng tiêu thụ', 'Dien nang tieu thu')}",
        "Double",
        s.count(91234, 0.4),
        unit="kWh",
        truth=f"{asset}/active_energy",
    )
    s.put(
        f"{f}/{say('Dòng điện', 'Dong dien')}", "Float", g(72), unit="A", truth=f"{asset}/current"
    )
    s.put(
        f"{f}/{say('Nhiệt độ máy', 'Nhiet do may')}",
        "Float",
        g(57),
        unit="°C",
        eu=marks,
        truth=f"{asset}/temperature",
    )
    s.put(
        f"{f}/{say('Thời gian chu kỳ', 'Thoi gian chu ky')}",
        "Float",
        g(28),
        unit="s",
        truth=f"{asset}/cycle_time",
    )
    s.put(
        f"{f}/{say('Độ rung', 'Do rung')}", "Float", g(2.1), unit="mm/s", truth=f"{asset}/vibration"
    )
    # What an integrator leaves: setpoints, limits, ratings, other places, other counts.
    s.put(
        f"{f}/{say('Nhiệt độ cài đặt', 'Nhiet do cai dat')}",
        "Float",
        s.fixed(60),
        unit="°C",
        access=3,
    )
    s.put(f"{f}/{say('Nhiệt độ khuôn', 'Nhiet do khuon')}", "Float", g(41), unit="°C")
    s.put(f"{f}/{say('Nhiệt độ dầu thủy lực', 'Nhiet do dau thuy luc')}", "Float", g(47), unit="°C")
    s.put(f"{f}/{say('Công suất định mức', 'Cong suat dinh muc')}", "Float", s.fixed(62), unit="kW")
    s.put(f"{f}/{say('Chu kỳ đặt', 'Chu ky dat')}", "Float", s.fixed(28), unit="s", access=3)
    s.put(f"{f}/{say('Giới hạn độ rung', 'Gioi han do rung')}", "Float", s.fixed(7.1), unit="mm/s")
    s.put(
        f"{f}/{say('Sản lượng ca', 'San luong ca')}",
        "UInt32",
        [400, 401, 402, 403, 404, 0, 1, 2, 3, 4, 5, 6],
    )
    s.put(f"{f}/{say('Mã lỗi', 'Ma loi')}", "Int32", s.state(0, 0, 12))
    s.put(f"{f}/{say('Tên khuôn', 'Ten khuon')}", "String")
    s.put(f"{f}/{say('Giờ chạy máy', 'Gio chay may')}", "Double", s.count(8123, 0.01), unit="h")


def vi_packer(s: Sheet, folder: str, asset: str) -> None:
    s.put(f"{folder}/Trạng thái", "Int16", s.state(2, 3), truth=f"{asset}/item_state")
    s.put(f"{folder}/Bộ đếm sản phẩm", "UInt32", s.count(5120, 1), truth=f"{asset}/part_count")
    s.put(f"{folder}/Phế phẩm", "UInt32", s.count(33, 1), truth=f"{asset}/scrap_count")
    s.put(f"{folder}/Công suất", "Float", s.gauge(11), unit="kW", truth=f"{asset}/active_power")
    s.put(
        f"{folder}/Điện năng",
        "Double",
        s.count(10500, 0.1),
        unit="kWh",
        truth=f"{asset}/active_energy",
    )
    s.put(f"{folder}/Chu kỳ", "Float", s.gauge(22), unit="s", truth=f"{asset}/cycle_time")
    s.put(f"{folder}/Tốc độ", "Float", s.gauge(163), unit="rpm")
    s.put(f"{folder}/Sản phẩm kế hoạch", "UInt32", s.fixed(6000), access=3)
    s.put(f"{folder}/Áp suất khí nén", "Float", s.gauge(6.1), unit="bar")


def vi_paint(s: Sheet, folder: str, asset: str) -> None:
    s.put(f"{folder}/Tình trạng", "Int32", s.state(1, 2, 3), truth=f"{asset}/item_state")
    s.put(f"{folder}/Nhiệt độ", "Float", s.gauge(142), unit="°C", truth=f"{asset}/temperature")
    s.put(f"{folder}/Nhiệt độ SP", "Float", s.fixed(145), unit="°C", access=3)
    s.put(f"{folder}/Nhiệt độ cảnh báo cao", "Float", s.fixed(180), unit="°C")
    s.put(
        f"{folder}/Công suất điện", "Float", s.gauge(38000), unit="W", truth=f"{asset}/active_power"
    )
    s.put(
        f"{folder}/Điện năng tích lũy",
        "Double",
        s.count(455, 0.01),
        unit="MWh",
        truth=f"{asset}/active_energy",
    )
    s.put(f"{folder}/Số chi tiết đã sơn", "UInt32", s.count(22100, 1), truth=f"{asset}/part_count")
    s.put(f"{folder}/Áp suất sơn", "Float", s.gauge(3.2), unit="bar")


def vi_site(s: Sheet, top: str) -> None:
    f, site = f"{top}/Tủ điện tổng", "nhua/binh_minh"
    s.put(
        f"{f}/Công suất tác dụng tổng",
        "Float",
        s.gauge(612),
        unit="kW",
        truth=f"{site}/active_power",
    )
    s.put(
        f"{f}/Công suất phản kháng tổng",
        "Float",
        s.gauge(210),
        unit="kvar",
        truth=f"{site}/reactive_power",
    )
    s.put(
        f"{f}/Điện năng nhận",
        "Double",
        s.count(8123456, 4),
        unit="kWh",
        truth=f"{site}/active_energy",
    )
    s.put(
        f"{f}/Điện năng phản kháng",
        "Double",
        s.count(812345, 1),
        unit="kvarh",
        truth=f"{site}/reactive_energy",
    )
    s.put(f"{f}/Điện áp", "Float", s.gauge(22000, 0.01), unit="V", truth=f"{site}/voltage")
    s.put(f"{f}/Hệ số công suất", "Float", s.gauge(0.93, 0.01))
    s.put(f"{f}/Tần số", "Float", s.gauge(50, 0.001), unit="Hz")
    s.put(f"{f}/Công suất cực đại tháng", "Float", s.fixed(702), unit="kW")
    s.put(f"{f}/Công suất trung bình 15 phút", "Float", s.gauge(600), unit="kW")
    s.put(f"{f}/Điện năng giao", "Double", s.count(12, 0), unit="kWh")
    s.put(f"{f}/Dòng pha A", "Float", s.gauge(16), unit="A")
    s.put(f"{f}/Dòng pha B", "Float", s.gauge(16), unit="A")
    s.put(f"{f}/Dòng pha C", "Float", s.gauge(16), unit="A")


def vi_utilities(s: Sheet) -> None:
    for n in (1, 2):
        f, a = f"Phụ trợ/Lò hơi số {n}", f"nhua/lo_hoi_{n}"
        s.put(
            f"{f}/Lưu lượng hơi",
            "Float",
            s.gauge(3.1),
            unit="t/h",
            eu=False,
            truth=f"{a}/steam_flow",
            text="Lưu lượng hơi [t/h]",
        )
        s.put(f"{f}/Áp suất", "Float", s.gauge(7.8), unit="bar", truth=f"{a}/pressure")
        s.put(f"{f}/Áp suất đặt", "Float", s.fixed(8), unit="bar", access=3)
        s.put(f"{f}/Nhiệt độ khói", "Float", s.gauge(160), unit="°C")
        s.put(f"{f}/Mức nước", "Float", s.gauge(54), unit="%")
    f, a = "Phụ trợ/Trạm xử lý nước thải", "nhua/xlnt"
    s.put(f"{f}/Lưu lượng", "Float", s.gauge(14), unit="m³/h", truth=f"{a}/flow")
    s.put(f"{f}/Tổng thể tích", "Double", s.count(55120, 1), unit="m³", truth=f"{a}/volume")
    s.put(f"{f}/COD đầu ra", "Float", s.gauge(41), unit="mg/l", truth=f"{a}/cod")
    s.put(f"{f}/COD đầu vào", "Float", s.gauge(410), unit="mg/l")
    s.put(f"{f}/pH", "Float", s.gauge(7.1, 0.01))
    s.put(f"{f}/Công suất máy thổi khí", "Float", s.gauge(22), unit="kW")
    f, a = "Phụ trợ/Điện mặt trời mái A", "nhua/mai_a"
    s.put(f"{f}/Công suất phát", "Float", s.gauge(430), unit="kW", truth=f"{a}/active_power")
    s.put(
        f"{f}/Sản lượng điện", "Double", s.count(812345, 2), unit="kWh", truth=f"{a}/active_energy"
    )
    s.put(f"{f}/Sản lượng điện hôm nay", "Double", s.count(1200, 2), unit="kWh")
    s.put(f"{f}/Bức xạ", "Float", s.gauge(702), unit="W/m²", truth=f"{a}/irradiance")
    s.put(f"{f}/Nhiệt độ tấm pin", "Float", s.gauge(51), unit="°C", truth=f"{a}/module_temperature")
    for n, feeder in ((1, 471), (2, 472)):
        f = f"Trạm 22 kV/Lộ {feeder}"
        a = f"nhua/lo{feeder}"
        s.put(f"{f}/P", "Float", s.gauge(0.6), unit="MW", truth=f"{a}/active_power")
        s.put(f"{f}/Q", "Float", s.gauge(200), unit="kvar", truth=f"{a}/reactive_power")
        s.put(f"{f}/I", "Float", s.gauge(17), unit="A", truth=f"{a}/current")
        f, a = f"Trạm 22 kV/MBA T{n}", f"nhua/tba1/t{n}"
        s.put(f"{f}/Công suất P", "Float", s.gauge(610), unit="kW", truth=f"{a}/active_power")
        s.put(f"{f}/Công suất Q", "Float", s.gauge(200), unit="kvar", truth=f"{a}/reactive_power")
        s.put(f"{f}/Nhiệt độ dầu", "Float", s.gauge(61), unit="°C", truth=f"{a}/oil_temperature")
        s.put(f"{f}/Nhiệt độ cuộn dây", "Float", s.gauge(71), unit="°C")
        s.put(f"{f}/Máy cắt", "Boolean", s.fixed(1), truth=f"{a}/breaker")
        s.put(f"{f}/Nấc phân áp", "Int16", s.fixed(9))
    f, a = "Cổng chính", "nhua/cong_chinh"
    s.put(f"{f}/Xe đang chờ", "Int32", s.state(0, 3, 5), truth=f"{a}/queue")
    s.put(f"{f}/Lượt vào", "UInt32", s.count(1200, 1), truth=f"{a}/entries")
    s.put(f"{f}/Lượt ra", "UInt32", s.count(1180, 1), truth=f"{a}/exits")
    s.put(f"{f}/Barie mở", "Boolean", s.state(0, 1))
    s.put(
        "Trạm thời tiết/Nhiệt độ không khí",
        "Float",
        s.gauge(31),
        unit="°C",
        truth="nhua/weather/air_temperature",
    )
    s.put(
        "Trạm thời tiết/Bức xạ toàn phần",
        "Float",
        s.gauge(690),
        unit="W/m²",
        truth="nhua/weather/irradiance",
    )
    s.put("Trạm thời tiết/Độ ẩm", "Float", s.gauge(71), unit="%")


def vi_noise(s: Sheet, top: str) -> None:
    for n, word in enumerate(
        (
            "Nhịp tim",
            "Chu kỳ quét PLC",
            "Nhiệt độ CPU",
            "Bộ nhớ trống",
            "Số lần kết nối lại",
            "Thời gian hoạt động",
        )
    ):
        s.put(f"{top}/Chẩn đoán/{word}", "Double", s.gauge(10 + n))
    for n in range(12):
        s.put(f"{top}/Dự phòng/DB100.DBD{n * 4}", "Float", s.gauge(5))
    old = f"{top}/Thử nghiệm/Chuyền ép 1/Máy ép 01"
    s.put(f"{old}/Công suất tiêu thụ", "Float", s.fixed(0), unit="kW")
    s.put(f"{old}/Nhiệt độ máy", "Float", s.fixed(0), unit="°C")
    other = f"{top}/Xưởng ép nhựa/Chuyền ép 1/Máy ép 09"
    s.put(f"{other}/Công suất tiêu thụ", "Float", s.gauge(40), unit="kW")
    s.put(f"{other}/Tổng sản phẩm", "UInt32", s.count(100, 1))


def english() -> None:
    """An electronics plant: English names, numeric ids, meters with many registers."""
    s = Sheet("en", "http://brightwell.example/UA/Plant", 23)
    number = iter(range(5001, 9999))

    def node() -> str:
        return f"nsu={s.namespace};i={next(number)}"

    top = "Brightwell/Production"
    for letter in "AB":
        for id_, label in (
            ("printer", "Screen Printer"),
            ("pnp1", "Pick and Place 1"),
            ("pnp2", "Pick and Place 2"),
            ("reflow", "Reflow Oven"),
            ("aoi", "AOI"),
        ):
            en_smt(
                s,
                f"{top}/SMT/Line {letter}/{label}",
                f"bright/brightwell/smt/line_{letter.lower()}/{id_}",
                id_,
                node,
            )
    for cell in (1, 2, 3):
        en_cell(
            s,
            f"{top}/Final Assembly/Cell {cell:02d}",
            f"bright/brightwell/assembly/final/cell{cell}",
            node,
        )
    s.put(
        f"{top}/SMT/Line A/Conveyor Buffer 1/Level",
        "UInt16",
        s.state(3, 7, 12),
        node=node(),
        truth="bright/brightwell/smt/line_a/buf1/level",
    )
    s.put(f"{top}/SMT/Line A/Conveyor Buffer 1/Capacity", "UInt16", s.fixed(40), node=node())
    en_meter(s, "Brightwell/Utilities/Main Incomer Meter", "bright/brightwell", node)
    en_power(s, node)
    en_noise(s, node)
    smt = [
        ("printer", "Máy in kem hàn", "Screen printer"),
        ("buffer:buf1", "Băng tải đệm 1", "Conveyor buffer 1"),
        ("pnp1", "Máy dán 1", "Pick and place 1"),
        ("pnp2", "Máy dán 2", "Pick and place 2"),
        ("reflow", "Lò hàn", "Reflow oven"),
        ("aoi", "Máy kiểm tra quang", "AOI"),
    ]
    cells = [(f"cell{n}", f"Trạm lắp ráp {n}", f"Assembly cell {n}") for n in (1, 2, 3)]
    park = (
        head("bright", "Khu điện tử", "Electronics park")
        + f"""organisations:
  - {{id: bw, role: tenant, label: {{vi: "Brightwell", en: "Brightwell Electronics"}}}}
sites:
  - id: brightwell
    label: {{vi: "Nhà máy Brightwell", en: "Brightwell plant"}}
    owner: bw
    feeder: feeder01
    areas:
      - id: smt
        label: {{vi: "Xưởng SMT", en: "SMT hall"}}
        lines:
{line("line_a", "Chuyền SMT A", "SMT line A", chain(*smt))}{line("line_b", "Chuyền SMT B", "SMT line B", chain(*smt))}      - id: assembly
        label: {{vi: "Xưởng lắp ráp", en: "Assembly hall"}}
        lines:
{line("final", "Chuyền lắp ráp cuối", "Final assembly", chain(*cells))}utilities:
  electricity:
    connection: {{id: grid, voltage: 110 kV, tariff: vn_industrial_one_part}}
    substations:
      - id: ss1
        label: {{vi: "Trạm 110 kV", en: "110 kV substation"}}
        feeder_voltage: 22 kV
        transformers: [{{id: t1, rating: 63 MVA}}, {{id: t2, rating: 63 MVA}}]
        feeders: [{{id: feeder01, rating: 400 A, transformer: t1}}, {{id: feeder02, rating: 400 A, transformer: t2}}, {{id: feeder03, rating: 400 A, transformer: t2}}]
    pv: [{{id: pv_roof, label: {{vi: "Mái điện mặt trời", en: "Solar roof"}}, feeder: feeder01, site: brightwell, peak: 2000 kWp}}]
    bess: [{{id: bess1, label: {{vi: "Pin lưu trữ 1", en: "Battery 1"}}, feeder: feeder02, power: 2 MW, energy: 4 MWh}}]
  wastewater: [{{id: wwtp, label: {{vi: "Trạm xử lý nước thải", en: "Wastewater plant"}}, capacity: 400 m3/d}}]
logistics:
  gates: [{{id: gate_north, label: {{vi: "Cổng Bắc", en: "North gate"}}, lanes: 2, service: 60 s}}, {{id: gate_south, label: {{vi: "Cổng Nam", en: "South gate"}}, lanes: 2, service: 60 s}}]
  yards: [{{id: yard1, label: {{vi: "Bãi xe tải", en: "Truck yard"}}, slots: 80}}]
"""
    )
    s.write(park)


def en_smt(s: Sheet, f: str, a: str, id_: str, node) -> None:
    s.put(
        f"{f}/Status/Machine State", "Int32", s.state(1, 2, 3), node=node(), truth=f"{a}/item_state"
    )
    s.put(
        f"{f}/Status/Operating Mode",
        "Int32",
        s.state(2, 3),
        node=node(),
        truth=f"{a}/operation_mode",
    )
    s.put(f"{f}/Status/Alarm Active", "Boolean", s.state(0, 1), node=node())
    s.put(f"{f}/Status/Error Code", "Int32", s.state(0, 17), node=node())
    s.put(
        f"{f}/Production/Total Boards",
        "UInt32",
        s.count(40211, 1),
        node=node(),
        truth=f"{a}/part_count",
        text="Boards processed since commissioning",
    )
    s.put(
        f"{f}/Production/Rejected Boards",
        "UInt32",
        s.count(310, 1),
        node=node(),
        truth=f"{a}/scrap_count",
    )
    s.put(
        f"{f}/Production/Boards This Shift",
        "UInt32",
        [310, 311, 312, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        node=node(),
    )
    s.put(
        f"{f}/Production/Cycle Time",
        "Float",
        s.gauge(21400),
        unit="ms",
        node=node(),
        truth=f"{a}/cycle_time",
    )
    s.put(
        f"{f}/Production/Target Cycle Time",
        "Float",
        s.fixed(21000),
        unit="ms",
        node=node(),
        access=3,
    )
    s.put(f"{f}/Production/Planned Quantity", "UInt32", s.fixed(500), node=node(), access=3)
    s.put(f"{f}/Production/Job Number", "String", node=node())
    s.put(
        f"{f}/Energy/Active Power",
        "Double",
        s.gauge(6200),
        unit="W",
        node=node(),
        truth=f"{a}/active_power",
    )
    s.put(
        f"{f}/Energy/Active Energy",
        "Double",
        s.count(3312, 0.1),
        unit="kWh",
        node=node(),
        truth=f"{a}/active_energy",
    )
    s.put(f"{f}/Energy/Peak Power", "Double", s.fixed(9100), unit="W", node=node())
    s.put(f"{f}/Energy/Rated Power", "Double", s.fixed(8000), unit="W", node=node())
    if id_ == "reflow":
        s.put(
            f"{f}/Process/Temperature",
            "Float",
            s.gauge(231),
            unit="°C",
            node=node(),
            truth=f"{a}/temperature",
            span=(0, 350),
        )
        s.put(
            f"{f}/Process/Temperature Setpoint",
            "Float",
            s.fixed(230),
            unit="°C",
            node=node(),
            access=3,
            span=(0, 350),
        )
        for zone in range(1, 7):
            s.put(
                f"{f}/Process/Zone {zone} Temperature",
                "Float",
                s.gauge(150 + zone),
                unit="°C",
                node=node(),
            )
            s.put(
                f"{f}/Process/Zone {zone} Setpoint",
                "Float",
                s.fixed(150 + zone),
                unit="°C",
                node=node(),
                access=3,
            )
        s.put(f"{f}/Process/High Temperature Limit", "Float", s.fixed(260), unit="°C", node=node())
    if id_.startswith("pnp"):
        s.put(
            f"{f}/Process/Vibration RMS",
            "Float",
            s.gauge(1.4),
            unit="mm/s",
            node=node(),
            truth=f"{a}/vibration",
        )
        s.put(
            f"{f}/Process/Placement Head Temperature", "Float", s.gauge(38), unit="°C", node=node()
        )


def en_cell(s: Sheet, f: str, a: str, node) -> None:
    s.put(f"{f}/State", "Int32", s.state(1, 2, 3), node=node(), truth=f"{a}/item_state")
    s.put(f"{f}/Part Counter", "UInt32", s.count(9120, 1), node=node(), truth=f"{a}/part_count")
    s.put(f"{f}/Scrap Counter", "UInt32", s.count(91, 1), node=node(), truth=f"{a}/scrap_count")
    s.put(
        f"{f}/Last Cycle Time", "Float", s.gauge(26), unit="s", node=node(), truth=f"{a}/cycle_time"
    )
    s.put(f"{f}/Average Cycle Time", "Float", s.gauge(26, 0.005), unit="s", node=node())
    s.put(
        f"{f}/Power",
        "Float",
        s.gauge(9),
        node=node(),
        truth=f"{a}/active_power",
        text="Actual power consumption in kW",
    )
    s.put(f"{f}/Motor Current", "Float", s.gauge(13), unit="A", node=node(), truth=f"{a}/current")
    s.put(f"{f}/Operator ID", "UInt32", s.fixed(4411), node=node())
    s.put(f"{f}/Torque", "Float", s.gauge(4.1), node=node())


def en_meter(s: Sheet, f: str, a: str, node) -> None:
    s.put(
        f"{f}/Total Active Power",
        "Double",
        s.gauge(2100),
        unit="kW",
        node=node(),
        truth=f"{a}/active_power",
    )
    s.put(
        f"{f}/Total Reactive Power",
        "Double",
        s.gauge(500),
        unit="kvar",
        node=node(),
        truth=f"{a}/reactive_power",
    )
    s.put(f"{f}/Total Apparent Power", "Double", s.gauge(2160), node=node())
    s.put(
        f"{f}/Active Energy Import",
        "Double",
        s.count(22812345, 10),
        unit="kWh",
        node=node(),
        truth=f"{a}/active_energy",
    )
    s.put(f"{f}/Active Energy Export", "Double", s.count(1234, 0), unit="kWh", node=node())
    s.put(
        f"{f}/Reactive Energy Import",
        "Double",
        s.count(3812345, 2),
        unit="kvarh",
        node=node(),
        truth=f"{a}/reactive_energy",
    )
    s.put(
        f"{f}/Voltage L-L Average",
        "Double",
        s.gauge(22100, 0.01),
        unit="V",
        node=node(),
        truth=f"{a}/voltage",
    )
    for phase in "123":
        s.put(f"{f}/Voltage L{phase}-N", "Double", s.gauge(12760, 0.01), unit="V", node=node())
        s.put(f"{f}/Current L{phase}", "Double", s.gauge(55), unit="A", node=node())
        s.put(f"{f}/Active Power L{phase}", "Double", s.gauge(700), unit="kW", node=node())
        s.put(f"{f}/THD Voltage L{phase}", "Double", s.gauge(2), unit="%", node=node())
    s.put(f"{f}/Power Factor", "Double", s.gauge(0.97, 0.01), node=node())
    s.put(f"{f}/Frequency", "Double", s.gauge(50, 0.001), unit="Hz", node=node())
    s.put(f"{f}/Power Demand 15 min", "Double", s.gauge(2080), unit="kW", node=node())
    s.put(f"{f}/Maximum Demand", "Double", s.fixed(2410), unit="kW", node=node())


def en_power(s: Sheet, node) -> None:
    for n in (1, 2):
        f, a = f"Substation/Transformer T{n}", f"bright/ss1/t{n}"
        s.put(
            f"{f}/Active Power",
            "Float",
            s.gauge(31),
            unit="MW",
            node=node(),
            truth=f"{a}/active_power",
        )
        s.put(
            f"{f}/Reactive Power",
            "Float",
            s.gauge(9000),
            unit="kvar",
            node=node(),
            truth=f"{a}/reactive_power",
        )
        s.put(f"{f}/Current HV", "Float", s.gauge(170), unit="A", node=node())
        s.put(
            f"{f}/Top Oil Temperature",
            "Float",
            s.gauge(61),
            unit="°C",
            node=node(),
            truth=f"{a}/oil_temperature",
        )
        s.put(f"{f}/Winding Temperature", "Float", s.gauge(70), unit="°C", node=node())
        s.put(f"{f}/Breaker Closed", "Boolean", s.fixed(1), node=node(), truth=f"{a}/breaker")
        s.put(f"{f}/Tap Position", "Int16", s.fixed(7), node=node())
    for n in (1, 2, 3):
        f, a = f"Substation/Feeder {n:02d}", f"bright/feeder{n:02d}"
        s.put(f"{f}/P", "Float", s.gauge(8), unit="MW", node=node(), truth=f"{a}/active_power")
        s.put(
            f"{f}/Q", "Float", s.gauge(2000), unit="kvar", node=node(), truth=f"{a}/reactive_power"
        )
        s.put(f"{f}/I", "Float", s.gauge(220), unit="A", node=node(), truth=f"{a}/current")
        s.put(f"{f}/I Max", "Float", s.fixed(390), unit="A", node=node())
    f, a = "Battery 1", "bright/bess1"
    s.put(
        f"{f}/State of Charge",
        "Float",
        s.gauge(61),
        unit="%",
        node=node(),
        truth=f"{a}/state_of_charge",
    )
    s.put(f"{f}/State of Health", "Float", s.fixed(98), unit="%", node=node())
    s.put(f"{f}/Power", "Float", s.gauge(900), unit="kW", node=node(), truth=f"{a}/active_power")
    s.put(f"{f}/Power Reference", "Float", s.fixed(900), unit="kW", node=node(), access=3)
    s.put(
        f"{f}/Energy Charged",
        "Double",
        s.count(81234, 2),
        unit="kWh",
        node=node(),
        truth=f"{a}/energy_in",
    )
    s.put(
        f"{f}/Energy Discharged",
        "Double",
        s.count(71234, 2),
        unit="kWh",
        node=node(),
        truth=f"{a}/energy_out",
    )
    s.put(f"{f}/Cell Temperature Max", "Float", s.gauge(34), unit="°C", node=node())
    f, a = "Solar Roof", "bright/pv_roof"
    s.put(
        f"{f}/AC Power", "Float", s.gauge(1200), unit="kW", node=node(), truth=f"{a}/active_power"
    )
    s.put(
        f"{f}/Total Yield",
        "Double",
        s.count(2123, 0.01),
        unit="MWh",
        node=node(),
        truth=f"{a}/active_energy",
    )
    s.put(f"{f}/Daily Yield", "Double", s.count(3, 0.01), unit="MWh", node=node())
    s.put(
        f"{f}/Plane Irradiance",
        "Float",
        s.gauge(690),
        unit="W/m²",
        node=node(),
        truth=f"{a}/irradiance",
    )
    s.put(
        f"{f}/Module Temperature",
        "Float",
        s.gauge(50),
        unit="°C",
        node=node(),
        truth=f"{a}/module_temperature",
    )
    for way in ("North", "South"):
        f, a = f"Logistics/{way} Gate", f"bright/gate_{way.lower()}"
        s.put(f"{f}/Vehicles Waiting", "Int32", s.state(0, 2, 5), node=node(), truth=f"{a}/queue")
        s.put(f"{f}/Entries", "UInt32", s.count(810, 1), node=node(), truth=f"{a}/entries")
        s.put(f"{f}/Exits", "UInt32", s.count(790, 1), node=node(), truth=f"{a}/exits")
        s.put(f"{f}/Barrier Open", "Boolean", s.state(0, 1), node=node())
    s.put(
        "Logistics/Truck Yard/Occupied Slots",
        "Int32",
        s.state(31, 33),
        node=node(),
        truth="bright/yard1/occupied",
    )
    s.put("Logistics/Truck Yard/Free Slots", "Int32", s.state(47, 49), node=node())
    f, a = "Water/Wastewater Plant", "bright/wwtp"
    s.put(f"{f}/Outlet Flow", "Float", s.gauge(16), unit="m³/h", node=node(), truth=f"{a}/flow")
    s.put(
        f"{f}/Total Volume Treated",
        "Double",
        s.count(99120, 1),
        unit="m³",
        node=node(),
        truth=f"{a}/volume",
    )
    s.put(f"{f}/COD Outlet", "Float", s.gauge(44), unit="mg/l", node=node(), truth=f"{a}/cod")
    s.put(f"{f}/Dissolved Oxygen", "Float", s.gauge(2), unit="mg/l", node=node())
    s.put(
        "Weather Station/Air Temperature",
        "Float",
        s.gauge(31),
        unit="°C",
        node=node(),
        truth="bright/weather/air_temperature",
    )
    s.put(
        "Weather Station/Global Irradiance",
        "Float",
        s.gauge(702),
        unit="W/m²",
        node=node(),
        truth="bright/weather/irradiance",
    )
    s.put("Weather Station/Wind Speed", "Float", s.gauge(3), node=node())


def en_noise(s: Sheet, node) -> None:
    for word in (
        "CPU Load",
        "Scan Time",
        "Memory Free",
        "Heartbeat",
        "Watchdog Counter",
        "Uptime",
        "Battery Voltage",
    ):
        s.put(f"System/PLC Diagnostics/{word}", "Double", s.gauge(20), node=node())
    for n in range(15):
        s.put(f"Channel1/Device1/Register {40001 + n}", "UInt16", s.gauge(5), node=node())
    for name in ("Active Power", "Active Energy", "Temperature"):
        s.put(f"Simulation/Line A/Reflow Oven/{name}", "Double", s.fixed(0), node=node())
    s.put(
        "Brightwell/Production/SMT/Line C/Pick and Place 1/Energy/Active Power",
        "Double",
        s.gauge(5000),
        unit="W",
        node=node(),
    )
    s.put(
        "Brightwell/Production/SMT/Line A/Total Boards Line",
        "UInt32",
        s.count(39000, 1),
        node=node(),
    )
    s.put(
        "Brightwell/Production/SMT/Hall Temperature", "Float", s.gauge(24), unit="°C", node=node()
    )


def abbreviated() -> None:
    """A food plant behind a gateway: short tags, two customs side by side, old registers."""
    s = Sheet("abbr", "urn:kepware:mekong-foods", 37)
    for ln in (1, 2):
        for m in (1, 2, 3, 4):
            abbr_kepware(s, ln, m)
    for m in (1, 2, 3):
        abbr_s7(s, m)
    abbr_power(s)
    abbr_noise(s)
    rows = ""
    for ln in (1, 2):
        items = chain(*((f"m{m:02d}", f"Máy {m:02d}", f"Machine {m:02d}") for m in (1, 2, 3, 4)))
        rows += line(f"l{ln}", f"Chuyền {ln}", f"Line {ln}", items)
    rows += line(
        "l3",
        "Chuyền 3",
        "Line 3",
        chain(*((f"m{m:02d}", f"Máy {m:02d}", f"Machine {m:02d}") for m in (1, 2, 3))),
    )
    park = (
        head("mekong", "Khu thực phẩm", "Food park")
        + f"""organisations:
  - {{id: mf, role: tenant, label: {{vi: "Mekong Foods", en: "Mekong Foods"}}}}
sites:
  - id: mekong_foods
    label: {{vi: "Thực phẩm Mekong", en: "Mekong Foods"}}
    owner: mf
    feeder: f471
    areas:
      - id: packing
        label: {{vi: "Xưởng đóng gói", en: "Packing hall"}}
        lines:
{rows}utilities:
  electricity:
    connection: {{id: grid, voltage: 22 kV, tariff: vn_industrial_one_part}}
    substations:
      - id: ss1
        label: {{vi: "Trạm 22 kV", en: "22 kV station"}}
        feeder_voltage: 22 kV
        transformers: [{{id: t1, rating: 2 MVA}}, {{id: t2, rating: 2 MVA}}]
        feeders: [{{id: f471, rating: 50 A, transformer: t1}}, {{id: f473, rating: 50 A, transformer: t2}}]
    pv: [{{id: pv1, feeder: f471, site: mekong_foods, peak: 800 kWp}}]
    bess: [{{id: bess1, feeder: f473, power: 1 MW, energy: 2 MWh}}]
  boilers: [{{id: boiler1, site: mekong_foods, steam: 4 t/h, pressure: 8 bar, fuel: gas}}]
  wastewater: [{{id: wwtp1, capacity: 400 m3/d}}]
logistics:
  gates: [{{id: g1, lanes: 2, service: 60 s}}, {{id: g2, lanes: 1, service: 60 s}}]
"""
    )
    s.write(park)


def abbr_kepware(s: Sheet, ln: int, m: int) -> None:
    a = f"mekong/mekong_foods/packing/l{ln}/m{m:02d}"
    f = f"CH{ln}/PLC_L{ln}"
    t = f"L{ln}_M{m:02d}"
    put = s.put
    put(f"{f}/{t}_KW", "Float", s.gauge(12), truth=f"{a}/active_power")
    put(f"{f}/{t}_KWH", "Float", s.count(8123, 0.2), truth=f"{a}/active_energy")
    put(f"{f}/{t}_AMP", "Float", s.gauge(21), truth=f"{a}/current")
    put(f"{f}/{t}_ST", "UInt16", s.state(0, 1, 2, 3), truth=f"{a}/item_state")
    put(f"{f}/{t}_MODE", "UInt16", s.state(2, 3), truth=f"{a}/operation_mode")
    put(f"{f}/{t}_CNT", "UInt32", s.count(70123, 1), truth=f"{a}/part_count")
    put(f"{f}/{t}_NG", "UInt32", s.count(203, 1), truth=f"{a}/scrap_count")
    put(f"{f}/{t}_TEMP", "Float", s.gauge(42), truth=f"{a}/temperature")
    put(f"{f}/{t}_CT", "Float", s.gauge(3.2), truth=f"{a}/cycle_time")
    put(f"{f}/{t}_VIB", "Float", s.gauge(1.9), truth=f"{a}/vibration")
    put(f"{f}/{t}_TEMP_SP", "Float", s.fixed(45), access=3)
    put(f"{f}/{t}_TEMP_HH", "Float", s.fixed(70), access=3)
    put(f"{f}/{t}_KW_MAX", "Float", s.fixed(15))
    put(f"{f}/{t}_KWH_D1", "Float", s.fixed(210))
    put(f"{f}/{t}_CNT_SHIFT", "UInt32", [80, 81, 82, 83, 0, 1, 2, 3, 4, 5, 6, 7])
    put(f"{f}/{t}_CNT_SP", "UInt32", s.fixed(9000), access=3)
    put(f"{f}/{t}_ALM", "UInt16", s.state(0, 4))
    put(f"{f}/{t}_SPARE1", "Float", s.fixed(0))


def abbr_s7(s: Sheet, m: int) -> None:
    a = f"mekong/mekong_foods/packing/l3/m{m:02d}"
    f = f"S7-1500/DB_Line3/M{m:02d}"

    def node(leaf: str) -> str:
        return f'nsu={s.namespace};s="DB_Line3"."M{m:02d}"."{leaf}"'

    rows = (
        ("rActPwr", "Float", s.gauge(8), "active_power"),
        ("lrEnergy", "Double", s.count(5123, 0.2), "active_energy"),
        ("iState", "Int16", s.state(1, 2, 3), "item_state"),
        ("diPartCnt", "Int32", s.count(30111, 1), "part_count"),
        ("diScrapCnt", "Int32", s.count(111, 1), "scrap_count"),
        ("rCycTime", "Float", s.gauge(3.9), "cycle_time"),
        ("rTemp", "Float", s.gauge(44), "temperature"),
        ("rCurr", "Float", s.gauge(15), "current"),
        ("rTempSP", "Float", s.fixed(45), ""),
        ("rPwrLim", "Float", s.fixed(12), ""),
        ("rCycTimeAvg", "Float", s.gauge(3.9, 0.001), ""),
        ("iErrCode", "Int16", s.state(0, 9), ""),
        ("bReset", "Boolean", s.fixed(0), ""),
        ("bEnable", "Boolean", s.fixed(1), ""),
    )
    for leaf, kind, samples, metric in rows:
        truth = f"{a}/{metric}" if metric else ""
        s.put(f"{f}/{leaf}", kind, samples, node=node(leaf), truth=truth)


def abbr_power(s: Sheet) -> None:
    f, a = "CH3/MFM_MAIN", "mekong/mekong_foods"
    s.put(
        f"{f}/P_TOT",
        "Float",
        s.gauge(520),
        truth=f"{a}/active_power",
        text="Tổng công suất tác dụng nhà máy (kW)",
    )
    s.put(
        f"{f}/Q_TOT",
        "Float",
        s.gauge(120),
        truth=f"{a}/reactive_power",
        text="Tổng công suất phản kháng nhà máy (kvar)",
    )
    s.put(
        f"{f}/EP_IMP",
        "Double",
        s.count(7123456, 3),
        truth=f"{a}/active_energy",
        text="Điện năng tác dụng nhận (kWh)",
    )
    s.put(
        f"{f}/EQ_IMP",
        "Double",
        s.count(712345, 1),
        truth=f"{a}/reactive_energy",
        text="Điện năng phản kháng nhận (kvarh)",
    )
    s.put(f"{f}/EP_EXP", "Double", s.count(0, 0), text="Điện năng tác dụng giao (kWh)")
    s.put(
        f"{f}/U_AVG",
        "Float",
        s.gauge(22.1, 0.01),
        truth=f"{a}/voltage",
        text="Điện áp dây trung bình (kV)",
    )
    s.put(f"{f}/PF", "Float", s.gauge(0.95, 0.01))
    s.put(f"{f}/HZ", "Float", s.gauge(50, 0.001))
    s.put(f"{f}/P_DMD", "Float", s.gauge(510))
    for phase in "ABC":
        s.put(f"{f}/I_{phase}", "Float", s.gauge(14))
        s.put(f"{f}/U_{phase}N", "Float", s.gauge(12.7, 0.01))
        s.put(f"{f}/P_{phase}", "Float", s.gauge(173))
    for n in (471, 473):
        f, a = "CH3/RTU22", f"mekong/f{n}"
        s.put(f"{f}/F{n}_P", "Float", s.gauge(520), unit="kW", truth=f"{a}/active_power")
        s.put(f"{f}/F{n}_Q", "Float", s.gauge(120), unit="kvar", truth=f"{a}/reactive_power")
        s.put(f"{f}/F{n}_I", "Float", s.gauge(14), unit="A", truth=f"{a}/current")
        s.put(f"{f}/F{n}_I_SET", "Float", s.fixed(45), unit="A", access=3)
    for n in (1, 2):
        f, a = "CH3/RTU22", f"mekong/ss1/t{n}"
        s.put(f"{f}/MBA_T{n}_P", "Float", s.gauge(520), unit="kW", truth=f"{a}/active_power")
        s.put(f"{f}/MBA_T{n}_Q", "Float", s.gauge(120), unit="kvar", truth=f"{a}/reactive_power")
        s.put(f"{f}/MBA_T{n}_ND_DAU", "Float", s.gauge(62), truth=f"{a}/oil_temperature")
        s.put(f"{f}/MBA_T{n}_ND_CUON", "Float", s.gauge(72))
        s.put(f"{f}/MBA_T{n}_CB", "Boolean", s.fixed(1), truth=f"{a}/breaker")
    f, a = "CH4/BESS1", "mekong/bess1"
    s.put(f"{f}/SOC", "Float", s.gauge(55), truth=f"{a}/state_of_charge")
    s.put(f"{f}/SOH", "Float", s.fixed(97))
    s.put(f"{f}/P_KW", "Float", s.gauge(400), truth=f"{a}/active_power")
    s.put(f"{f}/P_KW_SP", "Float", s.fixed(400), access=3)
    f, a = "CH4/PV1", "mekong/pv1"
    s.put(f"{f}/PAC", "Float", s.gauge(410), unit="kW", truth=f"{a}/active_power")
    s.put(f"{f}/E_TOT", "Double", s.count(912345, 2), unit="kWh", truth=f"{a}/active_energy")
    s.put(f"{f}/E_DAY", "Double", s.count(1900, 2), unit="kWh")
    s.put(f"{f}/POA", "Float", s.gauge(712), truth=f"{a}/irradiance")
    s.put(f"{f}/T_MOD", "Float", s.gauge(52), truth=f"{a}/module_temperature")
    f, a = "CH4/LH1", "mekong/boiler1"
    s.put(
        f"{f}/LL_HOI",
        "Float",
        s.gauge(3.2),
        truth=f"{a}/steam_flow",
        text="Lưu lượng hơi lò hơi 1, t/h",
    )
    s.put(
        f"{f}/AP_SUAT",
        "Float",
        s.gauge(7.7),
        truth=f"{a}/pressure",
        text="Áp suất hơi lò hơi 1, bar",
    )
    s.put(f"{f}/AP_SUAT_SP", "Float", s.fixed(8), access=3)
    f, a = "CH4/WWTP1", "mekong/wwtp1"
    s.put(f"{f}/FLOW", "Float", s.gauge(15), unit="m³/h", truth=f"{a}/flow")
    s.put(f"{f}/TOT_M3", "Double", s.count(45120, 1), unit="m³", truth=f"{a}/volume")
    s.put(f"{f}/COD", "Float", s.gauge(45), truth=f"{a}/cod")
    for n in (1, 2):
        f, a = f"CH5/GATE{n}", f"mekong/g{n}"
        s.put(f"{f}/QUEUE", "UInt16", s.state(0, 2, 4), truth=f"{a}/queue")
        s.put(f"{f}/CNT_IN", "UInt32", s.count(810, 1), truth=f"{a}/entries")
        s.put(f"{f}/CNT_OUT", "UInt32", s.count(790, 1), truth=f"{a}/exits")
        s.put(f"{f}/BAR_OPEN", "Boolean", s.state(0, 1))


def abbr_noise(s: Sheet) -> None:
    for n in range(40):
        s.put(
            f"Channel1/Device1/MW{100 + n}",
            "Int16",
            s.gauge(200),
            node=f"nsu={s.namespace};s=Channel1.Device1.MW{100 + n}",
        )
    for n in range(10):
        s.put(
            f"Channel1/Device1/D{n * 2}",
            "Float",
            s.gauge(20),
            node=f"nsu={s.namespace};s=Channel1.Device1.D{n * 2}",
        )
    for n in range(6):
        s.put(
            f"Channel1/Device1/Tag{n + 1}",
            "Float",
            s.gauge(50),
            unit="kW" if n < 2 else "",
            node=f"nsu={s.namespace};s=Channel1.Device1.Tag{n + 1}",
        )
    for word in ("_Error", "_NoError", "_DemandPoll", "_SecondsInError", "_ScanMode"):
        s.put(
            f"Channel1/Device1/_System/{word}",
            "Boolean",
            s.fixed(0),
            node=f"nsu={s.namespace};s=Channel1.Device1._System.{word}",
        )
    # A machine without its line, and one that the park does not have.
    s.put("CH6/PLC_OLD/M01_KW", "Float", s.gauge(12))
    s.put("CH6/PLC_OLD/M01_KWH", "Float", s.count(12, 0.2))
    s.put("CH1/PLC_L1/L1_M09_KW", "Float", s.gauge(12))
    s.put("CH1/PLC_L1/L1_KW", "Float", s.gauge(48))
    s.put("CH1/PLC_L1/L4_M01_KW", "Float", s.gauge(12))


COMPANION_TRUTH = (
    ("Lathe L0", "MachineryBuildingBlocks/MachineryItemState/CurrentState/Number", "item_state"),
    (
        "Lathe L0",
        "MachineryBuildingBlocks/MachineryOperationMode/CurrentState/Number",
        "operation_mode",
    ),
    ("Lathe L0", "Monitoring/ActivePower", "active_power"),
    ("Lathe L0", "Monitoring/ActiveEnergy", "active_energy"),
    ("Lathe L0", "Monitoring/PartsProduced", "part_count"),
    ("Lathe L0", "Monitoring/PartsRejected", "scrap_count"),
    ("Mill F0", "MachineryBuildingBlocks/MachineryItemState/CurrentState/Number", "item_state"),
    ("Mill F0", "Monitoring/ActivePower", "active_power"),
    ("Mill F0", "Monitoring/CycleTime", "cycle_time"),
    ("Mill F0", "Production/Statistics/PartsProducedInLifetime", "part_count"),
    ("Filler K0", "Energy/Power", "active_power"),
    ("Filler K0", "Energy/Energy", "active_energy"),
    ("Press E0", "ActivePower", "active_power"),
    ("Press E0", "ActiveEnergy", "active_energy"),
    ("Press E0", "Temperature", "temperature"),
    ("Packer D0", "ParameterSet/VibrationVelocity", "vibration"),
    ("Packer D0", "ParameterSet/MotorCurrent", "current"),
)


def companion() -> None:
    """Instances of DI, Machinery, MachineTool, PackML and ISA-95 types, from node-opcua."""
    told = subprocess.run(
        ["node", str(HERE.parent / "node" / "companions.js")], capture_output=True, check=True
    )
    s = Sheet("companion", "urn:lathe-and-sons:plant", 0)
    s.rows = [json.loads(row) for row in told.stdout.decode().splitlines() if row.startswith("{")]
    for row in s.rows:
        steps = row["path"].split("/")
        for begin, rest, metric in COMPANION_TRUTH:
            at = next((i for i, step in enumerate(steps) if step.startswith(begin)), None)
            if at is not None and "/".join(steps[at + 1 :]) == rest:
                asset = steps[at].rpartition(" ")[2].lower()
                s.truth[row["node"]] = f"metal/lathe_and_sons/machining/cells/{asset}/{metric}"
    names = (
        ("Lathe", "Máy tiện", "l", 3),
        ("Mill", "Máy phay", "f", 2),
        ("Filler", "Máy chiết", "k", 2),
        ("Press", "Máy dập", "e", 2),
        ("Packer", "Máy đóng gói", "d", 2),
    )
    items = [
        (f"{letter}{n:02d}", f"{vi} {letter.upper()}{n:02d}", f"{en} {letter.upper()}{n:02d}")
        for en, vi, letter, count in names
        for n in range(1, count + 1)
    ]
    s.write(
        head("metal", "Khu cơ khí", "Metal park")
        + f"""organisations:
  - {{id: las, role: tenant, label: {{vi: "Cơ khí Lathe", en: "Lathe and Sons"}}}}
sites:
  - id: lathe_and_sons
    label: {{vi: "Cơ khí Lathe và Con", en: "Lathe and Sons"}}
    owner: las
    feeder: feeder01
    areas:
      - id: machining
        label: {{vi: "Xưởng gia công", en: "Machining hall"}}
        lines:
{line("cells", "Cụm gia công", "Cells", chain(*items))}utilities:
  electricity:
    connection: {{id: grid, voltage: 22 kV, tariff: vn_industrial_one_part}}
    substations:
      - id: ss1
        label: {{vi: "Trạm 22 kV", en: "22 kV station"}}
        feeder_voltage: 22 kV
        transformers: [{{id: t1, rating: 2 MVA}}]
        feeders: [{{id: feeder01, rating: 50 A, transformer: t1}}]
"""
    )


if __name__ == "__main__":
    companion()
    vietnamese()
    english()
    abbreviated()
