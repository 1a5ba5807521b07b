"""Bands of sources that no one chose are taken by their names, or refused; what is chosen is read as it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from engine.errors import BandError
from engine.modality import Modality
from engine.raster.naming import Named, named
from engine.raster.sources import SourceSpec

Write = Callable[..., Path]
OPTICAL = Modality("optical", ("blue", "green", "red", "nir"), "uint16")
RADAR = Modality("sar", ("VV", "VH"))


@pytest.fixture
def raster(write_raster: Write) -> Callable[..., str]:
    """A raster of so many bands, perhaps with names."""

    def write(name: str, *names: str, count: int = 1, dtype: str = "uint16") -> str:
        return str(write_raster(name, np.ones((len(names) or count, 4, 4), dtype), names=names))

    return write


def taken(modality: Modality, *sources: str) -> Named:
    return named({modality.name: [SourceSpec.parse(one) for one in sources]}, [modality])


def files(found: Named, modality: Modality = OPTICAL) -> list[str]:
    return [Path(str(spec)).name for spec in found.sources[modality.name]]


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (("red", "green", "blue", "nir"), "3,2,1,4"),
        (("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"), "1,2,3,7"),
        (("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"), "2,4,6,8"),
        (("sur_refl_b01", "sur_refl_b02", "sur_refl_b03", "sur_refl_b04"), "3,4,1,2"),
    ],
)
def test_bands_of_a_raster_are_taken_by_their_names(
    raster: Callable[..., str], names: tuple[str, ...], bands: str
) -> None:
    found = taken(OPTICAL, raster("scene.tif", *names))
    assert files(found) == [f"scene.tif@{bands}"]
    assert found.notes == (f"optical: scene.tif: bands {bands.replace(',', ', ')} taken by their names",)


def test_each_raster_of_a_mosaic_is_taken_by_its_own_names(raster: Callable[..., str]) -> None:
    west, east = raster("w.tif", "blue", "green", "red", "nir"), raster("e.tif", "red", "green", "blue", "nir")
    assert files(taken(OPTICAL, west, east)) == ["w.tif", "e.tif@3,2,1,4"]


def test_a_scale_of_each_band_goes_with_its_band(raster: Callable[..., str]) -> None:
    found = taken(OPTICAL, f"{raster('scene.tif', 'red', 'green', 'blue', 'nir')}:scale=1,2,3,4")
    assert found.sources["optical"][0].scale == (3, 2, 1, 4)


def test_colours_count_unless_gdal_made_them_up(raster: Callable[..., str]) -> None:
    rgb = Modality("rgb", ("blue", "green", "red"), "uint8")
    plain = raster("bytes.tif", count=3, dtype="uint8")  # GDAL calls them red, green and blue
    assert files(taken(rgb, plain), rgb) == ["bytes.tif"]
    coloured = raster("coloured.tif", count=3)
    with rasterio.open(coloured, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    assert files(taken(rgb, coloured), rgb) == ["coloured.tif@3,2,1"]


@pytest.mark.parametrize("names", [(), ("a", "b", "c", "d"), ("1", "2", "3", "4"), ("blue", "green", "red", "nir")])
def test_names_that_say_nothing_else_change_nothing(raster: Callable[..., str], names: tuple[str, ...]) -> None:
    found = taken(OPTICAL, raster("scene.tif", *names, count=4))
    assert (files(found), found.notes, found.warnings) == (["scene.tif"], (), ())


def test_files_of_bands_are_put_in_order(raster: Callable[..., str]) -> None:
    given = [raster(f"T31UFS_20240601T105031_{band}_10m.tif") for band in ("B04", "B03", "B02", "B08")]
    found = taken(OPTICAL, *given)
    assert [one.split("_")[2] for one in files(found)] == ["B02", "B03", "B04", "B08"]
    assert "taken in this order by their names" in found.notes[0]


def test_an_alpha_band_beside_the_band_of_a_file_changes_nothing(raster: Callable[..., str]) -> None:
    given = [raster(f"scene_{band}.tif", count=2) for band in ("red", "green", "blue", "nir")]
    for path in given:
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    assert files(taken(OPTICAL, *given)) == [f"scene_{band}.tif" for band in ("blue", "green", "red", "nir")]


def test_files_of_two_granules_are_put_together(raster: Callable[..., str]) -> None:
    given = [raster(f"S1A_{side}_{band}.tif", dtype="float32") for band in ("vv", "vh") for side in ("east", "west")]
    found = taken(RADAR, *given)
    assert files(found, RADAR) == ["S1A_east_vv.tif", "S1A_east_vh.tif", "S1A_west_vv.tif", "S1A_west_vh.tif"]
    granules = [raster(f"{tile}_{band}.tif") for band in ("B02", "B03", "B04", "B08") for tile in ("T31UFS", "T31UGS")]
    assert files(taken(OPTICAL, *granules)) == [
        f"{tile}_{band}.tif" for tile in ("T31UFS", "T31UGS") for band in ("B02", "B03", "B04", "B08")
    ]


def test_bands_that_are_certainly_others_are_refused_with_what_is_read_instead(raster: Callable[..., str]) -> None:
    vv = raster("s1_vv.tif", dtype="float32")
    with pytest.raises(BandError, match=r"sar: s1_vv\.tif: stands for VH, but is vv by its name.*sar=.*s1_vv\.tif@1"):
        taken(RADAR, vv, vv)
    blue, green, red = (raster(f"sb_{name}.tif") for name in ("blue", "green", "red"))
    with pytest.raises(BandError, match=r"sb_blue\.tif: stands for green, but is blue"):
        taken(OPTICAL, blue, blue, green, red)
    with pytest.raises(BandError, match=r"band 4 stands for nir, but is swir16"):
        taken(OPTICAL, raster("scene.tif", "blue", "green", "red", "swir1"))
    pairs = [raster("a.tif", "red", "nir"), raster("b.tif", "blue", "green")]
    with pytest.raises(BandError, match=r"By names it would be optical=\S*b\.tif@1,2 optical=\S*a\.tif@1,2"):
        taken(OPTICAL, *pairs)


def test_what_is_chosen_is_read_as_it_is_written_and_told(raster: Callable[..., str]) -> None:
    path = raster("rgbn.tif", "red", "green", "blue", "nir")
    found = taken(OPTICAL, f"{path}@1-4")
    assert files(found) == ["rgbn.tif@1-4"]
    assert found.notes == ()
    assert "band 1 stands for blue, but is red by its name" in found.warnings[0]
    assert f"optical={path}@3,2,1,4" in found.warnings[0]
    assert taken(OPTICAL, f"{path}@3,2,1,4").warnings == ()


def test_a_name_that_leaves_open_which_band_it_is_contradicts_nothing(raster: Callable[..., str]) -> None:
    edges = Modality("optical", ("red", "rededge075"), "uint16")
    assert files(taken(edges, raster("scene.tif", "Red", "Red edge"))) == ["scene.tif"]
    assert files(taken(OPTICAL, raster("s.tif", "B02", "B03", "B04", "B8A"))) == ["s.tif"]


def test_a_place_in_a_files_name_is_no_band(raster: Callable[..., str]) -> None:
    given = [raster(f"red_sea_{band}.tif") for band in ("B02", "B03", "B04", "B08")]
    assert files(taken(OPTICAL, *given)) == [Path(one).name for one in given]
