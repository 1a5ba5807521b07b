"""How many parameters the papers' networks have, layer by layer by hand, beside what their authors' code holds.

Networks lie on torch's ``meta`` device: nothing is computed. Where the authors' code makes layers that it never uses,
they are counted apart.
"""

from collections.abc import Sequence

import pytest
import torch

from engine.networks.contract import Network
from engine.networks.registry import build_network

MIT_B0 = ((32, 64, 160, 256), (2, 2, 2, 2))
MIT_B2 = ((64, 128, 320, 512), (3, 4, 6, 3))
THREE = {"rgb": 3, "nir": 3, "swir": 3}


def built(name: str, options: dict[str, object], bands: dict[str, int], classes: int) -> Network:
    with torch.device("meta"):
        return build_network(name, options, bands, classes)


def counted(network: Network, prefix: str = "") -> int:
    return sum(value.numel() for key, value in network.named_parameters() if key.startswith(prefix))


def conv(come: int, go: int, area: int = 1, bias: bool = True) -> int:
    """A convolution whose kernel has so many places; a linear layer where that is 1."""
    return come * go * area + bias * go


def normed(come: int, go: int, area: int = 1) -> int:
    """A convolution without bias, and a batch norm."""
    return conv(come, go, area, bias=False) + 2 * go


def residual_layers() -> int:
    """The four layers of ResNet-50."""
    total, come = 0, 64
    for width, depth in ((256, 3), (512, 4), (1024, 6), (2048, 3)):
        inner = width // 4
        total += normed(come, width)  # the shortcut of the first block
        for _ in range(depth):
            total += normed(come, inner) + normed(inner, inner, 9) + normed(inner, width)
            come = width
    return total


def mix_transformer(widths: Sequence[int], depths: Sequence[int], bands: int = 3) -> int:
    """Patch embedding, blocks and norm of each stage; keys and values are reduced by strides 8, 4, 2, 1."""
    total, come = 0, bands
    for stage, (d, depth) in enumerate(zip(widths, depths, strict=True)):
        total += conv(come, d, 9 if stage else 49) + 2 * d
        reduce = (8, 4, 2, 1)[stage]
        reduction = conv(d, d, reduce**2) + 2 * d if reduce > 1 else 0
        attention = 4 * conv(d, d) + reduction
        perceptron = conv(d, 4 * d) + 4 * d * (9 + 1) + conv(4 * d, d)
        total += depth * (2 * 2 * d + attention + perceptron) + 2 * d
        come = d
    return total


def all_mlp(widths: Sequence[int], d: int, classes: int) -> int:
    return sum(conv(width, d) for width in widths) + normed(4 * d, d) + conv(d, classes)


def rectification(c: int) -> int:
    return conv(4 * c, 4 * c) + conv(4 * c, 2 * c) + conv(2 * c, c) + conv(c, 2)


def fusion(c: int) -> int:
    exchange = 2 * (conv(c, 2 * c) + conv(c, 2 * c, bias=False) + conv(2 * c, c) + 2 * c)
    embedding = conv(2 * c, c) + c * (9 + 1) + conv(c, c) + 2 * c
    return exchange + conv(2 * c, c, bias=False) + embedding + 2 * c


def meetings() -> int:
    return sum(rectification(width) + fusion(width) for width in MIT_B2[0])


def test_the_two_plain_streams_have_twenty_convolutions() -> None:
    """28.042 M for three sensors of three bands and one class; theirs has a bias before a batch norm, ours none."""
    blocks = ((3, 64), (64, 64), (64, 128), (128, 320), (320, 512))
    streams = 2 * sum(normed(come, go, 9) + normed(go, go, 9) for come, go in blocks)
    expected = streams + conv(6, 3, bias=False) + meetings() + all_mlp(MIT_B2[0], 256, 1)
    network = built("cmx_cnn", {}, THREE, 1)
    assert counted(network) == expected
    assert round((expected + 256) / 1e6, 3) == 28.042
    kernels = [
        value.shape for key, value in network.named_parameters() if key.startswith("streams.") and value.ndim == 4
    ]
    assert len(kernels) == 20
    assert {tuple(shape[2:]) for shape in kernels} == {(3, 3)}


