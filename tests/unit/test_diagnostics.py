"""Diagnostics of networks, by a second computation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.data.chips import Chip
from engine.errors import RunError
from engine.evaluation.diagnostics import (
    _places,
    class_similarity,
    encoder_parameters,
    grad_cam,
    information_over_training,
    picture,
    running_mean,
    saliency,
    telling_chips,
)
from engine.modality import BandStatistics, Modality
from engine.networks.encoders import Encoder
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter
from engine.networks.stars import Stars

BANDS = {"rgb": 3, "sar": 2, "dem": 1}


OTHERS: dict[str, dict[str, Any]] = {
    "mean_fusion": {"encoder": "segformer-tiny"},
    "cbc": {"size": "tiny"},
    "cbc_slp": {"size": "tiny"},
    "cmx": {"size": "tiny"},
    "cmx_cnn": {"size": "tiny"},
    "lds2ae": {"window": 5, "width": 16, "depth": 1, "decoder_depth": 1, "heads": 4},
    "lvpcnet": {"window": 3, "width": 16, "depth": 1, "heads": 4, "text_width": 8},
}


def segmenter(encoder: str = "resnet-tiny") -> Segmenter:
    return segmenter_of("stars", {"encoder": encoder, "pyramid": 8, "width": 8})


def segmenter_of(name: str, options: dict[str, Any]) -> Segmenter:
    torch.manual_seed(0)
    modalities = [
        Modality(
            name, tuple(f"b{band}" for band in range(count)), "float32", "", (BandStatistics(0, 1, -1, 1),) * count
        )
        for name, count in BANDS.items()
    ]
    return Segmenter(build_network(name, options, BANDS, 4), modalities).eval()


def chip(seed: int, labels: NDArray[np.int16]) -> Chip:
    rng = np.random.default_rng(seed)
    shape = labels.shape
    values = {name: rng.normal(size=(count, *shape)).astype(np.float32) for name, count in BANDS.items()}
    return Chip(values, np.ones(3, dtype=bool), labels)


def shared_of(trained: Segmenter, one: Chip) -> dict[str, Tensor]:
    """The deepest shared features, one sensor at a time."""
    network = trained.network
    assert isinstance(network, Stars)
    with torch.inference_mode():
        return {
            name: network.shared.stages(network.shared.stem(name, torch.from_numpy(one.values[name])[None]))[-1][0]
            for name in BANDS
        }


def test_the_similarity_of_classes_is_the_mean_cosine_over_all_pairs_of_their_pixels() -> None:
    trained = segmenter()
    first = np.full((48, 80), -1, dtype=np.int16)
    first[:20, :50], first[40:, 30:] = 0, 2
    second = np.full((48, 80), 1, dtype=np.int16)
    second[5:, :] = 0
    chips = [chip(1, first), chip(2, second)]
    found = class_similarity(trained, chips)
    assert list(found) == [("rgb", "sar"), ("rgb", "dem"), ("sar", "dem")]

    pixels: dict[str, dict[int, list[NDArray[np.float64]]]] = {name: {0: [], 1: [], 2: []} for name in BANDS}
    for one in chips:
        for name, features in shared_of(trained, one).items():
            large = features.double().numpy().repeat(32, axis=1).repeat(32, axis=2)[:, :48, :80]
            for land_class, parts in pixels[name].items():
                parts.append(large[:, one.labels == land_class].T)
    for (one_name, other_name), matrix in found.items():
        for row in range(4):
            for col in range(4):
                if 3 in (row, col):
                    assert np.isnan(matrix[row, col])
                    continue
                left = np.unique(np.concatenate(pixels[one_name][row]), axis=0, return_counts=True)
                right = np.unique(np.concatenate(pixels[other_name][col]), axis=0, return_counts=True)
                total = weight = 0.0
                for vector, many in zip(*left, strict=True):
                    for other, more in zip(*right, strict=True):
                        cosine = vector @ other / np.sqrt((vector @ vector) * (other @ other))
                        total, weight = total + many * more * cosine, weight + many * more
                assert matrix[row, col] == pytest.approx(total / weight, abs=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_of_every_network_classes_are_compared_between_sensors(name: str) -> None:
    """Of one pixel's place each, whose cosine is that of the features of each sensor when it is there alone."""
    trained = segmenter_of(name, OTHERS[name])
    labels = np.full((64, 64), -1, dtype=np.int16)
    labels[:16, :16], labels[48:, 48:] = 1, 2
    one = chip(4, labels)
    found = class_similarity(trained, [one])
    assert list(found) == [("rgb", "sar"), ("rgb", "dem"), ("sar", "dem")]
    for matrix in found.values():
        assert np.isnan(matrix[[0, 3]]).all()
        assert (np.abs(matrix[1:3, 1:3]) <= 1 + 1e-6).all()
    other = Chip({**one.values, "dem": one.values["dem"] + 1}, one.availability, labels)
    again = class_similarity(trained, [other])
    np.testing.assert_array_equal(again["rgb", "sar"], found["rgb", "sar"])
    assert not np.array_equal(again["rgb", "dem"], found["rgb", "dem"])


