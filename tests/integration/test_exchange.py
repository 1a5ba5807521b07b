"""What a model gives to other programs: one modality for Deepness, a STAC item for catalogues."""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pystac
import pytest
from commands import engine

from engine.availability import Scenario
from engine.errors import ModalityError, OutputError
from engine.export.deepness import export_deepness
from engine.export.naming import rename
from engine.export.parity import sample_values
from engine.model.document import KEY
from engine.model.file import Model
from engine.runtime.session import Sessions


@pytest.mark.parametrize(("name", "place"), [("optical", 0), ("sar", 1), ("dem", 2)])
def test_deepness_gets_the_probabilities_of_that_modality_alone(
    model_path: Path, tmp_path: Path, name: str, place: int
) -> None:
    model = Model(model_path)
    path = tmp_path / "deepness.onnx"
    export_deepness(model, name, path)
    values = sample_values(model.modalities[place], np.random.default_rng(3), 2, model.metadata.tile)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()
    tile = model.metadata.tile
    assert given.shape[1:] == [len(model.modalities[place].bands), tile, tile]
    assert wanted.shape[1:] == [6, tile, tile]
    found = session.run(None, {given.name: (values * np.float64(1 / 255)).astype(np.float32)})[0]
    scenario = Scenario(tuple(index == place for index in range(3)))
    expected = Sessions(model, "cpu").run(scenario, {name: values})[0]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_modality_may_be_called_as_deepness_calls_its_image(model_path: Path, tmp_path: Path) -> None:
    export_deepness(Model(model_path), "dem", tmp_path / "first.onnx")
    called = onnx.load(tmp_path / "first.onnx").graph.input[0].name
    proto = onnx.load(model_path)
    rename(proto.graph, {"dem": "deepness_image"})
    (entry,) = [item for item in proto.metadata_props if item.key == KEY]
    entry.value = entry.value.replace('"name":"dem"', '"name":"deepness_image"')
    onnx.save(proto, tmp_path / "other.onnx")
    export_deepness(Model(tmp_path / "other.onnx"), "deepness_image", tmp_path / "second.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "second.onnx", providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == [called]


def test_deepness_finds_its_keys_in_json(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "deepness.onnx"
    model = Model(model_path)
    export_deepness(model, "optical", path)
    keys = {item.key: json.loads(item.value) for item in onnx.load(path).metadata_props}
    assert keys["model_type"] == "Segmentor"
    assert keys["class_names"] == dict(zip("012345", (item.name for item in model.classes), strict=True))
    assert keys["resolution"] == 1000  # of 10 m, in centimetres
    assert keys["tile_size"] == model.metadata.tile
    assert keys["tiles_overlap"] == pytest.approx(200 * model.metadata.halo / model.metadata.tile, abs=0.5)


def test_deepness_takes_one_modality_that_the_model_has(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModalityError, match="choose one of optical, sar, dem"):
        export_deepness(Model(model_path), None, tmp_path / "x.onnx")
    with pytest.raises(ModalityError, match="has no modality thermal"):
        export_deepness(Model(model_path), "thermal", tmp_path / "x.onnx")
    with pytest.raises(OutputError, match="nowhere"):
        export_deepness(Model(model_path), "dem", tmp_path / "nowhere" / "x.onnx")


def test_a_stac_item_describes_every_input(model_path: Path) -> None:
    item = pystac.Item.from_file(str(model_path.with_suffix(".json")))  # which `engine export --stac` wrote with it
    model = Model(model_path)
    assert [entry["name"] for entry in item.properties["mlm:input"]] == ["optical", "sar", "dem", "availability"]
    optical = item.properties["mlm:input"][0]
    assert optical["bands"] == ["blue", "green", "red", "nir"]
    assert optical["input"]["data_type"] == "uint16"
    assert optical["input"]["shape"] == [-1, 4, model.metadata.tile, model.metadata.tile]
    classes = item.properties["mlm:output"][0]["classification:classes"]
    assert [entry["value"] for entry in classes] == list(range(6))
    assert classes[0]["color_hint"] == "2B6CB0"
    assert item.bbox is not None
    west, south, east, north = item.bbox
    grid_metres = 176 * 10, 200 * 10  # of the training scene, which lies a little turned to north
    middle = math.radians((south + north) / 2)
    assert (east - west) * 111_320 * math.cos(middle) == pytest.approx(grid_metres[0], rel=0.04)
    assert (north - south) * 110_900 == pytest.approx(grid_metres[1], rel=0.04)
    assert item.assets["model"].get_absolute_href() == str(model_path)


def test_an_export_writes_over_nothing_that_it_is_made_from(model_path: Path, run_folder: Path, tmp_path: Path) -> None:
    before = model_path.read_bytes()
    done = engine("export", model_path, "-o", model_path, "--for", "deepness", "--modality", "dem")
    assert (done.returncode, "is the model that is read" in done.stderr) == (1, True)
    assert model_path.read_bytes() == before
    recipe = (run_folder / "recipe.yaml").read_bytes()
    done = engine("export", run_folder, "-o", run_folder / "recipe.yaml")
    assert (done.returncode, "name ends in .onnx" in done.stderr) == (1, True)
    assert (run_folder / "recipe.yaml").read_bytes() == recipe
    done = engine("export", run_folder, "-o", run_folder / "modalities.onnx", "--stac")
    assert (done.returncode, "is part of the run" in done.stderr) == (1, True)


def test_a_model_that_is_there_is_written_over_only_where_that_is_asked_for(
    model_path: Path, run_folder: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there.onnx"
    there.write_bytes(b"another model")
    deepness = (model_path, "--for", "deepness", "--modality", "dem")
    for words in ((run_folder,), deepness):
        done = engine("export", *words, "-o", there)
        assert (done.returncode, "write over it with --overwrite" in done.stderr) == (1, True)
        assert there.read_bytes() == b"another model"
    (tmp_path / "new.json").write_text("{}")
    done = engine("export", run_folder, "-o", tmp_path / "new.onnx", "--stac")
    assert (done.returncode, "new.json: is there already" in done.stderr) == (1, True)
    assert engine("export", *deepness, "-o", there, "--overwrite").returncode == 0
    assert there.read_bytes() != b"another model"


def test_the_command_line_refuses_what_does_not_combine(model_path: Path, run_folder: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ([run_folder, "--for", "deepness"], "takes a model"),
        ([model_path], "expected a run folder"),
        ([run_folder, "--modality", "dem"], "--for deepness"),
    ):
        done = engine("export", *arguments, "-o", tmp_path / "x.onnx")
        assert done.returncode == 2
        assert message in done.stderr
