"""Recipes from an analyst's own files: what is seen, the split that is chosen, and that it trains."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from commands import Done, engine
from numpy.typing import NDArray

from engine.data.settings import BlockSplit
from engine.data.splits import block_numbers
from engine.grid import Window
from engine.proposal import advice
from engine.proposal.labels import Labels, without_label
from engine.proposal.legend import Legend, class_list
from engine.proposal.recipe import propose
from engine.proposal.sensors import sensors_given
from engine.proposal.writing import recipe_text

geopandas = pytest.importorskip("geopandas")
pytest.importorskip("skimage")

ROOT = Path(__file__).resolve().parents[2]
Write = Callable[..., Path]


def fields(rows: int, cols: int, size: int, classes: int) -> NDArray[np.uint8]:
    """Square fields of 1 to ``classes`` by chance."""
    values = np.random.default_rng(1).integers(1, classes + 1, (-(-rows // size), -(-cols // size)))
    return np.kron(values, np.ones((size, size))).astype(np.uint8)[:rows, :cols]


def image(write_raster: Write, name: str, labels: NDArray[np.uint8], bands: int = 3, **options: Any) -> Path:  # noqa: ANN401
    noise = np.random.default_rng(2).normal(0, 20, (bands, *labels.shape))
    return write_raster(name, (labels * 100.0 + 200 + noise).astype(np.uint16), **options)


def init(folder: Path, *words: object) -> Done:
    return engine("init", *words, "-o", folder / "recipe.yaml")


def content_of(folder: Path) -> Any:  # noqa: ANN401
    return yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))


def counts_said(text: str) -> Mapping[str, list[tuple[int, int]]]:
    """Of each class the pixels and regions of each split in a table."""
    found = {}
    for line in text.splitlines():
        cells = re.findall(r"([\d,]+) in ([\d,]+)", line)
        if len(cells) == 3:
            numbers = [tuple(int(one.replace(",", "")) for one in pair) for pair in cells]
            found[line.split("  ")[1].strip() if line.startswith("  ") else line.split("  ")[0]] = numbers
    return found  # type: ignore[return-value]


@pytest.fixture
def dense(tmp_path: Path, write_raster: Write) -> NDArray[np.uint8]:
    """Labels of four classes in fields of 5 pixels, beside three bands and heights."""
    labels = fields(160, 170, 5, 4)
    image(write_raster, "optical.tif", labels, names=["blue", "green", "red"], nodata=0)
    image(write_raster, "srtm.tif", labels, bands=1)
    write_raster("labels.tif", labels[None], nodata=0)
    return labels


def test_dense_labels_make_a_segmenter_that_trains(tmp_path: Path, dense: NDArray[np.uint8]) -> None:
    """The counts in the recipe are those of its split, found by NumPy alone."""
    from scipy import ndimage

    style = '<qgis><paletteEntry value="2" label="Forest" color="#116633"/></qgis>'
    (tmp_path / "labels.qml").write_text(style, encoding="utf-8")
    done = init(tmp_path, tmp_path / "optical.tif", tmp_path / "srtm.tif", "--labels", tmp_path / "labels.tif")
    assert done.returncode == 0, done.stderr
    content = content_of(tmp_path)
    assert [one["name"] for one in content["modalities"]] == ["optical", "srtm"]
    assert content["modalities"][1]["bands"] == ["elevation"]
    assert content["modalities"][0] == {"name": "optical", "bands": ["blue", "green", "red"], "dtype": "uint16"}
    assert content["data"]["scenes"][0]["sources"] == {"optical": "optical.tif", "srtm": "srtm.tif"}
    assert content["classes"][1] == {"value": 2, "name": "Forest", "color": "#116633"}
    assert len({one["color"] for one in content["classes"]}) == 4
    assert content["network"] == {"name": "mean_fusion", "options": {"encoder": "segformer-b0", "fusion": "gated"}}
    split = BlockSplit.model_validate(content["data"]["split"])
    assert split.buffer > 0
    numbers = block_numbers(Window(0, 0, 160, 170), split)
    held = np.isin(numbers, [*split.validation, *split.test])
    masks = {
        "train": ~held & (ndimage.distance_transform_cdt(~held, metric="chessboard") > split.buffer),
        "validation": np.isin(numbers, [*split.validation]),
        "test": np.isin(numbers, [*split.test]),
    }
    said = counts_said(done.stdout)
    for value, name in ((1, "class 1"), (2, "Forest")):
        parts = [(dense == value) & mask for mask in masks.values()]
        assert said[name] == [(part.sum(), ndimage.label(part, structure=np.ones((3, 3)))[1]) for part in parts]
        assert min(pixels for pixels, _ in said[name]) >= 30
    small = ["network.options.encoder=segformer-tiny", "stages.0.schedule.epochs=1", "stages.0.schedule.samples=4"]
    small += ["stages.0.schedule.batch=2", "stages.0.schedule.workers=0", "data.chip=32"]
    words = [word for one in small for word in ("--set", one)]
    trained = engine("train", tmp_path / "recipe.yaml", "-o", tmp_path / "run", "--device", "cpu", *words)
    assert trained.returncode == 0, trained.stderr
    assert "was chosen by its validation mIoU" in trained.stdout


def test_a_recipe_is_not_written_over_unasked(tmp_path: Path, dense: NDArray[np.uint8]) -> None:
    (tmp_path / "recipe.yaml").write_text("mine", encoding="utf-8")
    done = init(tmp_path, tmp_path / "optical.tif", "--labels", tmp_path / "labels.tif")
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert "--overwrite" in done.stderr
    assert (tmp_path / "recipe.yaml").read_text(encoding="utf-8") == "mine"


def test_what_is_missing_or_no_label_is_named(tmp_path: Path, dense: NDArray[np.uint8], write_raster: Write) -> None:
    write_raster("heights.tif", np.arange(160 * 170, dtype=np.uint16).reshape(1, 160, 170))
    write_raster("one.tif", np.ones((1, 160, 170), np.uint8))
    optical = tmp_path / "optical.tif"
    for words, told in (
        ((tmp_path / "none.tif", "--labels", tmp_path / "labels.tif"), "none.tif: cannot be opened"),
        ((optical, "--labels", tmp_path / "none.tif"), "none.tif: cannot be opened"),
        ((optical, "--labels", tmp_path / "heights.tif"), "holds more than 256 values"),
        ((optical, "--labels", tmp_path / "one.tif"), "a map needs two classes"),
        ((optical, "--labels", tmp_path / "{tile}.tif"), "{tile} stands in the labels alone"),
        ((optical, "--labels", tmp_path / "labels.tif", "--ignore", "9"), "--ignore 9: is no value of the labels"),
    ):
        done = init(tmp_path, *words)
        assert done.returncode == 2
        assert told in done.stderr
        assert not (tmp_path / "recipe.yaml").exists()


def polygons(folder: Path, **columns: Any) -> Path:  # noqa: ANN401
    """36 fields of 6 x 6 pixels in the image of 160 x 170, 12 of each class."""
    from shapely.geometry import box

    corners = [(1000 + 250 * col, 5000 - 250 * row) for row in range(6) for col in range(6)]
    shapes = [box(left, top - 60, left + 60, top) for left, top in corners]
    frame = geopandas.GeoDataFrame({"fid_": range(36), **columns}, geometry=shapes, crs="EPSG:32631")
    frame.to_file(folder / "fields.gpkg")
    return folder / "fields.gpkg"


NAMES = ["maize", "wheat", "meadow"] * 12


def test_polygons_make_a_window_classifier(tmp_path: Path, dense: NDArray[np.uint8]) -> None:
    path = polygons(tmp_path, crop=NAMES, number=[NAMES.index(name) for name in NAMES], size=np.linspace(1.1, 2.2, 36))
    done = init(tmp_path, f"optical={tmp_path / 'optical.tif'}", "--labels", path)
    assert done.returncode == 0, done.stderr
    content = content_of(tmp_path)
    assert content["data"]["scenes"][0]["labels"] == {"path": "fields.gpkg", "field": "crop"}
    assert {one["name"] for one in content["classes"]} == set(NAMES)
    assert content["network"] == {"name": "lds2ae", "options": {"window": 11}}
    assert content["data"]["split"]["buffer"] == 5
    said = counts_said(done.stdout)
    for name in set(NAMES):
        assert all(pixels >= 30 and regions >= 2 for pixels, regions in said[name])
        assert sum(pixels for pixels, _ in said[name]) == 12 * 36
    assert {stage["schedule"]["validate_every"] for stage in content["stages"]} == {None}
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert advice.STEPS in re.sub("\n# +", " ", text)
    sizes = ("epochs=1", "samples=4", "batch=4")
    words = [word for n in (0, 1) for size in sizes for word in ("--set", f"stages.{n}.schedule.{size}")]
    trained = engine("train", tmp_path / "recipe.yaml", "-o", tmp_path / "run", "--device", "cpu", *words)
    assert trained.returncode == 0, trained.stderr
    assert "2 steps are few for lds2ae" in trained.stdout


def test_several_fields_that_may_be_classes_are_named(tmp_path: Path, dense: NDArray[np.uint8]) -> None:
    path = polygons(tmp_path, crop=NAMES, owner=["ann", "bob", "bob", "ann"] * 9)
    done = init(tmp_path, tmp_path / "optical.tif", "--labels", path)
    assert done.returncode == 2
    assert "several fields may hold the classes; name one with --field" in done.stderr
    assert "crop (maize, wheat, meadow); owner (ann, bob)" in done.stderr


def test_one_polygon_of_a_class_is_told(tmp_path: Path, dense: NDArray[np.uint8]) -> None:
    """It is trained on, and neither cut nor judged; of the others there are fields enough."""
    path = polygons(tmp_path, crop=["rare"] + ["maize", "wheat"] * 17 + ["wheat"])
    found = propose([str(tmp_path / "optical.tif")], str(path), tmp_path, "name")
    assert counts_said("\n".join(found.counts))["rare"] == [(36, 1), (0, 0), (0, 0)]
    told = "\n".join(found.warnings)
    assert "no pixel of rare is tested" in told
    assert "validation holds fewer than 30 labelled pixels of rare (0)" in told


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_many_scenes_are_split_whole(tmp_path: Path) -> None:
    labels = fields(24, 24, 4, 2) * np.uint8(100)
    for tile in range(12):
        for name, values in (("before", labels // 2 + tile), ("after", labels), ("mask", labels)):
            with rasterio.open(
                tmp_path / f"{name}_{tile}.png", "w", driver="PNG", width=24, height=24, count=1, dtype="uint8"
            ) as file:
                file.write(values[None])
    before, after = (f"sar={tmp_path}/{name}_{{tile}}.png" for name in ("before", "after"))
    done = init(tmp_path, before, after, "--labels", tmp_path / "mask_{tile}.png")
    assert done.returncode == 0, done.stderr
    content = content_of(tmp_path)
    assert content["modalities"] == [{"name": "sar", "bands": ["before", "after"], "dtype": "uint8"}]
    assert content["data"]["split"]["kind"] == "folds"
    assert (content["network"]["name"], content["data"]["chip"]) == ("lds2ae", 11)
    assert sum(pixels for pixels, _ in counts_said(done.stdout)["class 100"]) == 12 * int((labels == 100).sum())


def test_pixels_beside_which_nothing_was_seen_have_windows_of_one(tmp_path: Path, write_raster: Write) -> None:
    labels = np.zeros((80, 40), np.uint8)
    labels[::4] = np.repeat([1, 2], 10)[:, None]
    spectra = np.where(labels > 0, labels * 1.5, np.nan).astype(np.float32)
    write_raster("spectra.tif", np.stack([spectra] * 6), nodata=np.nan)
    write_raster("labels.tif", labels[None], nodata=0)
    done = init(tmp_path, tmp_path / "spectra.tif", "--labels", tmp_path / "labels.tif")
    assert done.returncode == 0, done.stderr
    content = content_of(tmp_path)
    assert content["network"]["options"] == {"window": 1}
    assert content["data"]["chip"] == 1
    assert content["data"]["split"]["kind"] == "components"
    assert [count for _, count in counts_said(done.stdout)["class 1"]] == [6, 2, 2]


def test_values_that_stand_for_no_label_are_left_out_where_that_is_certain() -> None:
    def left(counts: dict[Any, int], names: dict[Any, str], asked: tuple[str, ...] = ()) -> list[Any]:
        return without_label(Labels(None, counts, Legend(names), ()), asked)[0]

    assert left({0: 5, 1: 9, 2: 9}, {0: "Unclassified", 1: "a", 2: "b"}) == [0]
    assert left({0: 5, 1: 9, 2: 9}, {1: "a", 2: "b"}) == [0]
    assert left({0: 900, 1: 9, 2: 9}, {}) == []
    assert left({0: 900, 1: 9, 2: 9}, {}, ("0",)) == [0]
    assert left({0: 9, 1: 9}, {0: "Unknown forest", 1: "b"}) == []
    assert left({"None": 1, "oak": 2, None: 3}, {}) == ["None", None]
    told = without_label(Labels(None, {0: 900, 1: 9, 2: 9}, Legend(), ()), ())[1]
    assert "value 0 covers 98%" in told[0]
    assert "--ignore 0" in told[0]


def test_values_that_no_class_may_have_are_replaced() -> None:
    classes, remap = class_list([-3, 1, 70000], Legend(colours={-3: "#111111", 1: "#111111", 70000: "#00ff00"}))
    assert [one.value for one in classes] == [1, 2, 3]
    assert remap == {-3: 2, 70000: 3}
    assert len({one.color for one in classes}) == 3
    assert classes[2].color == "#00ff00"
    assert class_list([0x000000, 0x00FF00], Legend(), renumbered=True)[1] == {0x000000: 1, 0x00FF00: 2}
    many, _ = class_list(list(range(30)), Legend())
    assert len({one.color for one in many}) == 30


def test_a_vector_style_names_and_colours_classes(tmp_path: Path) -> None:
    from engine.proposal.legend import vector_legend

    (tmp_path / "fields.qml").write_text(
        """<qgis><renderer-v2 attr="crop" type="categorizedSymbol"><categories>
        <category value="1" label="Maize" symbol="0"/><category value="2" label="Wheat" symbol="1"/></categories>
        <symbols><symbol name="0"><layer><prop k="color" v="255,0,16,255"/></layer></symbol>
        <symbol name="1"><layer><Option><Option name="color" value="1,2,3,255,rgb:0,0,0,1"/></Option></layer></symbol>
        </symbols></renderer-v2></qgis>""",
        encoding="utf-8",
    )
    legend = vector_legend(str(tmp_path / "fields.gpkg"), "crop")
    assert legend.names == {1: "Maize", 2: "Wheat"}
    assert legend.colours == {1: "#ff0010", 2: "#010203"}
    assert not vector_legend(str(tmp_path / "fields.gpkg"), "other").names


def test_files_of_one_acquisition_are_one_sensor(tmp_path: Path, write_raster: Write) -> None:
    """A product's folder: bands by wavelength, of two files of one band the finer, no quality layer."""
    from affine import Affine

    product = "LC08_L2SP_038034_20200601_20200824_02_T1"
    (tmp_path / product).mkdir()
    for name in ("SR_B4", "SR_B2", "QA_PIXEL"):
        write_raster(f"{product}/{product}_{name}.TIF", np.ones((1, 8, 8), np.uint16))
    write_raster("dem.tif", np.ones((1, 8, 8), np.int16), transform=Affine(20, 0, 1000, 0, -20, 5000))
    sensors, notes = sensors_given([f"heights={tmp_path / 'dem.tif'}", str(tmp_path / product)])
    found = [(one.name, [Path(source).stem.rpartition("_")[2] for source in one.sources]) for one in sensors]
    assert [files for _, files in found] == [["dem"], ["B2", "B4"]]
    assert found[0][0] == "heights"
    assert "QA_PIXEL" in notes[0]
    named, _ = sensors_given([f"landsat={tmp_path / product}", str(tmp_path / "dem.tif")])
    assert [one.name for one in named] == ["landsat", "dem"]


