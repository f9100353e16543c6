"""Names as words, and words as concepts: Vietnamese, English and the abbreviations between.

``Day_Chuyen1.May_P01.CongSuat`` and ``Line 1/P01/Active power`` meet at the same concepts. Marks
are dropped (NFC and NFD are equal), camel case and digits are split, and the longest known phrase
counts: ``nhiệt độ cài đặt`` is a temperature that is set, not measured.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_PREFIX: Final = re.compile(r"\b(?:r|lr|i|di|ui|udi|b|x|w|dw|f|n|s)(?=[A-Z][a-z])")
"""Type letters some PLC programmers put before a name: rTemp, diPartCnt."""
_SPLIT: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD: Final = re.compile(r"[A-Za-z%]+|\d+")


def folded(text: str) -> str:
    """The text without marks: one form for NFC and NFD, ``đ`` as ``d``, ``²`` as ``2``."""
    plain = unicodedata.normalize("NFKD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(c for c in plain if not unicodedata.combining(c))


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """Words of a name: lower case, no marks, camel case and digits split, ``01`` as ``1``."""
    spaced = _SPLIT.sub(" ", _PREFIX.sub("", folded(text)))
    return tuple(
        str(int(word)) if word.isdigit() and len(word) < 19 else word.lower()
        for word in _WORD.findall(spaced)
    )


@dataclass(frozen=True, slots=True)
class Term:
    """A concept, word or number in a name, with the words it was."""

    concept: str
    said: str
    known: bool

    @property
    def number(self) -> bool:
        """Whether it is a number."""
        return self.concept.isdigit()


_LEXICON: Final[Mapping[str, str]] = {
    # quantities
    "POWER": "power, pwr, cong suat, cs, csuat, leistung, watt",
    "KW": "kw, mw",
    "REACTIVE": "reactive, phan khang, vo cong, csphk, react",
    "KVAR": "kvar, mvar",
    "ENERGY": "energy, dien nang, engy, nang luong, dn, nrg",
    "KWH": "kwh, mwh, kw h",
    "KVARH": "kvarh, kvar h",
    "VOLTAGE": "voltage, dien ap, volt, volts",
    "CURRENT": "current, dong dien, amp, amps, ampere, curr, cuong do, dong",
    "TEMPERATURE": "temperature, nhiet do, temp, tmp, nd, ndo",
    "VIBRATION": "vibration, do rung, vib, rung",
    "PRESSURE": "pressure, ap suat, ap luc, press bar, pres",
    "FLOW": "flow, luu luong, flowrate, flow rate, ll",
    "VOLUME": "volume, the tich, m 3, khoi tich, vol",
    "LEVEL": "level, muc, so luong trong bo dem",
    "IRRADIANCE": "irradiance, buc xa, ghi, poa, solar radiation, cuong do buc xa",
    "COD": "cod",
    "SOC": "state of charge, soc, muc sac, phan tram pin",
    "YIELD": "yield, san luong dien, e tot, etot",
    "TONNE": "tonnes, tonne, so tan, khoi luong boc do, tan hang",
    # production
    "PART": "part, parts, piece, pieces, board, boards, product, products, item, items, bottle, "
    "bottles, can, cans, unit, units, pcs, chi tiet, san pham, thanh pham, workpiece, "
    "workpieces, shots",
    "SP": "sp",
    "COUNT": "count, counter, cnt, qty, quantity, so luong, bo dem, dem, ctr, number of, so",
    "OUTPUT": "san luong, sl, output",
    "SCRAP": "scrap, reject, rejects, rejected, ng, defect, defects, defective, phe pham, phe, "
    "pp, san pham loi, san pham hong, hang loi, hang hong, sp loi, sp hong, not good, "
    "khong dat, waste parts, parts nok, nok",
    "CYCLE": "cycle, chu ky, cyc, tact, takt, ct, cycletime",
    "STATE": "state, trang thai, status, tinh trang, tt, st, stt, item state, sts",
    "MODE": "mode, che do, operating mode, operation mode, che do van hanh, cd, mod op",
    "PRODUCED": "produced, processed, made, completed, da san xuat, production, sx",
    "GOOD": "good, dat, ok, dat chuan",
    # networks and logistics
    "BREAKER": "breaker, may cat, circuit breaker, cb",
    "QUEUE": "queue, queue length, xe dang cho, xe cho, hang cho, vehicles waiting, trucks waiting",
    "WAITING": "waiting, dang cho, cho doi",
    "VEHICLE": "vehicle, vehicles, truck, trucks, xe, xe tai",
    "ENTRY": "entries, entry, luot vao, xe vao, entered",
    "EXIT": "exits, exit, luot ra, xe ra, left",
    "IN": "in, vao",
    "OUT": "out, ra",
    "LANE": "lane, lanes, lan",
    "BUSY": "busy, dang dung, dang ban, dang phuc vu, in use",
    "OCCUPIED": "occupied, o dang dung, dang chiem",
    "SLOT": "slot, slots, o do, cho do, o bai",
    "TURN": "turn time, turnaround, turnaround time, thoi gian quay vong",
    "STRINGS": "strings ok, strings in operation, so chuoi hoat dong",
    "CHARGED": "charged, charge energy, nap, sac, energy charged, dien nang sac, energy in",
    "DISCHARGED": "discharged, xa, energy discharged, dien nang xa, energy out",
    # symbols of meters
    "SYM_P": "p, pac, p ac, kw p",
    "SYM_Q": "q",
    "SYM_I": "i",
    "SYM_U": "u",
    "SYM_T": "t",
    "SYM_E": "e, ea, ep, wp",
    "SYM_EQ": "eq, er, wq",
    # places of a measurement that belong to the metric's name
    "OIL": "oil, dau, dau may bien ap, dau mba",
    "MODULE": "module, panel, tam pin, mod, pv module, cell pv",
    "AIR": "air, khong khi, ambient, ngoai troi, moi truong, outdoor",
    "STEAM": "steam, hoi, hoi nuoc",
    "OUTLET": "outlet, dau ra, effluent, xa thai",
    "TREATED": "treated, da xu ly, handled",
    "CONSUMED": "consumption, consumed, tieu thu, su dung",
    "GENERATED": "generated, generation, phat, phat dien",
    "ELECTRIC": "electric, electrical, electricity, dien, ac",
    "LINE_TO_LINE": "l l, line to line, ll avg, ap day",
    # shades that change nothing
    "TOTAL": "total, tot, tong, sum, cumulative, accumulated, tich luy, luy ke, lifetime, "
    "toan phan, overall, tong cong, totalizer, in lifetime",
    "ACTUAL": "actual, act, pv, present, measured, instantaneous, hien tai, thuc te, tuc thoi, "
    "value, gia tri, reading, live, do duoc, khi do, val",
    "ACTIVE": "active, tac dung, huu cong, real, p act",
    "IMPORT": "import, imported, imp, nhan, received, delivered to, in kwh, forward, chieu thuan",
    "TIME": "time, thoi gian, tg, duration",
    "LAST": "last, previous cycle, gan nhat, vua roi",
    "RMS": "rms, velocity, van toc, hieu dung",
    "GLOBAL": "global, plane, of array, mat phang",
    "TOP": "top, lop tren",
    "CLOSED": "closed, dong cat, dang dong, on, 1 dong, 1 closed",
    "MOTOR": "motor, dong co",
    "OPERATION": "operation, operating, van hanh, hoat dong, running",
    "MACHINERY": "machinery, thiet bi, equipment",
    "OF": "of, the, and, va, cua, at, da, duoc, from, since",
    # what makes another quantity of it
    "!SETPOINT": "setpoint, set point, sp set, cai dat, dat truoc, gia tri dat, target, muc tieu, "
    "setting, set, preset, command, cmd, reference, ref, mong muon, desired, setvalue, sv, "
    "request, lenh, yeu cau, programmed",
    "!LIMIT": "limit, gioi han, lim, max, min, maximum, minimum, high, low, hh, ll limit, lolo, "
    "hihi, threshold, nguong, alarm, alm, canh bao, warning, warn, cao, thap, cuc dai, cuc tieu, "
    "lon nhat, nho nhat, peak, dinh, tren, duoi, trip, hi, lo, ul, lsl, usl, override",
    "!RATED": "rated, dinh muc, nominal, design, thiet ke, nameplate, capacity, cong suat dat, "
    "installed, lap dat, suc chua",
    "!AVERAGE": "average, avg, mean, trung binh, tb, demand, dmd, 15 min, 15 phut, rolling",
    "!PLANNED": "planned, plan, ke hoach, scheduled, forecast, du bao, expected, budget, kh, order",
    "!PERIOD": "today, hom nay, daily, day, ngay, shift, ca, month, monthly, thang, week, weekly, "
    "tuan, year, yearly, nam, yesterday, hom qua, hour, hourly, this shift, trong ca, "
    "job, lot, lo hang, batch, me, since reset, d 1, per hour",
    "!EXPORT": "export, exported, exp, giao, phat nguoc, reverse, chieu nghich, sold",
    "!PHASE": "phase, pha, phase a, phase b, phase c, pha a, pha b, pha c, thd, l n, unbalance",
    "!FACTOR": "factor, he so, pf, cos phi, cosphi, apparent, bieu kien, frequency, tan so, hz",
    "!FAULT": "fault, error, err, loi, ma loi, su co, error code, fault code, diagnostic, "
    "diagnostics, chan doan, code, ma, alarm active, dtc",
    "!SPARE": "spare, du phong, reserve, reserved, test, thu nghiem, thu, simulation, sim, "
    "mo phong, backup, bak, sao luu, old, cu, copy, ban sao, mirror, unused, khong dung, demo, "
    "dummy, temporary, template, mau, example",
    "!CONTROL": "reset, enable, enabled, start, stop, ack, acknowledge, jog, manual, kp, ki, kd, "
    "gain, scan, interlock, permissive",
    "!SYSTEM": "cpu, plc, memory, bo nho, heartbeat, nhip tim, watchdog, uptime, scan time, quet, "
    "system, he thong, comm, communication, ket noi, version, firmware, serial, ip, "
    "reconnect, register, thanh ghi, seconds in error, demand poll, no error",
    "!HEALTH": "health, soh, state of health, suc khoe, tuoi tho, remaining, con lai, free, "
    "con trong",
    "!RUNTIME": "running hours, hours, gio chay, gio chay may, run time, power on, on duration, "
    "operating hours, gio hoat dong, thoi gian hoat dong",
    "!NAME": "name, ten, id, identifier, description, mo ta, operator, number, recipe, cong thuc",
    "!RATE": "rate, per minute, speed, toc do, ppm, bpm, uph, spm",
}
"""Concept → how it is said. A concept with ``!`` makes another quantity of what it stands by."""

_PLACES: Final[Mapping[str, str]] = {
    "machine": "machine, may, mc, m, mach, thiet bi",
    "line": "line, chuyen, day chuyen, l, ln, prod line",
    "area": "area, xuong, hall, khu, khu vuc, phan xuong, workshop, shop",
    "site": "site, nha may, plant, factory",
    "transformer": "transformer, may bien ap, mba, trafo, xfmr, tr, t",
    "feeder": "feeder, xuat tuyen, phat tuyen, fdr, xt, f, lo",
    "substation": "substation, tram bien ap, tba, ss, tram",
    "boiler": "boiler, lo hoi, lh, nh",
    "wastewater": "wastewater, nuoc thai, xlnt, wwtp, xu ly nuoc thai, waste water",
    "solar": "solar, dien mat troi, dmt, pv plant, pv, photovoltaic",
    "battery": "battery, bess, pin luu tru, pin, ess",
    "gate": "gate, cong, g",
    "yard": "yard, bai xe, bai",
    "dock": "dock, docks, cua xuat nhap",
    "berth": "berth, cau bien, cau ben, ben",
    "weather": "weather, thoi tiet, khi tuong",
    "buffer": "buffer, bo dem b, bang tai dem",
}
"""Kind of place → how it is said; with a number or letter after it, it names one of them."""

TYPE_OF_PLACE: Final[Mapping[str, str]] = {
    "wastewater": "wastewater_plant",
    "solar": "pv",
    "battery": "bess",
} | {place: place for place in _PLACES if place not in {"wastewater", "solar", "battery"}}
"""Kind of place → asset type."""

PLACE_WORDS: Final[Mapping[str, frozenset[str]]] = {
    TYPE_OF_PLACE[place]: frozenset(word for word in words(said.replace(",", " ")) if len(word) > 1)
    for place, said in _PLACES.items()
}
"""Asset type → words that say it."""

METERING: Final = frozenset(
    words(
        "meter metering energy main incomer mfm msb mdb tu dien tong dong ho do dem power "
        "electrical electric dien utilities utility phu tro status production process "
        "monitoring monitor data parameter set values machinery building blocks measurements "
        "measurement statistics hmi opc tags tag signals io plc ch channel device db rtu s s7 "
        "objects production san xuat admin info machine tool identification may logistics water "
        "nuoc"
    )
)
"""Words of folders between an asset and its values that say nothing about which asset it is."""
MAIN_METER: Final = frozenset({"mfm", "incomer", "tong", "main", "msb", "mdb"})
"""Words of the one meter of a whole site."""


def _table(source: Mapping[str, str]) -> dict[int, dict[tuple[str, ...], str]]:
    by_size: dict[int, dict[tuple[str, ...], str]] = defaultdict(dict)
    for concept, said in source.items():
        for phrase in said.split(","):
            found = tuple(phrase.split())
            by_size[len(found)].setdefault(found, concept)
    return dict(by_size)


_PHRASES: Final = _table(_LEXICON)
_LONGEST: Final = max(_PHRASES)
_PLACE_WORDS: Final = _table(_PLACES)
_LONGEST_PLACE: Final = max(_PLACE_WORDS)


@lru_cache(maxsize=65536)
def terms(found: tuple[str, ...]) -> tuple[Term, ...]:
    """Words as concepts, the longest phrase first; unknown words stand for themselves."""
    out: list[Term] = []
    at = 0
    while at < len(found):
        for size in range(min(_LONGEST, len(found) - at), 0, -1):
            phrase = found[at : at + size]
            concept = _PHRASES.get(size, {}).get(phrase)
            if concept is not None:
                out.append(Term(concept, " ".join(phrase), known=True))
                at += size
                break
        else:
            out.append(Term(found[at], found[at], known=False))
            at += 1
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Key:
    """A piece of a name by which an asset is known: a word, perhaps with its number."""

    word: str
    number: str = ""

    def __str__(self) -> str:
        return f"{self.word} {self.number}" if self.number else self.word


@lru_cache(maxsize=65536)
def keys(found: tuple[str, ...]) -> tuple[tuple[Key, int, int], ...]:
    """Keys of a name with the words they cover: ``line 1``, ``press 3``, ``weather``.

    A word before a number, or a kind of place before a single letter, is one key with it; such a
    key is told under its own word and under its kind of place.
    """
    out: list[tuple[Key, int, int]] = []
    at = 0
    while at < len(found):
        place, size = _place_at(found, at)
        end = at + size
        if end + 1 < len(found) and found[end] in {"so", "no", "nr"}:
            end += 1
        if end < len(found) and (found[end].isdigit() or (place and _letter(found, end))):
            number, stop = found[end], end + 1
            if place:
                out.append((Key(place, number), at, stop))
            if size == 1:
                out.append((Key(found[at], number), at, stop))
            at = stop
            continue
        if place and size > 1:
            out.append((Key(place), at, at + size))
        out.extend((Key(word), n, n + 1) for n, word in enumerate(found[at : at + size], at))
        if place and size == 1:
            out.append((Key(place), at, at + 1))
        at += size
    return tuple(out)


def _letter(found: Sequence[str], at: int) -> bool:
    """Whether a word is a letter that names one of several (``line a``), not ``t`` of ``t 1``."""
    after = found[at + 1] if at + 1 < len(found) else ""
    return len(found[at]) == 1 and found[at].isalpha() and not after.isdigit()


def _place_at(found: Sequence[str], at: int) -> tuple[str, int]:
    if found[at].isdigit():
        return "", 1
    for size in range(min(_LONGEST_PLACE, len(found) - at), 0, -1):
        place = _PLACE_WORDS.get(size, {}).get(tuple(found[at : at + size]))
        if place is not None:
            return place, size
    return "", 1
