"""Maps do not depend on the machine: memory, panels, threads; any geometry; damage is said; faults of similar tools."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from affine import Affine
from making import make_map
from numpy.typing import NDArray
from rasterio import warp
from rasterio.crs import CRS
from scipy import ndimage

import engine.mapping.plan as planning
import engine.runtime.sizing as sizing
from engine.availability import Scenario, from_bits
from engine.errors import Cancelled, ModelError, RasterReadError, ResourceError
from engine.files import file_digest
from engine.grid import Grid, Window
from engine.mapping.predict import Summary
from engine.mapping.tiles import TilePlan
from engine.mapping.verify import verify
from engine.model.file import Model
from engine.raster.alignment import AlignedReader
from engine.raster.sources import SourceSpec
from engine.runtime.batching import Batches
from engine.runtime.session import Sessions
from engine.runtime.sizing import Estimate

UTM, ORIGIN = CRS.from_epsg(32631), Affine(10, 0, 1000, 0, -10, 5000)


def run(model: Path, output: Path, sources: dict[str, Path], **options: object) -> Summary:
    specs = {name: [SourceSpec(str(path))] for name, path in sources.items()}
    return make_map(model, specs, output, device="cpu", **{"threads": 2, **options})  # type: ignore[arg-type]


def read(path: Path) -> NDArray[np.generic]:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.fixture(scope="module")
def wide(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The second scene, with clouds and a radar that covers half, three times beside itself; stored in tiles."""
    folder = tmp_path_factory.mktemp("wide")
    found = {}
    for name in ("optical", "sar", "dem"):
        with rasterio.open(scenes / "second" / f"{name}.tif") as source:
            values = np.tile(source.read(), (1, 1, 3))
            profile = source.profile | {"width": values.shape[2], "tiled": True, "blockxsize": 16, "blockysize": 16}
        found[name] = folder / f"{name}.tif"
        with rasterio.open(found[name], "w", **profile) as target:
            target.write(values)
    return found


ALL = ("map", "confidence", "availability", "probabilities")


def run_all(model: Path, folder: Path, sources: dict[str, Path], **options: object) -> dict[str, str]:
    """Every output's digest."""
    folder.mkdir()
    paths = {name: folder / f"{name}.tif" for name in ALL}
    run(model, paths.pop("map"), sources, **paths, **options)
    return {name: file_digest(folder / f"{name}.tif") for name in ALL}


