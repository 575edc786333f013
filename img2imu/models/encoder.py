"""Image encoders, read at the stages that say most about a spectrogram."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .config import IMAGENET_MEAN as IMAGENET_MEAN
from .config import IMAGENET_STD as IMAGENET_STD
from .config import TOKENS, EncoderConfig
from .conv1d import WindowEncoder, create_window_encoder
from .tokens import TokenBackbone, TokenEncoder
from .weights import (
    REGISTRY,
    StateDict,
    fold_batch_norm,
    load_weights,
    read_state_dict,
    start_from,
)

SHIPPED_STAGES = 2
"""Stages of the toolkit's own weights: no preset but the paper's reads further."""


class Encoder(nn.Module):
    """A frozen image encoder that pools chosen stages to one vector.

    Parameters
    ----------
    backbone
        Maps (n, 3, height, width) to a list of feature maps, one for each stage read.
    stages
        Numbers of the stages read.
    bands
        Frequency bands kept when pooling.
    ordered
        Numbers of a window's views of which the features also tell what came first: see
        :func:`pool_trend`.

    Notes
    -----
    Pictures arrive in [0, 1]; the ImageNet mean and deviation are applied here, at the door.

    A convolutional network's stages are its resolutions. A vision transformer's are its blocks,
    counted from 0; each token is a cell of its map.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, backbone: nn.Module, stages: Sequence[int], bands: int, ordered: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.stages = tuple(stages)
        self.bands = bands
        self.ordered = tuple(ordered)
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def extra_repr(self) -> str:
        """What tells this encoder from others with the same network."""
        return f"stages={self.stages}, bands={self.bands}, ordered={self.ordered}"

    def stage_features(self, images: Tensor) -> list[Tensor]:
        """Pictures in [0, 1] to the features of each stage read.

        Parameters
        ----------
        images
            Shape (n, 3, height, width), or (n, views, 3, height, width): the views go through
            the backbone as one batch.

        Returns
        -------
        list of Tensor, each of shape (n, (views + ordered views) · channels · bands)
        """
        batch = images.flatten(0, -4).contiguous(memory_format=torch.channels_last)
        maps = feature_maps(self.backbone, (batch - self.mean) / self.deviation)
        return [self._pooled(part, images.shape[0]) for part in maps]

    def _pooled(self, maps: Tensor, windows: int) -> Tensor:
        pooled = pool_bands(maps, self.bands).reshape(windows, -1)
        if not self.ordered:
            return pooled
        views = maps.reshape(windows, -1, *maps.shape[1:])
        trends = [pool_trend(views[:, view], self.bands).flatten(1) for view in self.ordered]
        return torch.cat([pooled, *trends], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """The features of all stages read, one after the other: (n, features)."""
        return torch.cat(self.stage_features(images), dim=1)


AnyEncoder = Encoder | WindowEncoder | TokenEncoder
"""Has ``stage_features``, of pictures or of windows."""


def feature_maps(body: nn.Module, images: Tensor) -> list[Tensor]:
    """What `body` makes of normalised images: a map (n, channels, rows, columns) for each stage."""
    maps: list[Tensor] = body(images)
    if getattr(body, "output_fmt", None) == "NHWC":
        maps = [part.permute(0, 3, 1, 2) for part in maps]
    return maps


def pool_bands(features: Tensor, bands: int) -> Tensor:
    """Average a map (n, channels, rows, columns) over time and, in `bands`, over frequency.

    Returns shape (n, channels, bands).
    """
    return _in_bands(features.mean(-1), bands)


def pool_trend(features: Tensor, bands: int) -> Tensor:
    """What :func:`pool_bands` forgets: how far a feature grows over time.

    The mean over time of the map weighted by a line from −1 to 1, in `bands` of frequency; played
    backwards it changes its sign.
    """
    line = torch.linspace(-1, 1, features.shape[-1], dtype=features.dtype, device=features.device)
    return _in_bands((features * line).mean(-1), bands)


def _in_bands(over_time: Tensor, bands: int) -> Tensor:
    """(n, channels, rows) to (n, channels, bands).

    Band edges are those of adaptive pooling, written as slices because every runtime has slices.
    They repeat as often as the greatest common divisor says, so that few slices are enough.
    """
    repeats = math.gcd(over_time.shape[-1], bands)
    rows, count = over_time.shape[-1] // repeats, bands // repeats
    groups = over_time.unflatten(-1, (repeats, rows))
    edges = [(i * rows // count, -(-(i + 1) * rows // count)) for i in range(count)]
    means = [groups[..., start:stop].mean(-1) for start, stop in edges]
    return torch.stack(means, dim=-1).flatten(-2)


def create_encoder(
    name: str = "resnet18",
    pretrained: bool = False,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    seed: int = 0,
    stages: tuple[int, ...] = (1, 2),
    bands: int = 6,
    axes: int = 3,
) -> AnyEncoder:
    """Build a frozen encoder in evaluation mode; see :class:`EncoderConfig` for the parameters.

    One that reads windows has besides their `axes`, three for each sensor.

    Raises
    ------
    InputError
        If name, stage or weights do not exist or do not fit each other.

    Examples
    --------
    >>> import torch
    >>> encoder = create_encoder("resnet18", stages=(1, 2), bands=6)
    >>> encoder(torch.rand(4, 7, 3, 72, 96)).shape
    torch.Size([4, 8064])
    """
    path = os.fspath(checkpoint) if checkpoint is not None else None
    return build_encoder(EncoderConfig(name, pretrained, path, seed, stages, bands), axes=axes)


def shipped_path(name: str) -> Path:
    """File of the weights `name`, one of those that come with the toolkit."""
    return Path(__file__).with_name(REGISTRY[name])


def build_encoder(config: EncoderConfig, ordered: Sequence[int] = (), axes: int = 3) -> AnyEncoder:
    """:func:`create_encoder` from settings; `ordered` as of :class:`Encoder`.

    Raises
    ------
    InputError
        Also if it is one of tokens, which :func:`build_token_encoder` builds.
    """
    if config.reads_tokens:
        raise InputError(
            f"{config.name}, which leaves missing samples out, can be probed, and neither fitted, "
            "fine-tuned nor exported so far"
        )
    if config.reads_windows:
        return create_window_encoder(config, axes).eval().requires_grad_(False)
    backbone = _backbone(config)
    if config.checkpoint:
        state = _named_as_in(backbone, read_state_dict(Path(config.checkpoint)))
        backbone = load_weights(backbone, state, config.checkpoint)
    elif config.name in REGISTRY and config.pretrained:
        if max(config.stages) > SHIPPED_STAGES:
            raise InputError(
                f"{config.name}, which comes with the toolkit, ends at stage {SHIPPED_STAGES}: to "
                f"read stage {max(config.stages)} give --weights FILE, or --encoder "
                "torchvision/resnet18 --pretrained"
            )
        state = read_state_dict(shipped_path(config.name))
        backbone = load_weights(backbone, state, config.name)
    elif config.name.startswith("torchvision/") and config.pretrained:
        backbone = load_weights(backbone, _torchvision_state(config.name), config.name)
    backbone = fold_batch_norm(backbone).to(memory_format=torch.channels_last)
    encoder = Encoder(backbone, config.stages, config.bands, ordered)
    return encoder.eval().requires_grad_(False)


def build_token_encoder(config: EncoderConfig, names: Sequence[str]) -> TokenEncoder:
    """A frozen encoder of tokens in evaluation mode; `names` are those of the pictures it reads.

    Raises
    ------
    InputError
        If it is no plain vision transformer, or the weights lack one of its tensors.
    """
    backbone = _token_backbone(config, names)
    if config.checkpoint:
        state = _named_as_in(backbone, read_state_dict(Path(config.checkpoint)))
        own = {f"view_embed.{name}": value for name, value in backbone.view_embed.items()}
        if not any(name.startswith("view_embed.") for name in state):
            state |= own  # A plain transformer's file knows of none.
        unknown = [name for name in own if name not in state]
        if unknown:
            missing = unknown[0].removeprefix("view_embed.")
            raise InputError(f"{config.checkpoint} has not learnt to read {missing}")
        load_weights(backbone, state, config.checkpoint)
    return TokenEncoder(backbone, config.stages).eval().requires_grad_(False)


def create_token_backbone(
    name: str, names: Sequence[str], *, stages: tuple[int, ...], init: str | None, seed: int
) -> TokenBackbone:
    """An encoder of tokens up to the last of `stages`, to be trained.

    Parameters
    ----------
    name
        A vision transformer of timm's.
    names
        Of the pictures that it reads.
    stages, init, seed
        As in :func:`create_backbone`.

    Raises
    ------
    InputError
        As :func:`build_token_encoder`.
    """
    backbone = _token_backbone(
        EncoderConfig(TOKENS + name, seed=seed, stages=stages, bands=1), names
    )
    if init is not None:
        start_from(backbone, _named_as_in(backbone, _initial_state(init)), init)
    return backbone


def _token_backbone(config: EncoderConfig, names: Sequence[str]) -> TokenBackbone:
    name = config.name.removeprefix(TOKENS)
    network = getattr(_backbone(replace(config, name=name, checkpoint=None)), "model", None)
    if not {"patch_embed", "blocks", "pos_embed", "norm_pre"} <= {*dir(network)}:
        raise InputError(f"{name} is no plain vision transformer, such as vit_tiny_patch16_224")
    assert network is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return TokenBackbone(network, names)


class Backbone(nn.Module):
    """An encoder to be trained: images to the pooled features of chosen stages.

    Parameters
    ----------
    body
        Maps (n, 3, height, width) to a list of feature maps, one for each stage.
    bands
        Frequency bands kept when pooling.

    Attributes
    ----------
    widths : list of int
        Features of each stage.
    """

    def __init__(self, body: nn.Module, bands: int) -> None:
        super().__init__()
        self.body = body
        self.bands = bands
        info: Any = body.feature_info
        self.widths: list[int] = [channels * bands for channels in info.channels()]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images to the features of each stage, (n, channels · bands)."""
        maps = feature_maps(self.body, images)
        return [pool_bands(part, self.bands).flatten(1) for part in maps]


AnyBackbone = Backbone | WindowEncoder | TokenBackbone
"""An encoder to be trained, of images or of windows."""


def create_backbone(
    name: str,
    *,
    stages: tuple[int, ...] = (4,),
    bands: int = 1,
    init: str | None = None,
    seed: int = 0,
    images: Tensor | None = None,
) -> Backbone:
    """Build an encoder up to the last of `stages`, to be trained.

    Parameters
    ----------
    name
        A timm architecture.
    stages, bands
        Where its features are taken and in how many frequency bands; see :class:`EncoderConfig`.
    init
        Weights to start from: a name of timm's (``resnet18.tv_in1k``), ``torchvision/NAME``, one
        of the toolkit's, or a file. Stages that a file lacks start at random.
    seed
        Of the random weights.
    images
        Normalised photographs (n, 3, height, width), on which batch norm that `init` has folded
        into its convolutions is measured anew; see :func:`~.weights.start_from`.

    Raises
    ------
    InputError
        If architecture, stages or weights do not exist or do not fit each other.
    """
    body = _backbone(EncoderConfig(name, seed=seed, stages=stages, bands=bands))
    if init is not None:
        start_from(body, _named_as_in(body, _initial_state(init)), init, images)
    return Backbone(body, bands)


def _initial_state(init: str) -> StateDict:
    if init in REGISTRY:
        return read_state_dict(shipped_path(init))
    if init.startswith("torchvision/"):
        return _torchvision_state(init)
    if Path(init).exists() or "/" in init or init.endswith((".safetensors", ".pt", ".pth")):
        return read_state_dict(Path(init))
    import timm

    try:
        return dict(timm.create_model(init, pretrained=True, num_classes=0).state_dict())
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no pre-trained weights for {init}: {reason}") from None


def _backbone(config: EncoderConfig) -> nn.Module:
    import timm

    own = config.name in REGISTRY or config.name.startswith("torchvision/")
    name = config.name.removeprefix("torchvision/")
    architecture = name.split(".")[0] if own else name
    if not timm.is_model(architecture.split(".")[0]):
        raise InputError(f"unknown encoder {config.name!r}: not an architecture of timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            return _any_size(
                architecture,
                pretrained=config.pretrained and not own,
                features_only=True,
                out_indices=config.stages,
            )
        except InputError:
            raise
        except (AssertionError, IndexError, ValueError) as error:
            raise InputError(
                f"{config.name} cannot be read at stages {config.stages}: {error}"
            ) from None
        except (OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"no pre-trained weights for {config.name}: {reason}") from None


_FREEDOMS: tuple[dict[str, Any], ...] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"strict_img_size": False},
    {},
)
"""Settings by which timm's transformers interpolate positions or fit windows to the picture."""


def _any_size(architecture: str, **settings: Any) -> nn.Module:
    """timm's network for pictures of any size, also where it was made for one."""
    import timm

    pretrained = timm.get_pretrained_cfg(architecture)
    if pretrained is None or not pretrained.fixed_input_size:
        return timm.create_model(architecture, **settings)
    for freedom in _FREEDOMS:
        try:
            network = timm.create_model(architecture, **freedom, **settings)
        except TypeError:
            continue  # has no such setting
        try:
            with torch.no_grad():
                network.eval()(torch.zeros(1, 3, 48, 64))
        except (AssertionError, RuntimeError):
            continue
        return network.train()
    raise InputError(f"{architecture} takes pictures of one size only: choose another encoder")


def _named_as_in(body: nn.Module, state: StateDict) -> StateDict:
    """`state` with the names of `body` too, where timm changed them to read stages.

    A transformer read at its blocks is put under ``model``; ``stages.0`` becomes ``stages_0``.
    """
    renamed = {}
    for name in body.state_dict():
        for whole in (name.removeprefix("model."), re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", name)):
            if name not in state and whole in state:
                renamed[name] = state[whole]
    return state | renamed


def _torchvision_state(name: str) -> StateDict:
    from torchvision.models import get_model

    try:
        return get_model(name.removeprefix("torchvision/"), weights="DEFAULT").state_dict()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no pre-trained weights for {name}: {reason}") from None
