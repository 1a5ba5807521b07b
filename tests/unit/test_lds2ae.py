"""LDS2AE against second computations: noise, masks, tokens, windows, every reconstruction loss."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import RecipeError
from engine.methods.contract import Method, Preparation, Step
from engine.methods.cross_entropy import CrossEntropy, CrossEntropyOptions
from engine.methods.local_diffusion import (
    LocalDiffusion,
    LocalDiffusionOptions,
    noised,
    random_visible,
    reconstruction,
    signal_steps,
)
from engine.methods.scenarios import CompleteSampler
from engine.modality import BandStatistics, Modality
from engine.networks.lds2ae import Lds2ae
from engine.networks.registry import build_network
from engine.networks.segmenter import Segmenter
from engine.networks.windows import Transformer, sincos_grid
from engine.training.adaptation import adapt, targets

ByHand = Callable[..., np.ndarray]
BANDS = {"optical": 3, "sar": 2, "dem": 1}
OPTIONS = {"window": 5, "width": 16, "depth": 2, "decoder_depth": 1, "heads": 4}


def built(options: dict[str, object] | None = None, bands: dict[str, int] = BANDS, classes: int = 4) -> Lds2ae:
    """In evaluation mode, with a head that tells classes apart."""
    torch.manual_seed(0)
    network = build_network("lds2ae", OPTIONS | (options or {}), bands, classes)
    assert isinstance(network, Lds2ae)
    for key, parameter in network.named_parameters():
        if key.startswith("head"):
            torch.nn.init.normal_(parameter)
    return network.eval()


def segmenter(network: Lds2ae) -> Segmenter:
    modalities = [
        Modality(name, tuple("abc"[:count]), "float32", "", (BandStatistics(0, 1, 0, 1),) * count)
        for name, count in network.bands.items()
    ]
    return Segmenter(network, modalities)


def test_noise_follows_the_closed_form_of_the_markov_chain() -> None:
    """Product of 1 - variance, by a loop over the steps of a linear schedule."""
    variances = [1e-4 + (0.02 - 1e-4) * step / 999 for step in range(1000)]
    torch.manual_seed(0)
    clean, noise = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    steps = [0, 1, 500, 999]
    found = noised(clean, torch.tensor(steps), noise)
    for sample, step in enumerate(steps):
        kept = math.prod(1 - variance for variance in variances[: step + 1])
        expected = math.sqrt(kept) * clean[sample] + math.sqrt(1 - kept) * noise[sample]
        torch.testing.assert_close(found[sample], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("variance", [1.0, 0.05, 0.0])
def test_steps_at_which_signal_exceeds_noise_are_counted(variance: float) -> None:
    """Through the variance of the noise, step by step: n_t = (1 - b_t) n_(t-1) + b_t, and the signal's by the roots."""
    noise, signal, count = 0.0, variance, 0
    for step in range(1000):
        rate = 1e-4 + (0.02 - 1e-4) * step / 999
        noise, signal = (1 - rate) * noise + rate, (1 - rate) * signal
        count += signal > noise
    assert signal_steps(variance) == count


@pytest.mark.parametrize(("scaling", "steps", "warned"), [("band_range", 5, True), ("standard", 197, False)])
def test_what_the_noise_leaves_is_said_before_a_training(
    scaling: Literal["band_range", "standard"], steps: int, warned: bool
) -> None:
    """A band that deviates by 4 % of its range and one that is constant, 0.0008 on average.

    So much noise are the first 5.5 steps: 5 x 1e-4 + 10 x 1.99e-5 = 0.0007, 6 x 1e-4 + 15 x 1.99e-5 = 0.0009. At a
    variance of 0.5 a_t falls to 2 / 3, whose logarithm is 197 x 1e-4 + 197 x 196 / 2 x 1.99e-5 below zero.
    """
    bands = (BandStatistics(500, 40, 0, 1000), BandStatistics(7, 0, 7, 7))
    trained = Segmenter(built(bands={"sar": 2}), [Modality("sar", ("a", "b"), "float32", "", bands)], scaling)
    told: list[str] = []
    nothing = Preparation("pretrain", Path(), (), 9, lambda: iter(()), lambda _samples: None, told.append)
    LocalDiffusion(LocalDiffusionOptions()).prepare(trained, nothing)
    (line,) = told
    assert f"signal exceeds noise at {steps} of 1000 steps" in line
    assert line.startswith("Warning: ") == ("data.scaling: quantile_range" in line) == warned
    LocalDiffusion(LocalDiffusionOptions(noise=False)).prepare(trained, nothing)
    assert told == [line]