def test_places_that_reach_beyond_a_chip_or_divide_it_are_shared_among_classes() -> None:
    """A class on the upper 5 of 6 rows; of encoders that halve twice the lower place has two rows of the chip."""
    covers = torch.zeros(1, 6, 8)
    covers[:, :5] = 1
    torch.testing.assert_close(_places(covers, 2, 2)[0, :, 0], torch.tensor([1.0, 0.25]))
    torch.testing.assert_close(_places(covers, 6, 8), covers)
    torch.testing.assert_close(_places(covers, 3, 2)[0, :, 0], torch.tensor([1.0, 1.0, 0.5]))


@pytest.mark.parametrize("name", ["stars", *OTHERS])
def test_saliency_is_the_largest_change_of_the_score_by_a_band(name: str) -> None:
    """By central differences in double precision, at the pixel that changes the score most and at another.

    Values are normalised already: their statistics say mean 0 and deviation 1.
    """
    trained = segmenter_of(name, OTHERS.get(name, {"encoder": "resnet-tiny", "pyramid": 8, "width": 8}))
    labels = np.random.default_rng(0).integers(-1, 4, size=(32, 32)).astype(np.int16)
    one = chip(3, labels)
    found = saliency(trained, one, "sar", 2)
    assert found.shape == (32, 32)
    network = trained.network.double()
    values = {key: torch.from_numpy(given)[None].double() for key, given in one.values.items()}
    for row, col in (np.unravel_index(found.argmax(), found.shape), (7, 9)):
        changes = []
        for band in range(BANDS["sar"]):
            scores = []
            for step in (-1e-5, 1e-5):
                moved = values | {"sar": values["sar"].clone()}
                moved["sar"][0, band, row, col] += step
                with torch.inference_mode():
                    logits = network(moved, torch.tensor([[False, True, False]]))[0, 2].numpy()
                scores.append(logits[labels == 2].sum())
            changes.append(abs(scores[1] - scores[0]) / 2e-5)
        assert found[row, col] == pytest.approx(max(changes), rel=2e-2, abs=1e-6)


