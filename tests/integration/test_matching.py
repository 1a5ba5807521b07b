"""Which raster is which modality: found without being told, or asked for where it is not clear."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from making import make_map
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from engine.cli.match import command
from engine.errors import ModalityError, RasterReadError
from engine.mapping.assignment import assign, quoted
from engine.mapping.matching import Matching, match
from engine.model.file import Model
from engine.raster.pools import Layer
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
    assert set(matching.chosen) == {"optical", "dem"}
    assert "is float32" in matching.unused["reflectance.tif"]
    assert bands(matching)["optical"][0] == "scaled.tif"
    assert "its values are not those of the training" in matching.warnings[0]
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


@pytest.mark.parametrize("name", ["May; north", "a=b", "mail@home", 'the "best" one', "x@2;y=z"])
def test_any_name_of_a_layer_can_be_assigned(model: Model, scenes: Path, name: str) -> None:
    optical = scenes / "second/optical.tif"
    text = f"optical={quoted(name)}@4,3,2,1; dem={quoted(name)}"
    assert assign(model, text, [layer(optical, name)]) == {
        "optical": [SourceSpec(str(optical), ("4", "3", "2", "1"))],
        "dem": [SourceSpec(str(optical))],
    }
    assert found(model, layer(optical, name)).chosen["optical"].assignment == f"optical={quoted(name)}@1,2,3,4"


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


DERIVED = [
    "canopy_height.tif", "slope_from_dem.tif", "dem_roughness.tif", "dem_tri.tif", "dem_uncertainty.tif",
    "sun_elevation.tif", "egm96_geoid.tif", "depth_m.tif", "aspect.tif", "srtm_hillshade.tif", "dem_TPI.tif",
    "ndvi.tif", "S1A_IW_GRD_20240601.tif", "T31UFS_20240601T105031_B02.tif", "scene_vv.tif",
]  # fmt: skip


@pytest.mark.parametrize("name", DERIVED)
def test_a_layer_that_is_computed_or_of_another_sensor_is_no_elevation(
    model: Model, scenes: Path, tmp_path: Path, name: str
) -> None:
    other = anonymous(scenes / "second/dem.tif", tmp_path / name)
    with rasterio.open(other, "r+") as dataset:
        dataset.units = ("m",)
    matching = found(model, layer(other))
    assert not matching.chosen
    assert not matching.asked
    srtm = anonymous(scenes / "second/dem.tif", tmp_path / "srtm.tif")
    assert bands(found(model, layer(other), layer(srtm))) == {"dem": ("srtm.tif", (1,))}


def test_coherence_is_no_backscatter_and_a_ratio_beside_the_bands_is_left_out(
    model: Model, scenes: Path, tmp_path: Path
) -> None:
    sar = scenes / "second/sar.tif"
    coherence = single_bands(sar, tmp_path, ["S1A_20240601_coh_VV.tif", "S1A_20240601_coh_VH.tif"])
    matching = found(model, *map(layer, coherence))
    assert not matching.chosen
    assert list(matching.unused) == ["the 2 files of S1A_20240601_coh"]
    stack = anonymous(sar, tmp_path / "stack.tif", [1, 2, 1])
    with rasterio.open(stack, "r+") as dataset:
        dataset.descriptions = ("VV_VH_ratio", "VV", "VH")
    assert bands(found(model, layer(stack))) == {"sar": ("stack.tif", (2, 3))}


def test_a_unit_alone_decides_nothing(model: Model, scenes: Path, tmp_path: Path) -> None:
    path = anonymous(scenes / "second/dem.tif", tmp_path / "a.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.units = ("m",)
    matching = found(model, layer(path))
    assert not matching.chosen
    assert [one.assignment for one in matching.asked["dem"]] == ["dem=a.tif@1"]


def changed(path: Path, target: Path, change: Callable[[np.ndarray], np.ndarray], **profile: object) -> Path:
    """A copy with other values, but where there are none."""
    with rasterio.open(path) as source:
        values, names = source.read().astype("float64"), source.descriptions
        valid = source.dataset_mask() > 0
        kept = source.profile | profile
    values[:, valid] = change(values[:, valid])
    with rasterio.open(target, "w", **kept) as copy:
        copy.write(values.astype(kept["dtype"]))
        copy.descriptions = names
    return target


@pytest.mark.parametrize(
    ("name", "change", "cause", "command"),
    [
        ("dem", lambda values: values / 0.3048, "they are feet and not metres", "dem={path}@1:scale=0.3048"),
        ("sar", lambda values: 10 ** (values / 10), "they are linear power and not dB", "gdal_calc.py -A {path}"),
        ("optical", lambda values: values + 1000, "1000 was added", "optical={path}@1,2,3,4:offset=-1000"),
        ("optical", lambda values: values[::-1], "its bands are in reverse", "optical={path}@4,3,2,1"),
    ],
)
def test_values_of_a_layer_that_is_told_are_warned_of_with_what_mends_them(
    model: Model,
    scenes: Path,
    tmp_path: Path,
    name: str,
    change: Callable[[np.ndarray], np.ndarray],
    cause: str,
    command: str,
) -> None:
    path = changed(scenes / f"second/{name}.tif", tmp_path / f"{name}.tif", change)
    matching = found(model, layer(path))
    assert set(matching.sources) == {name}
    assert f"It looks as if {cause}" in matching.warnings[0]
    assert command.format(path=path) in matching.warnings[0]
    assert set(found(model, layer(path), layer(scenes / f"second/{name}.tif", "good")).chosen[name].layers) == {
        layer(scenes / f"second/{name}.tif", "good")
    }


def test_a_data_type_that_does_not_fit_is_refused_with_what_mends_it(
    model: Model, scenes: Path, tmp_path: Path
) -> None:
    path = changed(scenes / "second/optical.tif", tmp_path / "o.tif", lambda values: values / 10_000, dtype="float32")
    reason = found(model, layer(path)).unused["o.tif"]
    assert "look like those of the training only in another unit" in reason
    assert f"optical={path}@1,2,3,4:scale=10000" in reason


def test_the_files_of_a_sentinel_1_product_are_one_acquisition(model: Model, scenes: Path, tmp_path: Path) -> None:
    names = [f"s1a-iw-grd-{band}-20240601t054321-20240601t054346-054321-069abc-00{number}.tiff"
             for number, band in enumerate(("vv", "vh"), 1)]  # fmt: skip
    files = single_bands(scenes / "second/sar.tif", tmp_path / "measurement", names)
    matching = found(model, *map(layer, reversed(files)))
    assert matching.sources == {"sar": [SourceSpec(str(path), ("1",)) for path in files]}


def test_a_folder_is_told_of_in_few_lines_with_each_file_once(model_path: Path, scenes: Path, tmp_path: Path) -> None:
    product = "LC08_L2SP_038034_20210623_20210630_02_T1"
    optical = scenes / "second/optical.tif"
    bands_ = [f"{product}_SR_B{number}.TIF" for number in (1, 2, 3, 6)]
    quality = [f"{product}_{one}.TIF" for one in ("QA_RADSAT", "SR_QA_AEROSOL", "ST_ATRAN", "ST_QA")]
    single_bands(optical, tmp_path, bands_)
    single_bands(optical, tmp_path, quality)
    anonymous(scenes / "second/dem.tif", tmp_path / "N51E003.hgt")
    anonymous(scenes / "second/dem.tif", tmp_path / "raw.bil", driver="EHdr", nodata=None)
    done = CliRunner().invoke(command, [str(model_path), str(tmp_path)])
    lines = done.output.splitlines()
    assert f"not used: the 4 files of {product}_SR (optical: none of them certainly red or nir)" in lines
    assert all(done.output.count(one) == 1 for one in quality)
    assert sum("N51E003.hgt" in line for line in lines) == 2  # what it is, and the command
    assert "raw.bil" in done.output
    assert len(lines) < 10
    assert done.exit_code == 0


def test_neighbours_of_different_days_are_offered_each_and_together(
    model_path: Path, scenes: Path, tmp_path: Path
) -> None:
    with rasterio.open(scenes / "second/optical.tif") as whole:
        for day, start in (("20240601", 0), ("20240604", 80)):
            profile = whole.profile | {
                "width": 80, "transform": whole.transform @ rasterio.Affine.translation(start, 0),
            }  # fmt: skip
            with rasterio.open(tmp_path / f"scene_{day}.tif", "w", **profile) as half:
                half.write(whole.read(window=((0, whole.height), (start, start + 80))))
                half.descriptions = whole.descriptions
    done = CliRunner().invoke(command, [str(model_path), str(tmp_path)])
    chosen = [line.removeprefix("choose: ") for line in done.output.splitlines() if line.startswith("choose: ")]
    ends = [[word for word in line.split() if "optical=" in word or "mosaic" in word] for line in chosen]
    first, second = (f"optical={tmp_path / f'scene_{day}.tif'}@1,2,3,4" for day in ("20240601", "20240604"))
    assert sorted(map(sorted, ends)) == sorted([[first], [second], sorted([first, second, "--mosaic"])])
    assert isinstance(done.exception, ModalityError)


def test_a_map_of_bands_in_another_order_is_that_of_the_models_order(
    model_path: Path, scenes: Path, tmp_path: Path
) -> None:
    optical = scenes / "second/optical.tif"
    other = anonymous(optical, tmp_path / "rgbn.tif", [3, 2, 1, 4])
    with rasterio.open(other, "r+") as dataset:
        dataset.descriptions = ("red", "green", "blue", "nir")
    maps = [tmp_path / "map.tif", tmp_path / "other.tif"]
    make_map(model_path, {"optical": [SourceSpec(str(optical))]}, maps[0])
    summary = make_map(model_path, {"optical": [SourceSpec(str(other))]}, maps[1])
    assert "optical: rgbn.tif: bands 3, 2, 1, 4 taken by their names" in (*summary.notes, *summary.warnings)
    with rasterio.open(maps[0]) as one, rasterio.open(maps[1]) as another:
        assert np.array_equal(one.read(), another.read())
