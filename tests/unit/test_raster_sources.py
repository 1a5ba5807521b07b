"""Naming and opening rasters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BandError, RasterReadError
from engine.raster.sources import SourceSpec, open_source

Write = Callable[..., Path]
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=8)


@given(path=NAMES, bands=st.lists(NAMES, max_size=4))
def test_a_spec_survives_being_written_and_parsed(path: str, bands: list[str]) -> None:
    spec = SourceSpec(f"folder/{path}.tif", tuple(bands))
    assert SourceSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    "text",
    [
        "https://user:word@host/x.tif",
        "/vsizip/day@noon.zip/x.tif",
        'NETCDF:"day@noon.nc":reflectance',
        r"C:\day@noon\x.tif",
    ],
)
def test_an_at_sign_within_a_uri_subdataset_or_folder_stays_in_the_path(text: str) -> None:
    assert SourceSpec.parse(text) == SourceSpec(text)


def test_bands_of_a_uri_and_of_a_subdataset_are_split_off() -> None:
    assert SourceSpec.parse("https://u:w@host/x.tif@B4, B3") == SourceSpec("https://u:w@host/x.tif", ("B4", "B3"))
    assert SourceSpec.parse('NETCDF:"x.nc":var@2') == SourceSpec('NETCDF:"x.nc":var', ("2",))


def test_an_at_sign_without_bands_is_refused() -> None:
    with pytest.raises(BandError, match="no band follows the @"):
        SourceSpec.parse("x.tif@")


def test_a_name_longer_than_the_file_system_allows_is_only_refused_on_opening() -> None:
    spec = SourceSpec.parse("x" * 300 + "@1")
    with pytest.raises(RasterReadError, match="cannot be opened"):
        open_source(spec)


def test_bands_without_description_are_named_by_number(write_raster: Write) -> None:
    path = write_raster("a.tif", np.zeros((3, 4, 5), "float32"), nodata=-1)
    with open_source(SourceSpec(str(path), ("3", "1"))) as source:
        assert source.band_names == ("band 3", "band 1")
        assert source.dtype == "float32"
        assert (source.grid.height, source.grid.width) == (4, 5)


@pytest.mark.parametrize("band", ["0", "4", "-1", "1.0"])
def test_a_band_number_outside_of_the_file_is_refused(write_raster: Write, band: str) -> None:
    path = write_raster("a.tif", np.zeros((3, 4, 5), "uint8"))
    with pytest.raises(BandError, match=r"a\.tif: there is no band.*1 to 3"):
        open_source(SourceSpec(str(path), (band,)))


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RasterReadError, match=r"none\.tif"):
        open_source(SourceSpec(str(tmp_path / "none.tif")))


def test_a_vrt_of_several_data_types_is_refused_unless_bands_of_one_are_chosen(
    write_raster: Write, tmp_path: Path
) -> None:
    for name, dtype in (("a", "uint8"), ("b", "float32")):
        write_raster(f"{name}.tif", np.ones((1, 4, 5), dtype), transform=Affine.scale(2))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{number}"><SimpleSource><SourceFilename relativeToVRT="1">'
        f"{name}.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for number, (name, kind) in enumerate((("a", "Byte"), ("b", "Float32")), start=1)
    )
    path = tmp_path / "both.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="5" rasterYSize="4"><GeoTransform>0,2,0,0,0,2</GeoTransform>{bands}</VRTDataset>'
    )
    with pytest.raises(BandError, match="float32, uint8"):
        open_source(SourceSpec(str(path)))
    with open_source(SourceSpec(str(path), ("2",))) as source:
        assert source.dtype == "float32"


def test_ranges_of_bands_are_taken_in_their_order(write_raster: Write) -> None:
    """A range runs from its first to its last, whatever bands are called."""
    path = write_raster("x.tif", np.zeros((6, 4, 4), "uint8"), names=["a", "1-2", "c", "d", "e", "f"])
    with open_source(SourceSpec(str(path), ("3-5", "1"))) as source:
        assert source.band_indices == (3, 4, 5, 1)
    with open_source(SourceSpec(str(path), ("1-2",))) as source:
        assert source.band_indices == (1, 2)
    with open_source(SourceSpec(str(path), ("name:1-2",))) as source:
        assert source.band_indices == (2,)
    for wrong, message in (("4-9", "no band '4-9'"), ("5-3", "no band '5-3'"), ("0-2", "no band '0-2'")):
        with pytest.raises(BandError, match=message):
            open_source(SourceSpec(str(path), (wrong,)))
