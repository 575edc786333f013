"""Procedural images have the statistics that they are drawn for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis

from img2imu.errors import InputError
from img2imu.images import procedural
from img2imu.images.procedural import PROCEDURES, color_noise, create_procedural, dead_leaves


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return request.param


def seeded(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def brightness(images):
    return images.double().mean(1).numpy()


def spectral_slope(pictures, tapered):
    """Of the logarithm of the radially averaged power, over that of the frequency."""
    _, height, width = pictures.shape
    centred = pictures - pictures.mean((1, 2), keepdims=True)
    if tapered:  # else what does not fit across the borders would look like edges
        centred = centred * np.hanning(height)[:, None] * np.hanning(width)
    power = (np.abs(np.fft.fft2(centred)) ** 2).mean(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    edges = np.geomspace(3 / height, 0.5, 12)
    rings = [(low <= frequency) & (frequency < high) for low, high in pairwise(edges)]
    at = [np.log(frequency[ring]).mean() for ring in rings]
    return np.polyfit(at, [np.log(power[ring].mean()) for ring in rings], 1)[0]


def gradient_kurtosis(pictures):
    return kurtosis(np.diff(pictures, axis=2), axis=None, fisher=False)


@pytest.mark.parametrize("name", PROCEDURES)
@pytest.mark.parametrize("size", [(64, 48), (9, 70)])
def test_batches_of_bytes(device, name, size):
    width, height = size
    images = create_procedural(name, 1000, width, height).draw(5, seeded(device=device))
    assert images.shape == (5, 3, height, width)
    assert images.dtype == torch.uint8
    assert images.device.type == device
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert all(image.unique().numel() > 3 for image in images)


@pytest.mark.parametrize("name", PROCEDURES)
def test_generator_determines_the_images(device, name):
    source = create_procedural(name, 1000, 32, 24)
    n = procedural.CACHED + 3
    first = source.draw(n, seeded(1, device))
    torch.manual_seed(5)
    assert torch.equal(source.draw(n, seeded(1, device)), first)
    assert len(first.flatten(1).unique(dim=0)) == n
    assert not torch.equal(source.draw(n, seeded(2, device)), first)


def test_dead_leaves_have_the_spectrum_of_photographs():
    """Amplitude 1/f is power 1/f²; measured the same way, Tiny-ImageNet has -2.2."""
    pictures = brightness(dead_leaves(256, 48, 64, seeded()))
    assert -2.6 < spectral_slope(pictures, tapered=True) < -1.8


def test_dead_leaves_have_edges():
    """Differences of neighbours are mostly none and sometimes large; Tiny-ImageNet has 11."""
    leaves = brightness(dead_leaves(256, 48, 64, seeded()))
    gaussian = brightness(color_noise(256, 48, 64, seeded(), torch.full((256,), 1.0)))
    assert gradient_kurtosis(leaves) > 8
    assert 2.5 < gradient_kurtosis(gaussian) < 3.5


def test_later_leaves_cover_earlier_ones():
    n, height, width = 4, 24, 40
    images = dead_leaves(n, height, width, seeded()).permute(0, 2, 3, 1).numpy()
    left, right = (edge.numpy() for edge in procedural._leaf_edges(n, height, width, seeded()))
    x = np.arange(width)
    top = np.zeros((n, height, width), int)
    for number, (start, end) in enumerate(zip(left, right, strict=True), 1):
        top[(start <= x) & (x <= end)] = number
    for image, leaf in zip(images, top, strict=True):
        for number in np.unique(leaf):
            assert len(np.unique(image[leaf == number], axis=0)) == 1
        borders = np.diff(leaf, axis=1) != 0
        changes = np.diff(image.astype(int), axis=1).any(-1)
        assert changes[borders].mean() > 0.9
        assert not changes[~borders].any()


def test_leaves_are_as_large_as_the_law_says():
    """Density r^-3 between s and l: E[r²] = 2 ln(l/s) / (s^-2 - l^-2); areas are πr² or 4r²."""
    n, size = 60, 128
    left, right = procedural._leaf_edges(n, size, size, seeded())
    inside = (right - left + 1).clamp(min=0).double().sum((2, 3))
    # Centres lie as far outside as the smallest radius: on the average an infinite plane of leaves
    # of that density covers each pixel alike; far from the border nothing is missing.
    small, large = size * procedural.SMALLEST_LEAF, size * procedural.LARGEST_LEAF
    square = 2 * np.log(large / small) / (small**-2 - large**-2)
    x = torch.arange(size // 2 - 4, size // 2 + 4)
    rows = slice(size // 2 - 4, size // 2 + 4)
    central = ((left[:, :, rows] <= x) & (x <= right[:, :, rows])).double().sum(0).mean()
    density = procedural.LEAVES / (size + 2 * small) ** 2
    assert inside.max() > 20 * inside.median()
    assert float(central) == pytest.approx(density * square * (np.pi + 4) / 2, rel=0.15)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_color_noise_has_the_slope_asked_for(alpha):
    images = color_noise(128, 48, 64, seeded(), torch.full((128,), alpha))
    slope = spectral_slope(brightness(images), tapered=False)
    # Clipping to bytes and rounding flatten the steepest.
    assert slope == pytest.approx(-2 * alpha, abs=0.15 * alpha)


def test_color_noise_draws_a_slope_for_each_image():
    images = brightness(color_noise(256, 48, 64, seeded()))
    slopes = np.array([spectral_slope(image[None], tapered=False) for image in images])
    assert np.quantile(slopes, 0.05) < -4.5
    assert np.quantile(slopes, 0.95) > -2.2


@pytest.mark.parametrize("name", ["dead-leaves", "color-noise"])
def test_colors_are_those_of_photographs(name):
    """Brightness varies most, then red against blue, then green: in Tiny-ImageNet 1 : .32 : .15."""
    images = create_procedural(name, 1, 64, 48).draw(256, seeded()).double()
    red, green, blue = images.movedim(1, 0).flatten(1).numpy()
    deviations = [
        np.std(red + green + blue) / np.sqrt(3),
        np.std(red - blue) / np.sqrt(2),
        np.std(red - 2 * green + blue) / np.sqrt(6),
    ]
    ratios = np.divide(deviations, deviations[0])
    np.testing.assert_allclose(ratios, (1, 0.32, 0.15), atol=0.07)


def test_fractals_fill_the_picture():
    """The attractor is fitted to the picture: it reaches all four sides of its ground."""
    images = create_procedural("fractals", 1, 64, 48).draw(64, seeded()).permute(0, 2, 3, 1)
    reached = []
    for image in images.numpy():
        colors, number, count = np.unique(
            image.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
        )
        figure = (number != count.argmax()).reshape(image.shape[:2])
        sides = figure[0], figure[-1], figure[:, 0], figure[:, -1]
        reached.append(all(side.any() for side in sides))
        assert len(colors) > 10
    assert np.mean(reached) > 0.9


def test_chaos_game_stays_on_its_attractor(monkeypatch):
    """With two maps that halve and never turn, every point lies on the line between their centres.

    The centres of x -> x/2 + e are 2e.
    """
    monkeypatch.setattr(procedural, "MAPS", (2, 2))
    monkeypatch.setattr(procedural, "SHRINKAGE", (0.5, 0.5))
    monkeypatch.setattr(
        procedural, "_rotation", lambda turn: torch.eye(2).expand(*turn.shape, 2, 2)
    )
    points, _ = procedural._chaos_game(16, 64, seeded())
    for cloud in points.movedim(1, 0).double().numpy():
        spread = np.linalg.svd(cloud - cloud.mean(1, keepdims=True), compute_uv=False)
        assert spread[1] < 0.02 * spread[0]
        # Both halves alike: uniform on the segment, whose standard deviation is length / √12.
        along = np.linalg.norm(cloud - cloud[:, :1], axis=0)
        length = np.linalg.norm(np.ptp(cloud, axis=1))
        assert along.max() <= length * 1.0001
        assert spread[0] / np.sqrt(cloud.shape[1]) == pytest.approx(length / 12**0.5, rel=0.1)


@pytest.mark.parametrize(
    "settings, message",
    [
        (("leaves", 10, 64, 48), "choose from dead-leaves, color-noise, fractals"),
        (("fractals", 0, 64, 48), "1 to 100000000 images, not 0"),
        (("fractals", 10**30, 64, 48), "1 to 100000000 images, not 1000"),
        (("fractals", 10, 64, 7), "need 8x8 to 4096x4096 pixels, not 64x7"),
        (("fractals", 10, 10**6, 8), "need 8x8 to 4096x4096 pixels"),
    ],
)
def test_settings_that_make_no_images(settings, message):
    with pytest.raises(InputError, match=message):
        create_procedural(*settings)
