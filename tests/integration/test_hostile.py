"""What others made, by malice or mishap, is used or refused by a typed error that names it; none crashes or hangs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hostile import models, recipes

from engine.availability import scenarios
from engine.errors import EngineError, RecipeError
from engine.model.document import OUTPUTS
from engine.model.file import Model
from engine.runtime.session import Sessions
from engine.training.recipe import read_recipe


def use(path: Path) -> None:
    """Opens a model and maps one tile in every scenario."""
    model = Model(path)
    assert model.metres > 0
    tile = model.metadata.tile
    for scenario in scenarios(len(model.names)):
        members = [model.modalities[index] for index in scenario.indices]
        inputs = {item.name: np.zeros((1, len(item.bands), tile, tile), item.dtype) for item in members}
        Sessions(model, "cpu", OUTPUTS).run(scenario, inputs)


def test_the_model_that_the_hostile_ones_differ_from_is_used(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(models.right())
    use(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", models.NAMES)
def test_a_hostile_model_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    models.write(name, tmp_path / "model.onnx")
    with pytest.raises(EngineError, match=r"model\.onnx"):
        use(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", models.DAMAGED)
def test_a_damaged_model_is_used_or_refused_by_its_name(name: str, tmp_path: Path) -> None:
    models.write(name, tmp_path / "model.onnx")
    try:
        use(tmp_path / "model.onnx")
    except EngineError as error:
        assert "model.onnx" in str(error)  # noqa: PT017 (it may be used as well)


@pytest.mark.parametrize("name", recipes.NAMES)
def test_a_hostile_recipe_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    recipes.write(name, tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match=str(tmp_path)):
        read_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("name", recipes.SETS)
def test_a_hostile_value_is_refused_by_its_key(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipes.right(), encoding="utf-8")
    words, key = recipes.SETS[name]
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, [words])
    said = str(caught.value)
    assert key in said
    assert str(path) in said or "--set" in said
    assert said.replace("\n", " ").isprintable()


def test_the_recipe_that_the_hostile_ones_differ_from_is_read(tmp_path: Path) -> None:
    """With the mark that editors on Windows put before a text, too."""
    path = tmp_path / "recipe.yaml"
    path.write_text(recipes.right(), encoding="utf-8-sig")
    assert read_recipe(path).name == "synthetic"
