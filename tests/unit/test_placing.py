"""Rasters that control points or rational polynomials place: refused with a way to go on, or placed on request."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC

from engine.errors import BandError, GridError
from engine.grid import Grid
from engine.raster.alignment import AlignedReader, Block
from engine.raster.sources import SourceSpec, open_source

Write = Callable[..., Path]
UTM = CRS.from_epsg(32631)


def points(transform: Affine, height: int, width: int) -> list[GroundControlPoint]:
    return [
        GroundControlPoint(row, col, *(transform @ (col, row)))
        for row in (0, height / 2, height)
        for col in (0, width / 2, width)
    ]


def write(path: Path, values: NDArray[np.generic], nodata: float | None = None, **facts: object) -> Path:
    """A raster without a geotransform, with ``facts`` (``gcps``, ``rpcs``, ``crs``)."""
    count, height, width = values.shape
    profile = {"count": count, "height": height, "width": width, "dtype": values.dtype, "nodata": nodata}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
            dataset.write(values)
            for name, fact in facts.items():
                setattr(dataset, name, fact)
    return path


def swath(folder: Path, values: NDArray[np.generic], grid: Grid, nodata: float | None = None) -> Path:
    """A raster that control points place where ``grid`` lies."""
    where = (points(grid.transform, *values.shape[1:]), grid.crs)
    return write(folder / "swath.tif", values, nodata, gcps=where)


def read(text: str, grid: Grid) -> Block:
    with AlignedReader([SourceSpec.parse(text)], grid) as reader:
        return reader.read(grid.window)


def test_control_points_alone_are_refused_with_the_command_that_places_them(tmp_path: Path, grid: Grid) -> None:
    path = swath(tmp_path, np.ones((2, 40, 50), "float32"), grid)
    with pytest.raises(GridError, match=r"swath\.tif: has ground control points only.*gdalwarp -tps.*place=points"):
        read(str(path), grid)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_control_points_place_a_raster_on_request(tmp_path: Path, grid: Grid, dtype: str, count: int) -> None:
    values = np.arange(count * 2000).reshape(count, 40, 50).astype(dtype) + 1
    values[:, 5:9, 5:9] = 0
    block = read(f"{swath(tmp_path, values, grid, nodata=0)}:place=points", grid)
    np.testing.assert_array_equal(block.valid, values[0] != 0)
    np.testing.assert_array_equal(block.values[:, block.valid], values[:, block.valid])


def test_a_placed_raster_has_a_grid_of_its_own(tmp_path: Path, grid: Grid) -> None:
    path = swath(tmp_path, np.ones((1, 40, 50), "uint8"), grid)
    with open_source(SourceSpec.parse(f"{path}:place=points")) as source:
        assert source.grid.crs == grid.crs
        assert (source.grid.height, source.grid.width) == (40, 50)
        assert source.grid.transform.almost_equals(grid.transform, precision=1e-6)


def test_chosen_bands_of_a_placed_raster_keep_their_order(tmp_path: Path, grid: Grid) -> None:
    values = np.stack([np.full((40, 50), value, "uint8") for value in (1, 2, 3)])
    block = read(f"{swath(tmp_path, values, grid)}@3,1:place=points", grid)
    assert [int(band[20, 20]) for band in block.values] == [3, 1]


def test_rational_polynomials_place_a_raster_on_request(tmp_path: Path) -> None:
    # latitude = 50 - (row - 20) / 1000, longitude = 10 + (column - 25) / 1000: polynomials of one term each
    none = [0.0] * 20
    rpc = RPC(
        err_bias=None, err_rand=None, height_off=100, height_scale=500, lat_off=50, lat_scale=1, long_off=10,
        long_scale=1, line_off=20, line_scale=1000, samp_off=25, samp_scale=1000,
        line_num_coeff=[0, 0, -1, *none[3:]], line_den_coeff=[1, *none[1:]],
        samp_num_coeff=[0, 1, *none[2:]], samp_den_coeff=[1, *none[1:]],
    )  # fmt: skip
    path = tmp_path / "satellite.tif"
    values = np.arange(2000, dtype="uint16").reshape(1, 40, 50)
    write(path, values, rpcs=rpc)
    # the centre of a pixel is half a pixel on, and the polynomials' rows and columns mean centres
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 10 - 0.0255, 0, -0.001, 50 + 0.0205), 40, 50)
    with pytest.raises(GridError, match=r"rational polynomial coefficients only.*-rpc.*place=rpc"):
        read(str(path), grid)
    block = read(f"{path}:place=rpc", grid)
    inner = (slice(1, -1), slice(1, -1))
    assert block.valid[inner].all()
    np.testing.assert_allclose(block.values[0][inner], values[0][inner], atol=1)


def test_a_wrong_placement_is_explained(write_raster: Write, tmp_path: Path, grid: Grid) -> None:
    placed = write_raster("a.tif", np.ones((1, 40, 50), "uint8"))
    with pytest.raises(GridError, match="a georeference of its own; leave out place"):
        read(f"{placed}:place=points", grid)
    with pytest.raises(GridError, match=r"has ground control points; .*place=points"):
        read(f"{swath(tmp_path, np.ones((1, 40, 50), 'uint8'), grid)}:place=rpc", grid)
    with pytest.raises(BandError, match=r"points .* or rpc, not gcp"):
        SourceSpec.parse(f"{placed}:place=gcp")


def test_a_reference_system_without_a_place_is_refused(tmp_path: Path, grid: Grid) -> None:
    path = write(tmp_path / "a.tif", np.ones((1, 40, 50), "uint8"), crs=UTM)
    with pytest.raises(GridError, match=r"a\.tif: names a coordinate reference system .*nowhere.*a_ullr"):
        read(str(path), grid)
