"""The pure functions against numpy, the standard library and kornia."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.enhance import adjust_hue

from img2imu.augment import AugmentationError
from img2imu.augment.levels import (
    NOISE_LEVELS,
    add_band_gain,
    add_noise,
    change_contrast,
    rotate_hue,
    uniform_noise,
)
from img2imu.augment.moves import (
    OUTSIDE,
    crop_grid,
    crop_taps,
    hidden_range,
    interpolate_columns,
    interpolate_rows,
    is_hidden,
    permuted_columns,
    shifted_columns,
    take_columns,
    whole_shift,
)


def images(n=4, height=12, width=20, seed=0):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def shifted(image, fraction, fill):
    shift = whole_shift(torch.tensor([fraction]), image.shape[-1])
    return take_columns(image, shifted_columns(shift, image.shape[-1], fill))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.floats(-1, 1, width=32))
def test_translation_is_that_of_numpy(width, fraction):
    image = images(1, 2, width)
    columns = round(float(np.float32(fraction) * np.float32(width)))
    expected = np.roll(image.numpy(), columns, -1)
    assert np.array_equal(shifted(image, fraction, "wrap"), expected)
    # The part that came round the edge is what the other fills replace.
    new = slice(0, columns) if columns >= 0 else slice(width + columns, width)
    for fill, value in (
        ("zeros", 0),
        ("edge", image.numpy()[..., :1] if columns >= 0 else image.numpy()[..., -1:]),
    ):
        expected[..., new] = value
        assert np.array_equal(shifted(image, fraction, fill), expected)


def cropped(image, part, place):
    width = image.shape[-1]
    grid = crop_grid(torch.tensor([part]), torch.tensor([place]), width)
    return interpolate_columns(image, crop_taps(*grid, torch.arange(width)))


UNIT = st.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0.0078125, 1, width=32), UNIT, st.integers(0, 1000))
def test_crop_is_the_interpolation_of_numpy(width, part, place, seed):
    image = images(1, 2, width, seed)
    position = place * (1 - part) * (width - 1) + part * np.arange(width)
    expected = [np.interp(position, np.arange(width), row) for row in image.numpy().reshape(6, -1)]
    # Positions are rounded to a 2**20th of a pixel, each step being off by half of that at most.
    tolerance = width * 2**-20 + 1e-6
    assert np.allclose(cropped(image, part, place).view(6, -1), expected, rtol=0, atol=tolerance)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2000), UNIT)
def test_crop_of_everything_is_the_identity(width, place):
    image = images(1, 1, width)
    assert torch.equal(cropped(image, 1.0, place), image)


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_crop_ends_on_the_borders_of_what_it_keeps(place):
    ramp = torch.arange(129.0).expand(1, 3, 1, 129)
    output = cropped(ramp, 0.25, place)[0, 0, 0]
    assert output[[0, -1]].tolist() == ([96.0, 128.0] if place else [0.0, 32.0])


def test_rows_are_interpolated_like_columns():
    image = images(3)
    grid = crop_grid(torch.tensor([0.3, 0.5, 1.0]), torch.tensor([0.1, 1.0, 0.4]), 12)
    taps = crop_taps(*grid, torch.tensor([*range(11), OUTSIDE]))
    rows = interpolate_rows(image[:3], taps)
    assert torch.equal(rows, interpolate_columns(image[:3].mT.contiguous(), taps).mT)
    assert not rows[:, :, 11].any()
    assert rows[:, :, :11].all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), UNIT, UNIT)
def test_mask_hides_its_part(length, part, place):
    begin, end = hidden_range(torch.tensor([part]), torch.tensor([place]), length)
    count = round(float(np.float32(part) * np.float32(length)))
    assert end - begin == count
    assert 0 <= begin <= end <= length
    assert begin == 0 or place > 0
    assert end == length or place < 1
    hidden = is_hidden(begin, end, length)[0]
    assert hidden.nonzero().flatten().tolist() == list(range(begin, end))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(1, 8), st.integers(0, 1000))
def test_band_gain_is_the_interpolation_of_numpy(height, points, seed):
    image = images(2, height, 3, seed)
    gains = torch.rand(2, 3, points, generator=torch.Generator().manual_seed(seed)) - 0.5
    output = add_band_gain(image, gains)
    position = np.linspace(0, points - 1, height)
    for n in range(2):
        for c in range(3):
            curve = np.interp(position, np.arange(points), gains[n, c].numpy())
            expected = np.clip(image[n, c].numpy() + curve[:, None], 0, 1)
            assert np.allclose(output[n, c], expected, rtol=0, atol=2e-6)


def test_contrast_is_another_range_of_decibels():
    decibels = np.linspace(-70, 5, 300).reshape(1, 3, 10, 10)
    drawn = torch.from_numpy((decibels + 70) / 75)
    contrast, brightness = 75 / 60, (-32.5 + 65) / 60 - 0.5
    output = change_contrast(drawn, torch.tensor([contrast]), torch.tensor([brightness]))
    expected = np.clip((decibels + 65) / 60, 0, 1)
    assert np.allclose(output, expected, rtol=0, atol=1e-6)


def test_columns_from_outside_are_marked():
    source = shifted_columns(torch.tensor([1, -2]), 4, "zeros")
    assert source.tolist() == [[OUTSIDE, 0, 1, 2], [2, 3, OUTSIDE, OUTSIDE]]


def test_bytes_keep_their_type_when_columns_move():
    image = torch.arange(6, dtype=torch.uint8).view(1, 1, 2, 3)
    moved = take_columns(image, torch.tensor([[OUTSIDE, 2, 0]]))
    assert moved.dtype == torch.uint8
    assert moved.flatten().tolist() == [0, 2, 0, 0, 5, 3]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 8), st.integers(0, 1000))
def test_permutation_is_that_of_numpy(width, chunks, seed):
    scores = torch.rand(1, 8, generator=torch.Generator().manual_seed(seed))
    source = permuted_columns(torch.tensor([chunks]), scores, width)[0].numpy()
    cuts = [math.ceil(i * width / chunks) for i in range(1, chunks)]
    pieces = np.split(np.arange(width), cuts)
    order = np.argsort(scores[0, :chunks].numpy())
    assert np.array_equal(source, np.concatenate([pieces[i] for i in order]))


def test_permutation_keeps_every_column():
    scores = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    source = permuted_columns(torch.arange(50) % 6 + 1, scores, 31)
    assert (source.sort(1).values == torch.arange(31)).all()


def test_one_chunk_is_the_identity():
    source = permuted_columns(torch.tensor([1]), torch.tensor([[0.3, 0.1]]), 17)
    assert source.tolist() == [list(range(17))]


@settings(max_examples=40, deadline=None)
@given(st.floats(-1, 1, width=32), st.sampled_from([1, 2, 4, 255]), st.integers(0, 1000))
def test_hue_is_that_of_kornia(turns, levels, seed):
    # Few levels make grey pixels and ties between channels.
    image = (images(1, seed=seed) * levels).round() / levels
    expected = adjust_hue(image, torch.tensor([2 * math.pi * turns]))
    turned = rotate_hue(image, torch.tensor([turns]))
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-5)


def test_hue_is_that_of_colorsys():
    image, turn = images(1, 3, 3, seed=5), 0.37
    turned = rotate_hue(image, torch.tensor([turn]))
    for pixel, ours in zip(image[0].flatten(1).T.tolist(), turned[0].flatten(1).T, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert ours.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("turns", "places"), [(1 / 3, 1), (2 / 3, 2), (-1 / 3, 2), (1, 0)])
def test_a_third_of_a_turn_is_exactly_the_exchange_of_axes(turns, places):
    # Sums and differences of such levels are exact in single precision.
    image = torch.randint(0, 257, (1, 3, 40, 40), generator=torch.Generator().manual_seed(0)) / 256
    assert torch.equal(rotate_hue(image, torch.tensor([turns])), image.roll(places, 1))


@given(st.floats(-1, 1, width=32), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_hue_keeps_each_pixels_extremes(turns, seed):
    image = images(1, seed=seed) * 3 - 1
    turned = rotate_hue(image, torch.tensor([turns]))
    for extreme in (torch.amax, torch.amin):
        torch.testing.assert_close(extreme(turned, 1), extreme(image, 1), rtol=0, atol=1e-6)


def test_hue_of_grey_has_a_gradient():
    grey = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    rotate_hue(grey, torch.tensor([0.2])).sum().backward()
    assert torch.isfinite(grey.grad).all()


def test_noise_is_the_hash_it_says():
    seeds = torch.tensor([0, 1, -1, 2**31 - 1, -(2**31)], dtype=torch.int32)
    noise = uniform_noise(seeds, 5, 7)
    bits = np.arange(35, dtype=np.uint32) * np.uint32(0x9E3779B9)
    bits = seeds.numpy().view(np.uint32)[:, None] + bits
    bits = (bits ^ (bits >> 16)) * np.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * np.uint32(0x846CA68B)
    bits ^= bits >> 16
    for channel in range(3):
        level = (bits >> (10 * channel)) & 1023
        expected = ((level + 0.5) / 512 - 1).reshape(-1, 5, 7)
        assert np.allclose(noise[:, channel], expected, rtol=0, atol=1e-7)


def test_noise_is_uniform_with_mean_zero():
    seeds = torch.randint(-(2**31), 2**31, (64,), generator=torch.Generator().manual_seed(0))
    noise = uniform_noise(seeds.int(), 96, 128)
    # Standard error of the mean: 1 / sqrt(3 * 64 * 3 * 96 * 128) = 3.8e-4.
    assert abs(noise.mean()) < 4 * 3.8e-4
    assert noise.var() == pytest.approx(1 / 3, abs=1e-3)
    counts = torch.histc(noise, NOISE_LEVELS, -1, 1)
    chi_square = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert abs(chi_square - 1023) < 5 * math.sqrt(2 * 1023)


@pytest.mark.parametrize("step", [(0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)])
def test_noise_of_neighbours_is_unrelated(step):
    """In the row, in the column, in the other channel, under the next seed."""
    noise = uniform_noise(torch.arange(64, dtype=torch.int32), 96, 128)
    other = noise.roll(step, (0, 1, 2, 3))
    correlation = 3 * (noise * other).mean()
    assert abs(correlation) < 5 / math.sqrt(noise.numel())


def test_noise_is_added_in_its_amplitude():
    image = torch.full((2, 3, 96, 128), 0.5)
    amplitude = torch.tensor([0.0, 0.25])
    noisy = add_noise(image, amplitude, torch.tensor([3, 3], dtype=torch.int32))
    assert torch.equal(noisy[0], image[0])
    assert 0.249 < (noisy[1] - 0.5).abs().max() <= 0.25


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (3, 4, 4)])
def test_other_than_three_channels_are_refused(shape):
    with pytest.raises(AugmentationError, match="shape"):
        rotate_hue(torch.rand(shape), torch.zeros(2))
    with pytest.raises(AugmentationError, match="shape"):
        add_noise(torch.rand(shape), torch.zeros(2), torch.zeros(2, dtype=torch.int32))
