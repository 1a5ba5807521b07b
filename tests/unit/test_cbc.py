import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.networks.cbc import EPSILON, _Decoder


def norm(volume: Tensor) -> Tensor:
    centred = volume - volume.mean((2, 3, 4), keepdim=True)
    return centred * torch.rsqrt((centred**2).mean((2, 3, 4), keepdim=True) + EPSILON)


def over_whole_volumes(decoder: _Decoder, skips: list[Tensor], cube: Tensor, rows: int, cols: int) -> Tensor:
    """The decoder as published: skips resized to whole cubes, and put beside the volume before a convolution."""
    state = decoder.state_dict()

    def unit(volume: Tensor, layer: str, mode: str = "constant") -> Tensor:
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        if weight.shape[-1] == 3:
            volume = F.pad(volume, (1,) * 6, mode=mode)
        return norm(torch.relu(F.conv3d(volume, weight, bias)))

    def refined(volume: Tensor, layer: str) -> Tensor:
        return unit(unit(unit(volume, f"{layer}.0.0"), f"{layer}.1.0.convolution"), f"{layer}.2.0")

    volume = unit(refined(cube, "start.0"), "start.1.0")
    for level, skip in enumerate(reversed(skips)):
        edge = 2 * volume.shape[-1]
        volume = F.interpolate(volume, size=(edge,) * 3, mode="trilinear", align_corners=True)
        volume = unit(volume, f"ups.{level}.0", "replicate")
        beside = refined(F.interpolate(skip, size=(edge,) * 3, mode="nearest"), f"skips.{level}")
        both = F.pad(torch.cat([volume, beside], dim=1), (1,) * 6, mode="replicate")
        weights = [state[f"mixes.{level}.{part}.weight"] for part in ("volume", "skip.convolution")]
        mixed = F.conv3d(both, torch.cat(weights, dim=1), state[f"mixes.{level}.volume.bias"])
        volume = unit(norm(torch.relu(mixed)), f"ends.{level}.0")
    image = F.interpolate(volume, size=(1, rows, cols), mode="trilinear", align_corners=True)[:, :, 0]
    return F.conv2d(image, state["head.weight"], state["head.bias"])


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8])
def test_the_decoder_over_slices_is_that_over_whole_volumes(depth: int) -> None:
    torch.manual_seed(0)
    decoder = _Decoder(base=2, modalities=2, depth=depth, edge=4, classes=3).double()
    skips = [
        torch.randn(2, 4 * factor, depth, size, size, dtype=torch.float64)
        for factor, size in ((1, 16), (2, 16), (4, 8), (8, 4))
    ]
    cube = torch.randn(2, 32, 4, 4, 4, dtype=torch.float64)
    found, wanted = decoder(skips, cube, 60, 64), over_whole_volumes(decoder, skips, cube, 60, 64)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-11)
