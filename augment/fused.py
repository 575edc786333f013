"""All augmentations of a policy at once, from bytes to the normalised training type."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .config import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AugmentationError,
    SensorAwareConfig,
    StepsConfig,
    TranslateXConfig,
)
from .kernel import augment_bytes, augment_tensors, steps_of
from .step import Device, Parameters, Random

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class FusedSensorAware(nn.Module):
    """A sensor-aware policy in one pass over memory.

    Parameters
    ----------
    config
        Ranges and probabilities of the steps, each out of :data:`.kernel.STEPS` and in their order;
        the paper's four if None.
    mean, std
        Of each channel, for images in [0, 1].
    dtype
        Of the result.

    Raises
    ------
    AugmentationError
        If the policy has a step that would be left out, or its steps have another order; if `dtype`
        is no floating point type; if the images are not (n, 3, height, width) of bytes or floating
        point numbers.

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
        config: StepsConfig | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if dtype not in FLOATS:
            raise AugmentationError(f"dtype must be one of {FLOATS}, not {dtype}")
        self.config = config or SensorAwareConfig()
        self.steps = steps_of(self.config)
        shifts = (step for step, _ in self.steps if isinstance(step, TranslateXConfig))
        self.fill = next(shifts, TranslateXConfig()).fill
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def sample(
        self, n: int, device: Device = None, generator: torch.Generator | None = None
    ) -> Parameters:
        """Draw the parameters of `n` images.

        Images that an augmentation passes over get its neutral values.

        Returns
        -------
        dict
            What the `draw` of each step gives.
        """
        random = Random(n, device, generator)
        own = [step.draw(settings, random) for settings, step in self.steps]
        drawn: Parameters = {}
        for (settings, step), values in zip(self.steps, own, strict=True):
            gate = random.gate(settings.p)
            for name, value in values.items():
                neutral = step.neutral[name]
                applied = gate.view(-1, *[1] * (value.ndim - 1))
                drawn[name] = value if neutral is None else torch.where(applied, value, neutral)
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
        arguments = images, params, self.fill, self.mean, self.std, self.dtype
        if torch.compiler.is_compiling():
            return augment_tensors(*arguments)
        if images.is_cuda:
            return _compiled_augment()(*arguments)
        if images.device.type == "cpu" and images.dtype == torch.uint8:
            return augment_bytes(*arguments)
        return augment_tensors(*arguments)


@functools.cache
def _compiled_augment() -> Callable[..., Tensor]:
    return torch.compile(augment_tensors)


def _require_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise AugmentationError(
            f"images must have shape (n, 3, height, width), not {tuple(images.shape)}"
        )
    if images.dtype not in (torch.uint8, *FLOATS):
        raise AugmentationError(f"images must be bytes or floats in [0, 1], not {images.dtype}")
