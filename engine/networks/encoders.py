"""Encoders of `transformers`, split into a stem, one for each modality, and stages that modalities may share.

SegFormer: E. Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers",
NeurIPS 2021 (sizes: its table 6). ResNet: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, ResNetConfig, ResNetModel, SegformerConfig, SegformerModel

from engine.errors import ModelError

_MIT_WIDTHS = (64, 128, 320, 512)
_SEGFORMERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    # hidden sizes, depths, width of the published head
    "segformer-tiny": ((16, 24, 32, 48), (1, 1, 1, 1), 32),
    "segformer-b0": ((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "segformer-b1": (_MIT_WIDTHS, (2, 2, 2, 2), 256),
    "segformer-b2": (_MIT_WIDTHS, (3, 4, 6, 3), 768),
    "segformer-b3": (_MIT_WIDTHS, (3, 4, 18, 3), 768),
    "segformer-b4": (_MIT_WIDTHS, (3, 8, 27, 3), 768),
    "segformer-b5": (_MIT_WIDTHS, (3, 6, 40, 3), 768),
}
_RESNETS: dict[str, tuple[tuple[int, ...], tuple[int, ...], str, int]] = {
    # hidden sizes, depths, kind of layer, width of the head
    "resnet-tiny": ((16, 24, 32, 48), (1, 1, 1, 1), "basic", 32),
    "resnet-18": ((64, 128, 256, 512), (2, 2, 2, 2), "basic", 256),
    "resnet-34": ((64, 128, 256, 512), (3, 4, 6, 3), "basic", 256),
    "resnet-50": ((256, 512, 1024, 2048), (3, 4, 6, 3), "bottleneck", 256),
}
ENCODERS = (*_SEGFORMERS, *_RESNETS)
"""Names of the encoders."""


def head_width(encoder: str) -> int:
    """The width of the all-MLP head that goes with an encoder."""
    return _SEGFORMERS[encoder][2] if encoder in _SEGFORMERS else _RESNETS[encoder][3]


def adapted(convolution: nn.Conv2d, bands: int) -> nn.Conv2d:
    """A first convolution for ``bands`` bands that keeps pretrained kernels.

    For as many bands as it has, its kernels are copied; else each band gets their mean, scaled so that the sum
    over the bands stays what it was.
    """
    had = convolution.in_channels
    new = nn.Conv2d(
        bands,
        convolution.out_channels,
        kernel_size=convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    with torch.no_grad():
        kernel = convolution.weight
        new.weight.copy_(
            kernel if bands == had else kernel.mean(dim=1, keepdim=True).repeat(1, bands, 1, 1) * had / bands
        )
        if convolution.bias is not None and new.bias is not None:
            new.bias.copy_(convolution.bias)
    return new


class Encoder(nn.Module, ABC):
    """A stem for each modality, and four stages that all share, at strides 4, 8, 16 and 32.

    Args:
        bands: For each modality its number of bands.
    """

    widths: tuple[int, ...]

    def __init__(self, bands: Mapping[str, int]) -> None:
        super().__init__()
        self.bands = dict(bands)

    @abstractmethod
    def stem(self, modality: str, values: Tensor) -> Tensor:
        """``[B, C_m, H, W]`` to ``[B, C, H/4, W/4]``."""

    @abstractmethod
    def stage(self, number: int, features: Tensor) -> Tensor:
        """One stage, 0 to 3: the stem's or the stage before's features to ``[B, C_i, H/s_i, W/s_i]``."""

    @abstractmethod
    def layers(self, number: int) -> Iterable[nn.Module]:
        """The modules of one stage, 0 to 3."""

    def stages(self, features: Tensor) -> list[Tensor]:
        """What the stem gives to the maps of all stages."""
        maps = []
        for number in range(len(self.widths)):
            features = self.stage(number, features)
            maps.append(features)
        return maps


class SegformerEncoder(Encoder):
    """SegFormer's MiT: the first overlapping patch embedding is the stem."""

    def __init__(self, bands: Mapping[str, int], model: SegformerModel) -> None:
        super().__init__(bands)
        self.widths = tuple(model.config.hidden_sizes or ())
        start: Any = model.stages[0]
        first = start.patch_embeddings
        self.projections = nn.ModuleDict({name: adapted(first.proj, count) for name, count in bands.items()})
        self.norms = nn.ModuleDict({name: nn.LayerNorm(self.widths[0]) for name in bands})
        for norm in self.norms.values():
            norm.load_state_dict(first.layer_norm.state_dict())
        self.first_blocks: nn.ModuleList = start.blocks
        self.first_norm: nn.LayerNorm = start.layer_norm
        self.later_stages = model.stages[1:]

    def stem(self, modality: str, values: Tensor) -> Tensor:
        """See :meth:`Encoder.stem`."""
        projected = self.projections[modality](values)
        normed: Tensor = self.norms[modality](projected.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)

    def stage(self, number: int, features: Tensor) -> Tensor:
        """See :meth:`Encoder.stage`."""
        if number:
            found: Tensor = self.later_stages[number - 1](features)
            return found
        batch, width, rows, cols = features.shape
        tokens = features.flatten(2).transpose(1, 2)  # (B, H/4 * W/4, C)
        for block in self.first_blocks:
            tokens = block(tokens, rows, cols)
        tokens = self.first_norm(tokens)
        return tokens.transpose(1, 2).reshape(batch, width, rows, cols)

    def layers(self, number: int) -> Iterable[nn.Module]:
        """See :meth:`Encoder.layers`."""
        return (self.later_stages[number - 1],) if number else (self.first_blocks, self.first_norm)


