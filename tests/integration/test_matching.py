"""Which raster is which modality: found without being told, or asked for where it is not clear."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.errors import ModalityError, RasterReadError
from engine.inference.matching import Layer, Matching, assign, match
from engine.inference.model import Model
from engine.raster.sources import SourceSpec

Write = Callable[..., Path]


@pytest.fixture
def model(model_path: Path) -> Model:
    return Model(model_path)


def layer(path: Path, name: str | None = None) -> Layer:
    return Layer(name or path.name, SourceSpec(str(path)))


def found(model: Model, *layers: Layer) -> Matching:
    return match(model, layers)


def bands(matching: Matching) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (one.layer.name, one.bands) for name, one in matching.chosen.items()}


def anonymous(path: Path, target: Path, order: list[int] | None = None, **changes: object) -> Path:
    """A copy without band names, perhaps with its bands in another order."""
    with rasterio.open(path) as source:
        values = source.read(order)
        profile = source.profile | {"count": len(values)} | changes
    with rasterio.open(target, "w", **profile) as copy:
        copy.write(values.astype(profile["dtype"]))
    return target


def test_the_layers_of_a_scene_are_told_apart(model: Model, scenes: Path) -> None:
    second = scenes / "second"
    matching = found(model, *(layer(second / f"{name}.tif", f"layer {name[0]}") for name in ("dem", "sar", "optical")))
    assert bands(matching) == {
        "optical": ("layer o", (1, 2, 3, 4)),
        "sar": ("layer s", (1, 2)),
        "dem": ("layer d", (1,)),
    }
    assert matching.scenario == "optical+sar+dem"
    assert not matching.missing
    assert not matching.unused


def test_bands_are_taken_by_their_names_whatever_their_order(model: Model, scenes: Path, tmp_path: Path) -> None:
    path = anonymous(scenes / "second/optical.tif", tmp_path / "scene.tif", [4, 3, 2, 1, 1])
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B8_NIR", "B4 (red)", "B3-green", "B2_Blue", "coastal")
    assert bands(found(model, layer(path))) == {"optical": ("scene.tif", (4, 3, 2, 1))}


def test_without_names_number_type_and_values_decide(model: Model, scenes: Path, tmp_path: Path) -> None:
    second = scenes / "second"
    optical = anonymous(second / "optical.tif", tmp_path / "a.tif")
    sar = anonymous(second / "sar.tif", tmp_path / "b.tif")
    dem = anonymous(second / "dem.tif", tmp_path / "c.tif")
    matching = found(model, layer(dem), layer(sar), layer(optical))
    assert {name: one.layer.name for name, one in matching.chosen.items()} == {
        "optical": "a.tif", "sar": "b.tif", "dem": "c.tif",
    }  # fmt: skip


def test_what_is_missing_and_why_a_layer_does_not_serve_is_said(
    model: Model, scenes: Path, tmp_path: Path, write_raster: Write
) -> None:
    reflectance = np.random.default_rng(0).uniform(0, 1, (4, 80, 80)).astype("float32")
    wrong = write_raster("reflectance.tif", reflectance, names=["blue", "green", "red", "nir"])
    small = write_raster("scaled.tif", (reflectance * 255).astype("uint8"), names=["blue", "green", "red", "nir"])
    matching = found(model, layer(wrong), layer(small), layer(scenes / "second/dem.tif"))
    assert set(matching.chosen) == {"dem"}
    assert "float32, which does not fit uint16" in matching.missing["optical"]
    assert "values" in matching.unused["scaled.tif"]
    assert "are not those of the training" in matching.unused["scaled.tif"]
    assert "2 bands (VV, VH)" in matching.missing["sar"]


def test_a_map_of_classes_is_no_sensor(model: Model, scenes: Path) -> None:
    matching = found(model, layer(scenes / "second/labels.tif"))
    assert "map of classes" in matching.unused["labels.tif"]
    with pytest.raises(ModalityError, match="no layer serves any modality") as caught:
        _ = matching.sources
    assert "4 bands (blue, green, red, nir) of uint16" in str(caught.value)


def test_two_layers_that_fit_equally_well_are_asked_about(model: Model, scenes: Path, tmp_path: Path) -> None:
    one = anonymous(scenes / "second/dem.tif", tmp_path / "one.tif")
    other = anonymous(scenes / "second/dem.tif", tmp_path / "other.tif")
    matching = found(model, layer(one), layer(other), layer(scenes / "second/sar.tif"))
    assert set(matching.chosen) == {"sar"}
    with pytest.raises(ModalityError, match=r"dem=one\.tif@1 or dem=other\.tif@1"):
        _ = matching.sources


def test_an_assignment_names_layers_bands_and_paths(model: Model, scenes: Path) -> None:
    optical, dem = scenes / "second/optical.tif", scenes / "second/dem.tif"
    sources = assign(
        model, f" optical = my scene@nir,3 ; optical=my scene@1,2; dem={dem}", [layer(optical, "my scene")]
    )
    assert sources == {
        "optical": [SourceSpec(str(optical), ("nir", "3")), SourceSpec(str(optical), ("1", "2"))],
        "dem": [SourceSpec(str(dem))],
    }


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("thermal=a", ModalityError, "has no modality thermal; it has optical, sar, dem"),
        ("optical", ModalityError, "expected modality=layer"),
        ("optical=nothing", RasterReadError, r"nothing is neither a layer \(a\) nor a raster"),
        (" ; ", ModalityError, "names no modality"),
    ],
)
def test_a_wrong_assignment_is_explained(
    model: Model, scenes: Path, text: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        assign(model, text, [layer(scenes / "second/optical.tif", "a")])


def test_the_command_line_ends_with_the_next_command(model_path: Path, scenes: Path) -> None:
    command = [sys.executable, "-m", "engine.cli", "match", str(model_path)]
    done = subprocess.run(
        [*command, str(scenes / "second/dem.tif"), str(scenes / "second/sar.tif")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "scenario sar+dem: mIoU" in done.stdout
    assert f"sar={scenes / 'second/sar.tif'}@1,2 dem={scenes / 'second/dem.tif'}@1 -o map.tif" in done.stdout
    done = subprocess.run([*command, str(scenes / "second/labels.tif")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no layer serves" in done.stderr


def test_one_file_under_two_names_is_no_tie(model: Model, scenes: Path, tmp_path: Path) -> None:
    dem = anonymous(scenes / "second/dem.tif", tmp_path / "dem.tif")
    matching = found(model, layer(dem, "grey"), layer(dem, "coloured"))
    assert matching.sources == {"dem": [SourceSpec(str(dem), ("1",))]}


def test_a_layer_that_cannot_be_read_keeps_no_other_from_serving(model: Model, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"II*\x00 broken")
    matching = found(model, layer(tmp_path / "broken.tif"), layer(scenes / "second/dem.tif"))
    assert set(matching.chosen) == {"dem"}
    assert "cannot be opened" in matching.unused["broken.tif"]


def test_data_between_the_squares_that_are_looked_at_are_found(
    model: Model, tmp_path: Path, write_raster: Write
) -> None:
    values = np.full((1, 2000, 2000), -9999, "float32")
    statistics = model.modalities[2].statistics[0]
    values[0, 100:600, 100:600] = np.random.default_rng(0).normal(statistics.mean, statistics.std / 4, (500, 500))
    path = write_raster("clip.tif", values, nodata=-9999, names=["elevation"])
    assert set(found(model, layer(path)).chosen) == {"dem"}
