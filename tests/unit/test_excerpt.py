"""The part of a scene that an evaluation keeps to be looked at, and where the splits lie."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.data.survey import SceneCollection
from engine.evaluation.excerpt import Excerpts
from engine.evaluation.split_pictures import split_pictures
from engine.grid import Window
from engine.training.recipe import Recipe


def test_the_part_with_the_most_classes_is_kept_as_it_is_mapped(
    make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.evaluation.excerpt.SIDE", 64)
    recipe = make_recipe(tmp_path)
    data = SceneCollection(recipe.data, recipe.data.root, recipe.modality_values, recipe.class_values)
    with closing(data) as collection:
        scene = collection[0]
        whole = scene.labels(scene.grid.window, "validation")
        excerpts = Excerpts(2)
        assert excerpts.enter(scene, "validation")
        mapped = np.arange(whole.size).reshape(whole.shape) % 5
        counted = mapped != 3
        for row in range(0, 200, 50):  # as strips come, across the excerpt's borders
            part = slice(row, row + 50)
            excerpts.add(scene, 1, Window(row, 0, 50, 176), mapped[part], counted[part])
        found = excerpts.of([1])
        assert found is not None
        window = found.window
        rows, cols = slice(window.row, window.end_row), slice(window.col, window.end_col)
        most = max(
            (len(set(part[part >= 0].tolist())), (part >= 0).sum())
            for part in (
                whole[row : row + 64, col : col + 64] for row in range(0, 200, 64) for col in range(0, 176, 64)
            )
        )
        assert most == (len(set(found.truth[found.truth >= 0].tolist())), (found.truth >= 0).sum())
        np.testing.assert_array_equal(found.truth, whole[rows, cols])
        np.testing.assert_array_equal(found.maps, [np.where(counted, mapped, -1)[rows, cols]])
        pictures = split_pictures(collection)
    assert [one["name"] for one in pictures] == [spec.name for spec in collection.specs]
