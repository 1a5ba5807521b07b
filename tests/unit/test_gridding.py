"""The grid of a map. The model classifies each pixel by its sign alone and is written by hand, without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from making import make_map
from onnx import parser
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from engine.data.scenes import SceneSpec, scene_grid
from engine.errors import GridError, ModelError
from engine.grid import Grid, Window
from engine.mapping.gridding import check_size, choose_grid
from engine.modality import Modality
from engine.model.document import KEY, ModelMetadata
from engine.model.file import Model
from engine.raster.sources import SourceSpec

GRAPH = """
<ir_version: 9, opset_import: ["" : 18]>
g (float[N,1,64,64] dem, bool[1] availability)
  => (uint8[N,64,64] classes, uint8[N,64,64] confidence, float[N,2,64,64] probabilities, float[N,2,64,64] logits) {
  below = Neg(dem)
  logits = Concat<axis=1>(dem, below)
  probabilities = Softmax<axis=1>(logits)
  index = ArgMax<axis=1, keepdims=0>(logits)
  classes = Cast<to=2>(index)
  confidence = Cast<to=2>(index)
}
"""

PLACES = {
    "WGS 84": (4326, Affine(1e-4, 0, 10, 0, -1e-4, 60)),
    "ETRS89": (4258, Affine(1e-4, 0, 10, 0, -1e-4, 60)),
    "NAD83": (4269, Affine(1e-4, 0, -75, 0, -1e-4, 45)),
    "grads from Paris": (4807, Affine(1e-4, 0, 1, 0, -1e-4, 54)),
    "US feet": (2263, Affine(32.8, 0, 980_000, 0, -32.8, 200_000)),
    "Web Mercator": (3857, Affine(20, 0, 1_113_195, 0, -20, 8_399_738)),
    "polar": (3995, Affine(10, 0, 3_300_000, 0, -10, 1000)),
    "around the pole": (3995, Affine(10, 0, -960, 0, -10, 960)),
    "UTM": (32631, Affine(10, 0, 600_000, 0, -10, 5_650_000)),
    "UTM, turned": (32631, Affine(10, 0, 600_000, 0, -10, 5_650_000) @ Affine.rotation(30)),
    "UTM, south-up": (32631, Affine(10, 0, 600_000, 0, 10, 5_650_000)),
    "WGS 84, turned": (4326, Affine(1e-4, 0, 10, 0, -1e-4, 60) @ Affine.rotation(30)),
    "WGS 84, south-up": (4326, Affine(1e-4, 0, 10, 0, 1e-4, 60)),
    "WGS 84, oblong": (4326, Affine(2e-4, 0, 10, 0, -1e-4, 60)),
}

WriteRaster = Callable[..., Path]


def ground_size(code: int, transform: Affine, pixels: int) -> float:
    """Root of the geodesic area of the middle one of ``pixels`` x ``pixels``: from a ring of 20 around it."""
    steps = np.linspace(0, 1, 100, endpoint=False)
    cols = np.concatenate([steps, steps * 0 + 1, 1 - steps, steps * 0])
    rows = np.concatenate([steps * 0, steps, steps * 0 + 1, 1 - steps])
    xs, ys = transform @ (pixels / 2 - 10 + 20 * cols, pixels / 2 - 10 + 20 * rows)  # type: ignore[operator]
    crs = pyproj.CRS.from_epsg(code)
    geodetic = crs.geodetic_crs
    assert geodetic is not None
    ellipsoid = geodetic.get_geod()
    assert ellipsoid is not None
    degrees = math.degrees(geodetic.axis_info[0].unit_conversion_factor)
    longitude, latitude = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True).transform(xs, ys)
    return math.sqrt(abs(ellipsoid.polygon_area_perimeter(longitude * degrees, latitude * degrees)[0])) / 20


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Model]:
    """Makes a model of pixels ``x`` by ``y`` in a CRS."""

    def make(
        x: float, y: float, crs: str | None, metres: float | None = None, area: tuple[float, ...] | None = None
    ) -> Model:
        band = {"name": "height", "mean": 0.0, "std": 1.0, "minimum": -9.0, "maximum": 9.0}
        content = {
            "name": "sign",
            "engine": "0.1",
            "modalities": [{"name": "dem", "dtype": "float32", "unit": "m", "bands": [band]}],
            "classes": [
                {"value": 1, "name": "up", "color": "#ff0000"},
                {"value": 2, "name": "down", "color": "#0000ff"},
            ],
            "pixel_size": {"x": x, "y": y, "crs": crs, "metres": metres},
            "tile": 64,
            "halo": 8,
            "training": {"data": [], "area": area, "licence": "", "network": "", "method": "", "recipe": ""},
        }
        proto = parser.parse_model(GRAPH)
        proto.metadata_props.add(key=KEY, value=ModelMetadata.model_validate(content).model_dump_json())
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        return Model(path)

    return make


@pytest.fixture
def write(write_raster: WriteRaster) -> Callable[..., SourceSpec]:
    """Writes a raster of squares of 20 x 20 pixels, 1 and -1 by turns."""

    def write(
        code: int | None, transform: Affine, shape: tuple[int, int] = (192, 192), name: str = "dem"
    ) -> SourceSpec:
        values = np.where(np.add.outer(*(np.arange(size) // 20 for size in shape)) % 2, 1, -1).astype(np.float32)
        crs = None if code is None else CRS.from_epsg(code)
        return SourceSpec(str(write_raster(f"{name}.tif", values[None], crs=crs, transform=transform)))

    return write


@pytest.mark.parametrize("said", ["in metres", "by its place alone"])
@pytest.mark.parametrize("place", PLACES)
def test_a_model_maps_what_it_was_trained_on_on_its_own_grid(
    trained: Callable[..., Model], write: Callable[..., SourceSpec], place: str, said: str
) -> None:
    code, transform = PLACES[place]
    x, y = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
    grid = Grid(CRS.from_epsg(code), transform, 192, 192)
    if said == "in metres":
        model = trained(x, y, f"EPSG:{code}", ground_size(code, transform, 192))
    else:  # as models of before
        model = trained(x, y, f"EPSG:{code}", area=transform_bounds(grid.crs, "EPSG:4326", *grid.bounds))
    gridding = choose_grid(model, {"dem": [write(code, transform)]})
    assert gridding.grid == grid
    assert gridding.warnings == ()


@pytest.mark.parametrize("size", [1.5, 2, 3.7, 0.6])
@pytest.mark.parametrize("place", PLACES)
def test_a_model_maps_on_the_grid_that_the_recipes_pixel_size_made(
    trained: Callable[..., Model], write: Callable[..., SourceSpec], place: str, size: float
) -> None:
    code, transform = PLACES[place]
    pixel_size, spec = size * abs(transform.determinant) ** 0.5, write(code, transform, (191, 193))
    modality = Modality("dem", ("height",))
    grid = scene_grid(SceneSpec("a", {"dem": (spec,)}, None, None), [modality], pixel_size)
    assert grid.pixel_size == pytest.approx((pixel_size, pixel_size))
    model = trained(*grid.pixel_size, f"EPSG:{code}", ground_size(code, grid.transform, min(grid.height, grid.width)))
    found = choose_grid(model, {"dem": [spec]}).grid
    assert (found.crs, found.height, found.width) == (grid.crs, grid.height, grid.width)
    assert found.transform.almost_equals(grid.transform, 1e-9 * pixel_size)


def test_another_crs_is_mapped_in_pixels_of_the_same_size_on_the_ground(
    trained: Callable[..., Model], write: Callable[..., SourceSpec]
) -> None:
    model = trained(10, 10, "EPSG:32631", 10.004)
    for place in ("Web Mercator", "WGS 84"):
        code, transform = PLACES[place]
        fine = transform @ Affine.scale(0.4)
        grid = choose_grid(model, {"dem": [write(code, fine)]}).grid
        assert grid.transform.almost_equals(fine @ Affine.scale(grid.pixel_size[0] / fine.a), 1e-12)
        assert ground_size(code, grid.transform, min(grid.height, grid.width)) == pytest.approx(10.004, rel=1e-4)


def test_web_mercator_at_60_north_needs_no_resampling(
    trained: Callable[..., Model], write: Callable[..., SourceSpec]
) -> None:
    """Where a unit is half a metre, pixels of 20 are those of 10 m."""
    code, transform = PLACES["Web Mercator"]
    gridding = choose_grid(trained(10, 10, "EPSG:32631", 10), {"dem": [write(code, transform)]})
    assert gridding.grid.transform == transform
    assert gridding.warnings == ()


@pytest.mark.parametrize("metres", [None, 10.004])
def test_pixels_of_a_utm_zone_have_round_sizes_in_another_plane(
    trained: Callable[..., Model], write: Callable[..., SourceSpec], metres: float | None
) -> None:
    model = trained(10, 10, "EPSG:32631", metres, area=(0, 40, 30, 52))  # scenes of several zones
    for code in (32631, 25833):
        fine = Affine(5, 0, 210_000, 0, -5, 5_650_000)
        assert choose_grid(model, {"dem": [write(code, fine)]}).grid.pixel_size == (10, 10)
    feet = choose_grid(model, {"dem": [write(2263, Affine(15, 0, 980_000, 0, -15, 200_000))]}).grid
    assert feet.pixel_size == pytest.approx((10 * 3937 / 1200,) * 2, rel=1e-12)


@pytest.mark.parametrize(
    ("crs", "area", "expected"),
    [
        ("EPSG:32631", None, 10),
        ("EPSG:2263", None, 10 * 1200 / 3937),
        ("EPSG:32631", (0, 40, 30, 52), 10),
        ("EPSG:32660", (-179.9, -17, 179.9, -16), 10),
        ("EPSG:3857", (10, 59.9, 10.1, 60.1), 10 * 0.5009),
        (None, None, 10),
    ],
)
def test_a_model_of_before_is_read_by_its_crs(
    trained: Callable[..., Model], crs: str | None, area: tuple[float, ...] | None, expected: float
) -> None:
    assert trained(10, 10, crs, area=area).metres == pytest.approx(expected, rel=2e-3)


def test_degrees_of_a_model_that_holds_no_place_are_those_of_the_equator(trained: Callable[..., Model]) -> None:
    for crs in ("EPSG:4326", "EPSG:4258", "OGC:CRS84"):
        assert trained(1e-4, 1e-4, crs).metres == pytest.approx(11.13, rel=1e-3)


def test_a_model_whose_crs_cannot_be_read_is_refused(trained: Callable[..., Model]) -> None:
    for crs in ("EPSG:999999", "EPSG:4978"):
        with pytest.raises(ModelError, match=r"model\.onnx: the CRS of its pixels cannot be read.*export it again"):
            _ = trained(10, 10, crs).metres


def test_the_pixel_size_that_is_asked_for_is_in_units_of_the_maps_crs(
    trained: Callable[..., Model], write: Callable[..., SourceSpec]
) -> None:
    code, transform = PLACES["Web Mercator"]
    grid = choose_grid(trained(10, 10, "EPSG:32631", 10), {"dem": [write(code, transform)]}, pixel_size=40).grid
    assert grid == Grid(CRS.from_epsg(code), transform @ Affine.scale(2), 96, 96)


def test_of_sources_alike_to_a_hundredth_the_first_gives_the_grid(
    trained: Callable[..., Model], write: Callable[..., SourceSpec]
) -> None:
    first = write(32631, Affine(10.05, 0, 600_000, 0, -10.05, 5_650_000), name="first")
    second = write(32631, Affine(10, 0, 600_000, 0, -10, 5_650_000), name="second")
    model = trained(10, 10, "EPSG:32631", 10)
    assert choose_grid(model, {"dem": [first, second]}).grid.pixel_size == (10.05, 10.05)
    assert choose_grid(model, {"dem": [second, first]}).grid.pixel_size == (10, 10)


def test_a_grid_out_of_all_proportion_is_made_only_if_its_pixels_are_asked_for(
    trained: Callable[..., Model], write: Callable[..., SourceSpec]
) -> None:
    coarse = write(32631, Affine(1000, 0, 600_000, 0, -1000, 5_650_000), (50, 60))
    model = trained(30, 30, "EPSG:32631", 30)
    with pytest.raises(GridError, match=r"of 30 m, .*dem\.tif has 1000 m: .* 1667 x 2000 .* --pixel-size 30$"):
        choose_grid(model, {"dem": [coarse]})
    grid = choose_grid(model, {"dem": [coarse]}, pixel_size=30).grid
    assert (grid.height, grid.width) == (1667, 2000)
    check_size(grid.window)
    near = write(32631, Affine(290, 0, 600_000, 0, -290, 5_650_000), (50, 60))
    assert choose_grid(model, {"dem": [near]}).grid.pixel_size == (30, 30)


def test_a_map_that_nobody_can_want_is_refused_before_anything_is_read(
    trained: Callable[..., Model], write: Callable[..., SourceSpec], tmp_path: Path
) -> None:
    check_size(Window(0, 0, 100_000, 1_000_000))
    path = trained(10, 10, "EPSG:32631", 10).path
    spec = write(32631, Affine(10, 0, 600_000, 0, -10, 5_650_000))
    with pytest.raises(GridError, match=r"1920000000 x 1920000000 pixels .* 100,000,000,000 .*--bounds.*--pixel-size"):
        make_map(path, {"dem": [spec]}, tmp_path / "map.tif", pixel_size=1e-6)
    corner = (600_000, 5_649_999.9, 600_000.1, 5_650_000)
    summary = make_map(path, {"dem": [spec]}, tmp_path / "map.tif", pixel_size=1e-3, bounds=corner)
    assert (summary.grid.height, summary.grid.width) == (100, 100)


def test_a_source_that_lies_nowhere_is_named(trained: Callable[..., Model], write: Callable[..., SourceSpec]) -> None:
    model = trained(10, 10, "EPSG:32631", 10)
    with pytest.raises(GridError, match=r"dem\.tif: in EPSG:4326 it reaches .* which are no degrees; assign it"):
        choose_grid(model, {"dem": [write(4326, Affine(10, 0, 600_000, 0, -10, 5_650_000))]})


@pytest.mark.parametrize("place", [*(name for name in PLACES if "pole" not in name), "none"])
def test_the_table_of_classes_has_geodesic_areas(
    trained: Callable[..., Model], write: Callable[..., SourceSpec], tmp_path: Path, place: str
) -> None:
    code, transform = PLACES.get(place, (None, Affine(10, 0, 0, 0, -10, 0)))
    spec = write(code, transform, (150, 170))
    path = trained(10, 10, code and f"EPSG:{code}", 10).path
    make_map(path, {"dem": [spec]}, tmp_path / "map.tif", device="cpu", like=spec)
    with rasterio.open(tmp_path / "map.tif") as dataset, rasterio.open(spec.path) as source:
        np.testing.assert_array_equal(dataset.read(1), np.where(source.read(1) > 0, 1, 2))
    rows = re.findall(r"<Row[^>]*>(.*?)</Row>", (tmp_path / "map.tif.aux.xml").read_text(), re.DOTALL)
    found = [re.findall(r"<F>(.*?)</F>", row)[7] for row in rows]
    if code is None:
        assert found == ["", ""]
        return
    squares = np.add.outer(np.arange(150) // 20, np.arange(170) // 20) % 2
    shares = np.array([(squares == 1).mean(), (squares == 0).mean()])
    whole = 150 * 170 * ground_size(code, transform @ Affine.translation(10, 0), 150) ** 2 / 10_000
    np.testing.assert_allclose([float(text) for text in found], whole * shares, rtol=1e-4)
