"""The assumed load of a whole park over the kinds of days: what a forecast starts from."""

from datetime import date

import numpy as np
import numpy.typing as npt

from models.load import SLOTS, DayKind, LoadTemplate, load_template
from models.sourced import Provenance, Status
from twin.estimate import UTILISATION
from twin.park import Park
from twin.parkfile.schema import AggregateSites, Calendar, Site

Floats = npt.NDArray[np.float64]

_WEEKDAYS = {
    DayKind.WORKING: (1, 2, 3, 4, 5),
    DayKind.SATURDAY: (6,),
    DayKind.SUNDAY: (7,),
    DayKind.HOLIDAY: (1, 2, 3, 4, 5, 6, 7),
}
_MADE = date(2026, 11, 22)


def park_template(park: Park) -> tuple[LoadTemplate, float, float]:
    """Put the park's load together from its tenants.

    Returns
    -------
    tuple of LoadTemplate, float, float
        Shares over quarter hours and kinds of days; the peak they are of [kW]; and the reactive
        power that goes with one kW of load, by the tenants' power factors [kvar/kW].
    """
    total = np.zeros((len(DayKind), SLOTS))
    kvar = 0.0
    for site in park.spec.sites:
        if isinstance(site, AggregateSites):
            load = load_template(site.profile).shares() * site.peak
        else:
            load = _site_kw(park, site)
        total += load
        kvar += float(load.max()) * float(np.tan(np.arccos(site.cos_phi)))
    peak = float(total.max(initial=0.0))
    shares = total / peak if peak > 0.0 else total
    template = LoadTemplate(
        id=park.id,
        label={"vi": park.spec.label.vi, "en": park.spec.label.en},
        working=tuple(shares[DayKind.WORKING].tolist()),
        saturday=tuple(shares[DayKind.SATURDAY].tolist()),
        sunday=tuple(shares[DayKind.SUNDAY].tolist()),
        holiday=tuple(shares[DayKind.HOLIDAY].tolist()),
        provenance=Provenance(
            source="the park file's peaks, loads and calendars",
            dated=_MADE,
            status=Status.ASSUMED,
            note="templates of the tenants, added up",
        ),
    )
    whole = sum(_peak_kw(park, site) for site in park.spec.sites)
    return template, peak, kvar / whole if whole > 0.0 else 0.0


def _peak_kw(park: Park, site: Site | AggregateSites) -> float:
    if isinstance(site, AggregateSites):
        return float(load_template(site.profile).shares().max()) * site.peak
    return float(_site_kw(park, site).max())


def _site_kw(park: Park, site: Site) -> Floats:
    """Load of a detailed site, [kinds, quarter hours]: base, shift and machines by calendar."""
    load = np.full((len(DayKind), SLOTS), site.base_load)
    lines = [line for area in site.areas for line in area.lines]
    for line in lines:
        machines = sum(
            park.spec.types[item.type].power.get("Executing/Processing", 0.0)
            for item in line.chain
            if item.type is not None
        )
        share = site.shift_load / len(lines) + UTILISATION * machines
        load += share * planned(park.spec.calendars[line.calendar])
    if not lines:
        load[:, SLOTS * 7 // 24 : SLOTS * 18 // 24] += site.shift_load
    return load


def planned(calendar: Calendar) -> Floats:
    """Whether each quarter hour of each kind of day is planned to be worked, 0 or 1."""
    worked = np.zeros(SLOTS)
    for text in calendar.shifts:
        start, end = (_slot(part) for part in text.split("-"))
        if end > start:
            worked[start:end] = 1.0
        else:
            worked[start:], worked[:end] = 1.0, 1.0
    found = np.zeros((len(DayKind), SLOTS))
    for kind, weekdays in _WEEKDAYS.items():
        off = kind is DayKind.HOLIDAY and calendar.holidays is not None
        if not off and any(day in calendar.weekdays for day in weekdays):
            found[kind] = worked
    return found


def _slot(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return min(SLOTS, (int(hours) * 60 + int(minutes)) * SLOTS // 1440)
