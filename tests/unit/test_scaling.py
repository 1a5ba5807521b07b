"""How a model's values are brought to a scale."""

import json
from pathlib import Path

import pytest
import torch

from engine.errors import RecipeError
from engine.modality import BandStatistics, Modality
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter, band_scales
from engine.training.recipe import read_recipe
from engine.training.run import build_segmenter, read_modalities

MODALITY = Modality(
    "optical",
    ("red", "nir", "flat"),
    "uint16",
    "",
    (
        BandStatistics(30, 5, 10, 60, 20, 40),
        BandStatistics(100, 20, 40, 210, 90, 90),  # nearly all are the same: its range counts
        BandStatistics(50, 0, 50, 50, 50, 50),
    ),
)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("standard", [(35 - 30) / 5, (120 - 100) / 20, 0]),
        ("mean", [5.0, 20.0, 0.0]),
        ("band_range", [(35 - 10) / 50, (120 - 40) / 170, 0]),
        ("range", [(35 - 10) / 200, (120 - 10) / 200, 0]),
        ("quantile_range", [(35 - 30) / 10, (120 - 125) / 85, 0]),
    ],
)
def test_values_are_scaled_by_the_training_s_statistics(scaling: str, expected: list[float]) -> None:
    network = build_network("mean_fusion", {"encoder": "resnet-tiny"}, {"optical": 3}, 2)
    segmenter = Segmenter(network, [MODALITY], scaling)  # type: ignore[arg-type]
    values = torch.tensor([35, 120, 51], dtype=torch.int32)[None, :, None, None].expand(1, 3, 2, 2)
    found = segmenter.normalise("optical", values)
    torch.testing.assert_close(found[0, :, 1, 0], torch.tensor(expected))


def test_a_run_of_an_older_engine_is_read_but_has_no_quantiles_to_scale_by(tmp_path: Path) -> None:
    band = {"mean": 30, "std": 5, "minimum": 10, "maximum": 60}
    item = {"name": "optical", "bands": ["red"], "dtype": "uint16", "unit": "", "statistics": [band]}
    (tmp_path / "modalities.json").write_text(json.dumps([item]))
    (modality,) = read_modalities(tmp_path)
    assert band_scales(modality, "range") == ([10], [50])
    with pytest.raises(RecipeError, match=r"^data\.scaling: quantile_range .* statistics of optical do not have"):
        band_scales(modality, "quantile_range")


def test_a_recipe_says_how_values_are_scaled() -> None:
    """Statistics 0 to 200, mean 100: the middle of the range is a half, and none of the deviations away."""
    path = Path(__file__).parents[2] / "recipes" / "synthetic.yaml"
    modalities = [
        Modality(name, tuple("abcd"[:count]), "float32", "", (BandStatistics(100, 20, 0, 200),) * count)
        for name, count in (("optical", 4), ("sar", 2), ("dem", 1))
    ]
    for overrides, expected in (([], 0.0), (["data.scaling=range"], 0.5)):
        segmenter = build_segmenter(read_recipe(path, overrides), modalities)
        assert segmenter.normalise("sar", torch.full((1, 2, 1, 1), 100.0)).flatten().tolist() == [expected] * 2
