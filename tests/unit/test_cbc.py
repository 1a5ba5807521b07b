"""CBC and CBC-SLP a second time, from their description: whole volumes, one sample at a time, torch's own layers."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.networks.cbc import Cbc
from engine.networks.cbc_decoder import Decoder
from engine.networks.cbc_encoder import Encoder, Size
from engine.networks.registry import build_network

State = Mapping[str, Tensor]
BANDS = {"rgb": 3, "nir": 3, "dem": 2}


def conv(state: State, layer: str, volume: Tensor, mode: str | None = None, **options: object) -> Tensor:
    if mode is not None:
        volume = F.pad(volume, (1,) * 6, mode=mode)
    return F.conv3d(volume, state[f"{layer}.weight"], state.get(f"{layer}.bias"), **options)  # type: ignore[arg-type]


def unit(state: State, layer: str, volume: Tensor, mode: str | None = None) -> Tensor:
    """Convolution, ReLU, instance norm."""
    return F.instance_norm(torch.relu(conv(state, f"{layer}.0", volume, mode)))


def refined(state: State, layer: str, volume: Tensor) -> Tensor:
    """1 x 1 x 1, 3 x 3 x 3 with zeros around, 1 x 1 x 1."""
    volume = unit(state, f"{layer}.0", volume)
    return unit(state, f"{layer}.2", unit(state, f"{layer}.1", volume, "constant"))


def decoded(state: State, prefix: str, skips: list[Tensor], cube: Tensor, rows: int, cols: int) -> Tensor:
    """Refined skips as whole cubes beside the volume, whose reduction is a plain convolution."""
    volume = conv(state, f"{prefix}start.1", refined(state, f"{prefix}start.0", cube))
    for level, skip in enumerate(reversed(skips)):
        edge = 2 * volume.shape[-1]
        volume = F.interpolate(volume, size=(edge,) * 3, mode="trilinear", align_corners=True)
        volume = unit(state, f"{prefix}ups.{level}", volume, "replicate")
        beside = F.interpolate(refined(state, f"{prefix}skips.{level}", skip), size=(edge,) * 3, mode="nearest")
        mix = f"{prefix}mixes.{level}"
        weights = torch.cat([state[f"{mix}.volume.weight"], state[f"{mix}.skip.weight"]], dim=1)
        both = F.pad(torch.cat([volume, beside], dim=1), (1,) * 6, mode="replicate")
        mixed = F.conv3d(both, weights, state[f"{mix}.volume.bias"])
        volume = unit(state, f"{prefix}ends.{level}", F.instance_norm(torch.relu(mixed)))
    image = F.interpolate(volume, size=(1, rows, cols), mode="trilinear", align_corners=True)[:, :, 0]
    return F.conv2d(image, state[f"{prefix}head.weight"], state[f"{prefix}head.bias"])


def normed(state: State, layer: str, volume: Tensor) -> Tensor:
    """Batch norm by what is stored."""
    return F.batch_norm(
        volume, *(state[f"{layer}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    )


def levels(state: State, prefix: str, volume: Tensor, size: Size) -> list[Tensor]:
    """Five levels behind their adapters."""
    found = conv(state, f"{prefix}stem.0", volume, stride=(1, 2, 2), padding=(1, 3, 3))
    found = normed(state, f"{prefix}stem.2", torch.relu(found))
    found = F.max_pool3d(found, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    raw = [found]
    for stage, count in enumerate(size.depths):
        for number in range(count):
            block, step = f"{prefix}stages.{stage}.{number}.", 2 if stage and not number else 1
            # (stride, 3 x 3 or not) of each convolution
            plan = [(1, 0), (step, 1), (1, 0)] if size.bottleneck else [(step, 1), (1, 1)]
            inner = found
            for place, (stride, wide) in enumerate(plan):
                layer = f"{block}layers.{3 * place}"
                inner = conv(state, layer, inner, stride=(1, stride, stride), padding=(0, wide, wide))
                inner = normed(state, f"{block}layers.{3 * place + 1}", inner)
                inner = torch.relu(inner) if place < len(plan) - 1 else inner
            if f"{block}shortcut.0.weight" in state:
                found = normed(
                    state, f"{block}shortcut.1", conv(state, f"{block}shortcut.0", found, stride=(1, step, step))
                )
            found = torch.relu(inner + found)
        raw.append(found)
    return [conv(state, f"{prefix}adapters.{number}", one) for number, one in enumerate(raw)]


def block(state: State, prefix: str, tokens: Tensor, heads: int) -> Tensor:
    """Pre-norm attention by torch's own, then the perceptron."""
    width = tokens.shape[-1]
    layer = nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64).eval()
    layer.load_state_dict(
        {
            "in_proj_weight": state[f"{prefix}qkv.weight"],
            "in_proj_bias": torch.zeros(3 * width, dtype=torch.float64),
            "out_proj.weight": state[f"{prefix}proj.weight"],
            "out_proj.bias": state[f"{prefix}proj.bias"],
        }
    )

    def norm(number: int) -> Tensor:
        key = f"{prefix}norm{number}"
        return F.layer_norm(tokens, (width,), state[f"{key}.weight"], state[f"{key}.bias"])

    first = norm(1)
    tokens = tokens + layer(first, first, first, need_weights=False)[0]
    hidden = F.gelu(F.linear(norm(2), state[f"{prefix}mlp.0.weight"], state[f"{prefix}mlp.0.bias"]))
    return tokens + F.linear(hidden, state[f"{prefix}mlp.3.weight"], state[f"{prefix}mlp.3.bias"])