def test_comments_stand_above_their_keys_and_change_nothing() -> None:
    content = {
        "name": "x",
        "data": {"chip": 32, "few": {"per_class": 3}, "bands": [f"band {{{number}}}, x" for number in range(60)]},
        "stages": [{"name": "train", "schedule": {"epochs": 2, "decay": {"name": "poly", "power": 0.9}}}],
        "remap": {"-3": 2, "a: b": 1},
    }
    notes = {"data.chip": ["small"], "stages.0.schedule.epochs": ["long " * 40], "name": ["first"]}
    text = recipe_text(["head"], content, notes, ["foot"])
    assert yaml.safe_load(text) == json.loads(json.dumps(content))
    lines = text.splitlines()
    assert lines[:3] == ["# head", "# first", "name: x"]
    assert lines[lines.index("  chip: 32") - 1] == "  # small"
    assert lines[-1] == "# foot"
    assert max(map(len, lines)) <= 120


def test_the_guide_says_what_the_tool_says() -> None:
    guide = " ".join((ROOT / "docs" / "choosing.md").read_text(encoding="utf-8").split())
    said = [*advice.LABELS.values(), advice.GATED, advice.STEPS, advice.COUNTS, advice.BUFFER, advice.LAST]
    for text in (*said, advice.SMALL, advice.WINDOWS_LAST):
        assert text in guide
