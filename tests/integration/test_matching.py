"""Which raster is which modality: found without being told, or asked for where it is not clear."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from engine.errors import ModalityError, RasterReadError
from engine.mapping.candidates import Layer
from engine.mapping.matching import Matching, assign, match
from engine.model.file import Model
from engine.raster.sources import SourceSpec

Write = Callable[..., Path]
UTM = CRS.from_epsg(32631)


@pytest.fixture
def model(model_path: Path) -> Model:
    return Model(model_path)


def layer(path: Path, name: str | None = None) -> Layer:
    return Layer(name or path.name, SourceSpec(str(path)))


def found(model: Model, *layers: Layer) -> Matching:
    return match(model, layers)


def bands(matching: Matching) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (one.parts[0].layer.name, one.parts[0].bands) for name, one in matching.chosen.items()}


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


def test_what_number_type_and_values_alone_speak_for_is_asked_about(model: Model, scenes: Path, tmp_path: Path) -> None:
    second = scenes / "second"
    optical = anonymous(second / "optical.tif", tmp_path / "a.tif")
    sar = anonymous(second / "sar.tif", tmp_path / "b.tif")
    matching = found(model, layer(second / "dem.tif"), layer(sar), layer(optical))
    assert bands(matching) == {"dem": ("dem.tif", (1,))}
    assert {name: [one.assignment for one in many] for name, many in matching.asked.items()} == {
        "optical": ["optical=a.tif@1,2,3,4"], "sar": ["sar=b.tif@1,2"],
    }  # fmt: skip
    with pytest.raises(ModalityError, match=r"could be .*; assign it .*dem=dem\.tif@1;.*or leave it out"):
        _ = matching.sources


def test_a_word_for_the_same_kind_of_sensor_says_what_a_layer_is(model: Model, scenes: Path, tmp_path: Path) -> None:
    dem = anonymous(scenes / "second/dem.tif", tmp_path / "srtm_30m.tif")
    optical = anonymous(scenes / "second/optical.tif", tmp_path / "a.tif")
    matching = found(model, layer(dem), layer(optical, "Sentinel-2 summer"))
    assert bands(matching) == {"dem": ("srtm_30m.tif", (1,)), "optical": ("Sentinel-2 summer", (1, 2, 3, 4))}


def single_bands(path: Path, folder: Path, names: list[str]) -> list[Path]:
    """Each band of a raster in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in names]
    for number, file in enumerate(files, 1):
        anonymous(path, file, [number])
    return files


def test_files_of_the_bands_of_one_acquisition_are_one_sensor(model: Model, scenes: Path, tmp_path: Path) -> None:
    names = [f"T31UFS_20240601T105031_{band}_10m.tif" for band in ("B02", "B03", "B04", "B08", "B12", "SCL")]
    optical = scenes / "second/optical.tif"
    files = single_bands(optical, tmp_path / "IMG_DATA" / "R10m", names[:4])
    others = [anonymous(optical, tmp_path / "IMG_DATA" / name, [1]) for name in names[4:]]
    matching = found(model, *(layer(path) for path in reversed([*files, *others])))
    assert matching.sources == {"optical": [SourceSpec(str(path), ("1",)) for path in files]}
    assert "quality or preview layer; use it with --mask NAME=" in matching.unused[names[5]]


def test_bands_of_two_dates_are_not_mixed(model: Model, scenes: Path, tmp_path: Path) -> None:
    optical = scenes / "second/optical.tif"
    files = [
        *single_bands(optical, tmp_path, [f"T31UFS_20240601_{band}.tif" for band in ("B02", "B03", "B04", "B08")]),
        *single_bands(optical, tmp_path, [f"T31UFS_20240713_{band}.tif" for band in ("B02", "B03", "B04", "B08")]),
    ]
    matching = found(model, *(layer(path) for path in files))
    with pytest.raises(ModalityError, match=r"several layers fit optical equally well.*--mosaic newest"):
        _ = matching.sources
    assert all(len({part.layer.name[:15] for part in one.parts}) == 1 for one in matching.tied["optical"])


