"""What the augmentations may do to an image: typed, frozen settings with their ranges."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Fill = Literal["zeros", "edge", "wrap"]
Range = tuple[float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class AugmentationError(ValueError):
    """A setting or an image that cannot be augmented, told in one sentence."""


@dataclass(frozen=True)
class TranslateXConfig:
    """Shift along time; what leaves the image is lost.

    Parameters
    ----------
    fraction
        Range of the shift as a part of the width, within [-1, 1]; positive moves to the right.
        It is rounded to whole columns.
    fill
        What comes in: ``"zeros"``, the column at the ``"edge"``, or what left (``"wrap"``).
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    fraction: Range = (-0.3, 0.3)
    fill: Fill = "zeros"
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("fraction", self.fraction, -1, 1)
        _require(
            self.fill in ("zeros", "edge", "wrap"),
            f'fill must be "zeros", "edge" or "wrap", not {self.fill!r}',
        )
        _require_probability(self.p)


@dataclass(frozen=True)
class PermuteXConfig:
    """Cut along time into chunks of equal width, up to a column, and shuffle them.

    Parameters
    ----------
    chunks
        Smallest and largest number of chunks, both included; one chunk changes nothing.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    chunks: tuple[int, int] = (2, 5)
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("chunks", self.chunks, 1, 1024)
        _require(
            all(isinstance(count, int) for count in self.chunks),
            f"chunks must be whole numbers, not {self.chunks}",
        )
        _require_probability(self.p)


@dataclass(frozen=True)
class HueConfig:
    """Turn the hue; each pixel keeps its largest and its smallest channel.

    Parameters
    ----------
    turns
        Range of the rotation in turns of the hue circle, within [-1, 1]. A third of a turn is the
        cyclic exchange of the axes: x's channel to y's, y's to z's, z's to x's.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    turns: Range = (-0.5, 0.5)
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("turns", self.turns, -1, 1)
        _require_probability(self.p)


@dataclass(frozen=True)
class JitterConfig:
    """Add uniform noise of mean zero to each pixel and channel.

    Parameters
    ----------
    amplitude
        Range of the noise' largest magnitude, one draw for each image, within [0, 1]; the image
        itself spans 1.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    amplitude: Range = (0.0, 0.2)
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("amplitude", self.amplitude, 0, 1)
        _require_probability(self.p)


@dataclass(frozen=True)
class CropXConfig:
    """Keep a stretch of time and stretch it to the full width.

    Parameters
    ----------
    fraction
        Range of the part of the width that is kept, within [0.001, 1]; 1 changes nothing.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    fraction: Range = (0.25, 1.0)
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("fraction", self.fraction, 1e-3, 1)
        _require_probability(self.p)


@dataclass(frozen=True)
class CropYConfig:
    """Keep a band of frequencies and stretch it to the full height.

    Parameters
    ----------
    fraction
        Range of the part of the height that is kept, within [0.001, 1]; 1 changes nothing. A
        frequency means something, so it should move only a little.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    fraction: Range = (0.7, 1.0)
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("fraction", self.fraction, 1e-3, 1)
        _require_probability(self.p)


@dataclass(frozen=True)
class MaskXConfig:
    """Black out a stretch of time (Park et al., SpecAugment, 2019).

    Parameters
    ----------
    fraction
        Range of the part of the width that is hidden, within [0, 1], rounded to whole columns.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    fraction: Range = (0.0, 0.2)
    p: float = 0.5

    def __post_init__(self) -> None:
        _require_range("fraction", self.fraction, 0, 1)
        _require_probability(self.p)