@pytest.fixture(scope="module")
def usual(model_path: Path, wide: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return run_all(model_path, tmp_path_factory.mktemp("usual") / "map", wide)


@pytest.mark.parametrize("panel", [64, 200])
def test_panels_leave_the_same_bytes(
    model_path: Path,
    wide: dict[str, Path],
    usual: dict[str, str],
    tmp_path: Path,
    panel: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "PANEL", panel)
    assert run_all(model_path, tmp_path / "map", wide, threads=3) == usual
    parts = json.loads((tmp_path / "map" / "map.tif.hashes.json").read_text())["parts"]
    assert len({col for _, col, *_ in parts}) > 1, "there were several panels"
    assert verify(tmp_path / "map" / "map.tif").text == "unchanged"


def test_a_map_in_panels_that_is_cancelled_goes_on_to_the_same_bytes(
    model_path: Path, wide: dict[str, Path], usual: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "PANEL", 64)
    for share in (0.3, 0.6, 0.9):
        reached = [0.0]
        with pytest.raises(Cancelled):
            run(
                model_path, tmp_path / "map.tif", wide,
                progress=lambda now, reached=reached: reached.__setitem__(0, now),
                cancelled=lambda reached=reached, share=share: reached[0] >= share,
            )  # fmt: skip
    assert run(model_path, tmp_path / "map.tif", wide).resumed > 0.5
    assert file_digest(tmp_path / "map.tif") == usual["map"]


def test_stripes_are_read_over_their_whole_width(
    model_path: Path, wide: dict[str, Path], usual: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "PANEL", 64)
    with rasterio.open(wide["dem"]) as source:
        profile, values = source.profile | {"tiled": False}, source.read()
    del profile["blockxsize"], profile["blockysize"]
    with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
        target.write(values)
    assert run_all(model_path, tmp_path / "map", {**wide, "dem": tmp_path / "dem.tif"}) == usual
    parts = json.loads((tmp_path / "map" / "map.tif.hashes.json").read_text())["parts"]
    assert {col for _, col, *_ in parts} == {0}


def test_little_memory_means_fewer_threads_and_the_same_bytes(
    model_path: Path, wide: dict[str, Path], usual: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "SMALLEST_CACHE", 0)
    monkeypatch.setattr(planning, "writing_memory", lambda _bytes: 0)
    found: list[Estimate] = []
    digests: list[dict[str, str]] = []
    free = 1_000_000.0
    while not found:
        free *= 1.1
        monkeypatch.setattr(sizing, "free_memory", lambda: free)  # noqa: B023 (called in this turn)
        with suppress(ResourceError):
            folder = tmp_path / f"{free:.0f}"
            digests.append(run_all(model_path, folder, wide, threads=4, expected=found.append))
    assert found[0].threads < 4
    assert digests == [usual]


def test_where_no_tile_fits_the_memory_it_is_said(
    model_path: Path, wide: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizing, "free_memory", lambda: 1_000_000)
    with pytest.raises(ResourceError, match=r"needs \d\.\d\d GB of memory, but only 0\.00 GB are free; close"):
        run(model_path, tmp_path / "map.tif", wide)
    assert list(tmp_path.iterdir()) == []


def test_the_probabilities_are_a_band_of_percents_for_each_class(
    model_path: Path, wide: dict[str, Path], tmp_path: Path
) -> None:
    run_all(model_path, tmp_path / "map", wide)
    classes = read(tmp_path / "map" / "map.tif")
    with rasterio.open(tmp_path / "map" / "probabilities.tif") as dataset:
        shares = dataset.read().astype(int)
        assert dataset.descriptions[:2] == ("water in percent", "forest in percent")
        assert (dataset.nodata, dataset.dtypes[0]) == (255, "uint8")
    seen = classes != 255
    assert (shares[:, ~seen] == 255).all()
    np.testing.assert_array_equal(shares[:, seen].max(axis=0), read(tmp_path / "map" / "confidence.tif")[seen])
    np.testing.assert_array_equal(np.take_along_axis(shares, classes[None].astype(int) % 255 - 1, 0)[0][seen],
                                  shares[:, seen].max(axis=0))  # fmt: skip
    assert abs(shares[:, seen].sum(axis=0) - 100).max() <= 3


def test_batches_give_what_single_tiles_give(model_path: Path) -> None:
    model = Model(model_path)
    sessions = Sessions(model, "cpu")
    calls: Counter[tuple[int, int]] = Counter()

    def counted(scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        calls[scenario.bits, len(next(iter(inputs.values())))] += 1
        return sessions.probabilities(scenario, inputs)

    rng = np.random.default_rng(0)
    tile = model.metadata.tile
    tasks = []
    for number in range(30):
        scenario = from_bits(1 if number % 3 else 6, 3)
        values = {
            model.modalities[index].name: rng.normal(
                model.modalities[index].fill[None, :, None, None],
                1,
                (1, len(model.modalities[index].bands), tile, tile),
            ).astype(model.modalities[index].dtype)
            for index in scenario.indices
        }
        tasks.append((scenario, values))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(Batches(counted, 4), *zip(*tasks, strict=True)))
    for (scenario, values), probabilities in zip(tasks, found, strict=True):
        np.testing.assert_allclose(probabilities, sessions.probabilities(scenario, values), atol=1e-5)
    assert {size for _, size in calls} == {4}, "every run has the same shape"
    assert sum(calls.values()) < 30


def test_an_error_in_a_batch_reaches_every_thread(model_path: Path) -> None:
    def fails(_scenario: Scenario, _inputs: object) -> NDArray[np.float32]:
        raise ModelError("no")

    batches = Batches(fails, 2)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(batches, from_bits(1, 1), {"a": np.zeros((1, 1, 2, 2))}) for _ in range(3)]
        assert [type(future.exception()) for future in waiting] == [ModelError] * 3


