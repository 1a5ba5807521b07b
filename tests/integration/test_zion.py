"""Mapping real rasters in their own CRSs: Landsat 8 in UTM and SRTM in degrees, of Zion National Park."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from making import make_map

from engine.export.onnx import export_model
from engine.modality import BandStatistics, Modality
from engine.model.document import (
    ClassFacts,
    ModelMetadata,
    PixelSize,
    TrainingFacts,
    modality_facts,
)
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter
from engine.raster.sources import SourceSpec

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "zion"
LANDSAT, SRTM = DATA / "zion_landsat8_b2345_30m.tif", DATA / "raw" / "srtm.tif"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"the Zion scene is not at {DATA}")


@pytest.fixture(scope="module")
def zion_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights: where the map lies does not depend on what it says."""
    optical = BandStatistics(10_000, 2000, 5000, 30_000)
    modalities = (
        Modality("rgb", ("red", "green", "blue"), "uint16", "digital numbers", (optical,) * 3),
        Modality("nir", ("nir",), "uint16", "digital numbers", (optical,)),
        Modality("dem", ("elevation",), "uint16", "m", (BandStatistics(1800, 300, 1000, 2900),)),
    )
    torch.manual_seed(0)
    bands = {modality.name: len(modality.bands) for modality in modalities}
    network = build_network("mean_fusion", {"encoder": "resnet-tiny"}, bands, 7)
    metadata = ModelMetadata(
        name="zion",
        engine="0",
        modalities=tuple(modality_facts(modality) for modality in modalities),
        classes=tuple(ClassFacts(value=value, name=f"class {value}", color="#123456") for value in range(2, 9)),
        pixel_size=PixelSize(x=30, y=30, crs="EPSG:32612"),
        tile=128,
        halo=16,
        training=TrainingFacts(data=(), licence="", network="mean_fusion", method="", recipe=""),
    )
    path = tmp_path_factory.mktemp("zion") / "zion.onnx"
    export_model(Segmenter(network, modalities), metadata, path)
    return path


def mapped(model: Path, folder: Path, *names: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes and availability, with the checks that hold for each map."""
    sources = {
        "rgb": [SourceSpec.parse(f"{LANDSAT}@B4_red,B3_green,B2_blue")],
        "nir": [SourceSpec.parse(f"{LANDSAT}@B5_nir")],
        "dem": [SourceSpec(str(SRTM))],
    }
    output, availability = folder / f"{'-'.join(names)}.tif", folder / "availability.tif"
    make_map(model, {name: sources[name] for name in names}, output, availability=availability, device="cpu")
    with rasterio.open(output) as result, rasterio.open(LANDSAT) as landsat, rasterio.open(availability) as bits:
        assert (result.crs, result.transform, result.shape) == (landsat.crs, landsat.transform, landsat.shape)
        assert result.nodata == 255
        return result.read(1), bits.read(1)


def test_maps_lie_on_the_landsat_grid_and_where_elevation_ends_are_those_without_it(
    zion_model: Path, tmp_path: Path
) -> None:
    alone, _ = mapped(zion_model, tmp_path, "rgb")
    with_dem, bits = mapped(zion_model, tmp_path, "rgb", "dem")
    without = bits == 0b001
    assert 0.01 < without.mean() < 0.02
    np.testing.assert_array_equal(with_dem[without], alone[without])
    assert (with_dem[~without] != alone[~without]).mean() > 0.01
    two, _ = mapped(zion_model, tmp_path, "rgb", "nir")
    three, bits = mapped(zion_model, tmp_path, "rgb", "nir", "dem")
    assert set(np.unique(bits)) == {0b011, 0b111}
    np.testing.assert_array_equal(three[bits == 0b011], two[bits == 0b011])
