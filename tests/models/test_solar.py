"""Solar power: pvlib's equations, and the yield of the place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pvlib import irradiance, pvsystem

from models.draws import Stream
from models.errors import InputError, NotFound
from models.noise import correlated_normals
from models.solar import (
    PvPlant,
    ac_power_kw,
    clear_sky,
    clearness,
    plane_of_array,
    pv_power_kw,
    solar_site,
    split_beam,
    typical_air_c,
)

SITE = solar_site("binh_duong")
QUARTER_US = 900_000_000
MIDNIGHT_US = 1_767_200_400_000_000  # 2026-01-01 00:00 at +07:00
YEAR = MIDNIGHT_US + QUARTER_US // 2 + QUARTER_US * np.arange(35_040)
SKY = clear_sky(SITE, YEAR)
AIR = typical_air_c(SITE, YEAR, 7.0)
CLOUDS = clearness(SITE, YEAR, 900.0, seed=3, replications=range(4), key=1)
MONTH = (YEAR + 7 * 3_600_000_000).astype("datetime64[us]").astype("datetime64[M]").astype(int) % 12


def test_the_clear_sky_is_that_of_the_literature_run():
    # 2,359 kWh/m2 a year at 11.0 N, 106.65 E (facts, section 2d)
    assert SKY.ghi_w_m2.sum() / 4000 == pytest.approx(2359, rel=0.002)
    assert np.all(SKY.ghi_w_m2[SKY.zenith_deg > 91.0] == 0.0)
    noon = 8 * 96 + 48  # 9 January 12:07 local; the sun stands high in the south
    assert SKY.zenith_deg[noon] == pytest.approx(33.2, abs=0.5)
    assert abs(SKY.azimuth_deg[noon] - 180.0) < 10.0


def test_a_year_of_synthetic_weather_yields_what_is_published():
    yields = pv_power_kw(SKY, CLOUDS, AIR, [PvPlant(peak_kw=1000.0)])[0] / 4000
    per_year = yields.sum(axis=1).mean()
    assert per_year == pytest.approx(1420.0, rel=0.02)
    assert np.all(np.abs(yields.sum(axis=1) / 1420.0 - 1.0) < 0.05)
    per_month = np.bincount(MONTH, yields.mean(axis=0), 12)
    assert per_month == pytest.approx(SITE.yield_kwh_kwp, rel=0.05)
    # the dry months March and April lead, September is the poorest, as published
    assert set(np.argsort(per_month)[-2:]) == {2, 3}
    assert np.argmin(per_month) in {8, 11}


def test_beam_and_diffuse_are_pvlibs_erbs():
    ghi = SKY.ghi_w_m2 * CLOUDS[0]
    beam, diffuse = split_beam(SKY, ghi)
    day = np.flatnonzero(SKY.zenith_deg < 86.0)[::7]
    whole_days = YEAR[day].astype("datetime64[us]").astype("datetime64[D]")
    of_year = (whole_days - whole_days.astype("datetime64[Y]")).astype(int) + 1
    peer = irradiance.erbs(ghi[day], SKY.zenith_deg[day], of_year)
    assert diffuse[day] == pytest.approx(np.asarray(peer["dhi"]), abs=0.5)
    assert beam[day] == pytest.approx(np.asarray(peer["dni"]), abs=1.0)
    height = np.cos(np.radians(SKY.zenith_deg[day]))
    assert beam[day] * height + diffuse[day] == pytest.approx(ghi[day], rel=0.02, abs=1e-9)


def test_the_plane_of_array_is_pvlibs_hay_davies():
    ghi = SKY.ghi_w_m2 * CLOUDS[1]
    beam, diffuse = split_beam(SKY, ghi)
    day = SKY.zenith_deg < 85.0
    peer = irradiance.get_total_irradiance(
        15.0,
        120.0,
        SKY.zenith_deg[day],
        SKY.azimuth_deg[day],
        beam[day],
        ghi[day],
        diffuse[day],
        dni_extra=SKY.extra_w_m2[day],
        albedo=0.2,
        model="haydavies",
    )
    ours = plane_of_array(SKY, ghi, 15.0, 120.0)[day]
    assert ours == pytest.approx(np.asarray(peer["poa_global"]), rel=1e-6, abs=1e-6)
    assert plane_of_array(SKY, ghi, 0.0, 180.0)[day] == pytest.approx(ghi[day], rel=0.02)


def test_worked_power():
    # cell = 30 + 25/800*800 = 55 degC; derate = 1 - 0.0035*30 = 0.895; 100*0.8*0.895*0.86*0.96
    plant = PvPlant(peak_kw=100.0)
    power = ac_power_kw(np.array([800.0]), np.array([30.0]), plant)
    assert power[0] == pytest.approx(100 * 0.8 * 0.895 * 0.86 * 0.96)
    dc = pvsystem.pvwatts_dc(800.0, 55.0, 100.0, -0.0035)
    assert power[0] == pytest.approx(dc * 0.86 * 0.96)
    assert ac_power_kw(np.array([1200.0]), np.array([-10.0]), plant)[0] == 100.0 / 1.2


@given(poa=st.floats(0.0, 1500.0), air=st.floats(-20.0, 60.0), size=st.floats(0.1, 1e5))
def test_power_is_never_negative_and_scales_with_size(poa, air, size):
    one = ac_power_kw(np.array([poa]), np.array([air]), PvPlant(peak_kw=1.0))
    many = ac_power_kw(np.array([poa]), np.array([air]), PvPlant(peak_kw=size))
    assert one[0] >= 0.0
    assert many[0] == pytest.approx(size * one[0])


def test_plants_share_one_sky():
    plants = [PvPlant(peak_kw=10.0), PvPlant(peak_kw=30.0), PvPlant(peak_kw=10.0, azimuth_deg=90.0)]
    power = pv_power_kw(SKY, CLOUDS[:2], AIR, plants)
    assert power.shape == (3, 2, 35_040)
    assert power[1] == pytest.approx(3.0 * power[0])
    morning = (YEAR // 3_600_000_000 + 7) % 24 < 9
    assert power[2][:, morning].sum() > power[0][:, morning].sum()


def test_clearness_has_its_mean_its_memory_and_its_start():
    assert np.all((CLOUDS > 0.0) & (CLOUDS <= 1.0))
    june = MONTH == 5
    assert CLOUDS[:, june].mean() == pytest.approx(SITE.clearness[5], abs=0.03)
    start = clearness(SITE, YEAR[:4], 900.0, seed=9, replications=range(500), key=1, start=0.2)
    assert start[:, 0].mean() < start[:, 3].mean() < 0.75
    again = clearness(SITE, YEAR[:4], 900.0, seed=9, replications=[7], key=1, start=0.2)
    assert np.array_equal(again[0], start[7])


@settings(deadline=None, max_examples=20)
@given(memory_s=st.floats(300.0, 20_000.0), seed=st.integers(0, 99))
def test_noise_is_stationary_and_forgets_at_its_rate(memory_s, seed):
    noise = correlated_normals(
        400, 900.0, memory_s, seed=seed, stream=Stream.LOAD_NOISE, replications=range(200), key=4
    )
    phi = np.exp(-900.0 / memory_s)
    spread = 6.0 / np.sqrt(200 * 400 * (1 - phi) / (1 + phi))
    assert abs(noise.mean()) < spread
    assert noise.var() == pytest.approx(1.0, abs=0.25)
    assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] == pytest.approx(
        phi, abs=0.06
    )


def test_what_cannot_be_is_refused():
    with pytest.raises(NotFound, match="did you mean 'binh_duong'"):
        solar_site("binhduong")
    with pytest.raises(InputError, match="tilt"):
        PvPlant(peak_kw=1.0, tilt_deg=100.0)
    with pytest.raises(InputError, match="both are positive"):
        correlated_normals(1, 1.0, 0.0, seed=1, stream=Stream.LOAD_NOISE, replications=[0], key=1)
