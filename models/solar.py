"""Solar power: where the sun is, what the clouds leave, what the modules and inverters make of it.

The chain, each step a published equation: solar position (NREL's SPA) and Ineichen-Perez clear
sky by pvlib; a clearness from 0 to 1 with a memory; Erbs' split into beam and diffuse; Hay-Davies'
plane of array; cell temperature from the nominal operating temperature; PVWatts' DC power and an
inverter that clips.

The weather it makes is synthetic and must be labelled so: its monthly means are calibrated to a
published yield (``models/data/vn_solar.json``), its course is not measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter
from scipy import special

from models.draws import Stream
from models.errors import InputError, NotFound
from models.noise import correlated_normals
from models.sourced import Provenance, packaged, read_as

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STC_W_M2: Final = 1000.0
STC_CELL_C: Final = 25.0
ALBEDO: Final = 0.2
CLOUD_MEMORY_S: Final = 2700.0
"""Time over which the clearness forgets [s]; an assumption for 15-minute means."""
DELTA_T_S: Final = 69.0
"""Terrestrial minus universal time [s], 2020s; an error of a minute moves the sun by 0.0003 deg."""
_HORIZON_REFRACTION_DEG: Final = 0.5667
_MONTH_MIDDLES: Final = np.array(
    [15.5, 45, 74.5, 105, 135.5, 166, 196.5, 227.5, 258, 288.5, 319, 349.5]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarSite:
    """A place under the sun and its typical clouds.

    Parameters
    ----------
    name
        Its name in ``models/data/vn_solar.json``.
    latitude_deg, longitude_deg, altitude_m
        North and east positive; above the sea [m].
    linke_turbidity
        Clear-sky turbidity by month, January first [1].
    clearness
        Mean clearness by month, January first [1]: what clouds leave of the clear sky.
    yield_kwh_kwp
        Monthly yields it is calibrated to [kWh/kWp].
    air_c
        Mean air temperature by month, January first [degC].
    daily_swing_c
        Half the difference between the warmest and the coldest hour [K].
    provenance
        Where the yields come from.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    latitude_deg: float
    longitude_deg: float
    altitude_m: float
    linke_turbidity: tuple[float, ...]
    clearness: tuple[float, ...]
    yield_kwh_kwp: tuple[float, ...]
    air_c: tuple[float, ...]
    daily_swing_c: float
    provenance: Provenance

    def __post_init__(self) -> None:
        for months in (self.linke_turbidity, self.clearness, self.yield_kwh_kwp, self.air_c):
            if len(months) != 12:
                raise ValueError(f"{len(months)} monthly values, a year has 12")
        if not all(0.0 < mean < 1.0 for mean in self.clearness):
            raise ValueError("a mean clearness lies between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PvPlant:
    """One solar plant.

    Parameters
    ----------
    peak_kw
        DC power at standard test conditions [kWp].
    tilt_deg
        Tilt from the horizontal [deg].
    azimuth_deg
        Where it looks, from north over east [deg]; 180 is south.
    inverter_kw
        AC power of its inverters, where it clips [kW]; peak / 1.2 when None.
    losses
        Soiling, wiring, mismatch and the like, of DC power [1]; PVWatts' 14 %.
    inverter_efficiency
        Of the inverters [1]; PVWatts' nominal 96 %.
    gamma_per_k
        Change of power with cell temperature [1/K].
    noct_c
        Nominal operating cell temperature [degC].
    """

    peak_kw: float
    tilt_deg: float = 10.0
    azimuth_deg: float = 180.0
    inverter_kw: float | None = None
    losses: float = 0.14
    inverter_efficiency: float = 0.96
    gamma_per_k: float = -0.0035
    noct_c: float = 45.0

    def __post_init__(self) -> None:
        if not (self.peak_kw >= 0.0 and 0.0 <= self.tilt_deg <= 90.0 and 0.0 <= self.losses < 1.0):
            raise InputError(
                f"a plant of {self.peak_kw} kWp, tilt {self.tilt_deg} deg, losses {self.losses}",
                "peak from 0, tilt from 0 to 90 deg, losses from 0 to 1",
            )

    @property
    def limit_kw(self) -> float:
        """AC power it cannot exceed [kW]."""
        return self.peak_kw / 1.2 if self.inverter_kw is None else self.inverter_kw


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """The cloudless sky over a site, [steps] each.

    Parameters
    ----------
    times_us
        Middle of each step, microseconds since 1970 UTC.
    zenith_deg, azimuth_deg
        Where the sun is [deg]; the zenith with refraction.
    ghi_w_m2
        Global horizontal irradiance without clouds [W/m2].
    extra_w_m2
        Irradiance outside the atmosphere, towards the sun [W/m2].
    """

    times_us: Ints
    zenith_deg: Floats
    azimuth_deg: Floats
    ghi_w_m2: Floats
    extra_w_m2: Floats


def clear_sky(site: SolarSite, times_us: npt.ArrayLike) -> Sky:
    """Return the sky without clouds at given times (the middle of each step).

    References
    ----------
    I. Reda and A. Andreas, "Solar position algorithm for solar radiation applications", 2004;
    P. Ineichen and R. Perez, "A new airmass independent formulation for the Linke turbidity
    coefficient", 2002; both as implemented in pvlib.
    """
    # Imported here: pvlib brings pandas and more, a second of CPU. A twin that is restarted needs
    # the sky only where a roof has no sensor, and must not wait for it.
    from pvlib import atmosphere, clearsky, irradiance, spa

    times = np.asarray(times_us, np.int64)
    pressure_pa = float(atmosphere.alt2pres(site.altitude_m))
    sun = spa.solar_position(
        times / 1e6,
        site.latitude_deg,
        site.longitude_deg,
        site.altitude_m,
        pressure_pa / 100.0,
        float(np.mean(site.air_c)),
        DELTA_T_S,
        _HORIZON_REFRACTION_DEG,
    )
    zenith, azimuth = np.asarray(sun[0]), np.asarray(sun[4])
    day = _day_of_year(times)
    extra = np.asarray(irradiance.get_extra_radiation(day))
    airmass = atmosphere.get_absolute_airmass(atmosphere.get_relative_airmass(zenith), pressure_pa)
    turbidity = _by_day(site.linke_turbidity, day)
    with np.errstate(divide="ignore", invalid="ignore"):  # the sun below the horizon
        sky = clearsky.ineichen(zenith, airmass, turbidity, site.altitude_m, extra)
    return Sky(
        times_us=times,
        zenith_deg=zenith,
        azimuth_deg=azimuth,
        ghi_w_m2=np.nan_to_num(np.asarray(sky["ghi"])),
        extra_w_m2=extra,
    )


def clearness(
    site: SolarSite,
    times_us: npt.ArrayLike,
    step_s: float,
    *,
    seed: int,
    replications: npt.ArrayLike,
    key: int,
    start: npt.ArrayLike | None = None,
) -> Floats:
    """Draw synthetic clearness: the share of the clear sky that clouds leave.

    Correlated normal noise is mapped to ``u**(1/m - 1)`` with u its cumulative share: always in
    (0, 1], with exactly the month's mean m.

    Parameters
    ----------
    times_us, step_s
        Middle of each step, and its length [s].
    seed, replications, key
        Key of the draws.
    start
        Clearness of the step before the first where it was measured, one number or [R].

    Returns
    -------
    Floats
        [R, steps].
    """
    exponent = 1.0 / _by_day(site.clearness, _day_of_year(np.asarray(times_us, np.int64))) - 1.0
    known = None
    if start is not None:
        seen = np.clip(np.asarray(start, np.float64), 0.02, 0.98)
        known = special.ndtri(seen ** (1.0 / exponent[0]))
    noise = correlated_normals(
        len(exponent),
        step_s,
        CLOUD_MEMORY_S,
        seed=seed,
        stream=Stream.CLOUDINESS,
        replications=replications,
        key=key,
        start=known,
    )
    shares: Floats = special.ndtr(noise) ** exponent
    return shares


def typical_air_c(site: SolarSite, times_us: npt.ArrayLike, utc_offset_h: float) -> Floats:
    """Air temperature of a typical day, warmest at 14:00 local [degC], [steps]; an assumption."""
    times = np.asarray(times_us, np.int64)
    hour = (times / 3.6e9 + utc_offset_h) % 24.0
    swing = site.daily_swing_c * np.cos(2.0 * np.pi * (hour - 14.0) / 24.0)
    air: Floats = _by_day(site.air_c, _day_of_year(times)) + swing
    return air


def split_beam(sky: Sky, ghi_w_m2: Floats) -> tuple[Floats, Floats]:
    """Split global irradiance into beam (towards the sun) and diffuse (horizontal) [W/m2].

    Parameters
    ----------
    ghi_w_m2
        [..., steps].

    References
    ----------
    D. Erbs, S. Klein and J. Duffie, "Estimation of the diffuse radiation fraction for hourly,
    daily and monthly-average global radiation", 1982.
    """
    height = np.cos(np.radians(sky.zenith_deg))
    up = np.maximum(height, 0.065)
    kt = np.clip(ghi_w_m2 / (sky.extra_w_m2 * up), 0.0, 1.0)
    middle = 0.9511 - 0.1604 * kt + 4.388 * kt**2 - 16.638 * kt**3 + 12.336 * kt**4
    share = np.where(kt <= 0.22, 1.0 - 0.09 * kt, np.where(kt <= 0.80, middle, 0.165))
    diffuse = ghi_w_m2 * share
    day = sky.zenith_deg < 87.0
    beam = np.where(day, (ghi_w_m2 - diffuse) / up, 0.0)
    return beam, np.where(day, diffuse, ghi_w_m2)


def plane_of_array(sky: Sky, ghi_w_m2: Floats, tilt_deg: float, azimuth_deg: float) -> Floats:
    """Irradiance on a tilted plane [W/m2], [..., steps].

    References
    ----------
    J. Hay and J. Davies, "Calculation of the solar radiation incident on an inclined surface",
    1980; ground reflection with albedo 0.2.
    """
    beam, diffuse = split_beam(sky, ghi_w_m2)
    zenith, tilt = np.radians(sky.zenith_deg), np.radians(tilt_deg)
    turn = np.radians(sky.azimuth_deg - azimuth_deg)
    facing = np.maximum(
        np.cos(zenith) * np.cos(tilt) + np.sin(zenith) * np.sin(tilt) * np.cos(turn), 0.0
    )
    anisotropy = beam / sky.extra_w_m2
    ratio = facing / np.maximum(np.cos(zenith), 0.01745)
    dome = (1.0 - anisotropy) * (1.0 + np.cos(tilt)) / 2.0
    ground = ghi_w_m2 * ALBEDO * (1.0 - np.cos(tilt)) / 2.0
    plane: Floats = beam * facing + diffuse * (anisotropy * ratio + dome) + ground
    return plane


def ac_power_kw(poa_w_m2: Floats, air_c: Floats, plant: PvPlant) -> Floats:
    """AC power of a plant [kW], elementwise; never negative, clipped at its inverters.

    References
    ----------
    A. Dobos, "PVWatts version 5 manual", NREL/TP-6A20-62641, 2014 (DC power and losses; a constant
    inverter efficiency here); cell temperature from NOCT at 800 W/m2 and 20 degC.
    """
    cell_c = air_c + (plant.noct_c - 20.0) / 800.0 * poa_w_m2
    derate = 1.0 + plant.gamma_per_k * (cell_c - STC_CELL_C)
    dc_kw = plant.peak_kw * poa_w_m2 / STC_W_M2 * derate * (1.0 - plant.losses)
    power: Floats = np.clip(dc_kw * plant.inverter_efficiency, 0.0, plant.limit_kw)
    return power


def pv_power_kw(
    sky: Sky, share: npt.ArrayLike, air_c: npt.ArrayLike, plants: Sequence[PvPlant]
) -> Floats:
    """AC power of plants under one sky.

    Parameters
    ----------
    sky
        The sky without clouds.
    share
        Clearness [R, steps], or [steps] (1 for a cloudless day).
    air_c
        Air temperature [degC], [steps] or [R, steps].

    Returns
    -------
    Floats
        [plants, ..., steps], kW.
    """
    ghi = sky.ghi_w_m2 * np.asarray(share, np.float64)
    air = np.asarray(air_c, np.float64)
    planes: dict[tuple[float, float], Floats] = {}
    found: list[Floats] = []
    for plant in plants:
        facing = (plant.tilt_deg, plant.azimuth_deg)
        if facing not in planes:
            planes[facing] = plane_of_array(sky, ghi, *facing)
        found.append(ac_power_kw(planes[facing], air, plant))
    return np.array(found).reshape(len(plants), *ghi.shape)


_SITES: Final = TypeAdapter(dict[str, tuple[SolarSite, ...]])


def solar_site(name: str) -> SolarSite:
    """Return a shipped site by name, or say which names are near."""
    file = "vn_solar.json"
    sites = {site.name: site for site in read_as(packaged(file), _SITES, file)["sites"]}
    if name not in sites:
        raise NotFound("solar site", name, tuple(sites))
    return sites[name]


def _day_of_year(times_us: Ints) -> Floats:
    """Day of the year of each time, January 1 being 1, in UTC."""
    days = times_us.astype("datetime64[us]").astype("datetime64[D]")
    years = days.astype("datetime64[Y]").astype("datetime64[D]")
    count: Floats = (days - years).astype(np.int64).astype(np.float64) + 1.0
    return count


def _by_day(months: tuple[float, ...], day: Floats) -> Floats:
    """Interpolate monthly values, each standing at the middle of its month, round the year."""
    values: Floats = np.interp(day, _MONTH_MIDDLES, np.array(months), period=365.0)
    return values