def test_one_step_after_another_gives_noise_of_the_same_variance() -> None:
    """Eq. 2 step by step: x_t = sqrt(1 - b) x_(t-1) + sqrt(b) n, from a constant, in a large sample."""
    torch.manual_seed(0)
    variances = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)[:300]
    chain = torch.full((200_000,), 2.0, dtype=torch.float64)
    for variance in variances:
        chain = (1 - variance).sqrt() * chain + variance.sqrt() * torch.randn_like(chain)
    clean = torch.full((200_000, 1, 1, 1), 2.0, dtype=torch.float64)
    found = noised(clean, torch.full((200_000,), 299), torch.randn_like(clean)).flatten()
    assert found.mean().item() == pytest.approx(chain.mean().item(), abs=0.01)
    assert found.std().item() == pytest.approx(chain.std().item(), abs=0.01)


@pytest.mark.parametrize(("patches", "ratio", "count"), [(121, 0.7, 36), (81, 0.7, 24), (25, 0.5, 12), (4, 0.9, 1)])
def test_so_many_patches_stay_visible_each_once_others_in_each_sample(patches: int, ratio: float, count: int) -> None:
    torch.manual_seed(0)
    kept = random_visible(64, patches, ratio, torch.device("cpu"))
    assert kept.shape == (64, count)
    assert all(len(set(row)) == count and max(row) < patches for row in kept.tolist())
    assert len({tuple(sorted(row)) for row in kept.tolist()}) > (1 if count > 1 else 0)
    assert len(set(kept.flatten().tolist())) == patches  # every place occurs