@dataclass(frozen=True)
class MaskYConfig:
    """Black out a band of frequencies (Park et al., SpecAugment, 2019).

    Parameters
    ----------
    fraction
        Range of the part of the height that is hidden, within [0, 1], rounded to whole rows.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    fraction: Range = (0.0, 0.2)
    p: float = 0.5

    def __post_init__(self) -> None:
        _require_range("fraction", self.fraction, 0, 1)
        _require_probability(self.p)


@dataclass(frozen=True)
class BandGainConfig:
    """Amplify each channel by a gain that varies smoothly along frequency.

    Parameters
    ----------
    gain
        Range of the gain at the control points, within [-1, 1]. A spectrogram is in decibels,
        where a gain is added; 1 is the whole dB range of the image.
    points
        Control points, spread evenly from the top to the bottom, within [1, 64]. The gain runs
        straight from one to the next; a single one holds for all frequencies.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    gain: Range = (-0.15, 0.15)
    points: int = 4
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("gain", self.gain, -1, 1)
        _require(
            isinstance(self.points, int) and 1 <= self.points <= 64,
            f"points must be a whole number within 1 and 64, not {self.points}",
        )
        _require_probability(self.p)


@dataclass(frozen=True)
class ContrastConfig:
    """Change contrast and brightness of all channels alike, as another dB range would.

    Parameters
    ----------
    contrast
        Range of the factor of the distance from mid-grey, within [0, 5]; 1 changes nothing.
    brightness
        Range of what is added then, within [-1, 1]; the image itself spans 1.
    p
        Probability for each image.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    contrast: Range = (0.7, 1.4)
    brightness: Range = (-0.15, 0.15)
    p: float = 0.8

    def __post_init__(self) -> None:
        _require_range("contrast", self.contrast, 0, 5)
        _require_range("brightness", self.brightness, -1, 1)
        _require_probability(self.p)


@dataclass(frozen=True)
class StepsConfig:
    """A policy of augmentations of ours, one for each field, applied in the order of the fields."""

    def steps(self) -> list[Any]:
        """The settings of each."""
        return [getattr(self, step.name) for step in fields(self)]


@dataclass(frozen=True)
class SensorAwareConfig(StepsConfig):
    """The paper's four augmentations (§III-B2), applied in this order; ``p=0`` leaves one out."""

    translate_x: TranslateXConfig = field(default_factory=TranslateXConfig)
    permute_x: PermuteXConfig = field(default_factory=PermuteXConfig)
    hue: HueConfig = field(default_factory=HueConfig)
    jitter: JitterConfig = field(default_factory=JitterConfig)


