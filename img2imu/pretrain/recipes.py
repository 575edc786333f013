"""Recommended and published settings, by preset and method; imported without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..models.config import TOKENS, WINDOW_ENCODERS, EncoderConfig
from .config import PretrainConfig
from .method_config import (
    AIMConfig,
    CPCConfig,
    FocalConfig,
    InfoMAEConfig,
    MMBindConfig,
    MoCoConfig,
    MultitaskConfig,
    RandomConfig,
    SemiCMTConfig,
    SimCLRConfig,
    SimSiamConfig,
    SupervisedConfig,
    WindowMethodConfig,
)

_SGD = PretrainConfig(
    stages=(2, 4),
    bands=6,
    policy="sensor-crops-soft",
    batch_size=128,
    optimizer="sgd",
    lr=0.06,
    lr_schedule="cosine",
    warmup_epochs=0.4,
    weight_decay=1e-4,
)
_MOCO = MoCoConfig(
    queue=8192, momentum=0.99, momentum_schedule="cosine", temperature=0.2, head="mlp", splits=1
)
_SENSOR = PretrainConfig(
    MultitaskConfig(), policy="none", encoder="conv1d", epochs=50, batch_size=256, lr=1e-3
)
_WINDOWS = PretrainConfig(
    SupervisedConfig(),
    policy="none",
    stages=(2,),
    bands=6,
    epochs=3,
    batch_size=64,
    lr=3e-4,
    lr_schedule="cosine",
    warmup_epochs=0.1,
    weight_decay=0.01,
)
_SIMCLR = replace(_SENSOR, method=SimCLRConfig(), batch_size=1024)
_INFOMAE = replace(_SENSOR, method=InfoMAEConfig(align_from=0.0), batch_size=64, lr=3e-4)
_MMBIND = replace(_SENSOR, method=MMBindConfig(), batch_size=128)
# At 1e-3 the embeddings of all windows become one before the contrasts tell them apart.
_FOCAL = replace(_SENSOR, method=FocalConfig(), epochs=4, batch_size=32, lr=3e-4, weight_decay=0.05)
_SEMICMT = replace(_FOCAL, method=SemiCMTConfig())
_AIM = PretrainConfig(
    AIMConfig(),
    policy="none",
    encoder="vit_tiny_patch16_224",
    stages=(3,),
    epochs=40,
    batch_size=64,
    lr=1e-3,
    lr_schedule="cosine",
    warmup_epochs=2,
    weight_decay=0.05,
)
_CPC = replace(_SENSOR, method=CPCConfig(), encoder="cpc1d", batch_size=64)

RECIPES: dict[str, dict[str, PretrainConfig]] = {
    # Paper §IV-A4; its eight GPUs gave batch norm over 32 images each. SimSiam is as published
    # with its method (100 epochs on ImageNet), and supervised weights were torchvision's.
    "paper": {
        "moco": PretrainConfig(),
        "simsiam": replace(
            _SGD,
            method=SimSiamConfig(),
            policy="moco-default",
            stages=(4,),
            bands=1,
            epochs=100,
            batch_size=256,
            lr=0.05,
            warmup_epochs=0,
        ),
        "simclr": _SIMCLR,
        "multitask": _SENSOR,
        "cpc": _CPC,
        "random": PretrainConfig(RandomConfig()),
    },
    "recommended": {
        "moco": replace(_SGD, method=_MOCO),
        "simsiam": replace(_SGD, method=SimSiamConfig(), lr=0.05),
        "supervised": replace(_SGD, method=SupervisedConfig(), lr=0.1),
        "simclr": _SIMCLR,
        "multitask": _SENSOR,
        "cpc": _CPC,
        "focal": _FOCAL,
        "semicmt": _SEMICMT,
        "infomae": _INFOMAE,
        "mmbind": _MMBIND,
        "aim": _AIM,
        "random": PretrainConfig(RandomConfig()),
    },
    # Image encoders on the pictures of windows. Batches of 64 are small for SimCLR, whose others
    # are those of the batch; larger ones would cost it more steps' time than the others have.
    "windows": {
        "supervised": _WINDOWS,
        "moco": replace(_WINDOWS, method=replace(_MOCO, queue=4096)),
        "simsiam": replace(_WINDOWS, method=SimSiamConfig()),
        "focal": replace(_WINDOWS, method=FocalConfig()),
        "semicmt": replace(_WINDOWS, method=SemiCMTConfig()),
        "infomae": replace(_WINDOWS, method=InfoMAEConfig()),
        "mmbind": replace(_WINDOWS, method=MMBindConfig()),
        "simclr": replace(_WINDOWS, method=SimCLRConfig(temperature=0.2)),
        "aim": _AIM,
    },
}
"""Settings by preset and method."""


def recipe_of_windows(method: str, encoder: str | None = None) -> PretrainConfig:
    """The recipe by which a method learns from windows files.

    Parameters
    ----------
    method
        A name among :data:`METHOD_CONFIGS`.
    encoder
        By name; None takes the method's usual one. SimCLR alone learns from windows as they are
        or from pictures of them, as the encoder reads.

    Raises
    ------
    InputError
        If there is no such method, or it does not fit the encoder.
    """
    presets = [RECIPES[name] for name in ("recommended", "windows")]
    recipes = [preset[method] for preset in presets if method in preset]
    if not recipes:
        known = sorted({name for preset in presets for name in preset})
        raise InputError(f"unknown method {method!r}; known: {', '.join(known)}")
    usual, of_pictures = recipes[0], recipes[-1]
    if encoder is None:
        return usual if isinstance(usual.method, WindowMethodConfig) else of_pictures
    return replace(usual if encoder in WINDOW_ENCODERS else of_pictures, encoder=encoder)


def start_of(read: EncoderConfig, init: str | None) -> EncoderConfig:
    """The encoder that training starts from, read as `read`; `init` as in the settings."""
    if init is None:
        return read
    if Path(init).is_file():
        return replace(read, checkpoint=init)
    tokens = TOKENS if read.reads_tokens else ""
    return replace(read, name=tokens + init, pretrained=True)