GEOMETRIES = {
    "one pixel": (1, 1, UTM, ORIGIN),
    "one row": (1, 300, UTM, ORIGIN),
    "one column": (300, 1, UTM, ORIGIN),
    "smaller than a tile": (20, 31, UTM, ORIGIN),
    "rotated": (150, 170, UTM, ORIGIN @ Affine.rotation(30)),
    "south-up": (150, 170, UTM, Affine(10, 0, 1000, 0, 10, 5000)),
    "mirrored": (150, 170, UTM, Affine(-10, 0, 9000, 0, -10, 5000)),
    "geographic": (150, 170, CRS.from_epsg(4326), Affine(9e-5, 0, 3, 0, -9e-5, 48)),
    "across the antimeridian": (150, 170, CRS.from_epsg(4326), Affine(9e-5, 0, 179.99, 0, -9e-5, -17)),
    "feet": (150, 170, CRS.from_epsg(2263), Affine(32.8, 0, 980000, 0, -32.8, 200000)),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_grid_of_any_kind_is_mapped_pixel_by_pixel(model_path: Path, tmp_path: Path, name: str) -> None:
    height, width, crs, transform = GEOMETRIES[name]
    rng = np.random.default_rng(0)
    dem = rng.normal(300, 50, (1, height, width)).astype(np.float32)
    sar = rng.normal(-12, 3, (2, height, width)).astype(np.float32)
    sar[:, rng.random((height, width)) < 0.2] = -9999
    with_hole = sar.copy()
    profile = {"driver": "GTiff", "height": height, "width": width, "dtype": "float32", "crs": crs}
    for key, values in (("dem", dem), ("sar", with_hole)):
        path = tmp_path / f"{key}.tif"
        with rasterio.open(path, "w", count=len(values), transform=transform, nodata=-9999, **profile) as target:
            target.write(values)
    sources = {key: tmp_path / f"{key}.tif" for key in ("dem", "sar")}
    options = {"pixel_size": math.sqrt(abs(transform.determinant))} if name != "rotated" else {}
    run(model_path, tmp_path / "map.tif", sources, availability=tmp_path / "availability.tif", **options)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.crs, dataset.shape) == (crs, (height, width))
        assert dataset.transform.almost_equals(transform, 1e-9)
        assert (dataset.read(1) != 255).all()
    np.testing.assert_array_equal(read(tmp_path / "availability.tif"), 4 + 2 * (sar[0] != -9999))


@pytest.mark.parametrize("name", ["rotated", "south-up", "mirrored", "geographic", "across the antimeridian"])
def test_what_is_warped_lies_where_its_coordinates_say(tmp_path: Path, name: str) -> None:
    height, width, crs, transform = GEOMETRIES[name]
    rng = np.random.default_rng(0)
    values = ndimage.gaussian_filter(rng.normal(0, 30, (height, width)), 3).astype(np.float32)
    with rasterio.open(
        tmp_path / "source.tif", "w", driver="GTiff", height=height, width=width, count=1, dtype="float32", crs=crs,
        transform=transform, nodata=-9999,
    ) as target:  # fmt: skip
        target.write(values, 1)
    corner = transform @ (width / 2, height / 2)
    east, north = warp.transform(crs, "EPSG:3857", [corner[0]], [corner[1]])
    grid = Grid(CRS.from_epsg(3857), Affine(7, 0, east[0] - 500, 0, -7, north[0] + 500), 140, 150)
    with AlignedReader([SourceSpec(str(tmp_path / "source.tif"))], grid) as reader:
        found = reader.read(grid.window)
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    xs, ys = grid.transform @ (cols.ravel(), rows.ravel())
    xs, ys = map(np.array, warp.transform(grid.crs, crs, xs, ys))
    if name == "across the antimeridian":
        xs = np.where(xs < 0, xs + 360, xs)
    there_cols, there_rows = ~transform @ (xs, ys)
    expected = ndimage.map_coordinates(values, [there_rows - 0.5, there_cols - 0.5], order=1, mode="nearest")
    inside = (there_rows > 0) & (there_rows < height) & (there_cols > 0) & (there_cols < width)
    expected, inside = expected.reshape(grid.height, grid.width), inside.reshape(grid.height, grid.width)
    assert inside.mean() > 0.5
    np.testing.assert_array_equal(found.valid, inside)
    assert abs(found.values[0] - expected)[inside].max() < 0.01


def test_a_nodata_value_with_more_digits_than_its_data_type_hides_pixels(tmp_path: Path) -> None:
    """A VRT may say 1e20, which float32 does not hold exactly; warped, too."""
    values = np.full((60, 60), 5, dtype=np.float32)
    values[:, 30:] = 1e20
    profile = {"driver": "GTiff", "height": 60, "width": 60, "count": 1, "dtype": "float32", "crs": UTM}
    with rasterio.open(tmp_path / "s.tif", "w", transform=ORIGIN, **profile) as target:
        target.write(values, 1)
    (tmp_path / "s.vrt").write_text(
        f'<VRTDataset rasterXSize="60" rasterYSize="60"><SRS>EPSG:32631</SRS><GeoTransform>1000,10,0,5000,0,-10'
        f'</GeoTransform><VRTRasterBand dataType="Float32" band="1"><NoDataValue>1e20</NoDataValue><SimpleSource>'
        f"<SourceFilename>{tmp_path / 's.tif'}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        f"</VRTRasterBand></VRTDataset>"
    )
    grid = Grid(UTM, Affine(7, 0, 1003, 0, -7, 4996), 80, 80)
    with AlignedReader([SourceSpec(str(tmp_path / "s.vrt"))], grid) as reader:
        found = reader.read(grid.window)
    assert 0.4 < found.valid.mean() < 0.6
    assert (found.values[0][found.valid] == 5).all()