def published(network: Cbc, inputs: dict[str, Tensor], there: list[bool]) -> tuple[Tensor, Tensor]:
    """Logits and X6_inter of one sample."""
    state, size, names = network.state_dict(), network.size, network.names
    edge, count = size.edge, len(names)
    features, cubes = {}, {}
    for name, have in zip(names, there, strict=True):
        image = inputs[name]
        volume = torch.cat([image, *[image[:, -1:]] * (3 - image.shape[1])], dim=1)[:, None]
        found = levels(state, f"encoders.{name}.", volume, size)
        resized = [F.interpolate(one, size=(edge,) * 3, mode="trilinear", align_corners=True) for one in found]
        cubes[name] = conv(state, f"encoders.{name}.cube", torch.cat(resized, dim=1)) * have
        features[name] = [one * have for one in found]
    skips = [unit(state, f"fusions.{n}", torch.cat([features[name][n] for name in names], dim=1)) for n in range(4)]
    fused = unit(state, "fusions.4", torch.cat([cubes[name] for name in names], dim=1))

    def tokens(volume: Tensor) -> Tensor:
        return volume.reshape(1, volume.shape[1], -1).movedim(1, 2)

    lifted = {name: tokens(conv(state, f"lifts.{name}", cubes[name])) for name in names}
    triples = {}
    for name in names:
        mixed = block(state, f"blocks.{name}.", lifted[name] + state[f"places.{name}"], size.heads)
        volume = mixed.movedim(1, 2).reshape(1, size.tokens, edge, edge, edge)
        triples[name] = conv(state, f"correlations.{name}", volume).split(size.tokens, dim=1)
    correlated = {}
    for target, have in zip(names, there, strict=True):
        scores = [triples[target][0] * triples[source][1] / count**0.5 for source in names]
        every = torch.logsumexp(torch.stack(scores), dim=0)
        parts = [torch.exp(score - every) * triples[name][2] for score, name in zip(scores, names, strict=True)]
        correlated[target] = have * torch.stack(parts).sum(dim=0)
    sequence = [lifted[name] + tokens(correlated[name]) + state[f"places.{name}"] for name in names]
    sequence.append(tokens(conv(state, "fused_lift", fused)) + state["fused_place"])
    mixed = block(state, "mixer.", torch.cat(sequence, dim=1), size.heads)
    # M + 1 tokens that follow each other at each voxel
    stacked = mixed.reshape(edge, edge, edge, -1).permute(3, 0, 1, 2)[None]
    inter = conv(state, "gather", stacked)
    bottleneck = inter
    if "shared.weight" in state:
        private = [
            have * conv(state, f"private.{name}", correlated[name]) for name, have in zip(names, there, strict=True)
        ]
        bottleneck = torch.cat([conv(state, "shared", inter), *private], dim=1)
    rows, cols = inputs[names[0]].shape[-2:]
    return decoded(state, "decoder.", skips, bottleneck, rows, cols), inter


@pytest.mark.parametrize("name", ["cbc", "cbc_slp"])
def test_the_network_is_what_its_description_says(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, {"size": "tiny"}, BANDS, 4).double()
    inputs = {key: torch.randn(3, bands, 68, 64, dtype=torch.float64) for key, bands in BANDS.items()}
    there = torch.tensor([[1, 1, 1], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)
    network(inputs, there)  # batch norms have seen something
    for place in [network.fused_place, *network.places.values()]:
        nn.init.normal_(place)
    network.eval()
    with torch.inference_mode():
        found = network.detail(inputs, there)
        for sample in range(2):
            alone = {key: values[sample : sample + 1] for key, values in inputs.items()}
            logits, inter = published(network, alone, there[sample].tolist())
            assert torch.allclose(found.latents["x6_inter"][sample], inter[0], rtol=0, atol=1e-10)
            assert torch.allclose(found.logits[sample], logits[0], rtol=0, atol=1e-9)


def test_bottleneck_blocks_halve_in_their_middle_convolution() -> None:
    torch.manual_seed(0)
    size = Size(2, 4, (8, 12, 16, 20), (1, 2, 1, 1), True, 4, 16, 2)
    encoder = Encoder(size).double()
    volume = torch.randn(2, 1, 3, 64, 60, dtype=torch.float64)
    encoder(volume)
    encoder.eval()
    wanted = levels(encoder.state_dict(), "", volume, size)
    for one, other in zip(encoder(volume), wanted, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8])
def test_the_decoder_over_slices_is_that_over_whole_volumes(depth: int) -> None:
    torch.manual_seed(0)
    decoder = Decoder(base=2, modalities=2, depth=depth, edge=2, classes=3).double()
    skips = [
        torch.randn(2, 4 * factor, depth, size, size, dtype=torch.float64)
        for factor, size in ((1, 16), (2, 16), (4, 8), (8, 4))
    ]
    cube = torch.randn(2, 32, 2, 2, 2, dtype=torch.float64)
    found, wanted = decoder(skips, cube, 60, 64), decoded(decoder.state_dict(), "", skips, cube, 60, 64)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-10)


def test_what_attention_gives_is_dropped_out_twice() -> None:
    torch.manual_seed(0)
    trained = build_network("cbc", {"size": "tiny"}, BANDS, 4).mixer.train()
    trained.rate = 0.0  # the weights themselves are not dropped
    nn.init.zeros_(trained.mlp[3].weight)
    nn.init.zeros_(trained.mlp[3].bias)
    tokens = torch.randn(64, 256, 16)
    zeros = (trained(tokens) == tokens).float().mean()
    assert abs(zeros - (1 - 0.9**2)) < 0.003
