"""All sensor-aware augmentations at once, from bytes to the normalised training type.

One table of columns (CropX, TranslateX, PermuteX, MaskX) and one of rows (CropY, MaskY) say where
pixels come from, one pass over them does the rest (BandGain, Contrast, Hue, Jitter, normalise). For
equal parameters the images are those of the kornia classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .config import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AugmentationError,
    Fill,
    SensorAwareConfig,
    SensorCropsConfig,
)
from .functional import (
    OUTSIDE,
    SUBPIXELS,
    add_band_gain,
    add_noise,
    change_contrast,
    crop_grid,
    crop_taps,
    hidden_range,
    interpolate_columns,
    interpolate_rows,
    is_hidden,
    permuted_columns,
    rotate_hue,
    shifted_columns,
    take_columns,
    unit_range,
    whole_shift,
)
from .sampling import Device, Parameters, draw_policy

if TYPE_CHECKING:
    from .kernel import Plan

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class FusedSensorAware(nn.Module):
    """A sensor-aware policy in one pass over memory.

    Parameters
    ----------
    config
        Ranges and probabilities of the steps, the paper's four or those with crops; ``p=0`` leaves
        one out.
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
        config: SensorAwareConfig | SensorCropsConfig | None = None,
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
        turn, no amplitude; the full width and height, no mask, no gain, contrast 1, brightness 0.

        Returns
        -------
        dict
            ``fraction``, ``chunks``, ``turns``, ``amplitude``, ``seed`` (n,); ``scores``
            (n, most chunks). With crops also ``crop_width``, ``crop_left``, ``crop_height``,
            ``crop_top``, ``mask_width``, ``mask_left``, ``mask_height``, ``mask_top``,
            ``contrast``, ``brightness`` (n,); ``gains`` (n, 3, points).
        """
        return draw_policy(self.config, n, device, generator)

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
    """The definition of the fused path, in torch operations; compiled it is a few kernels."""
    columns = source_columns(params, images.shape[-1], fill)
    if has_crops(params):
        moved = crop_and_mask(unit_range(images), columns, params)
        moved = add_band_gain(moved, params["gains"])
        moved = change_contrast(moved, params["contrast"], params["brightness"])
    else:
        moved = unit_range(take_columns(images, columns))
    turned = rotate_hue(moved, params["turns"])
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
        _plan(params, images.shape, fill),
        gain=(1 / (255 * std)).float(),
        bias=(-mean / std).float(),
        out=out,
    )
    return out.view(torch.bfloat16) if words else out.to(dtype)


def source_columns(params: Parameters, width: int, fill: Fill) -> Tensor:
    """Where each column comes from after TranslateX and then PermuteX, (n, width) int64."""
    shifted = shifted_columns(whole_shift(params["fraction"], width), width, fill)
    return shifted.gather(1, permuted_columns(params["chunks"], params["scores"], width))


def crop_and_mask(images: Tensor, columns: Tensor, params: Parameters) -> Tensor:
    """CropX, CropY, MaskX and MaskY, with TranslateX and PermuteX as columns (n, width) between."""
    height, width = images.shape[-2:]
    start, step, begin, end = crop_and_hidden(params, "width", "left", width)
    columns = columns.masked_fill(is_hidden(begin, end, width), OUTSIDE)
    across = interpolate_columns(images, crop_taps(start, step, columns))
    start, step, begin, end = crop_and_hidden(params, "height", "top", height)
    rows = torch.arange(height, device=images.device)
    rows = torch.where(is_hidden(begin, end, height), OUTSIDE, rows)
    return interpolate_rows(across, crop_taps(start, step, rows))


def crop_and_hidden(
    params: Parameters, size: str, place: str, length: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Start and step of the crop along one axis, begin and end of its mask, (n,) each."""
    return (
        *crop_grid(params[f"crop_{size}"], params[f"crop_{place}"], length),
        *hidden_range(params[f"mask_{size}"], params[f"mask_{place}"], length),
    )


def has_crops(params: Parameters) -> bool:
    """Whether these are parameters of the policy with crops rather than of the paper's four."""
    return "crop_width" in params


def _plan(params: Parameters, shape: torch.Size, fill: Fill) -> Plan:
    from .kernel import Plan

    n, _, height, width = shape
    if has_crops(params):
        across = torch.stack(crop_and_hidden(params, "width", "left", width), 1)
        down = torch.stack(crop_and_hidden(params, "height", "top", height), 1)
        gains, contrast, brightness = params["gains"], params["contrast"], params["brightness"]
    else:
        across = down = torch.tensor([0, SUBPIXELS, 0, 0]).repeat(n, 1)
        gains, contrast, brightness = torch.zeros(n, 3, 1), torch.ones(n), torch.zeros(n)
    tables = (
        source_columns(params, width, fill).int(),
        across,
        down,
        gains * 255,
        contrast,
        (0.5 - 0.5 * contrast + brightness) * 255,
        (params["turns"] * 6).remainder(6),
        params["amplitude"] * 255,
        params["seed"],
    )
    return Plan(*(table.numpy() for table in tables))


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
