"""Augmentations that say what pixels become: gains, contrast, hue, noise.

First as pure functions of images (n, 3, height, width) and of parameters, one entry for each
image. Nothing there branches on values: the functions trace, compile and differentiate. Then as
kornia classes of floating point images in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor, nn

from .config import AugmentationError, BandGainConfig, ContrastConfig, HueConfig, JitterConfig
from .step import Flags, Parameters, Random, Step

NOISE_LEVELS = 1024
"""The noise of a pixel takes ten bits of one hash for each of its three channels."""

# Multipliers of two well-mixing steps and of a Weyl sequence (the golden ratio), as signed 32 bit.
_MIX_1, _MIX_2, _GOLDEN = 0x7FEB352D, 0x846CA68B - 2**32, 0x9E3779B9 - 2**32


def add_band_gain(images: Tensor, gains: Tensor) -> Tensor:
    """Add a gain that varies along the height, and clamp to [0, 1].

    Parameters
    ----------
    images
        (n, 3, height, width), in decibels over a range that [0, 1] stands for.
    gains
        (n, 3, points), float32, at control points from the top to the bottom; linear between.

    Returns
    -------
    Tensor like `images`
    """
    _require_three_channels(images)
    curve = nn.functional.interpolate(
        gains, size=images.shape[-2], mode="linear", align_corners=True
    )
    return (images + curve[..., None]).clamp(0, 1).to(images.dtype)


def change_contrast(images: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Stretch levels about mid-grey, shift them, and clamp to [0, 1].

    Parameters
    ----------
    images
        (n, c, height, width).
    contrast, brightness
        (n,), float32, factor and what is added.

    Returns
    -------
    Tensor like `images`
    """
    contrast, brightness = contrast[:, None, None, None], brightness[:, None, None, None]
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1).to(images.dtype)


def rotate_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue in HSV space.

    Parameters
    ----------
    images
        (n, 3, height, width), of any range: the result stays within each pixel's own extremes.
    turns
        (n,), float32, in turns of the hue circle.

    Returns
    -------
    Tensor like `images`
        Equal to ``kornia.enhance.adjust_hue``.

    Notes
    -----
    With hue and waves scaled by the pixel's chroma C = max - min there is no division, so grey
    pixels need no care. The unit of hue is C = a sixth of a turn, and red lies at 0. Over
    [-C, 5C) each channel is one bent line, cut off at the pixel's extremes.
    """
    _require_three_channels(images)
    # Half precision is computed in single, double stays double.
    precise = images.to(torch.promote_types(images.dtype, torch.float32))
    red, green, blue = precise.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    hue = torch.where(
        red == high,
        green - blue,
        torch.where(green == high, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    hue = hue + (turns * 6).remainder(6)[:, None, None] * chroma
    hue = torch.where(hue >= 5 * chroma, hue - 6 * chroma, hue)
    waves = (
        (hue - 3 * chroma).abs() - chroma,
        2 * chroma - (hue - 2 * chroma).abs(),
        (hue - chroma).abs() - chroma,
    )
    turned = [torch.minimum(low + wave.clamp(min=0), high) for wave in waves]
    return torch.stack(turned, 1).to(images.dtype)


def uniform_noise(seed: Tensor, height: int, width: int) -> Tensor:
    """Noise as a function of seed, pixel and channel: the same on every device.

    Parameters
    ----------
    seed
        (n,), int32.
    height, width
        Of the image.

    Returns
    -------
    Tensor of shape (n, 3, height, width), float32
        Uniform over :data:`NOISE_LEVELS` values centred on zero within (-1, 1).

    Notes
    -----
    A hash of a counter rather than a generator's stream: it needs no memory, is drawn inside the
    pass that uses it, and replays from one number. The mixing is of the multiply-xorshift kind.
    """
    pixel = torch.arange(height * width, dtype=torch.int32, device=seed.device)
    bits = seed[:, None] + pixel * _GOLDEN
    # The shift of a signed number drags its sign along; the masks cut it off.
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * _MIX_1
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * _MIX_2
    bits = (bits ^ ((bits >> 16) & 0xFFFF)).view(-1, 1, height, width)
    shift = torch.arange(0, 30, 10, dtype=torch.int32, device=seed.device).view(3, 1, 1)
    level = (bits >> shift) & (NOISE_LEVELS - 1)
    return (level.float() + 0.5) * (2 / NOISE_LEVELS) - 1


def add_noise(images: Tensor, amplitude: Tensor, seed: Tensor) -> Tensor:
    """Add uniform noise; the result may leave the range of the images.

    Parameters
    ----------
    images
        (n, 3, height, width).
    amplitude
        (n,), float32, bound of the noise.
    seed
        (n,), int32, of the noise.

    Returns
    -------
    Tensor like `images`
    """
    _require_three_channels(images)
    noise = uniform_noise(seed, images.shape[-2], images.shape[-1])
    return (images + amplitude[:, None, None, None] * noise).to(images.dtype)


def unit_range(images: Tensor) -> Tensor:
    """Bytes to [0, 1]; floating point images, which lie there already, to float32."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def _require_three_channels(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise AugmentationError(
            f"images must have shape (n, 3, height, width), not {tuple(images.shape)}"
        )


