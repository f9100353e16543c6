# ruff: noqa: E501 - the rows of a park file and of a table are read as lines
"""What the three plants are written with: a server's tree, its park file, and the true mapping.

``python make.py`` wrote ``*.jsonl``, ``*.park.yaml`` and ``*.truth.json`` once; they are frozen by
``SHA256SUMS`` and the matcher was written after them.
"""

import json
import random
import unicodedata
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
UNECE = {
    "kW": "KWT", "W": "WTT", "MW": "MAW", "kWh": "KWH", "MWh": "MWH", "Wh": "WHR", "kvar": "KVR",
    "kvarh": "K3", "V": "VLT", "kV": "KVT", "A": "AMP", "°C": "CEL", "s": "SEC", "ms": "C26",
    "min": "MIN", "mm/s": "C16", "m³/h": "MQH", "m³": "MTQ", "mg/l": "M1", "bar": "BAR",
    "kPa": "KPA", "t": "TNE", "%": "P1", "W/m²": "D54", "Hz": "HTZ", "rpm": "RPM", "mm": "MMT",
}  # fmt: skip


def unit_id(text: str) -> int | None:
    """UnitId of EUInformation: the bytes of the UNECE code as a number."""
    code = UNECE.get(text)
    return int.from_bytes(code.encode("ascii"), "big") if code else None


class Sheet:
    """One plant while it is written."""

    def __init__(self, name: str, namespace: str, seed: int) -> None:
        self.name, self.namespace = name, namespace
        self.draw = random.Random(seed)
        self.rows: list[dict] = []
        self.truth: dict[str, str] = {}
        self.folders: set[str] = set()

    def folder(self, path: str) -> None:
        """The object of a path, and those above it."""
        steps = path.split("/")
        for n in range(1, len(steps) + 1):
            here = "/".join(steps[:n])
            if here not in self.folders:
                self.folders.add(here)
                self.rows.append(
                    {"node": f"nsu={self.namespace};s={plain(here)}", "path": here,
                     "name": steps[n - 1], "class": "Object", "type": "i=61"}
                )  # fmt: skip

    def put(
        self,
        path: str,
        data_type: str = "Double",
        samples: Iterable[float] | None = None,
        *,
        unit: str = "",
        eu: bool = True,
        truth: str = "",
        node: str = "",
        names: dict[str, str] | None = None,
        span: tuple[float, float] | None = None,
        text: str = "",
        access: int = 1,
        rank: int = -1,
    ) -> None:
        """A variable; `eu` false keeps its unit out of EUInformation."""
        above, _, leaf = path.rpartition("/")
        if above:
            self.folder(above)
        row: dict = {
            "node": node or f"nsu={self.namespace};s={plain(path)}",
            "path": path,
            "name": leaf,
            "class": "Variable",
            "type": "i=63",
            "data_type": data_type,
            "access": access,
            "rank": rank,
        }
        if unit and eu:
            row["unit"] = {"text": unit, "id": unit_id(unit)}
        if span:
            row["range"] = list(span)
        if names:
            row["names"] = names
        if text:
            row["description"] = text
        if samples is not None:
            row["samples"] = list(samples)
        assert row["node"] not in {r["node"] for r in self.rows}, row["node"]
        self.rows.append(row)
        if truth:
            assert truth not in self.truth.values(), truth
            self.truth[row["node"]] = truth

    # --- what was observed, twelve times ---

    def gauge(self, mean: float, spread: float = 0.05) -> list[float]:
        return [round(mean * (1 + spread * self.draw.uniform(-1, 1)), 3) for _ in range(12)]

    def count(self, start: int, step: float) -> list[float]:
        now, out = float(start), []
        for _ in range(12):
            out.append(now)
            now += self.draw.choice((0, 1, 1, 2)) * step
        return out

    def state(self, *codes: int) -> list[float]:
        here = self.draw.choice(codes)
        out = []
        for _ in range(12):
            if self.draw.random() < 0.2:
                here = self.draw.choice(codes)
            out.append(float(here))
        return out

    def fixed(self, value: float) -> list[float]:
        return [float(value)] * 12

    def write(self, park: str) -> None:
        """Write the three files."""
        with (HERE / f"{self.name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        (HERE / f"{self.name}.truth.json").write_text(
            json.dumps(self.truth, ensure_ascii=False, indent=0), encoding="utf-8"
        )
        (HERE / f"{self.name}.park.yaml").write_text(park, encoding="utf-8")


def plain(text: str) -> str:
    """An identifier as a PLC programmer writes it: no marks, no spaces, dots between."""
    found = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    found = "".join(c for c in found if not unicodedata.combining(c))
    return found.replace(" ", "_").replace("/", ".").replace("&", "and")


def nfd(text: str) -> str:
    """The same text with its marks apart, as some servers send it."""
    return unicodedata.normalize("NFD", text)


TYPES = """types:
  press: {label: {vi: "Máy", en: "Machine"}, cycle_time: 28 s, power: {Executing/Processing: 45 kW, NotExecuting/None: 9 kW}}
calendars:
  day: {shifts: ["06:00-22:00"]}
"""


def head(id_: str, vi: str, en: str) -> str:
    """The first lines of a park file."""
    return f"""apiVersion: parktwin/v1
kind: Park
id: {id_}
label: {{vi: "{vi}", en: "{en}"}}
region: {{id: binh_duong, label: {{vi: "Bình Dương", en: "Binh Duong"}}}}
tz: Asia/Ho_Chi_Minh
geo: {{lat: 10.93, lon: 106.71, area: 2 ha}}
{TYPES}"""


def chain(*items: tuple[str, str, str]) -> str:
    """Machines and buffers of a line: (id, vi, en); an id with ``buffer:`` before it is a buffer."""
    out = []
    for id_, vi, en in items:
        label = f'label: {{vi: "{vi}", en: "{en}"}}'
        if id_.startswith("buffer:"):
            out.append(f"{{buffer: {id_[7:]}, cap: 40, {label}}}")
        else:
            out.append(f"{{machine: {id_}, type: press, {label}}}")
    return "[" + ", ".join(out) + "]"


def line(id_: str, vi: str, en: str, items: str) -> str:
    return (
        f'          - {{id: {id_}, label: {{vi: "{vi}", en: "{en}"}}, calendar: day, '
        f"product: case, chain: {items}}}\n"
    )