def test_visible_and_hidden_errors_are_means_over_their_patches() -> None:
    """Patches of 3 in a window of 9, by loops."""
    torch.manual_seed(0)
    found, clean = torch.randn(2, 2, 9, 9), torch.randn(2, 2, 9, 9)
    kept = torch.tensor([[0, 5], [8, 1]])
    visible, hidden = [], []
    for sample in range(2):
        for place in range(9):
            rows, cols = slice(place // 3 * 3, place // 3 * 3 + 3), slice(place % 3 * 3, place % 3 * 3 + 3)
            error = float(((found - clean)[sample, :, rows, cols] ** 2).mean())
            (visible if place in kept[sample] else hidden).append(error)
    one, other = reconstruction(found, clean, kept, 3)
    assert one.item() == pytest.approx(np.mean(visible), rel=1e-5)
    assert other.item() == pytest.approx(np.mean(hidden), rel=1e-5)


def test_with_nothing_hidden_the_hidden_error_is_zero() -> None:
    values = torch.randn(2, 1, 3, 3)
    _, hidden = reconstruction(values + 1, values, torch.arange(9).expand(2, -1), 1)
    assert hidden.item() == 0


def test_positions_are_sines_and_cosines_of_column_and_row() -> None:
    """As the authors' code has them: its first half is the column's."""
    found = sincos_grid(3, 8).numpy()
    for row in range(3):
        for col in range(3):
            expected = []
            for place in (col, row):
                rates = [10000 ** (-number / 2) for number in range(2)]
                expected += [math.sin(place * rate) for rate in rates] + [math.cos(place * rate) for rate in rates]
            np.testing.assert_allclose(found[row * 3 + col], expected, atol=1e-6)


def moved(network: torch.nn.Module) -> None:
    """Norms and biases away from where they begin."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))


def test_the_transformer_is_that_of_the_vision_transformer(transformer_by_hand: ByHand) -> None:
    torch.manual_seed(0)
    module = Transformer(16, 2, 4, 2)
    moved(module)
    tokens = torch.randn(3, 7, 16)
    found, first = module(tokens), module.first(tokens)
    for sample in range(3):
        expected = transformer_by_hand(module, tokens[sample].double().numpy(), 4)
        np.testing.assert_allclose(found[sample].detach().numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(first[sample].detach().numpy(), expected[0], rtol=1e-4, atol=1e-5)


def class_token(network: Lds2ae, name: str, step: int) -> np.ndarray:
    """The class token [d] at a step of diffusion."""
    state = {key: value.detach().double().numpy() for key, value in network.state_dict().items()}
    rates = np.exp(-math.log(10000) * np.arange(128) / 128) * step
    coded = np.concatenate([np.cos(rates), np.sin(rates)])
    hidden = state[f"steps.{name}.0.weight"] @ coded + state[f"steps.{name}.0.bias"]
    hidden = hidden / (1 + np.exp(-hidden))
    return state[f"tokens.{name}"] + state[f"steps.{name}.2.weight"] @ hidden + state[f"steps.{name}.2.bias"]


@pytest.mark.parametrize("step", [0, 7, 999])
def test_the_step_of_diffusion_is_coded_by_cosines_and_sines(step: int) -> None:
    network = built()
    moved(network)
    found = network.class_token("sar", torch.tensor([step]))[0, 0].detach().numpy()
    np.testing.assert_allclose(found, class_token(network, "sar", step), rtol=1e-4, atol=1e-5)


def test_a_pixel_is_classified_from_its_window_alone(transformer_by_hand: ByHand, stem_by_hand: ByHand) -> None:
    """All of it again in NumPy: stem, class token at step 0, encoder, head with an empty slot."""
    network = built()
    moved(network)
    network.train()
    with torch.no_grad():
        seen = {name: torch.randn(4, count, 9, 9) for name, count in BANDS.items()}
        network(seen, torch.ones(4, 3, dtype=torch.bool))
    network.eval()
    given = {name: torch.randn(1, count, 9, 11) for name, count in BANDS.items()}
    found = network(given, torch.tensor([[True, False, True]]))[0].detach().numpy()
    weight = np.concatenate([network.heads[name].weight.detach().double().numpy() for name in BANDS], axis=1)
    bias = network.bias.detach().double().numpy()
    for row, col in ((2, 2), (6, 8), (4, 5)):
        slots = np.zeros((3, 16))
        for place, name in ((0, "optical"), (2, "dem")):
            window = given[name][0, :, row - 2 : row + 3, col - 2 : col + 3].double().numpy()
            tokens = stem_by_hand(network.stems[name], window) + network.positions.detach().double().numpy()
            tokens = np.concatenate([class_token(network, name, 0)[None], tokens])
            slots[place] = transformer_by_hand(network.encoder, tokens, 4)[0]
        np.testing.assert_allclose(found[:, row, col], weight @ slots.ravel() + bias, rtol=1e-4, atol=1e-4)


def test_pixels_near_the_border_take_the_nearest_answer() -> None:
    network = built()
    given = {name: torch.randn(1, count, 8, 9) for name, count in BANDS.items()}
    found = network(given, torch.tensor([[True, False, False]]))[0]
    assert torch.equal(found[:, 0, 0], found[:, 2, 2])
    assert torch.equal(found[:, 7, 4], found[:, 5, 4])
    assert not torch.equal(found[:, 2, 2], found[:, 2, 3])


def test_an_image_smaller_than_a_window_has_one_answer() -> None:
    network = built()
    given = {name: torch.randn(2, count, 3, 4) for name, count in BANDS.items()}
    found = network(given, torch.ones(2, 3, dtype=torch.bool))
    assert found.shape == (2, 4, 3, 4)
    assert torch.equal(found, found[:, :, :1, :1].expand_as(found))


def test_with_patches_tokens_are_those_of_the_window_cut_into_them() -> None:
    network = built({"window": 9, "patch": 3, "pool": "mean"})
    given = {name: torch.randn(1, count, 12, 13) for name, count in BANDS.items()}
    availability = torch.tensor([[False, True, True]])
    found = network(given, availability)
    for row, col in ((4, 4), (7, 8)):
        windows = {name: values[:, :, row - 4 : row + 5, col - 4 : col + 5] for name, values in given.items()}
        tokens = []
        for name in ("sar", "dem"):
            every = network.encode(name, windows[name], torch.zeros(1).long(), torch.arange(9)[None])
            tokens.append(every[0, 0])
        expected = network.head((tokens[0] + tokens[1]) / 2) + network.bias
        torch.testing.assert_close(found[0, :, row, col], expected, rtol=1e-4, atol=1e-4)


def test_a_preview_classifies_one_pixel_of_each_square() -> None:
    """The same answers as the whole map where they are computed, spread over squares from there on."""
    whole, preview = built(), built({"stride": 3})
    given = {name: torch.randn(1, count, 14, 12) for name, count in BANDS.items()}
    everything = torch.ones(1, 3, dtype=torch.bool)
    one, other = whole(given, everything), preview(given, everything)
    for row in range(2, 12):
        for col in range(2, 10):
            computed = one[0, :, 2 + (row - 2) // 3 * 3, 2 + (col - 2) // 3 * 3]
            torch.testing.assert_close(other[0, :, row, col], computed, rtol=1e-4, atol=1e-4)


def test_predictions_are_the_same_at_every_call() -> None:
    network = built()
    given = {name: torch.randn(1, count, 7, 7) for name, count in BANDS.items()}
    everything = torch.ones(1, 3, dtype=torch.bool)
    assert torch.equal(network(given, everything), network(given, everything))


@pytest.mark.parametrize("name", BANDS)
def test_what_hidden_patches_hold_changes_nothing_and_visible_ones_stand_where_they_were(name: str) -> None:
    """For every sensor: the code of the authors put back those of the second one in another order."""
    network = built()
    windows, steps = torch.randn(3, BANDS[name], 5, 5), torch.tensor([0, 400, 999])
    kept = random_visible(3, 25, 0.7, torch.device("cpu"))
    tokens = network.encode(name, windows, steps, kept)
    other = windows.clone()
    hidden = torch.ones(3, 25, dtype=torch.bool).scatter(1, kept, False).view(3, 1, 5, 5).expand_as(windows)
    other[hidden] = 1e6
    torch.testing.assert_close(network.encode(name, other, steps, kept), tokens, rtol=0, atol=0)
    decoder = network.decoders[name]
    placed = decoder.hidden.expand(3, 25, 16).clone()
    for sample in range(3):
        for number, place in enumerate(kept[sample].tolist()):
            placed[sample, place] = decoder.enter(tokens[sample, 1 + number])
    whole = torch.cat([decoder.enter(tokens[:, :1]), placed + sincos_grid(5, 16)], dim=1)
    patches = decoder.leave(decoder.blocks(whole)[:, 1:])
    expected = decoder.bands(patches.transpose(1, 2).reshape(3, 16, 5, 5))
    torch.testing.assert_close(network.decode(name, tokens, kept), expected, rtol=1e-4, atol=1e-5)


def test_patches_of_a_window_come_back_where_they_were() -> None:
    """A decoder whose blocks and last convolution hand through what they get: channel c of a patch is its pixel c."""
    network = built({"window": 9, "patch": 3, "width": 16}, {"optical": 1})
    decoder = network.decoders["optical"]
    tokens, kept = torch.randn(1, 10, 16), torch.arange(9)[None]
    seen = {}
    decoder.bands.register_forward_pre_hook(lambda _module, given: seen.update(image=given[0]))
    network.decode("optical", tokens, kept)
    whole = torch.cat([decoder.enter(tokens)[:, :1], decoder.enter(tokens)[:, 1:] + sincos_grid(3, 16)], dim=1)
    patches = decoder.leave(decoder.blocks(whole)[:, 1:]).view(3, 3, 16, 3, 3)
    for row in range(9):
        for col in range(9):
            expected = patches[row // 3, col // 3, :, row % 3, col % 3]
            torch.testing.assert_close(seen["image"][0, :, row, col], expected)


def losses(network: Lds2ae, options: dict[str, object], availability: Tensor, seed: int = 3) -> dict[str, Tensor]:
    given = {name: torch.rand(len(availability), count, 7, 7, generator=torch.Generator().manual_seed(count))
             for name, count in network.bands.items()}  # fmt: skip
    labels = torch.full((len(availability), 7, 7), -1)

    def forward() -> object:
        raise AssertionError("the forward pass is not needed")

    torch.manual_seed(seed)
    step = Step(segmenter(network), given, availability, labels, forward)  # type: ignore[arg-type]
    return LocalDiffusion(LocalDiffusionOptions.model_validate(options)).loss(step).terms


@pytest.mark.parametrize("count", [2, 3])
def test_every_term_is_what_its_equation_says(count: int) -> None:
    """The draws of a seed again, then sensor by sensor and pair by pair; samples without a sensor stay out of it."""
    bands = dict(list(BANDS.items())[:count])
    network = built(bands=bands)
    availability = torch.ones(5, count, dtype=torch.bool)
    availability[1, 0] = availability[4, 1] = False
    found = losses(network, {"mask_ratio": 0.6, "masked": 0.25, "cross": 0.5}, availability)
    torch.manual_seed(3)
    steps = torch.randint(1000, (5,))
    clean, kept, tokens = {}, {}, {}
    for name, number in bands.items():
        values = torch.rand(5, number, 7, 7, generator=torch.Generator().manual_seed(number))
        clean[name] = values[:, :, 1:6, 1:6]
        kept[name] = random_visible(5, 25, 0.6, torch.device("cpu"))
        seen = noised(clean[name], steps, torch.randn_like(clean[name]))
        tokens[name] = {
            sample: network.encode(name, seen[[sample]], steps[[sample]], kept[name][[sample]]) for sample in range(5)
        }

    def errors(source: str, target: str) -> np.ndarray:
        places = [list(bands).index(name) for name in (source, target)]
        samples = availability[:, places].all(dim=1).nonzero()[:, 0].tolist()
        sums = []
        for sample in samples:
            image = network.decode(target, tokens[source][sample], kept[source][[sample]])
            squares = (image - clean[target][[sample]]).square().mean(dim=1).flatten().detach().numpy()
            visible = np.isin(np.arange(25), kept[target][sample].numpy())
            sums.append([squares[visible].mean(), squares[~visible].mean()])
        return np.mean(sums, axis=0)

    own = sum(errors(name, name) for name in bands)
    across = sum(np.mean([errors(source, name) for source in bands if source != name], axis=0) for name in bands)
    assert found["visible"].item() == pytest.approx(own[0], rel=1e-4)
    assert found["masked"].item() == pytest.approx(0.25 * own[1], rel=1e-4)
    assert found["visible_across"].item() == pytest.approx(0.5 * across[0], rel=1e-4)
    assert found["masked_across"].item() == pytest.approx(0.5 * 0.25 * across[1], rel=1e-4)


def test_without_noise_it_is_a_masked_autoencoder() -> None:
    """No draw of noise or step: the same windows at step 0."""
    network = built(bands={"optical": 3})
    availability = torch.ones(4, 1, dtype=torch.bool)
    found = losses(network, {"noise": False}, availability)
    assert set(found) == {"visible", "masked"}
    torch.manual_seed(3)
    steps = torch.randint(1, (4,))
    clean = torch.rand(4, 3, 7, 7, generator=torch.Generator().manual_seed(3))[:, :, 1:6, 1:6]
    kept = random_visible(4, 25, 0.7, torch.device("cpu"))
    image = network.decode("optical", network.encode("optical", clean, steps, kept), kept)
    visible, masked = reconstruction(image, clean, kept, 1)
    torch.testing.assert_close(found["visible"], visible)
    torch.testing.assert_close(found["masked"], 0.1 * masked)


def test_sensors_that_are_never_seen_together_are_reconstructed_from_themselves() -> None:
    network = built(bands={"optical": 3, "dem": 1})
    found = losses(network, {}, torch.tensor([[True, False], [False, True], [True, False]]))
    assert found["visible"] > 0
    assert found["visible_across"] == found["masked_across"] == 0


def test_across_sensors_an_encoder_learns_from_what_another_sees() -> None:
    """Eq. 11: the loss of a sensor's decoder reaches the other's stem, and positions stay as they are."""
    network = built(bands={"optical": 3, "dem": 1}).train()
    found = losses(network, {}, torch.ones(4, 2, dtype=torch.bool))
    decoder = network.decoders["optical"].bands.weight
    (found["visible_across"] + found["masked_across"]).backward()
    assert decoder.grad is not None
    assert network.stems["dem"].bands[0].weight.grad.abs().sum() > 0
    assert network.positions.grad is None


def test_labels_that_no_window_is_around_do_not_count() -> None:
    """Cross-entropy of a chip is that of the pixels whose windows lie in it."""
    network = built()
    given = {name: torch.rand(2, count, 8, 7) for name, count in BANDS.items()}
    labels, everything = torch.randint(0, 4, (2, 8, 7)), torch.ones(2, 3, dtype=torch.bool)
    method = Method(CompleteSampler(), [CrossEntropy(CrossEntropyOptions())])
    found = method.loss(segmenter(network), given, everything, labels).terms["cross_entropy"]
    logits = network(given, everything)[:, :, 2:6, 2:5]
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, labels[:, 2:6, 2:5]))


def test_a_recipe_cannot_pre_train_another_network_so() -> None:
    network = build_network("mean_fusion", {"encoder": "resnet-tiny"}, {"a": 1}, 2)
    with pytest.raises(RecipeError, match="lds2ae"):
        LocalDiffusion(LocalDiffusionOptions()).check(network)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"window": 10}, "odd"), ({"window": 9, "patch": 2}, "patches of 2"), ({"width": 20, "heads": 8}, "8 heads")],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        built(options)


def test_what_sensors_share_is_the_mean_and_each_predicts_as_it_would_alone() -> None:
    network = built()
    moved(network)
    given = {name: torch.randn(2, count, 7, 7) for name, count in BANDS.items()}
    detail = network.detail(given, torch.tensor([[True, True, True], [True, False, True]]))
    first = detail.unimodal
    tokens = [first[name].features[0][0] for name in BANDS]
    torch.testing.assert_close(detail.latents["shared"][0], sum(tokens) / 3)
    both = (first["optical"].features[0][1] + first["dem"].features[0][1]) / 2
    torch.testing.assert_close(detail.latents["shared"][1], both)
    alone = network(given, torch.tensor([[False, False, True]] * 2))
    torch.testing.assert_close(first["dem"].prediction, alone)


def test_windows_are_cut_in_pieces_of_rows_and_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their size, the answers are those of all windows at once."""
    network = built()
    given = {name: torch.randn(2, count, 9, 12) for name, count in BANDS.items()}
    everything = torch.ones(2, 3, dtype=torch.bool)
    expected = network(given, everything)
    for windows in (1, 3, 5, 11):
        monkeypatch.setattr("engine.networks.windows.PIECE", 2 * windows * 26**2)
        torch.testing.assert_close(network(given, everything), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("window", "stride", "tile"), [(11, 1, 26), (11, 4, 74), (27, 1, 52), (51, 3, 101), (1, 1, 16), (5, 2, 36)]
)
def test_a_tile_holds_whole_steps_of_windows_and_four_halos(window: int, stride: int, tile: int) -> None:
    with torch.device("meta"):
        network = build_network("lds2ae", {"window": window, "stride": stride}, {"a": 1}, 2)
    assert network.tile == tile
    assert (tile - window + 1) % stride == 0
    assert 4 * network.margin <= tile


def test_a_window_of_one_pixel_trains_with_a_single_sample() -> None:
    """Batch norm has nothing to norm by there and takes what it has seen before."""
    network = built({"window": 1})
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items() if "running" in key}
    given = {name: torch.randn(1, count, 1, 1) for name, count in BANDS.items()}
    logits = network(given, torch.tensor([[True, False, False]]))
    logits.square().sum().backward()
    assert network.stems["optical"].bands[0].weight.grad.abs().sum() > 0
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())


