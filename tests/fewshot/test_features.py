"""Features: what is cached is what is computed, and nothing stale is ever found."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from img2imu.convert import SpectrogramConfig, recommended_views, to_images
from img2imu.fewshot.features import FeatureCache, extract, fast_precision
from img2imu.fewshot.handmade import BANDS, handmade_features
from img2imu.models import create_encoder


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
    [entry] = tmp_path.iterdir()
    written = (entry / "0.npy").stat().st_mtime_ns
    again = cache.get(windows, views, encoder)
    assert [*tmp_path.iterdir()] == [entry]
    assert (entry / "0.npy").stat().st_mtime_ns == written
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    windows[0, 0, 100] += 1
    changed = cache.get(windows, views, encoder)
    assert not np.array_equal(changed[0][0], first[0][0])
    np.testing.assert_allclose(changed[0][1:], first[0][1:], atol=1e-6)
    cache.get(windows, (SpectrogramConfig(detrend=True),), encoder)
    cache.get(windows, views, create_encoder(stages=(1, 2), bands=3, seed=1))
    assert len(list(tmp_path.iterdir())) == 4


def test_cache_keeps_nothing_of_a_broken_run(tmp_path, exercise, encoder):
    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path).get(exercise.X[:8], (SpectrogramConfig(),), encoder, on_batch=stop)
    assert list(tmp_path.iterdir()) == []


def test_stages_do_not_stand_in_for_each_other(tmp_path, exercise, encoder):
    """Weights up to stage 2 are the same whichever stages are read."""
    cache, windows, views = FeatureCache(tmp_path), exercise.X[:8], (SpectrogramConfig(),)
    first, second = cache.get(windows, views, encoder)
    [alone] = cache.get(windows, views, create_encoder(stages=(2,), bands=3))
    assert first.shape != second.shape
    np.testing.assert_array_equal(alone, second)


def test_changed_code_computes_again(tmp_path, exercise, encoder, monkeypatch):
    cache, windows, views = FeatureCache(tmp_path), exercise.X[:4], (SpectrogramConfig(),)
    cache.get(windows, views, encoder)
    monkeypatch.setattr("img2imu.fewshot.features.code_hash", lambda *modules: "other code")
    cache.get(windows, views, encoder)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "no checksums"])
def test_damaged_entries_are_computed_again(tmp_path, exercise, encoder, damage):
    cache, windows, views = FeatureCache(tmp_path), exercise.X[:4], (SpectrogramConfig(),)
    expected = [part.copy() for part in cache.get(windows, views, encoder)]
    [entry] = tmp_path.iterdir()
    array = entry / "1.npy"
    data = bytearray(array.read_bytes())
    if damage == "truncated":
        array.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-5] ^= 0x40
        array.write_bytes(data)
    elif damage == "missing":
        array.unlink()
    else:
        (entry / "sha256.json").write_text("[")
    for found, wanted in zip(cache.get(windows, views, encoder), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len(list(entry.iterdir())) == 3


def test_a_full_disk_is_an_error_not_a_signal(tmp_path):
    """In a process of its own: through a memory map it would die of SIGBUS."""
    program = """
import resource, sys
from pathlib import Path
import numpy as np
from img2imu.convert import SpectrogramConfig
from img2imu.fewshot import FeatureCache
from img2imu.models import create_encoder
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
X = np.random.default_rng(0).normal(size=(64, 3, 100)).astype("f4")
try:
    FeatureCache(Path(sys.argv[1])).get(X, (SpectrogramConfig(),), create_encoder(stages=(1,)))
except OSError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_processors_without_onednn_read_in_float32(monkeypatch):
    """Wheels for Apple's processors register no mkldnn operators."""

    class Missing:
        def __getattr__(self, name):
            raise AttributeError(f"'_OpNamespace' 'mkldnn' object has no attribute '{name}'")

    monkeypatch.setattr(torch.ops, "mkldnn", Missing())
    assert fast_precision() == torch.float32


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