class LevelStep(Step, IntensityAugmentationBase2D):
    """An augmentation of each pixel by itself.

    Attributes
    ----------
    change
        A function of images and of the parameters that `neutral` names, in that order; the fused
        path applies it as well.
    """

    change: ClassVar[Callable[..., Tensor]]

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Change all images."""
        return self.change(input, *self.own(params, input))


class BandGain(LevelStep):
    """Amplify each channel by a gain that varies smoothly along frequency, by `BandGainConfig`.

    Notes
    -----
    Sensors and their mounts weaken some frequencies more than others. They multiply the power, so
    in decibels, which spectrograms show, the gain is added. It is linear between control points.
    The result is clamped to [0, 1]. Images must have three channels.
    """

    Config = BandGainConfig
    neutral: ClassVar = {"gains": 0}
    change = staticmethod(add_band_gain)

    @classmethod
    def draw(cls, config: BandGainConfig, random: Random) -> Parameters:
        """``gains`` (n, 3, points)."""
        return {"gains": random.uniform(config.gain, 3, config.points)}


class Contrast(LevelStep):
    """Change contrast and brightness of all channels alike, by `ContrastConfig`.

    Notes
    -----
    A spectrogram drawn over another dB range is just that. The result is clamped to [0, 1].
    """

    Config = ContrastConfig
    neutral: ClassVar = {"contrast": 1, "brightness": 0}
    change = staticmethod(change_contrast)

    @classmethod
    def draw(cls, config: ContrastConfig, random: Random) -> Parameters:
        """``contrast`` (n,) and ``brightness`` (n,)."""
        return {
            "contrast": random.uniform(config.contrast),
            "brightness": random.uniform(config.brightness),
        }


class Hue(LevelStep):
    """Turn the hue of images with three channels, by `HueConfig`.

    Notes
    -----
    Each pixel keeps its largest and its smallest channel.
    """

    Config = HueConfig
    neutral: ClassVar = {"turns": 0}
    change = staticmethod(rotate_hue)

    @classmethod
    def draw(cls, config: HueConfig, random: Random) -> Parameters:
        """``turns`` (n,)."""
        return {"turns": random.uniform(config.turns)}


class Jitter(LevelStep):
    """Add uniform noise of mean zero to each pixel and channel, by `JitterConfig`.

    Notes
    -----
    It may leave [0, 1], so it clamps. Its parameters are an amplitude and a seed, from which
    :func:`uniform_noise` makes the noise on any device. Images must have three channels.
    """

    Config = JitterConfig
    neutral: ClassVar = {"amplitude": 0, "seed": None}

    @classmethod
    def draw(cls, config: JitterConfig, random: Random) -> Parameters:
        """``amplitude`` (n,) and ``seed`` (n,) int32."""
        seed = random.whole(-(2**31), 2**31 - 1, torch.int32)
        return {"amplitude": random.uniform(config.amplitude), "seed": seed}

    @staticmethod
    def change(images: Tensor, amplitude: Tensor, seed: Tensor) -> Tensor:
        """Add the noise and clamp."""
        return add_noise(images, amplitude, seed).clamp(0, 1)