def test_the_finest_of_a_band_in_several_resolutions_is_taken(model: Model, scenes: Path, tmp_path: Path) -> None:
    names = [f"T31UFS_20240601_{band}_10m.tif" for band in ("B02", "B03", "B04", "B08")]
    files = single_bands(scenes / "second/optical.tif", tmp_path, names)
    with rasterio.open(files[0]) as fine:
        profile = fine.profile | {
            "height": fine.height // 2, "width": fine.width // 2, "transform": fine.transform @ rasterio.Affine.scale(2)
        }  # fmt: skip
        values = fine.read(1)[: fine.height // 2 * 2 : 2, : fine.width // 2 * 2 : 2]
    with rasterio.open(tmp_path / "T31UFS_20240601_B02_20m.tif", "w", **profile) as coarse:
        coarse.write(values, 1)
    matching = found(model, *(layer(path) for path in sorted(tmp_path.glob("*.tif"), reverse=True)))
    assert matching.sources == {"optical": [SourceSpec(str(path), ("1",)) for path in files]}


def test_rasters_side_by_side_are_a_mosaic(model: Model, scenes: Path, tmp_path: Path) -> None:
    halves = []
    with rasterio.open(scenes / "second/optical.tif") as whole:
        for number, start in enumerate((0, 80)):
            halves.append(tmp_path / f"part{number}.tif")
            profile = whole.profile | {
                "width": 90, "transform": whole.transform @ rasterio.Affine.translation(start, 0),
            }  # fmt: skip
            with rasterio.open(halves[-1], "w", **profile) as half:
                half.write(whole.read(window=((0, whole.height), (start, start + 90))))
                half.descriptions = whole.descriptions
    matching = found(model, *(layer(half) for half in halves))
    assert set(matching.sources["optical"]) == {SourceSpec(str(half), ("1", "2", "3", "4")) for half in halves}
    assert "a mosaic of 2 side by side" in matching.chosen["optical"].reasons


@pytest.mark.parametrize("change", ["complex", "no reference system", "control points"])
def test_a_layer_that_cannot_serve_keeps_no_other_from_it(
    model: Model, scenes: Path, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "radar.tif"
    with rasterio.open(scenes / "second/sar.tif") as source:
        values, profile = source.read(), source.profile
    profile |= {"complex": {"dtype": "complex_int16", "nodata": None}}.get(change, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if change != "complex":
            profile |= {"crs": None, "transform": None}
        with rasterio.open(path, "w", **profile) as copy:
            copy.write(values.astype("complex64") if change == "complex" else values)
            if change == "control points":
                corners = [(0, 0), (0, 100), (100, 0), (100, 100)]
                copy.gcps = ([GroundControlPoint(row, col, col, -row) for row, col in corners], UTM)
    matching = found(model, layer(path), layer(scenes / "second/optical.tif"))
    assert set(matching.chosen) == {"optical"}
    reason = matching.unused["radar.tif"]
    expected = {"complex": "complex", "control points": "has ground control points only"}
    assert expected.get(change, "no coordinate reference system") in reason
    assert reason.count(expected.get(change, "no coordinate reference system")) <= len(model.names)


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
    one = anonymous(scenes / "second/dem.tif", tmp_path / "dem one.tif")
    other = anonymous(scenes / "second/dem.tif", tmp_path / "dem other.tif")
    matching = found(model, layer(one), layer(other), layer(scenes / "second/sar.tif"))
    assert set(matching.chosen) == {"sar"}
    with pytest.raises(ModalityError, match=r"dem=dem one\.tif@1 or dem=dem other\.tif@1"):
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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("2", "3", "4", "8"), (1, 2, 3, 4)),  # Sentinel-2's blue, green, red and near infrared
        (("8", "4", "3", "2"), (4, 3, 2, 1)),
        (("1", "2", "3", "4"), None),  # their own positions
        (("5", "6", "7", "8"), None),
    ],
)
def test_bare_numbers_are_bands_where_they_are_those_of_one_satellite(
    model: Model, scenes: Path, tmp_path: Path, names: tuple[str, ...], expected: tuple[int, ...] | None
) -> None:
    order = [1, 2, 3, 4] if expected is None else [expected.index(place) + 1 for place in (1, 2, 3, 4)]
    path = anonymous(scenes / "second/optical.tif", tmp_path / "scene.tif", order)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names
    matching = found(model, layer(path))
    assert bands(matching) == ({} if expected is None else {"optical": ("scene.tif", expected)})
