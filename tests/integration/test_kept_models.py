"""Models that engines before this one wrote still give the maps that they gave then."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from making import make_map

from engine.raster.sources import SourceSpec

KEPT = sorted((Path(__file__).parent.parent / "data").glob("model-*.onnx"))


@pytest.mark.parametrize("model", KEPT, ids=lambda path: path.stem)
def test_a_model_of_before_maps_as_it_did(model: Path, tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    kept = np.load(model.with_suffix(".npz"))
    nodata = {"optical": 0, "sar": -9999, "dem": -9999}
    sources = {
        name: [SourceSpec(str(write_raster(f"{name}.tif", kept[name], nodata=value)))] for name, value in nodata.items()
    }
    make_map(model, sources, tmp_path / "map.tif", availability=tmp_path / "availability.tif")
    for name in ("map", "availability"):
        with rasterio.open(tmp_path / f"{name}.tif") as raster:
            np.testing.assert_array_equal(raster.read(1), kept[name])
