"""`engine predict`: maps of what is there, on the right grid; messages where something is wrong."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import Resampling, calculate_default_transform, reproject

from engine.errors import BandError, Cancelled, GridError, ModalityError, RasterReadError
from engine.inference.predict import Summary, predict
from engine.raster.sources import SourceSpec


def run(model: Path, output: Path, sources: dict[str, Path | str], **options: object) -> Summary:
    specs = {name: [SourceSpec.parse(str(path))] for name, path in sources.items()}
    return predict(model, specs, output, device="cpu", threads=2, **options)  # type: ignore[arg-type]


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
