"""Sun, clouds and air over the park."""

import math
from dataclasses import dataclass
from typing import Final

from connectors.plant.physics.draws import Smooth
from twin.parkfile.schema import Geo
from twin.samples import from_us
from twin.shifts import LocalTime

_CLEAR: Final = 0.76
"""Mean share of clear-sky radiation that arrives: 1,795 of 2,359 kWh/m2 a year in Binh Duong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """The sky at one instant.

    Parameters
    ----------
    global_w_m2, diffuse_w_m2
        Global and diffuse radiation on the level ground [W/m2].
    cos_zenith, azimuth_deg
        Where the sun is; azimuth from north over east.
    air_c
        Air temperature [degC].
    """

    global_w_m2: float
    diffuse_w_m2: float
    cos_zenith: float
    azimuth_deg: float
    air_c: float


class Weather:
    """Weather as a function of time.

    Parameters
    ----------
    geo
        Where the park lies.
    local
        The park's clock.
    seed
        Seed of the clouds.
    """

    def __init__(self, geo: Geo, local: LocalTime, seed: int) -> None:
        self._lat, self._lon = math.radians(geo.lat), geo.lon
        self._local = local
        self._day = Smooth(seed, "weather/day", 2, 36 * 3600.0)
        self._clouds = Smooth(seed, "weather/clouds", 2, 1800.0)
        self._gusts = Smooth(seed, "weather/gusts", 1, 120.0)

    def at(self, t_us: int) -> Sky:
        """The sky at a time."""
        cos_zenith, azimuth = self._sun(t_us)
        clear = 1098.0 * cos_zenith * math.exp(-0.059 / cos_zenith) if cos_zenith > 0.01 else 0.0
        day, clouds, gusts = self._day.at(t_us), self._clouds.at(t_us), self._gusts.at(t_us)
        share = _CLEAR + 0.10 * day[0] + 0.13 * clouds[0] + 0.05 * gusts[0]
        share = min(1.05, max(0.08, share))
        beam_share = max(0.0, min(0.85, 1.3 * share - 0.4))
        hour = self._local.hour(t_us)
        warm = 4.2 * math.cos(2.0 * math.pi * (hour - 14.0) / 24.0)
        air = 27.6 + 0.9 * day[1] + 0.3 * clouds[1] + warm * (0.6 + 0.4 * share)
        total = clear * share
        return Sky(
            global_w_m2=total,
            diffuse_w_m2=total * (1.0 - beam_share),
            cos_zenith=cos_zenith,
            azimuth_deg=azimuth,
            air_c=air,
        )

    def _sun(self, t_us: int) -> tuple[float, float]:
        """Cosine of the zenith angle, and azimuth [deg], after Spencer (1971)."""
        at = from_us(t_us)
        hour = (t_us % 86_400_000_000) / 3.6e9
        turn = 2.0 * math.pi * (at.timetuple().tm_yday - 1 + (hour - 12.0) / 24.0) / 365.0
        declination = (
            0.006918
            - 0.399912 * math.cos(turn)
            + 0.070257 * math.sin(turn)
            - 0.006758 * math.cos(2 * turn)
            + 0.000907 * math.sin(2 * turn)
        )
        equation_min = 229.18 * (
            0.000075
            + 0.001868 * math.cos(turn)
            - 0.032077 * math.sin(turn)
            - 0.014615 * math.cos(2 * turn)
            - 0.040849 * math.sin(2 * turn)
        )
        solar_hour = hour + self._lon / 15.0 + equation_min / 60.0
        angle = math.radians(15.0 * (solar_hour - 12.0))
        up = math.sin(self._lat) * math.sin(declination)
        up += math.cos(self._lat) * math.cos(declination) * math.cos(angle)
        east = -math.cos(declination) * math.sin(angle)
        north = math.sin(declination) * math.cos(self._lat)
        north -= math.cos(declination) * math.sin(self._lat) * math.cos(angle)
        return up, math.degrees(math.atan2(east, north)) % 360.0


def tilted_w_m2(sky: Sky, tilt_deg: float, azimuth_deg: float) -> float:
    """Radiation in a tilted plane [W/m2]: beam by its angle, diffuse from the whole sky."""
    if sky.cos_zenith <= 0.01:
        return 0.0
    tilt = math.radians(tilt_deg)
    sine = math.sqrt(max(0.0, 1.0 - sky.cos_zenith**2))
    turn = math.radians(sky.azimuth_deg - azimuth_deg)
    cos_incidence = sky.cos_zenith * math.cos(tilt) + sine * math.sin(tilt) * math.cos(turn)
    beam = (sky.global_w_m2 - sky.diffuse_w_m2) / max(sky.cos_zenith, 0.05)
    seen = (1.0 + math.cos(tilt)) / 2.0
    return max(0.0, beam * max(0.0, cos_incidence)) + sky.diffuse_w_m2 * seen