def test_a_polar_grid_is_not_smeared(tmp_path: Path) -> None:
    """Near the pole one pixel spans many degrees of longitude; far from it the kernel must stay narrow."""
    rng = np.random.default_rng(0)
    world = ndimage.gaussian_filter(rng.normal(size=(720, 1440)), 1.5, mode="wrap").astype(np.float32)
    world /= world.std()
    profile = {"driver": "GTiff", "height": 720, "width": 1440, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(tmp_path / "w.tif", "w", transform=Affine(0.25, 0, -180, 0, -0.25, 90), **profile) as target:
        target.write(world, 1)
    grid = Grid(CRS.from_epsg(3413), Affine(25000, 0, -3850000, 0, -25000, 5850000), 448, 304)
    with AlignedReader([SourceSpec(str(tmp_path / "w.tif"))], grid) as reader:
        found = reader.read(grid.window)
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    xs, ys = grid.transform @ (cols.ravel(), rows.ravel())
    lon, lat = map(np.array, warp.transform(grid.crs, "EPSG:4326", xs, ys))
    expected = ndimage.map_coordinates(world, [(90 - lat) / 0.25 - 0.5, (lon + 180) / 0.25 - 0.5], order=1)
    south = (lat < 65) & (abs(lon) < 179) & found.valid.ravel()
    assert south.mean() > 0.3
    assert abs(found.values.ravel()[south] - expected[south]).mean() < 0.15
    assert found.values.ravel()[south].std() > 0.85 * expected[south].std()


def test_a_raster_behind_the_antimeridian_covers_a_grid_across_it(tmp_path: Path) -> None:
    values = np.arange(100 * 100, dtype=np.float32).reshape(100, 100)
    with rasterio.open(
        tmp_path / "source.tif", "w", driver="GTiff", height=100, width=100, count=1, dtype="float32", crs="EPSG:4326",
        transform=Affine(0.01, 0, -180, 0, -0.01, -17),
    ) as target:  # fmt: skip
        target.write(values, 1)
    grid = Grid(CRS.from_epsg(4326), Affine(0.01, 0, 179.5, 0, -0.01, -17), 100, 100)
    with AlignedReader([SourceSpec(str(tmp_path / "source.tif"))], grid) as reader:
        found = reader.read(grid.window)
    np.testing.assert_array_equal(found.valid, np.broadcast_to(np.arange(100) >= 50, (100, 100)))
    np.testing.assert_allclose(found.values[0, :, 50:], values[:, :50], atol=1e-2)


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw"])
def test_a_source_that_was_zeroed_leaves_no_map(
    model_path: Path, wide: dict[str, Path], tmp_path: Path, compress: str
) -> None:
    with (
        rasterio.open(wide["optical"]) as source,
        rasterio.open(tmp_path / "optical.tif", "w", **source.profile | {"compress": compress}) as target,
    ):
        target.write(source.read())
    content = bytearray((tmp_path / "optical.tif").read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    (tmp_path / "optical.tif").write_bytes(content)
    with pytest.raises(
        RasterReadError, match=r"optical\.tif: (cannot be read at rows \d+-\d+, columns|cannot be opened)"
    ):
        run(model_path, tmp_path / "map.tif", {"optical": tmp_path / "optical.tif"})
    assert not (tmp_path / "map.tif").exists()


def test_a_map_that_is_open_elsewhere_is_replaced_under_its_readers(
    model_path: Path, wide: dict[str, Path], tmp_path: Path
) -> None:
    run(model_path, tmp_path / "map.tif", {"dem": wide["dem"]})
    with rasterio.open(tmp_path / "map.tif") as reader:
        before = read(tmp_path / "map.tif")
        run(model_path, tmp_path / "map.tif", {"sar": wide["sar"]})
        np.testing.assert_array_equal(reader.read(1), before)
    assert (read(tmp_path / "map.tif") != before).any()


# What similar tools get wrong, at sizes of several tiles and scenarios; see also test_mosaic.py and test_resume.py.


def test_every_tile_runs_once_for_each_of_its_scenarios_in_one_session_each(
    model_path: Path, wide: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[onnxruntime.InferenceSession] = []
    ran: Counter[int] = Counter()
    make, probabilities = Sessions._make, Sessions.probabilities

    def counted_make(self: Sessions, scenario: Scenario) -> onnxruntime.InferenceSession:
        made.append(make(self, scenario))
        return made[-1]

    def counted(self: Sessions, scenario: Scenario, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        ran[scenario.bits] += 1
        return probabilities(self, scenario, inputs)

    monkeypatch.setattr(Sessions, "_make", counted_make)
    monkeypatch.setattr(Sessions, "probabilities", counted)
    found: list[Estimate] = []
    run(
        model_path, tmp_path / "map.tif", {name: wide[name] for name in ("sar", "dem")},
        availability=tmp_path / "availability.tif", expected=found.append,
    )  # fmt: skip
    metadata = Model(model_path).metadata
    bits = read(tmp_path / "availability.tif")
    plan = TilePlan(*bits.shape, metadata.tile, metadata.halo)
    expected: Counter[int] = Counter()
    for row, col in plan:
        area = plan.window(row, col)
        inside = (area & Window(0, 0, *bits.shape)).within(area)
        kept = np.outer(plan.weights(row, plan.rows), plan.weights(col, plan.cols))[inside] > 0
        part = bits[(area & Window(0, 0, *bits.shape)).within(Window(0, 0, *bits.shape))]
        expected.update(int(mask) for mask in np.unique(part[kept]) if mask)
    probes = 2 if found[0].tiles > found[0].threads else 1
    assert ran == expected + Counter({6: probes})
    assert len(made) == len(expected)
    assert all(session.get_session_options().intra_op_num_threads == 1 for session in made)


def test_a_number_that_is_none_spoils_its_own_pixel_only(
    model_path: Path, wide: dict[str, Path], tmp_path: Path
) -> None:
    with rasterio.open(wide["dem"]) as source:
        values, profile = source.read(), source.profile
    values[0, 90, 260] = np.nan
    values[0, 10, 10] = np.inf
    with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
        target.write(values)
    run(model_path, tmp_path / "with.tif", {"dem": tmp_path / "dem.tif"})
    run(model_path, tmp_path / "without.tif", {"dem": wide["dem"]})
    spoilt, clean = read(tmp_path / "with.tif"), read(tmp_path / "without.tif")
    assert spoilt[90, 260] == spoilt[10, 10] == 255
    assert (spoilt == 255).sum() == 2 + (clean == 255).sum()


def test_values_are_scaled_by_the_training_alone(model_path: Path, wide: dict[str, Path], tmp_path: Path) -> None:
    """Neither by 255, nor by the data type, nor by a tile's own maximum."""
    with rasterio.open(wide["optical"]) as source:
        values, profile = source.read(), source.profile
    one_bright = values.copy()
    one_bright[:, 150, 500] = 65535
    with rasterio.open(tmp_path / "bright.tif", "w", **profile) as target:
        target.write(one_bright)
    run(model_path, tmp_path / "bright-map.tif", {"optical": tmp_path / "bright.tif"})
    run(model_path, tmp_path / "map.tif", {"optical": wide["optical"]})
    changed = np.argwhere(read(tmp_path / "bright-map.tif") != read(tmp_path / "map.tif"))
    tile = Model(model_path).metadata.tile
    assert abs(changed - [150, 500]).max(initial=0) <= 2 * tile, "far away nothing changed"


def test_overlaps_hold_classes_of_the_model_only(model_path: Path, wide: dict[str, Path], tmp_path: Path) -> None:
    """Class numbers are neither averaged nor filtered: with values far apart, none between them occurs."""
    proto = onnx.load(model_path)
    metadata = json.loads(proto.metadata_props[0].value)
    for number, item in enumerate(metadata["classes"]):
        item["value"] = 40 * number + 10
    proto.metadata_props[0].value = json.dumps(metadata)
    onnx.save(proto, tmp_path / "spread.onnx")
    run(tmp_path / "spread.onnx", tmp_path / "map.tif", wide)
    run(model_path, tmp_path / "usual.tif", wide)
    found, usual = read(tmp_path / "map.tif"), read(tmp_path / "usual.tif")
    seen = usual != 255
    np.testing.assert_array_equal(found[seen], 40 * (usual[seen].astype(int) - 1) + 10)
    assert (found[~seen] == 255).all()
