"""All four sensor-aware augmentations at once, from bytes to the normalised training type.

One gather of columns (TranslateX, then PermuteX), one pass over the pixels (Hue, Jitter, clamp,
normalise). For equal parameters the images are those of the kornia classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .config import IMAGENET_MEAN, IMAGENET_STD, AugmentationError, Fill, SensorAwareConfig
from .functional import (
    add_noise,
    permuted_columns,
    rotate_hue,
    shifted_columns,
    take_columns,
    unit_range,
    whole_shift,
)
from .sampling import (
    Device,
    Parameters,
    draw_gate,
    draw_hue,
    draw_jitter,
    draw_permute_x,
    draw_translate_x,
)

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class FusedSensorAware(nn.Module):
    """TranslateX, PermuteX, Hue and Jitter in two passes over memory.

    Parameters
    ----------
    config
        Ranges and probabilities; ``p=0`` leaves an augmentation out.
    mean, std
        Of each channel, for images in [0, 1].
    dtype
        Of the result.

    Raises
    ------
    AugmentationError
        If the images are not (n, 3, height, width) of bytes or floating point numbers, or `dtype`
        is no floating point type.

    Notes
    -----
    Bytes on the CPU go through compiled code, images on CUDA through ``torch.compile``, all else
    through plain torch operations. Nothing is differentiable on the way of bytes.

    Examples
    --------
    >>> policy = FusedSensorAware()
    >>> images = torch.zeros(2, 3, 96, 128, dtype=torch.uint8)
    >>> drawn = policy.sample(2)
    >>> torch.equal(policy(images, drawn), policy(images, drawn))
    True
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: SensorAwareConfig | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if dtype not in FLOATS:
            raise AugmentationError(f"dtype must be one of {FLOATS}, not {dtype}")
        self.config = config or SensorAwareConfig()
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def sample(
        self, n: int, device: Device = None, generator: torch.Generator | None = None
    ) -> Parameters:
        """Draw the parameters of `n` images.

        Images that an augmentation passes over get its neutral value: no shift, one chunk, no
        turn, no amplitude.

        Returns
        -------
        dict
            ``fraction``, ``chunks``, ``turns``, ``amplitude``, ``seed`` (n,); ``scores``
            (n, most chunks).
        """
        config, drawing = self.config, (n, device, generator)
        drawn = {
            **draw_translate_x(config.translate_x, *drawing),
            **draw_permute_x(config.permute_x, *drawing),
            **draw_hue(config.hue, *drawing),
            **draw_jitter(config.jitter, *drawing),
        }
        for name, p, neutral in (
            ("fraction", config.translate_x.p, 0),
            ("chunks", config.permute_x.p, 1),
            ("turns", config.hue.p, 0),
            ("amplitude", config.jitter.p, 0),
        ):
            drawn[name] = torch.where(draw_gate(p, *drawing), drawn[name], neutral)
        return drawn

    def forward(self, images: Tensor, params: Parameters | None = None) -> Tensor:
        """Augment images (n, 3, height, width), bytes or floats in [0, 1].

        Returns
        -------
        Tensor
            Normalised, in the memory order of `images`.
        """
        _require_images(images)
        if params is None:
            params = self.sample(len(images), images.device)
        arguments = images, params, self.config.translate_x.fill, self.mean, self.std, self.dtype
        if torch.compiler.is_compiling():
            return augment_tensors(*arguments)
        if images.is_cuda:
            return _compiled_augment()(*arguments)
        if images.device.type == "cpu" and images.dtype == torch.uint8:
            return augment_on_cpu(*arguments)
        return augment_tensors(*arguments)


def augment_tensors(
    images: Tensor, params: Parameters, fill: Fill, mean: Tensor, std: Tensor, dtype: torch.dtype
) -> Tensor:
    """The definition of the fused path, in torch operations; compiled it is one or two kernels."""
    taken = unit_range(take_columns(images, source_columns(params, images.shape[-1], fill)))
    turned = rotate_hue(taken, params["turns"])
    noisy = add_noise(turned, params["amplitude"], params["seed"]).clamp(0, 1)
    normalised = (noisy - mean[:, None, None]) / std[:, None, None]
    return normalised.to(dtype, memory_format=_memory_format(images))


def augment_on_cpu(
    images: Tensor, params: Parameters, fill: Fill, mean: Tensor, std: Tensor, dtype: torch.dtype
) -> Tensor:
    """:func:`augment_tensors` for bytes on the CPU, in one pass."""
    from .kernel import augment_bytes

    # The kernel writes single precision and, as 16-bit words, bfloat16; torch halves in a pass of
    # its own.
    words = dtype == torch.bfloat16
    out = _empty_like(images, np.int16 if words else np.float32)
    augment_bytes(
        images,
        source_columns(params, images.shape[-1], fill),
        params["turns"],
        params["amplitude"],
        params["seed"],
        gain=(1 / (255 * std)).float(),
        bias=(-mean / std).float(),
        out=out,
    )
    return out.view(torch.bfloat16) if words else out.to(dtype)


def source_columns(params: Parameters, width: int, fill: Fill) -> Tensor:
    """Where each column comes from after TranslateX and then PermuteX, (n, width) int64."""
    shifted = shifted_columns(whole_shift(params["fraction"], width), width, fill)
    return shifted.gather(1, permuted_columns(params["chunks"], params["scores"], width))


@functools.cache
def _compiled_augment() -> Callable[..., Tensor]:
    return torch.compile(augment_tensors)


def _empty_like(images: Tensor, dtype: type[np.generic]) -> Tensor:
    """Memory for the result, from numpy: it asks for huge pages.

    With small ones the first touch of the memory takes longer than the augmentations.
    """
    if _memory_format(images) == torch.channels_last:
        return torch.from_numpy(np.empty(images.permute(0, 2, 3, 1).shape, dtype)).permute(
            0, 3, 1, 2
        )
    return torch.from_numpy(np.empty(images.shape, dtype))


def _memory_format(images: Tensor) -> torch.memory_format:
    if images.is_contiguous():
        return torch.contiguous_format
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def _require_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise AugmentationError(
            f"images must have shape (n, 3, height, width), not {tuple(images.shape)}"
        )
    if images.dtype not in (torch.uint8, *FLOATS):
        raise AugmentationError(f"images must be bytes or floats in [0, 1], not {images.dtype}")
