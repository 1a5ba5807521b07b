"""What a recipe names under data.root: signs in names, GDAL's own names, masks, mosaics, nodata of labels."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from engine.data.scenes import scene_specs
from engine.data.settings import DataSettings
from engine.data.survey import SceneCollection, survey
from engine.errors import BandError, LabelError
from engine.grid import Window
from engine.modality import IGNORED, PHYSICAL, LandClass, Modality
from engine.raster.sources import open_source

Write = Callable[..., Path]
CLASSES = (LandClass(0, "land", "#000000"), LandClass(1, "water", "#ffffff"))
BAND = (Modality("a", ("x",), "uint16"),)
SPLIT = {"kind": "blocks", "size": 10, "modulo": 2, "column": 1, "train": [0], "validation": [1]}


def settings(root: Path, sources: object, labels: object = "labels.tif", **more: object) -> DataSettings:
    scene = {
        "name": "scene",
        "sources": {"a": sources},
        "labels": labels if isinstance(labels, dict) else {"path": labels},
    }
    scene |= {key: more.pop(key) for key in ("masks",) if key in more}
    return DataSettings.model_validate({"root": root, "scenes": [scene], "split": SPLIT, "chip": 16, **more})


def collection(root: Path, sources: object, labels: object = "labels.tif", **more: object) -> SceneCollection:
    return SceneCollection(settings(root, sources, labels, **more), root, BAND, CLASSES)


@pytest.fixture
def labels(write_raster: Write) -> Path:
    return write_raster("labels.tif", np.repeat([0, 1], 1000).reshape(1, 40, 50).astype("uint8"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is not the one that the recipe's files are in."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


@pytest.mark.usefixtures("labels", "elsewhere")
@pytest.mark.parametrize("name", ["S2@20m.tif", "S2@B02,B03.tif", "a:scale=2.tif"])
def test_signs_that_mean_something_may_stand_in_names(tmp_path: Path, write_raster: Write, name: str) -> None:
    write_raster(name, np.full((1, 40, 50), 3, "uint16"))
    with closing(collection(tmp_path, name)) as opened:
        assert (opened[0].read(Window(0, 0, 2, 2), "train").values["a"] == 3).all()


@pytest.mark.usefixtures("labels", "elsewhere")
def test_such_names_may_hold_a_pattern(tmp_path: Path, write_raster: Write) -> None:
    for tile in ("1", "2"):
        write_raster(f"S2_{tile}@20m.tif", np.full((2, 40, 50), 3, "uint16"))
    for text, bands in (("S2_{tile}@20m.tif", ()), ("S2_{tile}@20m.tif@2", ("2",))):
        specs = scene_specs(settings(tmp_path, text), tmp_path)
        assert [spec.name for spec in specs] == ["scene/1", "scene/2"]
        assert specs[1].sources["a"][0].path == str(tmp_path / "S2_2@20m.tif")
        assert specs[1].sources["a"][0].bands == bands


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("text", ['HDF5:"a b.h5"://v', "HDF5:a b.h5://v"])
def test_a_subdataset_is_found_under_the_root(tmp_path: Path, text: str) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a b.h5", "w") as file:
        file["v"], file["w"] = np.full((40, 50), 7, "uint16"), np.zeros((40, 50), "uint16")
    spec = scene_specs(settings(tmp_path, text), tmp_path)[0].sources["a"][0]
    with open_source(spec) as source:
        assert (source.dataset.read(1) == 7).all()


@pytest.mark.usefixtures("labels", "elsewhere")
def test_a_file_in_an_archive_is_found_under_the_root(tmp_path: Path, write_raster: Write) -> None:
    import zipfile

    path = write_raster("a.tif", np.full((1, 40, 50), 8, "uint16"))
    with zipfile.ZipFile(tmp_path / "scene.zip", "w") as archive:
        archive.write(path, "deep/b.tif")
    with closing(collection(tmp_path, "/vsizip/scene.zip/deep/b.tif")) as opened:
        assert (opened[0].read(Window(0, 0, 2, 2), "train").values["a"] == 8).all()


@pytest.mark.usefixtures("labels")
def test_masks_of_a_recipe_keep_pixels_out_of_statistics(tmp_path: Path, write_raster: Write) -> None:
    values = np.full((1, 40, 50), 100, "uint16")
    values[0, :20] = 0
    write_raster("a.tif", values)
    with closing(collection(tmp_path, "a.tif")) as opened:
        assert survey(opened).modalities[0].statistics[0].minimum == 0
    with closing(collection(tmp_path, "a.tif", masks={"a": "a.tif:values=0"})) as opened:
        band = survey(opened).modalities[0].statistics[0]
        assert (band.minimum, band.maximum) == (100, 100)
        assert not opened[0].read(Window(0, 0, 40, 50), "train").valid[0, :20].any()


@pytest.mark.usefixtures("labels")
def test_a_scene_may_be_a_mosaic(tmp_path: Path, write_raster: Write) -> None:
    west = np.full((1, 40, 30), 1, "uint16")
    write_raster("west.tif", west)
    write_raster("east.tif", west + np.uint16(1), transform=Affine(10, 0, 1250, 0, -10, 5000))
    with closing(collection(tmp_path, ["west.tif", "east.tif"])) as opened:
        scene = opened[0]
        assert (scene.grid.height, scene.grid.width) == (40, 55)
        assert scene.read(Window(5, 0, 1, 55), "train").values["a"][0, 0, [0, 29, 30, 54]].tolist() == [1, 1, 2, 2]
        assert "a mosaic" in scene.warnings[0]


@pytest.mark.usefixtures("labels")
def test_a_training_keeps_what_its_first_sources_say_of_their_numbers(tmp_path: Path, write_raster: Write) -> None:
    for name, scale in (("a.tif", 1.0), ("b.tif", 0.5)):
        path = write_raster(name, np.full((1, 40, 50), 100, "uint16"))
        with rasterio.open(path, "r+") as dataset:
            dataset.scales = (scale,)
    with closing(collection(tmp_path, "a.tif")) as opened:
        assert opened.modalities[0].scales == (PHYSICAL,)
    with closing(collection(tmp_path, "b.tif")) as opened:
        assert survey(opened).modalities[0].scales == ((0.5, 0),)
        assert survey(opened).modalities[0].statistics[0].mean == 100


@pytest.mark.usefixtures("labels")
def test_scenes_of_another_scale_are_converted_or_refused(tmp_path: Path, write_raster: Write) -> None:
    scenes = []
    for name, scale, value in (("a.tif", 0.5, 100), ("b.tif", 1.5, 100), ("c.tif", 0.3, 100), ("d.tif", 1.0, 100)):
        path = write_raster(name, np.full((1, 40, 50), value, "uint16"))
        with rasterio.open(path, "r+") as dataset:
            dataset.scales = (scale,)
        scenes.append({"name": name, "sources": {"a": name}, "labels": {"path": "labels.tif"}})
    data = DataSettings.model_validate({"root": tmp_path, "scenes": scenes, "split": SPLIT, "chip": 16})
    with closing(SceneCollection(data, tmp_path, BAND, CLASSES)) as opened:
        assert (opened[1].read(Window(0, 0, 2, 2), "train").values["a"] == 300).all()
        with pytest.raises(BandError, match=r"scene c\.tif.*scale 0\.3 .*the training's sources scale 0\.5"):
            opened[2]
        with pytest.raises(BandError, match=r"scene d\.tif.*says nothing.*:scale=0\.5:offset=0 .*:scale=1:offset=0"):
            opened[3]


def test_a_class_that_is_declared_nodata_is_an_error_that_says_how_to_go_on(
    tmp_path: Path, write_raster: Write
) -> None:
    write_raster("a.tif", np.full((1, 40, 50), 3, "uint16"))
    write_raster("water.tif", np.repeat([0, 1], 1000).reshape(1, 40, 50).astype("uint8"), nodata=0)
    with (
        closing(collection(tmp_path, "a.tif", "water.tif")) as opened,
        pytest.raises(LabelError, match=r"water\.tif: declares 0 as nodata, which hides class land .*nodata: false"),
    ):
        survey(opened)
    with closing(collection(tmp_path, "a.tif", {"path": "water.tif", "nodata": False})) as opened:
        assert survey(opened).class_counts.tolist() == [500, 500]


def test_labels_may_be_ignored_by_the_name_of_a_class_elsewhere(
    tmp_path: Path, write_raster: Write, labels: Path
) -> None:
    write_raster("a.tif", np.full((1, 40, 50), 3, "uint16"))
    data = settings(tmp_path, "a.tif", labels={"path": labels.name}, split=SPLIT)
    merged = data.model_copy(update={"labels": data.labels.model_copy(update={"remap": {"water": "land"}})})
    with closing(SceneCollection(merged, tmp_path, BAND, CLASSES)) as opened:
        found = opened[0].all_labels(Window(0, 0, 40, 50), "train")
    assert set(np.unique(found)) == {IGNORED, 0}


@pytest.mark.usefixtures("elsewhere")
def test_a_layer_or_band_of_labels_is_found_under_the_root(tmp_path: Path, write_raster: Write) -> None:
    write_raster("a.tif", np.full((1, 40, 50), 3, "uint16"))
    write_raster("labels.tif", np.stack([np.zeros((40, 50)), np.ones((40, 50))]).astype("uint8"))
    (tmp_path / "labels.gpkg").touch()
    for text in ("labels.gpkg|train", "labels.tif@2"):
        spec = scene_specs(settings(tmp_path, "a.tif", text), tmp_path)[0]
        assert spec.labels is not None
        assert spec.labels.path == str(tmp_path / text)
    masked = settings(tmp_path, "a.tif", "labels.tif@2", masks={"a": ["labels.gpkg|clouds"]})
    assert scene_specs(masked, tmp_path)[0].masks["a"][0].source.path == str(tmp_path / "labels.gpkg|clouds")
