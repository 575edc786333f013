"""Images of no data at all: drawn on the device from random numbers, a whole batch at a time.

Networks that learn from such images carry over better the more of a photograph's statistics these
have: Baradad et al., "Learning to see by looking at noise", 2021 (dead leaves, spectra); Kataoka
et al., "Pre-training without natural images", 2020 (fractals).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..settings import require
from .config import LARGEST

MEAN_COLOR = (0.48, 0.45, 0.40)
# Rows: brightness, red against blue, green against the two others.
OPPONENTS = ((0.577, 0.577, 0.577), (0.707, 0.0, -0.707), (0.408, -0.816, 0.408))
# Standard deviations along the opponents: of an image's mean colour from image to image, and of
# the pixels within an image. Measured on 3,000 images of Tiny-ImageNet, of which these axes are
# the principal components to within 3 degrees.
BETWEEN_IMAGES = (0.22, 0.11, 0.05)
WITHIN_IMAGES = (0.39, 0.10, 0.05)

LEAVES = 150
SMALLEST_LEAF, LARGEST_LEAF = 1 / 32, 1 / 2
ALPHA = (0.5, 3.5)
MAPS = (2, 6)
SHRINKAGE = (0.4, 0.9)
BURN_IN, KEPT = 8, 24
CACHED = 64

LARGEST_COUNT = 10**8
"""Images in an epoch, of which an order must be kept."""


@dataclass(frozen=True)
class ProceduralImages:
    """A source of images without files, labels or an end.

    Parameters
    ----------
    name
        ``"dead-leaves"``, ``"color-noise"`` or ``"fractals"``.
    count
        How many images make an epoch; no two epochs have an image in common.
    width, height
        In pixels, 8 to 4096 each.

    Raises
    ------
    InputError
        If a value is not one of these.
    """

    name: str
    count: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.name not in PROCEDURES:
            raise InputError(
                f"there is no procedural source {self.name!r}; choose from {', '.join(PROCEDURES)}"
            )
        require(
            1 <= self.count <= LARGEST_COUNT,
            f"an epoch has 1 to {LARGEST_COUNT} images, not {self.count}",
        )
        require(
            min(self.width, self.height) >= 8 and max(self.width, self.height) <= LARGEST,
            f"procedural images need 8x8 to {LARGEST}x{LARGEST} pixels, "
            f"not {self.width}x{self.height}",
        )

    def __len__(self) -> int:
        return self.count

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Images (n, 3, height, width), uint8, channels last, on the generator's device."""
        draw = PROCEDURES[self.name]
        # A CPU draws a few images at a time, so that what it works on stays in its cache.
        block = CACHED if generator.device.type == "cpu" else n
        blocks = [
            draw(min(block, n - first), self.height, self.width, generator)
            for first in range(0, n, block)
        ]
        return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def create_procedural(name: str, count: int, width: int, height: int) -> ProceduralImages:
    """The procedural source called `name`; see :class:`ProceduralImages`."""
    return ProceduralImages(name, count, width, height)