class ResNetEncoder(Encoder):
    """ResNet: its 7 x 7 convolution, batch norm, ReLU and pooling are the stem."""

    def __init__(self, bands: Mapping[str, int], model: ResNetModel) -> None:
        super().__init__(bands)
        self.widths = tuple(model.config.hidden_sizes or ())
        first = model.embedder.embedder
        self.convolutions = nn.ModuleDict({name: adapted(first.convolution, count) for name, count in bands.items()})
        self.norms = nn.ModuleDict({name: nn.BatchNorm2d(model.config.embedding_size) for name in bands})
        for norm in self.norms.values():
            norm.load_state_dict(first.normalization.state_dict())
        self.pool = model.embedder.pooler
        self.shared = model.encoder.stages

    def stem(self, modality: str, values: Tensor) -> Tensor:
        """See :meth:`Encoder.stem`."""
        pooled: Tensor = self.pool(torch.relu(self.norms[modality](self.convolutions[modality](values))))
        return pooled

    def stage(self, number: int, features: Tensor) -> Tensor:
        """See :meth:`Encoder.stage`."""
        found: Tensor = self.shared[number](features)
        return found

    def layers(self, number: int) -> Iterable[nn.Module]:
        """See :meth:`Encoder.layers`."""
        return (self.shared[number],)


def _segformer_config(name: str) -> SegformerConfig:
    widths, depths, head = _SEGFORMERS[name]
    return SegformerConfig(hidden_sizes=list(widths), depths=list(depths), decoder_hidden_size=head)


def _resnet_config(name: str) -> ResNetConfig:
    widths, depths, layer, _ = _RESNETS[name]
    return ResNetConfig(
        embedding_size=min(64, widths[0]), hidden_sizes=list(widths), depths=list(depths), layer_type=layer
    )


def _pretrained(kind: type[PreTrainedModel], weights: str, config: SegformerConfig | ResNetConfig) -> Any:  # noqa: ANN401 (a class of `transformers`)
    try:
        model: Any = kind.from_pretrained(weights)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"network.options.weights: {weights} is neither a folder with pretrained weights nor a name on the "
            f"model hub that can be reached: {error}"
        ) from error
    wanted, found = ((list(item.hidden_sizes or ()), list(item.depths or ())) for item in (config, model.config))
    if wanted != found:
        raise ModelError(f"network.options.weights: {weights} has widths and depths {found}, the encoder has {wanted}")
    return model


def build_encoder(name: str, bands: Mapping[str, int], weights: str | None = None) -> Encoder:
    """An encoder by name.

    Args:
        name: One of :data:`ENCODERS`.
        bands: For each modality its number of bands.
        weights: Hub name or folder of pretrained weights; random ones where None.

    Raises:
        ModelError: If there is no such encoder, or the weights cannot be loaded or do not fit.
    """
    if name in _SEGFORMERS:
        mit = _segformer_config(name)
        return SegformerEncoder(bands, _pretrained(SegformerModel, weights, mit) if weights else SegformerModel(mit))
    if name in _RESNETS:
        resnet = _resnet_config(name)
        return ResNetEncoder(bands, _pretrained(ResNetModel, weights, resnet) if weights else ResNetModel(resnet))
    raise ModelError(f"network.options.encoder: {name!r} is none of {', '.join(ENCODERS)}")