@dataclass(frozen=True)
class SensorCropsConfig(StepsConfig):
    """The paper's four and six more, applied in this order; ``p=0`` leaves one out.

    The four alone let a contrastive learner recognise the two views of an image by what they keep:
    the scale of time and frequency, the level. Crops, masks and gains change those as well, by no
    more than another movement of the same kind or another sensor would.
    """

    crop_x: CropXConfig = field(default_factory=CropXConfig)
    crop_y: CropYConfig = field(default_factory=CropYConfig)
    translate_x: TranslateXConfig = field(default_factory=TranslateXConfig)
    permute_x: PermuteXConfig = field(default_factory=PermuteXConfig)
    mask_x: MaskXConfig = field(default_factory=MaskXConfig)
    mask_y: MaskYConfig = field(default_factory=MaskYConfig)
    band_gain: BandGainConfig = field(default_factory=BandGainConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    hue: HueConfig = field(default_factory=HueConfig)
    jitter: JitterConfig = field(default_factory=JitterConfig)


@dataclass(frozen=True)
class MoCoDefaultConfig:
    """The augmentations MoCo comes with, version 2: the paper's baseline "MoCo".

    Parameters
    ----------
    scale
        Range of the crop's area as a part of the image, within (0, 1].
    width, height
        Of the resized crop in pixels.
    brightness, contrast, saturation, hue
        Largest change of each, within [0, 1]; of the hue in turns, within [0, 0.5].
    sigma
        Range of the blur's standard deviation in pixels.
    p_color, p_gray, p_blur, p_flip
        Probability of each for each image; every image is cropped.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    scale: Range = (0.2, 1.0)
    width: int = 128
    height: int = 96
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    sigma: Range = (0.1, 2.0)
    p_color: float = 0.8
    p_gray: float = 0.2
    p_blur: float = 0.5
    p_flip: float = 0.5

    def __post_init__(self) -> None:
        _require_range("scale", self.scale, 1e-3, 1)
        _require(
            min(self.width, self.height) >= 2,
            f"a crop needs at least 2x2 pixels, not {self.width}x{self.height}",
        )
        for name in ("brightness", "contrast", "saturation"):
            _require_range(name, (0, getattr(self, name)), 0, 1)
        _require_range("hue", (0, self.hue), 0, 0.5)
        _require_range("sigma", self.sigma, 1e-3, 100)
        for p in (self.p_color, self.p_gray, self.p_blur, self.p_flip):
            _require_probability(p)


@dataclass(frozen=True)
class AllConfig:
    """The paper's baseline "MoCo + All": eleven common image augmentations.

    Parameters
    ----------
    degrees, shear
        Ranges of the rotation and of the shear along x, in degrees, within [-180, 180] and
        [-80, 80].
    sharpness, contrast, brightness, color
        Ranges of the factors, within [0, 5], 1 being no change; `color` scales the saturation.
    threshold
        Range of the brightness above which pixels are inverted (solarised), within [0, 1].
    bits
        Smallest and largest number of bits kept (posterised), within [1, 8].
    p
        Probability of each for each image: 0.2 of eleven is two or so at a time.

    Raises
    ------
    AugmentationError
        If a value is out of its range.
    """

    degrees: Range = (-30.0, 30.0)
    shear: Range = (-17.0, 17.0)
    sharpness: Range = (1.0, 3.0)
    contrast: Range = (0.5, 1.5)
    brightness: Range = (0.5, 1.5)
    color: Range = (0.5, 1.5)
    threshold: Range = (0.3, 1.0)
    bits: tuple[int, int] = (3, 7)
    p: float = 0.2

    def __post_init__(self) -> None:
        _require_range("degrees", self.degrees, -180, 180)
        _require_range("shear", self.shear, -80, 80)
        for name in ("sharpness", "contrast", "brightness", "color"):
            _require_range(name, getattr(self, name), 0, 5)
        _require_range("threshold", self.threshold, 0, 1)
        _require_range("bits", self.bits, 1, 8)
        _require_probability(self.p)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AugmentationError(otherwise)


def _require_range(name: str, values: Range, lowest: float, highest: float) -> None:
    _require(
        len(values) == 2 and lowest <= values[0] <= values[1] <= highest,
        f"{name} must be two rising numbers within {lowest:g} and {highest:g}, not {values}",
    )


def _require_probability(p: float) -> None:
    _require(0 <= p <= 1, f"p must lie between 0 and 1, not {p}")


PolicyConfig = StepsConfig | MoCoDefaultConfig | AllConfig

_FULL = SensorAwareConfig()

_SOFT = SensorCropsConfig(
    crop_x=CropXConfig((0.5, 1.0)),
    crop_y=CropYConfig((0.85, 1.0), p=0.5),
    translate_x=TranslateXConfig((-0.15, 0.15), p=0.3),
    permute_x=PermuteXConfig((2, 3), p=0.3),
    mask_x=MaskXConfig(p=0),
    mask_y=MaskYConfig(p=0),
    band_gain=BandGainConfig((-0.1, 0.1), p=0.5),
    contrast=ContrastConfig((0.8, 1.25), (-0.1, 0.1)),
    hue=HueConfig(p=0.5),
    jitter=JitterConfig((0.0, 0.1), p=0.5),
)

POLICIES: dict[str, PolicyConfig] = {
    "sensor-aware": _FULL,
    "sensor-aware-no-translate-x": replace(_FULL, translate_x=replace(_FULL.translate_x, p=0)),
    "sensor-aware-no-permute-x": replace(_FULL, permute_x=replace(_FULL.permute_x, p=0)),
    "sensor-aware-no-hue": replace(_FULL, hue=replace(_FULL.hue, p=0)),
    "sensor-aware-no-jitter": replace(_FULL, jitter=replace(_FULL.jitter, p=0)),
    "sensor-crops": SensorCropsConfig(),
    "sensor-crops-soft": _SOFT,
    "moco-default": MoCoDefaultConfig(),
    "all": AllConfig(),
}
"""By name: the paper's policy, its four leave-one-out ablations (Table I), two with crops of ours,
of which the soft one comes closest to a usual random resized crop, and the paper's two baselines.
"""
