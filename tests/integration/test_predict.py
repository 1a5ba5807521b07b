"""`engine predict`: maps of what is there, on the right grid; messages where something is wrong."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from making import make_map
from rasterio.warp import Resampling, calculate_default_transform, reproject

from engine.errors import BandError, Cancelled, GridError, ModalityError, OutputError, RasterReadError
from engine.mapping.predict import Summary
from engine.raster.masks import MaskSpec
from engine.raster.sources import SourceSpec


def run(model: Path, output: Path, sources: dict[str, Path | str], **options: object) -> Summary:
    specs = {name: [SourceSpec.parse(str(path))] for name, path in sources.items()}
    return make_map(model, specs, output, device="cpu", threads=2, **options)  # type: ignore[arg-type]


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.fixture
def second(scenes: Path) -> Path:
    return scenes / "second"


def test_each_pixel_is_mapped_by_the_sensors_that_saw_it(model_path: Path, second: Path, tmp_path: Path) -> None:
    summary = run(
        model_path,
        tmp_path / "map.tif",
        {"optical": second / "optical.tif", "sar": second / "sar.tif"},
        confidence=tmp_path / "confidence.tif",
        availability=tmp_path / "availability.tif",
    )
    seen = (read(second / "optical.tif") != 0) * 1 + (read(second / "sar.tif") != -9999) * 2
    np.testing.assert_array_equal(read(tmp_path / "availability.tif"), seen)
    classes, confidence = read(tmp_path / "map.tif"), read(tmp_path / "confidence.tif")
    np.testing.assert_array_equal(classes == 255, seen == 0)
    np.testing.assert_array_equal(confidence == 255, seen == 0)
    assert set(np.unique(classes[seen > 0])) <= {1, 2, 3, 4, 5, 6}
    assert confidence[seen > 0].max() <= 100
    assert summary.shares["optical+sar"] == pytest.approx((seen == 3).mean())
    assert sum(summary.shares.values()) == pytest.approx(1)


def test_other_bounds_give_the_same_map_where_they_overlap(model_path: Path, second: Path, tmp_path: Path) -> None:
    sources = {"optical": second / "optical.tif", "dem": second / "dem.tif"}
    run(model_path, tmp_path / "whole.tif", sources)
    with rasterio.open(tmp_path / "whole.tif") as dataset:
        left, top = dataset.transform @ (37, 51)
    run(model_path, tmp_path / "part.tif", sources, bounds=(left, top - 830, left + 910, top))
    np.testing.assert_array_equal(read(tmp_path / "part.tif"), read(tmp_path / "whole.tif")[51:134, 37:128])


def test_a_sensor_in_another_crs_is_warped_onto_the_grid(model_path: Path, second: Path, tmp_path: Path) -> None:
    with rasterio.open(second / "dem.tif") as source:
        transform, width, height = calculate_default_transform(
            source.crs, "EPSG:4326", source.width, source.height, *source.bounds
        )
        profile = source.profile | {"crs": "EPSG:4326", "transform": transform, "width": width, "height": height}
        with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
            reproject(rasterio.band(source, 1), rasterio.band(target, 1), resampling=Resampling.bilinear)
    summary = run(model_path, tmp_path / "map.tif", {"optical": second / "optical.tif", "dem": tmp_path / "dem.tif"})
    with rasterio.open(second / "optical.tif") as optical, rasterio.open(tmp_path / "map.tif") as result:
        assert (result.crs, result.transform, result.shape) == (optical.crs, optical.transform, optical.shape)
    assert summary.shares["optical+dem"] > 0.8


def test_a_source_on_the_same_pixels_enlarges_the_map(model_path: Path, second: Path, tmp_path: Path) -> None:
    with rasterio.open(second / "optical.tif") as source:
        profile = source.profile | {
            "height": 80,
            "width": 60,
            "transform": source.transform @ Affine.translation(30, 20),
        }
        with rasterio.open(tmp_path / "optical.tif", "w", **profile) as target:
            target.write(source.read(window=((20, 100), (30, 90))))
    summary = run(model_path, tmp_path / "map.tif", {"optical": tmp_path / "optical.tif", "dem": second / "dem.tif"})
    assert (summary.grid.height, summary.grid.width) == (200, 176)
    assert summary.shares["dem"] == pytest.approx(1 - summary.shares["optical+dem"], abs=0.05)


def test_a_coarse_source_is_warned_about(model_path: Path, second: Path, tmp_path: Path) -> None:
    with rasterio.open(second / "dem.tif") as source:
        profile = source.profile | {"height": 50, "width": 44, "transform": source.transform @ Affine.scale(4)}
        with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
            target.write(source.read(out_shape=(1, 50, 44)))
    summary = run(model_path, tmp_path / "map.tif", {"optical": second / "optical.tif", "dem": tmp_path / "dem.tif"})
    assert any("4.0 times coarser" in warning for warning in summary.warnings)


def test_a_source_of_the_whole_world_is_read_where_the_map_is(model_path: Path, second: Path, tmp_path: Path) -> None:
    world = {"driver": "GTiff", "width": 360, "height": 180, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(tmp_path / "dem.tif", "w", transform=Affine(1, 0, -180, 0, -1, 90), **world) as target:
        target.write(np.full((1, 180, 360), 250, "float32"))
    summary = run(model_path, tmp_path / "map.tif", {"optical": second / "optical.tif", "dem": tmp_path / "dem.tif"})
    assert (summary.grid.height, summary.grid.width) == (200, 176)
    assert set(summary.shares) == {"optical+dem", "dem"}  # where there are clouds, the elevation alone
    assert any("reaches far beyond" in warning for warning in summary.warnings)


def test_a_modality_that_the_model_does_not_know_is_named(model_path: Path, second: Path, tmp_path: Path) -> None:
    with pytest.raises(ModalityError, match=r"optical, sar, dem.*thermal"):
        run(model_path, tmp_path / "map.tif", {"thermal": second / "dem.tif"})


def test_a_wrong_number_of_bands_is_explained(model_path: Path, second: Path, tmp_path: Path) -> None:
    with pytest.raises(BandError, match=r"takes 4 bands.*gives 2"):
        run(model_path, tmp_path / "map.tif", {"optical": f"{second / 'optical.tif'}@1,2"})
    assert not (tmp_path / "map.tif").exists()


def test_bounds_elsewhere_are_refused(model_path: Path, second: Path, tmp_path: Path) -> None:
    with pytest.raises(GridError, match="outside"):
        run(model_path, tmp_path / "map.tif", {"dem": second / "dem.tif"}, bounds=(0.0, 0.0, 10.0, 10.0))


def test_a_truncated_source_leaves_no_map(model_path: Path, second: Path, tmp_path: Path) -> None:
    broken = tmp_path / "optical.tif"
    broken.write_bytes((second / "optical.tif").read_bytes()[:60_000])
    with pytest.raises(RasterReadError):
        run(model_path, tmp_path / "map.tif", {"optical": broken})
    assert [item.name for item in tmp_path.iterdir()] == ["optical.tif"]


def test_a_cancelled_map_leaves_nothing(model_path: Path, second: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(model_path, tmp_path / "map.tif", {"dem": second / "dem.tif"}, cancelled=lambda: True)
    assert list(tmp_path.iterdir()) == []


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "engine.cli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_command_line_maps_and_names_scenarios(model_path: Path, second: Path, tmp_path: Path) -> None:
    done = command("predict", model_path, f"dem={second / 'dem.tif'}", "-o", tmp_path / "map.tif", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "100.00%  dem" in done.stdout


def test_a_matlab_variable_is_mapped_as_the_same_raster(model_path: Path, second: Path, tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    heights = read(second / "dem.tif").astype("float64")
    heights[20:40, 30:50] = np.nan
    form = {"height": 200, "width": 176, "count": 1, "dtype": "float64", "transform": Affine.translation(5, 5)}
    with rasterio.open(tmp_path / "dem.tif", "w", driver="GTiff", **form) as dataset:
        dataset.write(heights, 1)
    scipy_io.savemat(tmp_path / "scene.mat", {"truth": np.ones((200, 176)), "cube": np.dstack([heights * 2, heights])})
    run(model_path, tmp_path / "raster.tif", {"dem": tmp_path / "dem.tif"})
    matlab = f"dem={tmp_path}/scene.mat:cube@2"
    done = command("predict", model_path, matlab, "-o", tmp_path / "matlab.tif", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    found = read(tmp_path / "matlab.tif")
    np.testing.assert_array_equal(found, read(tmp_path / "raster.tif"))
    np.testing.assert_array_equal(found == 255, np.isnan(heights))


def test_bad_input_ends_with_two_and_a_message_without_traceback(model_path: Path, tmp_path: Path) -> None:
    done = command("predict", model_path, f"dem={tmp_path / 'gone.tif'}", "-o", tmp_path / "map.tif")
    assert done.returncode == 2
    assert "gone.tif" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_ends_with_one(model_path: Path, second: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command("predict", model_path, f"dem={second / 'dem.tif'}", "-o", tmp_path / "file" / "map.tif")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_mapping_imports_no_torch(model_path: Path, second: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from engine.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    words = [sys.executable, "-c", code, "predict", model_path, f"dem={second / 'dem.tif'}", "-o", tmp_path / "m.tif"]
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    assert (tmp_path / "m.tif").exists()


def test_under_masked_clouds_the_map_is_that_of_the_other_sensors(
    model_path: Path, second: Path, tmp_path: Path
) -> None:
    with rasterio.open(second / "optical.tif") as source:
        profile = source.profile | {"count": 1, "dtype": "uint8", "nodata": None}
        scene = np.full(source.shape, 4, "uint8")
    scene[30:90, 20:110] = 9  # Sentinel-2's high clouds
    with rasterio.open(tmp_path / "scl.tif", "w", **profile) as target:
        target.write(scene, 1)
    both = {"optical": second / "optical.tif", "dem": second / "dem.tif"}
    masks = {"optical": [MaskSpec.parse(f"{tmp_path / 'scl.tif'}:scl")]}
    summary = run(model_path, tmp_path / "masked.tif", both, masks=masks, availability=tmp_path / "bits.tif")
    run(model_path, tmp_path / "dem.tif", {"dem": second / "dem.tif"})
    masked, dem, bits = read(tmp_path / "masked.tif"), read(tmp_path / "dem.tif"), read(tmp_path / "bits.tif")
    assert (bits[scene == 9] == 4).all()
    np.testing.assert_array_equal(masked[scene == 9], dem[scene == 9])
    assert summary.shares["dem"] >= (scene == 9).mean()


def test_outside_of_the_area_of_interest_is_nodata(model_path: Path, second: Path, tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import Point

    with rasterio.open(second / "dem.tif") as source:
        transform, crs = source.transform, source.crs
    x, y = transform @ (90.0, 110.0)
    geopandas.GeoDataFrame(geometry=[Point(x, y).buffer(400)], crs=crs.to_wkt()).to_file(tmp_path / "area.gpkg")
    sources = {"dem": second / "dem.tif"}
    run(model_path, tmp_path / "whole.tif", sources)
    summary = run(model_path, tmp_path / "part.tif", sources, area=str(tmp_path / "area.gpkg"))
    whole, part = read(tmp_path / "whole.tif"), read(tmp_path / "part.tif")
    assert part.shape == (80, 80)
    rows, cols = np.mgrid[70:150, 50:130] + 0.5
    inside = np.hypot(rows - 110, cols - 90) < 39  # a buffer is a polygon: a pixel less
    outside = np.hypot(rows - 110, cols - 90) > 41
    np.testing.assert_array_equal(part[inside], whole[70:150, 50:130][inside])
    assert (part[outside] == 255).all()
    assert summary.shares["no sensor"] == pytest.approx(1 - np.pi / 4, abs=0.02)
    geopandas.GeoDataFrame(geometry=[Point(0, 0).buffer(1)], crs=crs.to_wkt()).to_file(tmp_path / "far.gpkg")
    with pytest.raises(GridError, match=r"far\.gpkg: none of its polygons meets"):
        run(model_path, tmp_path / "none.tif", sources, area=str(tmp_path / "far.gpkg"))


def test_the_grid_of_another_raster_is_taken_as_it_is(model_path: Path, second: Path, tmp_path: Path) -> None:
    with rasterio.open(second / "dem.tif") as source:
        transform = source.transform @ Affine.translation(10.5, 20.25)
        profile = source.profile | {"transform": transform, "width": 60, "height": 50, "dtype": "uint8", "nodata": 0}
    with rasterio.open(tmp_path / "like.tif", "w", **profile) as target:
        target.write(np.ones((1, 50, 60), "uint8"))
    like = SourceSpec(str(tmp_path / "like.tif"))
    run(model_path, tmp_path / "map.tif", {"dem": second / "dem.tif"}, like=like)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.shape, dataset.transform) == ((50, 60), transform)
    with pytest.raises(GridError, match="has a pixel size of its own"):
        run(model_path, tmp_path / "map.tif", {"dem": second / "dem.tif"}, like=like, pixel_size=20)


def test_masks_are_named_on_the_command_line(model_path: Path, second: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine.cli", "predict", str(model_path), f"dem={second / 'dem.tif'}"]
    command += [f"sar={second / 'sar.tif'}", "-o", str(tmp_path / "map.tif")]
    done = subprocess.run(
        [*command, "--mask", f"sar={second / 'labels.tif'}:values=1,2"], capture_output=True, text=True, check=True
    )
    assert "dem" in done.stdout
    for mask, message in (("sar", "expected NAME=MASK"), ("thermal=x.gpkg", "it does not know thermal")):
        done = subprocess.run([*command, "--mask", mask], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert message in done.stderr


@pytest.mark.parametrize("output", ["output", "confidence"])
def test_what_is_read_is_not_written_over(model_path: Path, second: Path, tmp_path: Path, output: str) -> None:
    dem = tmp_path / "dem.tif"
    dem.write_bytes((second / "dem.tif").read_bytes())
    outputs = {"output": tmp_path / "map.tif"} | {output: tmp_path / ".." / tmp_path.name / "dem.tif"}
    with pytest.raises(OutputError, match="the map is made from this file"):
        make_map(model_path, {"dem": [SourceSpec(str(dem))]}, device="cpu", **outputs)  # type: ignore[arg-type]
    assert dem.read_bytes() == (second / "dem.tif").read_bytes()


def test_a_folder_of_the_users_is_not_removed(model_path: Path, second: Path, tmp_path: Path) -> None:
    folder = tmp_path / "map.tif.part"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    for leftover in ("refuse", "replace", "discard"):
        with pytest.raises(OutputError, match=r"holds other things \(mine\.txt\)"):
            run(model_path, tmp_path / "map.tif", {"dem": second / "dem.tif"}, unfinished=leftover)
    assert (folder / "mine.txt").read_text() == "mine"


def test_metres_that_are_called_degrees_are_refused(model_path: Path, second: Path, tmp_path: Path) -> None:
    with rasterio.open(second / "dem.tif") as source:
        profile, values = source.profile | {"crs": "EPSG:4326"}, source.read()
    with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
        target.write(values)
    with pytest.raises(GridError, match="which are no degrees; assign it its right coordinate reference system"):
        run(model_path, tmp_path / "map.tif", {"dem": tmp_path / "dem.tif"})


def test_neighbouring_rasters_are_mapped_as_the_whole(model_path: Path, second: Path, tmp_path: Path) -> None:
    """Two halves of a scene, which overlap, give its map; --origin says which of them each pixel is from."""
    halves = []
    with rasterio.open(second / "optical.tif") as whole:
        width = whole.width
        for number, (start, end) in enumerate(((0, 100), (80, width))):
            halves.append(tmp_path / f"half{number}.tif")
            profile = whole.profile | {
                "width": end - start, "transform": whole.transform @ rasterio.Affine.translation(start, 0),
            }  # fmt: skip
            with rasterio.open(halves[-1], "w", **profile) as half:
                half.write(whole.read(window=((0, whole.height), (start, end))))
                half.descriptions = whole.descriptions
    expected, got = tmp_path / "expected.tif", tmp_path / "got.tif"
    make_map(model_path, {"optical": [SourceSpec(str(second / "optical.tif"))]}, expected)
    sources = {"optical": [SourceSpec(str(half)) for half in halves]}
    summary = make_map(model_path, sources, got, origin=tmp_path / "origin.tif")
    assert "a mosaic" in summary.notes[0]
    with rasterio.open(expected) as one, rasterio.open(got) as other, rasterio.open(tmp_path / "origin.tif") as origin:
        assert one.transform == other.transform
        np.testing.assert_array_equal(one.read(1), other.read(1))
        assert origin.tags()["OPTICAL_2"] == str(halves[1])
        columns = np.broadcast_to(np.where(np.arange(width) < 100, 1, 2), one.shape)
        there = one.read(1) != 255
        np.testing.assert_array_equal(origin.read(1)[there], columns[there])
        assert not origin.read(2).any()