def test_low_rank_matrices_reach_the_head() -> None:
    """Whose weights begin near zero after a pre-training: without them nothing would be learned."""
    network = built()
    names = targets(network, network.lora_targets)
    assert {"heads.optical", "heads.sar", "heads.dem"} <= set(names)
    adapt(network, network.lora_targets, 4, 0)
    given = {name: torch.rand(2, count, 5, 5) for name, count in BANDS.items()}
    network(given, torch.ones(2, 3, dtype=torch.bool)).square().sum().backward()
    learned = [key for key, parameter in network.named_parameters() if parameter.grad is not None]
    assert any(key.startswith("heads.sar.lora_B") for key in learned)


@pytest.mark.parametrize("bands", [1, 4, 224])
def test_a_sensor_may_have_one_band_or_hundreds(bands: int) -> None:
    network = built(bands={"hyperspectral": bands})
    given = {"hyperspectral": torch.randn(2, bands, 6, 7)}
    found = network(given, torch.ones(2, 1, dtype=torch.bool))
    alone = network({"hyperspectral": given["hyperspectral"][:, :, 1:6, 2:7]}, torch.ones(2, 1, dtype=torch.bool))
    torch.testing.assert_close(found[:, :, 3, 4], alone[:, :, 2, 2], rtol=1e-4, atol=1e-4)
