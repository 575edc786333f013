"""Augmentations of signals against scipy, numpy and what defines them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from img2imu.augment import AugmentationError, signals

N, SAMPLES = 64, 250
RANDOM = [
    signals.jitter, signals.uniform_noise, signals.scale, signals.rotate, signals.permute,
    signals.time_warp, signals.shift, signals.mask, signals.shuffle_axes,
]  # fmt: skip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def windows():
    return torch.randn(N, 3, SAMPLES, generator=generator(99))


@pytest.mark.parametrize("augment", RANDOM, ids=lambda augment: augment.__name__)
def test_windows_differ_and_the_generator_decides(windows, augment):
    before = windows.clone()
    same = windows[:1].expand(N, 3, SAMPLES)
    first, again, other = (augment(same, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(windows, before)
    assert torch.equal(first, again) and not torch.equal(first, other)
    # An order of three axes repeats among 64 windows, and so may a shift.
    assert len({row.numpy().tobytes() for row in first}) >= (
        6 if augment is signals.shuffle_axes else N // 3
    )
    assert first.shape == same.shape and first.dtype == same.dtype


@pytest.mark.parametrize("shape", [(0, 3, SAMPLES), (2, 3, 1), (2, 3, 2)])
@pytest.mark.parametrize("augment", RANDOM, ids=lambda augment: augment.__name__)
def test_no_windows_and_short_ones(augment, shape):
    out = augment(torch.ones(shape), generator())
    assert out.shape == shape and torch.isfinite(out).all()


def test_noise_has_its_moments(windows):
    normal = signals.jitter(windows, generator(), sigma=0.2) - windows
    uniform = signals.uniform_noise(windows, generator(), amplitude=0.3) - windows
    same = signals.jitter(windows, generator(), sigma=[0.2])
    assert torch.equal(same, signals.jitter(windows, generator(), sigma=0.2))
    both = windows.repeat(1, 2, 1)
    added = (signals.jitter(both, generator(), sigma=[0.2, 5.0]) - both).unflatten(1, (2, 3))
    np.testing.assert_allclose(added.std((0, 2, 3)), [0.2, 5.0], rtol=0.02)
    for noise, deviation in ((normal, 0.2), (uniform, 0.3 / 3**0.5)):
        assert abs(float(noise.mean())) < 5 * deviation / noise.numel() ** 0.5
        assert float(noise.std()) == pytest.approx(deviation, rel=0.02)
    assert 0.299 < float(uniform.abs().max()) < 0.3 + 1e-6


def test_scale_is_one_factor_per_axis(windows):
    factors = signals.scale(windows, generator(), sigma=0.1) / windows
    assert torch.allclose(factors, factors[:, :, :1], rtol=1e-5)
    drawn = signals.scale(torch.ones(4000, 3, 1), generator(), sigma=0.1)
    assert float(drawn.mean()) == pytest.approx(1, abs=0.005)
    assert float(drawn.std()) == pytest.approx(0.1, rel=0.05)


def test_rotation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(20, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = rng.uniform(-np.pi, np.pi, 20)
    expected = Rotation.from_rotvec(axes * angles[:, None]).as_matrix()
    ours = signals.rotation_matrices(torch.from_numpy(axes), torch.from_numpy(angles))
    assert np.allclose(ours.numpy(), expected, atol=1e-12)


def test_rotate_keeps_lengths_and_reaches_every_direction(windows):
    turned = signals.rotate(windows, generator())
    assert torch.allclose(turned.norm(dim=1), windows.norm(dim=1), atol=1e-5)
    assert torch.allclose(
        torch.linalg.det(torch.linalg.lstsq(windows.mT, turned.mT).solution),
        torch.ones(N),
        atol=1e-4,
    )
    up = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1).expand(20_000, 3, 1)
    # About a random axis by a uniform angle: E[R] = I/3 for whole turns.
    assert torch.allclose(
        signals.rotate(up, generator()).mean(0)[:, 0], torch.tensor([0.0, 0.0, 1 / 3]), atol=0.02
    )
    tilt = torch.rad2deg(signals.rotate(up, generator(), degrees=30)[:, 2, 0].clamp(-1, 1).acos())
    assert 29 < float(tilt.max()) <= 30.001


def test_sensors_of_one_unit_turn_together(windows):
    three = torch.cat([windows, windows, windows], dim=1)
    turned = signals.rotate(three, generator(), units=[0, 1, 0])
    one, other, same = turned.unflatten(1, (3, 3)).unbind(1)
    assert torch.equal(one, same)
    assert torch.equal(one, signals.rotate(windows, generator()))
    assert not torch.allclose(one, other, atol=0.1)
    assert torch.allclose(other.norm(dim=1), windows.norm(dim=1), atol=1e-5)
    with pytest.raises(AugmentationError, match="units must be told of 3 sensors"):
        signals.rotate(three, generator(), units=[0, 1])


def test_axes_of_all_sensors_change_places_alike(windows):
    both = torch.cat([windows, 2 * windows], dim=1)
    shuffled = signals.shuffle_axes(both, generator())
    assert torch.equal(shuffled[:, :3], signals.shuffle_axes(windows, generator()))
    assert torch.equal(shuffled[:, 3:], 2 * shuffled[:, :3])


def test_permute_keeps_every_sample_and_chunks_whole(windows):
    counted = torch.arange(SAMPLES, dtype=torch.float32).expand(N, 3, SAMPLES)
    mixed = signals.permute(counted, generator(), chunks=5)
    assert torch.equal(mixed.sort(2).values, counted)
    assert torch.equal(mixed[:, 0], mixed[:, 2])
    jumps = (mixed[:, 0].diff(dim=1) != 1).sum(1)
    assert int(jumps.max()) == 4
    assert torch.equal(signals.permute(windows, generator(), chunks=1), windows)


def test_warped_time_is_the_integral_of_a_spline():
    speeds = torch.tensor([[1.0, 1.3, 0.7, 0.9, 1.4, 1.0]], dtype=torch.float64)
    samples = 4001
    spline = CubicSpline(np.linspace(0, 1, 6), speeds[0].numpy()).antiderivative()
    expected = spline(np.linspace(0, 1, samples)) / spline(1.0) * (samples - 1)
    ours = signals.warped_times(speeds, samples)[0].numpy()
    assert np.allclose(ours, expected, atol=1e-3)


def test_time_warp_keeps_ends_and_order(windows):
    rising = torch.linspace(0, 1, SAMPLES).expand(N, 3, SAMPLES)
    # Speeds that would run backwards are held.
    for sigma in (0.2, 3.0):
        warped = signals.time_warp(rising, generator(), sigma=sigma)
        assert (warped.diff(dim=2) > 0).all()
        assert torch.equal(warped[..., [0, -1]], rising[..., [0, -1]])
    assert float((warped - rising).abs().max()) > 0.1
    straight = signals.time_warp(windows, generator(), sigma=0)
    assert torch.allclose(straight, windows, atol=1e-3)


def test_time_warp_interpolates_like_numpy(windows):
    speeds = 1 + 0.2 * torch.randn(N, 6, generator=generator(3))
    times = signals.warped_times(speeds, SAMPLES).numpy()
    warped = signals.time_warp(windows, generator(3))
    for row in range(4):
        expected = np.interp(times[row], np.arange(SAMPLES), windows[row, 1].numpy())
        assert np.allclose(warped[row, 1].numpy(), expected, atol=1e-4)


def test_shift_fills_with_the_edge():
    counted = torch.arange(SAMPLES, dtype=torch.float32).expand(400, 3, SAMPLES)
    moved = signals.shift(counted, generator(), fraction=0.4)
    steps = (moved - counted)[:, :, SAMPLES // 2 : SAMPLES // 2 + 1]
    assert torch.equal(moved, (counted + steps).clamp(0, SAMPLES - 1))
    assert 0.38 * SAMPLES < float(steps.max()) <= 0.4 * SAMPLES
    assert -0.38 * SAMPLES > float(steps.min()) >= -0.4 * SAMPLES
    assert torch.equal(signals.shift(counted, generator(), fraction=0), counted)


def test_mask_hides_one_stretch(windows):
    hidden = signals.mask(windows, generator(), fraction=0.3) == 0
    assert (hidden.sum(2) == 75).all()
    assert (hidden.float().diff(dim=2).abs().sum(2) <= 2).all()
    starts = hidden[:, 0].int().argmax(1)
    assert int(starts.min()) < 0.05 * SAMPLES and int(starts.max()) > 0.65 * SAMPLES
    assert torch.equal(signals.mask(windows, generator(), fraction=0), windows)
    assert not signals.mask(windows, generator(), fraction=1).any()


def test_negate_and_reverse_undo_themselves(windows):
    assert torch.equal(signals.negate(windows) + windows, torch.zeros_like(windows))
    assert np.array_equal(signals.reverse(windows).numpy(), windows.numpy()[..., ::-1])


def test_axes_take_all_orders_alike():
    numbered = torch.tensor([0.0, 1.0, 2.0]).view(1, 3, 1).expand(6000, 3, 2)
    shuffled = signals.shuffle_axes(numbered, generator())
    assert torch.equal(shuffled[..., 0], shuffled[..., 1])
    orders, counts = shuffled[..., 0].unique(dim=0, return_counts=True)
    assert [tuple(order) for order in orders.int().tolist()] == list(permutations(range(3)))
    assert int(counts.min()) > 850 and int(counts.max()) < 1150


@pytest.mark.parametrize(
    ("augment", "setting", "said"),
    [
        (signals.jitter, {"sigma": -1.0}, "sigma"),
        (signals.jitter, {"sigma": [0.1, -1.0]}, "sigma must not be negative"),
        (signals.jitter, {"sigma": [0.1, 0.2]}, "sigma must be told of 1 sensors, not of 2"),
        (signals.uniform_noise, {"amplitude": -0.1}, "amplitude"),
        (signals.permute, {"chunks": 0}, "chunks"),
        (signals.time_warp, {"knots": -1}, "knots"),
        (signals.shift, {"fraction": 1.5}, "fraction"),
        (signals.mask, {"fraction": -0.1}, "fraction"),
    ],
)
def test_settings_out_of_range(windows, augment, setting, said):
    with pytest.raises(AugmentationError, match=said):
        augment(windows, generator(), **setting)
