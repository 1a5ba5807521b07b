"""Scale and offset out of the metadata that products have beside their bands."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.raster.products import declared_beside
from engine.raster.sources import SourceSpec, open_source

Write = Callable[..., Path]

GRANULE = "S2B_MSIL2A_20240601T105031_N0510_R051_T31UFS_20240601T140312.SAFE/GRANULE/L2A_T31UFS_A037/IMG_DATA/R10m"

MTD_MSIL2A = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
  <n1:General_Info><Product_Image_Characteristics>
    <QUANTIFICATION_VALUES_LIST>
      <BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
      <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
    </QUANTIFICATION_VALUES_LIST>
    {offsets}
  </Product_Image_Characteristics></n1:General_Info>
</n1:Level-2A_User_Product>"""

OFFSETS = """<BOA_ADD_OFFSET_VALUES_LIST>
  <BOA_ADD_OFFSET band_id="0">-1000</BOA_ADD_OFFSET><BOA_ADD_OFFSET band_id="1">-1000</BOA_ADD_OFFSET>
  <BOA_ADD_OFFSET band_id="8">-900</BOA_ADD_OFFSET></BOA_ADD_OFFSET_VALUES_LIST>"""

MTL = {
    "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": {"REFLECTANCE_MULT_BAND_4": "2.75e-05", "REFLECTANCE_ADD_BAND_4": "-0.2"},
    "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS": {
        "TEMPERATURE_MULT_BAND_ST_B10": "0.00341802", "TEMPERATURE_ADD_BAND_ST_B10": "149.0",
    },
    "LEVEL1_RADIOMETRIC_RESCALING": {"REFLECTANCE_MULT_BAND_4": "2.0000E-05", "REFLECTANCE_ADD_BAND_4": "-0.100000"},
}  # fmt: skip


def safe(folder: Path, offsets: str = OFFSETS) -> Path:
    """The folder of the bands of a Sentinel-2 product."""
    bands = folder / GRANULE
    bands.mkdir(parents=True)
    (bands.parents[3] / "MTD_MSIL2A.xml").write_text(MTD_MSIL2A.format(offsets=offsets))
    return bands


def mtl(folder: Path, kind: str) -> None:
    name = folder / f"LC08_L2SP_193026_20210602_20210608_02_T1_MTL.{kind}"
    if kind == "json":
        name.write_text(json.dumps({"LANDSAT_METADATA_FILE": MTL}))
    elif kind == "txt":
        groups = "".join(
            f"  GROUP = {group}\n{''.join(f'    {key} = {value}{chr(10)}' for key, value in values.items())}"
            f"  END_GROUP = {group}\n"
            for group, values in MTL.items()
        )
        name.write_text(f"GROUP = LANDSAT_METADATA_FILE\n{groups}END_GROUP = LANDSAT_METADATA_FILE\nEND\n")
    else:
        groups = "".join(
            f"<{group}>{''.join(f'<{key}>{value}</{key}>' for key, value in values.items())}</{group}>"
            for group, values in MTL.items()
        )
        name.write_text(f'<?xml version="1.0"?><LANDSAT_METADATA_FILE>{groups}</LANDSAT_METADATA_FILE>')


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T31UFS_20240601T105031_B02_10m.jp2", (0.0001, -0.1)),
        ("T31UFS_20240601T105031_B8A_20m.jp2", (0.0001, -0.09)),
        ("T31UFS_20240601T105031_B12_20m.jp2", None),  # its band_id, 12, is missing
        ("T31UFS_20240601T105031_SCL_20m.jp2", None),
        ("T31UFS_20240601T105031_TCI_10m.jp2", None),
        ("T31UFS_20240601T105031_AOT_10m.jp2", None),
    ],
)
def test_sentinel_2_says_offset_and_quantification_of_each_band(
    tmp_path: Path, name: str, expected: tuple[float, float] | None
) -> None:
    assert declared_beside(str(safe(tmp_path) / name)) == (None if expected is None else pytest.approx(expected))


def test_products_before_baseline_04_have_no_offset(tmp_path: Path) -> None:
    assert declared_beside(str(safe(tmp_path, "") / "T31UFS_20210601T105031_B02_10m.jp2")) == pytest.approx((1e-4, 0))


@pytest.mark.parametrize("kind", ["txt", "json", "xml"])
@pytest.mark.parametrize(
    ("band", "expected"),
    [
        ("SR_B4", (2.75e-05, -0.2)),
        ("ST_B10", (0.00341802, 149)),
        ("B4", (2e-05, -0.1)),
        ("SR_B7", None),
        ("QA_PIXEL", None),
    ],
)
def test_landsat_says_them_in_its_mtl_file(
    tmp_path: Path, kind: str, band: str, expected: tuple[float, float] | None
) -> None:
    mtl(tmp_path, kind)
    path = tmp_path / f"LC08_L2SP_193026_20210602_20210608_02_T1_{band}.TIF"
    assert declared_beside(str(path)) == (None if expected is None else pytest.approx(expected))


def test_without_metadata_or_with_damaged_ones_nothing_is_declared(tmp_path: Path) -> None:
    assert declared_beside("scene.tif") is None
    assert declared_beside("https://127.0.0.1/T31UFS_20240601T105031_B02_10m.jp2") is None
    bands = safe(tmp_path)
    (bands.parents[3] / "MTD_MSIL2A.xml").write_text("<broken")
    assert declared_beside(str(bands / "T31UFS_20240601T105031_B02_10m.jp2")) is None


def test_a_source_has_the_scale_that_stands_beside_it(tmp_path: Path, write_raster: Write) -> None:
    mtl(tmp_path, "txt")
    path = write_raster("LC08_L2SP_193026_20210602_20210608_02_T1_SR_B4.TIF", np.ones((1, 4, 5), "uint16"))
    with open_source(SourceSpec(str(path))) as source:
        assert source.declared == ((2.75e-05, -0.2),)
    with open_source(SourceSpec(str(path), scale=(1,), offset=(0,))) as source:
        assert source.declared == ((1, 0),)
    write_raster(path.name, np.ones((1, 4, 5), "float32"))  # reflectance already
    with open_source(SourceSpec(str(path))) as source:
        assert source.declared is None


def test_what_gdals_sentinel_2_driver_says_in_tags_alone_counts(write_raster: Write) -> None:
    path = write_raster("S2.tif", np.ones((3, 4, 5), "uint16"))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(BOA_QUANTIFICATION_VALUE="10000", AOT_QUANTIFICATION_VALUE="1000.0")
        dataset.update_tags(1, BANDNAME="B4", BOA_ADD_OFFSET="-1000")
        dataset.update_tags(2, BANDNAME="B3", BOA_ADD_OFFSET="-1000")
        dataset.update_tags(3, BANDNAME="WVP")
    with open_source(SourceSpec(str(path), ("2", "1"))) as source:
        assert source.declared == (pytest.approx((1e-4, -0.1)),) * 2
    with open_source(SourceSpec(str(path), ("3",))) as source:
        assert source.declared is None