def test_activations_are_weighted_by_the_mean_gradient_of_the_classs_score() -> None:
    """Against a network that is cut open at the third stage of each encoder in turn."""
    trained = segmenter()
    labels = np.random.default_rng(0).integers(-1, 4, size=(64, 64)).astype(np.int16)
    one = chip(3, labels)
    found = grad_cam(trained, one, "sar", 2)
    network = trained.network
    assert isinstance(network, Stars)
    specific = network.specific["sar"]
    assert isinstance(specific, Encoder)
    stem = network.shared.stem("sar", torch.from_numpy(one.values["sar"])[None]).detach()
    for name, encoder in (("specific", specific), ("shared", network.shared)):
        both = {"specific": specific.stages(stem), "shared": network.shared.stages(stem)}
        cut = both[name][2].detach().requires_grad_()
        both[name] = [*both[name][:2], cut, encoder.stage(3, cut)]
        levels = [
            torch.cat([own + fusion(own, common), common], dim=1)
            for fusion, own, common in zip(network.fusions, both["specific"], both["shared"], strict=True)
        ]
        logits = torch.nn.functional.interpolate(network.decoders["sar"](levels), size=(64, 64), mode="bilinear")
        (logits[0, 2] * torch.from_numpy(labels == 2)).sum().backward()
        assert cut.grad is not None
        maps, gradient = cut.detach()[0].numpy(), cut.grad[0].numpy()
        weighted = [gradient[channel].mean() * maps[channel] for channel in range(len(maps))]
        expected = np.maximum(np.sum(weighted, axis=0), 0)
        assert found[name].shape == (64, 64)
        assert found[name].max() > 0
        corners = np.ix_((0, -1), (0, -1))  # whose values bilinear interpolation keeps
        np.testing.assert_allclose(found[name][corners], expected[corners], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("encoder", ["resnet-tiny", "segformer-tiny"])
def test_every_parameter_of_the_stages_is_counted_once(encoder: str) -> None:
    network = segmenter(encoder).network
    assert isinstance(network, Stars)
    found = encoder_parameters(network)
    assert list(found) == ["rgb, specific", "sar, specific", "dem, specific", "shared"]
    assert {len(stages) for kinds in found.values() for stages in kinds.values()} == {4}
    for name, kinds in found.items():
        part = network.shared if name == "shared" else network.specific[name.split(",")[0]]
        stages = [module for number in range(4) for module in part.layers(number)]
        biases = sum(
            value.numel()
            for stage in stages
            for module in stage.modules()
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
            for key, value in module.named_parameters(recurse=False)
            if key == "bias"
        )
        everything = sum(value.numel() for stage in stages for value in stage.parameters())
        assert sum(len(values) for stages in kinds.values() for values in stages) == everything - biases
        assert all((values == 1).all() for values in kinds["norm scales"])  # untrained


def test_a_class_is_shown_where_it_covers_about_a_third() -> None:
    chips = []
    for seed, rows in enumerate((1, 3, 9)):
        labels = np.full((10, 4), -1, dtype=np.int16)
        labels[:rows] = 2
        chips.append(chip(seed, labels))
    chips[0].labels[5:9] = 0
    found = telling_chips(chips, 4)
    assert list(found) == [0, 2]
    assert found[0] is chips[0]
    assert found[2] is chips[1]


def test_a_picture_shows_red_green_and_blue() -> None:
    values = np.stack([np.full((4, 4), 9), np.arange(16).reshape(4, 4), np.zeros((4, 4)), np.ones((4, 4))])
    sensor = Modality("optical", ("blue", "green", "red", "nir"), "float32", "")
    shown = picture(values.astype(np.float32), sensor)
    assert shown.shape == (4, 4, 3)
    assert (shown.min(), shown.max()) == (0, 1)
    assert (shown[..., 0] == 0).all()  # red does not vary
    assert len(np.unique(shown[..., 1])) > 10  # green does
    grey = picture(values[1:2].astype(np.float32), Modality("dem", ("height",), "float32", ""))
    assert (grey[..., 0] == grey[..., 2]).all()


def test_informations_are_read_back_by_part_and_sensor(tmp_path: Path) -> None:
    rows = ["step,name,value", "1,train/loss/cross_entropy,2", "1,train/information/prediction/sar,0.5"]
    rows += ["1,train/information/stage1/sar,3", "2,train/information/prediction/sar,0.25", "2,validation/miou/sar,0.1"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = information_over_training(tmp_path / "metrics.csv")
    assert found == {"prediction": {"sar": ([1, 2], [0.5, 0.25])}, "stage1": {"sar": ([1], [3.0])}}
    with pytest.raises(RunError, match="is missing"):
        information_over_training(tmp_path / "other.csv")


def test_curves_are_means_over_a_fiftieth_of_the_steps() -> None:
    values = np.random.default_rng(0).random(150)
    steps, means = running_mean(list(range(1, 151)), values.tolist())
    assert list(steps) == list(range(3, 151))
    np.testing.assert_allclose(means, [(values[i - 2] + values[i - 1] + values[i]) / 3 for i in range(2, 150)])
    few = running_mean([5, 10], [1.0, 2.0])
    assert (list(few[0]), few[1].tolist()) == ([5, 10], [1.0, 2.0])