def dead_leaves(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Opaque shapes of one colour each, fallen on top of one another.

    Half are ellipses, half rectangles, turned at random. The density of their radii r falls as
    r^-3, from 1/32 to 1/2 of the shorter side: the law that makes pictures look alike at every
    scale and gives them edges and, nearly, the 1/f amplitude spectrum of photographs (Lee, Mumford
    and Huang, "Occlusion models for natural images", 2001). A sixth of the ground stays bare.

    Returns
    -------
    Tensor of shape (n, 3, height, width)
        uint8, channels last, on the generator's device.
    """
    left, right = _leaf_edges(n, height, width, generator)
    x = torch.arange(width, device=generator.device, dtype=torch.int16)
    # The number of the topmost leaf at each pixel; 0 is the ground.
    top = torch.zeros(n, height, width, dtype=torch.int16, device=generator.device)
    for leaf in range(LEAVES):
        # where(left <= x <= right, leaf + 1, -1), five times as fast on a CPU: an "or" is negative
        # if one of the two is.
        outside = ((x - left[leaf]) | (right[leaf] - x)).clamp_(-1, 0)
        torch.maximum(top, outside | (leaf + 1), out=top)
    colors = _mean_colors(n, generator) + _spread_colors(n, LEAVES + 1, generator)
    return _look_up(top, _to_bytes(colors))


def color_noise(
    n: int, height: int, width: int, generator: torch.Generator, alpha: Tensor | None = None
) -> Tensor:
    """Gaussian noise whose amplitude falls as 1/f^alpha, independent along the colour opponents.

    Parameters
    ----------
    n, height, width, generator
        What to draw, and from which random numbers.
    alpha
        (n,), by default uniform between 0.5 and 3.5 (Baradad et al. 2021); photographs have
        about 1.

    Returns
    -------
    Tensor of shape (n, 3, height, width)
        uint8, channels last, on the generator's device.
    """
    device = generator.device
    if alpha is None:
        alpha = _uniform(ALPHA, (n,), generator)
    frequency = torch.hypot(
        torch.fft.fftfreq(height, device=device)[:, None], torch.fft.rfftfreq(width, device=device)
    )
    frequency[0, 0] = math.inf  # no constant part: the mean colour is drawn apart
    amplitude = frequency ** -alpha[:, None, None]
    white = torch.randn(n, 3, height, width, generator=generator, device=device)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude[:, None], s=(height, width))
    noise = (noise / noise.std((-2, -1), keepdim=True)).permute(0, 2, 3, 1)
    colors = _mean_colors(n, generator)[:, None] + noise * noise.new_tensor(WITHIN_IMAGES)
    return _to_bytes(colors).permute(0, 3, 1, 2)


def fractals(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Attractors of random iterated function systems, in the colours of their maps.

    A system is 2 to 6 contracting affine maps, A = R(turn) diag(s) R(turn'), taken as often as
    their areas are large (Kataoka et al. 2020; singular values after Anderson and Farrell,
    "Improving fractal pre-training", 2022). Many points at once play the chaos game; a point's
    colour moves half-way to that of each map it goes through. Brightness is the logarithm of the
    number of points (Draves and Reckase, "The fractal flame algorithm", 2003).

    Returns
    -------
    Tensor of shape (n, 3, height, width)
        uint8, channels last, on the generator's device.
    """
    points, colors = _chaos_game(n, max(height * width // 8, 64), generator)
    low, high = points.amin(2, keepdim=True), points.amax(2, keepdim=True)
    last = points.new_tensor((width - 1, height - 1))[:, None, None]
    x, y = ((points - low) / (high - low).clamp(min=1e-6) * last).round().long()
    # Whole numbers: their sum does not depend on the order, which a GPU does not keep.
    counted = torch.cat([torch.ones_like(colors[:1]), (colors * 1024).round()]).int()
    sums = counted.new_zeros(4, n, height * width)
    sums = sums.scatter_add_(2, (y * width + x).expand(4, -1, -1), counted).movedim(0, -1)
    hits = sums[..., :1]
    cover = (hits.log1p() / hits.amax(1, keepdim=True).log1p()).sqrt()
    ground = _mean_colors(n, generator)
    painted = ground + cover * (sums[..., 1:] / (1024 * hits.clamp(min=1)) - ground)
    return _to_bytes(painted).unflatten(1, (height, width)).permute(0, 3, 1, 2)


Procedure = Callable[[int, int, int, torch.Generator], Tensor]

PROCEDURES: dict[str, Procedure] = {
    "dead-leaves": dead_leaves,
    "color-noise": color_noise,
    "fractals": fractals,
}


def _leaf_edges(
    n: int, height: int, width: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Where each leaf begins and ends in each row, (leaves, n, height, 1); all are convex."""
    each = (LEAVES, n, 1)
    shorter = min(height, width)
    smallest, largest = SMALLEST_LEAF * shorter, LARGEST_LEAF * shorter
    # The inverse of the distribution function of a density r^-3 on [smallest, largest].
    part = _uniform((0, 1), each, generator)
    radius = (smallest**-2 + part * (largest**-2 - smallest**-2)) ** -0.5
    aspect = _uniform((0.5, 1), each, generator).sqrt()
    a, b = radius / aspect, radius * aspect
    turn = _uniform((0, math.pi), each, generator)
    cos, sin = turn.cos(), turn.sin()
    x = _uniform((-smallest, width + smallest), each, generator)
    y = _uniform((-smallest, height + smallest), each, generator)
    dy = torch.arange(height, device=generator.device) - y

    # Ellipse: p dx² + 2 q dx dy + s dy² <= 1, where p s - q² = 1 / (a b)². Beyond its ends the
    # root of zero leaves an interval without width, in which no pixel lies.
    p = (cos / a) ** 2 + (sin / b) ** 2
    q = cos * sin * (a**-2 - b**-2)
    middle = -q / p * dy
    half = (p - (dy / (a * b)) ** 2).clamp(min=0).sqrt() / p
    # Rectangle: |cos dx + sin dy| <= a and |cos dy - sin dx| <= b.
    along, across = -sin / cos * dy, cos / sin * dy
    half_along, half_across = a / cos.abs(), b / sin
    box_left = torch.maximum(along - half_along, across - half_across)
    box_right = torch.minimum(along + half_along, across + half_across)

    round_ = _uniform((0, 1), each, generator) < 0.5
    left = torch.where(round_, middle - half, box_left) + x
    right = torch.where(round_, middle + half, box_right) + x
    left, right = left.clamp(-1, width).ceil(), right.clamp(-1, width).floor()
    return left.short()[..., None], right.short()[..., None]


def _chaos_game(n: int, chains: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on the attractors and their colours, (2, n, points) and (3, n, points)."""
    most = MAPS[1]
    device = generator.device
    turns = _uniform((0, 2 * math.pi), (2, n, most), generator)
    shrink = _uniform(SHRINKAGE, (n, most, 2), generator)
    linear = _rotation(turns[0]) @ torch.diag_embed(shrink) @ _rotation(turns[1])
    shift = _uniform((-1, 1), (n, most, 2), generator)
    number = torch.randint(MAPS[0], most + 1, (n, 1), generator=generator, device=device)
    area = shrink.prod(-1) * (torch.arange(most, device=device) < number)
    until = (area / area.sum(-1, keepdim=True)).cumsum(-1)
    palette = _mean_colors(n, generator) + _spread_colors(n, most, generator)
    maps = torch.cat([linear.mT.flatten(-2), shift, palette], dim=-1).movedim(-1, 0).contiguous()

    point = torch.zeros(2, n, chains, device=device)
    color = torch.zeros(3, n, chains, device=device)
    points = torch.empty(2, n, KEPT, chains, device=device)
    colors = torch.empty(3, n, KEPT, chains, device=device)
    for step in range(-BURN_IN, KEPT):
        draw = _uniform((0, 1), (n, chains), generator)
        chosen = torch.searchsorted(until, draw).clamp(max=most - 1)
        taken = maps.gather(2, chosen.expand(len(maps), -1, -1))
        point = taken[0:2] * point[0] + taken[2:4] * point[1] + taken[4:6]
        color = (color + taken[6:9]) / 2
        if step >= 0:
            points[:, :, step], colors[:, :, step] = point, color
    return points.flatten(2), colors.flatten(2)


def _rotation(turn: Tensor) -> Tensor:
    cos, sin = turn.cos(), turn.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def _mean_colors(n: int, generator: torch.Generator) -> Tensor:
    """One for each image, (n, 1, 3), as opponents."""
    drawn = torch.randn(n, 1, 3, generator=generator, device=generator.device)
    return drawn * drawn.new_tensor(BETWEEN_IMAGES)


def _spread_colors(n: int, count: int, generator: torch.Generator) -> Tensor:
    """Deviations from an image's mean colour, (n, count, 3), as opponents."""
    drawn = torch.randn(n, count, 3, generator=generator, device=generator.device)
    return drawn * drawn.new_tensor(WITHIN_IMAGES)


def _to_bytes(opponents: Tensor) -> Tensor:
    """Opponents (..., 3) to RGB, uint8."""
    colors = opponents @ opponents.new_tensor(OPPONENTS) + opponents.new_tensor(MEAN_COLOR)
    return (colors.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _look_up(index: Tensor, colors: Tensor) -> Tensor:
    """Paint (n, height, width) numbers in the colours (n, count, 3) of their image."""
    first = torch.arange(len(colors), device=colors.device) * colors.shape[1]
    painted = colors.flatten(0, 1)[index.long() + first[:, None, None]]
    return painted.permute(0, 3, 1, 2)


def _uniform(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    low, high = limits
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)