def test_cmx_has_two_streams_of_mit_b2() -> None:
    """65.0 M up to the last fusion, 1.6 M for the decoder, of two images of three bands; theirs has that bias too."""
    encoder = 2 * mix_transformer(*MIT_B2) + meetings()
    decoder = all_mlp(MIT_B2[0], 512, 9)
    assert counted(built("cmx", {}, {"rgb": 3, "x": 3}, 9)) == encoder + conv(3, 3, bias=False) + decoder
    assert (round(encoder / 1e6, 1), round((decoder + 512) / 1e6, 1)) == (65.0, 1.6)


def cbc_parts() -> dict[str, int]:
    """CBC for three sensors and three classes, and what else its authors' code holds."""
    adapters = conv(64, 8) + conv(256, 16) + conv(512, 32) + conv(1024, 64) + conv(2048, 64)
    encoder = normed(1, 64, 147) + residual_layers() + adapters + conv(184, 64)
    early = sum(conv(width, width) for width in (24, 48, 96, 192, 192))
    d = 512
    block = 2 * 2 * d + conv(d, 3 * d, bias=False) + conv(d, d) + 2 * conv(d, d)
    tables = 4 * 8**3 * d
    tokens = 3 * (conv(64, d) + block + conv(d, 3 * d)) + conv(192, d) + block + tables + conv(4 * d, 192)

    def refined(width: int) -> int:
        return conv(width, width) + conv(width, width, 27) + conv(width, width)

    decoder = sum(refined(width) for width in (192, 192, 96, 48, 24)) + conv(192, 128)
    for come, wide, skip, narrow in ((128, 128, 192, 64), (64, 32, 96, 32), (32, 16, 48, 16), (16, 8, 24, 8)):
        decoder += conv(come, wide, 27) + conv(wide + skip, narrow, 27) + conv(narrow, narrow)
    decoder += conv(8, 3)
    unused = conv(192, 192) + 3 * conv(d, 64) + conv(128, 3) + conv(64, 3) + conv(32, 3) + conv(16, 3)
    return {"encoder": encoder, "decoder": decoder, "all": 3 * encoder + early + tokens + decoder, "unused": unused}


def test_cbc_has_the_layers_of_its_authors_code() -> None:
    """85.48 M with a fusion of level 5, a way from each sensor's tokens and four heads that are never used."""
    parts = cbc_parts()
    assert round(parts["encoder"] / 1e6, 2) == 23.74
    assert round(parts["decoder"] / 1e6, 2) == 3.73
    assert round((parts["all"] + parts["unused"]) / 1e6, 2) == 85.48
    assert counted(built("cbc", {}, THREE, 3)) == parts["all"]


def test_cbc_slp_adds_a_shared_and_private_latents() -> None:
    """85.55 M, as :func:`test_cbc_has_the_layers_of_its_authors_code`."""
    parts = cbc_parts()
    latents = conv(192, 96) + 3 * conv(512, 32)
    assert round((parts["all"] + latents + parts["unused"]) / 1e6, 2) == 85.55
    assert counted(built("cbc_slp", {}, THREE, 3)) == parts["all"] + latents


