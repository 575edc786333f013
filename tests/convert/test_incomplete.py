"""Pictures of windows that lack samples: no pixel that is kept depends on one."""

import numpy as np
import pytest

from img2imu.convert import (
    SpectrogramConfig,
    WaveformConfig,
    incomplete_images,
    to_images,
    token_views,
)
from img2imu.convert.incomplete import column_samples

ROUNDING = 1e-5
"""Frames go through one transform together, two and two: of each other they have rounding alone."""

VIEWS = [
    WaveformConfig(width=128, height=48),
    WaveformConfig(width=50, height=16),
    SpectrogramConfig(nfft=32, noverlap=30, normalize="fixed", width=128, height=48),
    SpectrogramConfig(nfft=16, noverlap=8, normalize="fixed", width=40, height=16),
]


def windows(n=6, samples=100, axes=3):
    return np.random.default_rng(0).normal(size=(n, axes, samples)).astype(np.float32)


@pytest.mark.parametrize("view", VIEWS)
def test_a_column_depends_on_the_samples_that_are_told(view):
    # Independent of the formula: change one sample, and see which columns change.
    X = windows(1)
    before = to_images(X, view)
    told = column_samples(view, 100)
    for sample in range(0, 100, 3):
        changed = X.copy()
        changed[..., sample] += 1
        moved = (np.abs(to_images(changed, view) - before) > ROUNDING).any(axis=(0, 1, 2))
        assert not (moved & (told[:, sample] == 0)).any()
        if isinstance(view, WaveformConfig):
            # And hardly more: a column at each side may be told for its rounding alone.
            assert (told[:, sample] > moved).sum() <= 2
    # Of a spectrogram, a frame's ends weigh nothing: each column is told of a third at most.
    assert told.mean() < 0.4


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("fill", [2.0, -1.5])
def test_what_is_filled_in_changes_nothing_that_is_kept(view, fill):
    X = windows()
    lost = np.zeros(X.shape, bool)
    for row, first in enumerate((0, 10, 31, 50, 77, 85)):
        lost[row, :, first : first + 9] = True
    images = incomplete_images(np.where(lost, np.nan, X), [view])[:, 0]
    filled = to_images(np.where(lost, np.float32(fill), X), view)
    kept = ~np.isnan(images)
    assert kept.any(axis=(1, 2, 3)).all() and not kept.all(axis=(1, 2, 3)).any()
    exact = isinstance(view, WaveformConfig)
    np.testing.assert_allclose(images[kept], filled[kept], rtol=0, atol=0 if exact else ROUNDING)
    # Columns go whole.
    assert (kept.all(axis=(1, 2)) == kept.any(axis=(1, 2))).all()


@pytest.mark.parametrize(
    "view", [WaveformConfig(detrend=True), SpectrogramConfig(nfft=32, noverlap=28)]
)
def test_a_view_of_the_whole_window_lacks_everything_for_one_sample(view):
    X = windows(2)
    X[0, :, 5] = np.nan
    images = incomplete_images(X, [view])
    assert np.isnan(images[0]).all() and not np.isnan(images[1]).any()


def test_each_sensor_lacks_its_own():
    views = token_views(50.0, 100, ("accel", "gyro"))
    assert [(view.sensor, type(view)) for view in views] == [
        (sensor, kind)
        for sensor in ("accel", "gyro")
        for kind in (SpectrogramConfig, WaveformConfig)
    ]
    X = windows(axes=6)
    complete = to_images(X, views, sensors=("accel", "gyro"))
    np.testing.assert_array_equal(incomplete_images(X, views, ("accel", "gyro")), complete)
    X[:, 3:] = np.nan
    images = incomplete_images(X, views, ("accel", "gyro"))
    assert np.isnan(images[:, 2:]).all()
    np.testing.assert_array_equal(images[:, :2], complete[:, :2])
