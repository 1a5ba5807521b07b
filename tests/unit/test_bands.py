"""Which band a name speaks of: as agencies write them, expected values from their own tables of bands."""

from __future__ import annotations

import pytest

from engine.raster.bands import identities

CASES = {
    "Sentinel-2, padded numbers": (
        ["B02", "B03", "B04", "B05", "B08", "B8A", "B11", "B12"], [],
        ["blue", "green", "red", "rededge071", "nir", "nir08", "swir16", "swir22"],
    ),
    "Sentinel-2, plain numbers and a product's name": (
        ["B2", "B8", "B12"], ["S2B_MSIL2A_20240601T101559_N0510_R065_T32TMT"], ["blue", "nir", "swir22"],
    ),
    "Landsat 8": (["SR_B2", "SR_B5", "SR_B7", "ST_B10"], ["LC08_L2SP_038034"], ["blue", "nir", "swir22", "lwir11"]),
    "Landsat 5": (["SR_B1", "SR_B4", "SR_B7", "ST_B6"], ["LT05_L2SP_038034"], ["blue", "nir", "swir22", "lwir11"]),
    "a number that two satellites read differently": (["B5"], [], [None]),
    "words": (["Red edge 1", "Near infrared", "Blue band", "SWIR 2"], [], ["rededge071", "nir", "blue", "swir22"]),
    "a ratio is neither of its bands": (["red / nir"], [], [None]),
    "two SWIR bands": (["swir1", "swir2"], [], ["swir16", "swir22"]),
    "WorldView-3's eight SWIR bands are at other wavelengths": (
        [f"SWIR{number}" for number in range(1, 9)], ["worldview"], [None] * 8,
    ),
    "WorldView-2's eight bands": (
        ["BAND_C", "BAND_B", "BAND_G", "BAND_Y", "BAND_R", "BAND_RE", "BAND_N", "BAND_N2"], [],
        ["coastal", "blue", "green", "yellow", "red", "rededge", "nir", "nir09"],
    ),
    "WorldView-2's bands in words": (
        ["Coastal", "Blue", "Green", "Yellow", "Red", "Red Edge", "NIR1", "NIR-2"], [],
        ["coastal", "blue", "green", "yellow", "red", "rededge", "nir", "nir09"],
    ),
    "Planet's SuperDove": (
        ["coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"], [],
        ["coastal", "blue", "green05", "green", "yellow", "red", "rededge", "nir"],
    ),
    "HLS writes Landsat's numbers like Sentinel-2's, on its tiles": (
        ["B02", "B04", "B05", "B07"], ["HLS.L30.T12SUG.2021174T180000.v2.0"], ["blue", "red", "nir", "swir22"],
    ),
    "HLS of Sentinel-2": (["B02", "B05"], ["HLS.S30.T12SUG.2021174T180000.v2.0"], ["blue", "rededge071"]),
    "MODIS": (
        [f"sur_refl_b0{number}" for number in range(1, 8)], ["MOD09A1.A2024153.h18v03"],
        ["red", "nir", "blue", "green", "nir12", "swir16", "swir22"],
    ),
    "MODIS by its product": (["Band1", "Band2"], ["MCD43A4.A2024153.h18v03.Nadir_Reflectance"], ["red", "nir"]),
    "MODIS has no band 8 of Sentinel-2": (["B02", "B08"], ["MOD09A1"], [None, None]),
    "a word that a satellite's number contradicts": (["red_sea_B02", "red_sea_B04"], [], [None, "red"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bands_are_known_by_what_agencies_call_them(case: str) -> None:
    names, texts, expected = CASES[case]
    assert identities(names, texts) == expected