def test_stars_has_the_parts_of_metars() -> None:
    """Three encoders of 23.5 M, fusions of 13.3 M, decoders of 5.95, 5.95 and 4.97 M: 113.9 M; translations besides."""
    widths = (256, 512, 1024, 2048)
    stems = normed(1, 64, 49) + normed(3, 64, 49)
    fusions = sum(3 * (conv(c, c // 16) + conv(c // 16, c) + conv(c, 1)) + normed(2 * c, c) for c in widths)

    def decoder(levels: Sequence[int]) -> int:
        pyramid = sum(conv(level, 256) + conv(256, 256, 9) for level in levels)
        stacks = 4 * normed(256, 128, 9) + (1 + 2) * normed(128, 128, 9)
        return pyramid + stacks + conv(128, 8)

    unimodal, fused = decoder([2 * c for c in widths]), decoder(widths)
    rounded = [round(part / 1e6, 2) for part in (residual_layers(), fusions, unimodal, fused)]
    assert rounded == [23.5, 13.26, 5.95, 4.97]
    expected = 3 * residual_layers() + stems + 2 * fusions + 2 * unimodal + fused
    assert round(expected / 1e6, 1) == 113.9
    network = built("stars", {}, {"sar": 1, "rgb": 3}, 8)
    assert counted(network) - counted(network, "translations.") == expected
    assert counted(network, "translations.") == 2 * 2 * (conv(1024, 1024) + conv(2048, 2048))


def test_averaged_predictions_of_mit_b0_have_the_wide_head() -> None:
    """3.32 M and 2.78 M, 6.10 M together, with the paper's head of 768 and 25 classes; 256 is what SegFormer has."""
    encoder = mix_transformer(*MIT_B0)
    head = all_mlp(MIT_B0[0], 768, 25)
    assert [round(part / 1e6, 2) for part in (encoder, head, encoder + head)] == [3.32, 2.78, 6.10]
    wide = built("mean_fusion", {"encoder": "segformer-b0", "head_width": 768}, {"rgb": 3}, 25)
    assert counted(wide) == encoder + head
    usual = built("mean_fusion", {"encoder": "segformer-b0"}, {"rgb": 3}, 25)
    assert counted(usual) == encoder + all_mlp(MIT_B0[0], 256, 25)


D = 128
"""Width of the networks on windows, whose perceptrons are twice as wide."""
BLOCK = 4 * conv(D, D) + conv(D, 2 * D) + conv(2 * D, D) + 2 * 2 * D
WINDOWS = {"hs": 63, "lidar": 1}


def stem(bands: int) -> int:
    return conv(bands, D) + 2 * D + conv(D, D) + 2 * D + conv(D, D)


def test_lds2ae_has_the_layers_of_its_authors_code() -> None:
    """63 and 1 bands, 6 classes: 2.37 M in pre-training, 1.27 M in fine-tuning with what theirs never uses.

    That is a second encoder, and four projections in pre-training. Theirs has places for the class tokens, a table
    for each sensor, and another head in pre-training.
    """
    encoder = 4 * BLOCK + 2 * D
    inner = sum(stem(bands) for bands in WINDOWS.values()) + 2 * D + 2 * (conv(256, D) + conv(D, D)) + encoder
    decoders = sum(conv(D, D) + D + 3 * BLOCK + 2 * D + 2 * conv(D, D) + conv(D, bands) for bands in WINDOWS.values())
    head, tables = conv(2 * D, 6), 2 * 122 * D
    network = built("lds2ae", {}, WINDOWS, 6)
    assert counted(network) - counted(network, "decoders.") == inner + 121 * D + head
    assert counted(network, "decoders.") == decoders
    assert round((inner + tables + head + encoder) / 1e6, 2) == 1.27
    their_head = conv(2 * D, 256) + 2 * 256 + conv(256, D) + 2 * D + conv(D, 6)
    assert round((inner + 2 * tables + decoders + their_head + encoder + 4 * conv(D, D)) / 1e6, 2) == 2.37


def test_lvpcnet_has_1024_numbers_for_a_missing_sensor() -> None:
    """4 layers of 2 prompts, 128 wide; six tenths of a percent of the paper's reconstruction, which has 171 584."""
    encoder = 4 * BLOCK + 2 * D
    embeddings = sum(stem(bands) + D + 121 * D for bands in WINDOWS.values())
    projection = conv(D, 512) + conv(512, 512)
    plain = 3 * encoder + 2 * embeddings + 3 * projection + conv(3 * D, 6)
    network = built("lvpcnet", {}, WINDOWS, 6)
    prompts = [value.numel() for key, value in network.named_parameters() if key.startswith("prompts.")]
    assert prompts == [1024, 1024]
    assert counted(network) == plain + 2 * 1024 + conv(63, 1) + conv(1, 63)
    other = built("lvpcnet", {"compensation": "reconstruction"}, WINDOWS, 6)
    reconstruction = conv(256, 445) + conv(445, 128)
    assert counted(other) == plain + 2 * reconstruction
    assert 1024 / reconstruction == pytest.approx(1024 / 171584, rel=0.001)
