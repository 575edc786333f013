"""Features: what is cached is what is computed, and nothing stale is ever found."""

import numpy as np
import pytest
import torch

from img2imu.convert import SpectrogramConfig, to_images
from img2imu.models import create_encoder
from img2imu.probe.config import recommended_views
from img2imu.probe.features import FeatureCache, extract
from img2imu.probe.handmade import BANDS, handmade_features


@pytest.fixture(scope="module")
def encoder():
    return create_encoder(stages=(1, 2), bands=3)


def test_extract_is_the_encoder_on_the_pictures(exercise, encoder):
    windows, views = exercise.X[:70], recommended_views(50.0, 250)
    images = torch.from_numpy(to_images(windows, views, engine="reference"))
    with torch.no_grad():
        expected = encoder.stage_features(images)
    for got, wanted in zip(extract(windows, views, encoder), expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), atol=2e-3)


def test_cache_computes_once_and_notices_changes(tmp_path, exercise, encoder, monkeypatch):
    cache, windows, views = FeatureCache(tmp_path), exercise.X[:8].copy(), (SpectrogramConfig(),)
    first = cache.get(windows, views, encoder)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    again = cache.get(windows, views, encoder)
    assert sorted(tmp_path.iterdir()) == files
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    windows[0, 0, 100] += 1
    changed = cache.get(windows, views, encoder)
    assert not np.array_equal(changed[0][0], first[0][0])
    np.testing.assert_allclose(changed[0][1:], first[0][1:], atol=1e-6)
    cache.get(windows, (SpectrogramConfig(detrend=True),), encoder)
    cache.get(windows, views, create_encoder(stages=(1, 2), bands=3, seed=1))
    assert len(list(tmp_path.iterdir())) == 8


def test_cache_keeps_nothing_of_a_broken_run(tmp_path, exercise, encoder):
    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path).get(exercise.X[:8], (SpectrogramConfig(),), encoder, stop)
    assert list(tmp_path.iterdir()) == []


def test_handmade_features_know_a_tone():
    rate, seconds = 50.0, 5.0
    time = np.arange(int(rate * seconds)) / rate
    window = np.zeros((1, 3, len(time)), np.float32)
    window[0, 0] = 0.5 + 2 * np.sin(2 * np.pi * 2.4 * time)
    window[0, 1] = window[0, 0]
    window[0, 2] = -window[0, 0]
    features = handmade_features(window, rate)
    assert features.shape == (1, 4 * (15 + len(BANDS)) + 3)
    assert np.isfinite(features).all()
    values = features[0]
    assert values[0] == pytest.approx(0.5, abs=1e-3)  # mean of x
    assert values[4] == pytest.approx(2 / np.sqrt(2), rel=1e-2)  # deviation of x
    assert values[12 * 4] == pytest.approx(2.4, abs=1e-6)  # dominant frequency of x
    np.testing.assert_allclose(values[-3:], [1, -1, -1], atol=1e-6)  # correlations


def test_handmade_features_of_silence_are_finite():
    assert np.isfinite(handmade_features(np.zeros((2, 3, 100), np.float32), 50.0)).all()


@pytest.mark.filterwarnings("error")
def test_windows_of_a_read_only_file_are_read_in_silence(tmp_path, exercise, encoder):
    np.save(tmp_path / "X.npy", exercise.X[:5])
    windows = np.load(tmp_path / "X.npy", mmap_mode="r")
    views = recommended_views(50.0, 250)
    for read, wanted in zip(
        extract(windows, views, encoder), extract(exercise.X[:5], views, encoder), strict=True
    ):
        np.testing.assert_array_equal(read, wanted)
