"""The converter against matplotlib, scipy and librosa over the paper's whole grid."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from img2imu.convert import DegenerateWarning, Spectrogram, SpectrogramConfig, paper_grid, to_images
from img2imu.convert import engine as torch_engine
from img2imu.convert.reference import power_density

from .signals import levels_apart, mlab_density, mlab_picture, movement

GRID = [
    *paper_grid(),
    SpectrogramConfig(nfft=63, noverlap=50),
    SpectrogramConfig(20, nfft=16, noverlap=0),
]


def name(config):
    return f"{config.nfft}-{config.hop}"


@pytest.fixture(scope="module")
def windows():
    return movement(2, 500)


def by_mlab(windows, config):
    signal = windows.astype(np.float64)
    return np.array([[mlab_density(axis, config) for axis in window] for window in signal])


@pytest.mark.parametrize("config", GRID, ids=name)
def test_reference_density_is_that_of_mlab_and_scipy(windows, config):
    density = power_density(windows, config)
    np.testing.assert_allclose(density, by_mlab(windows, config), rtol=1e-10, atol=1e-25)
    by_scipy = scipy.signal.spectrogram(
        windows.astype(np.float64),
        config.sampling_rate,
        window=np.hanning(config.nfft),
        noverlap=config.noverlap,
        detrend=False,
    )[2]
    np.testing.assert_allclose(density, by_scipy, rtol=1e-10, atol=1e-25)


@pytest.mark.parametrize("config", GRID, ids=name)
def test_reference_density_is_that_of_librosa(windows, config):
    taper = np.hanning(config.nfft)
    spectrum = librosa.stft(
        windows.astype(np.float64),
        n_fft=config.nfft,
        hop_length=config.hop,
        window=taper,
        center=False,
    )
    expected = np.abs(spectrum) ** 2 / (config.sampling_rate * np.sum(taper**2))
    expected[:, :, 1 : (config.nfft + 1) // 2] *= 2
    # librosa computes in its own order: equal to the rounding of the largest value.
    np.testing.assert_allclose(power_density(windows, config), expected, rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize("config", GRID, ids=name)
@pytest.mark.parametrize("exporting", [False, True])
def test_torch_density_holds_single_precision(windows, config, exporting, monkeypatch):
    monkeypatch.setattr(torch_engine, "_exporting", lambda: exporting)
    density = Spectrogram(config).power_density(torch.from_numpy(windows)).numpy()
    expected = by_mlab(windows, config)
    assert np.abs(density - expected).max() <= 1e-5 * expected.max()


@pytest.mark.parametrize("config", GRID, ids=name)
@pytest.mark.parametrize("engine", ["compiled", "torch", "reference"])
def test_picture_is_that_of_mlab_within_a_grey_level(windows, config, engine):
    ours = to_images(windows, config, engine=engine, dtype="uint8")
    for picture, window in zip(ours, windows, strict=True):
        assert levels_apart(picture, mlab_picture(window, config)) <= 1


@pytest.mark.parametrize("engine", ["compiled", "torch", "reference"])
@pytest.mark.parametrize("samples", [20, 40, 63])
def test_short_window_is_padded_to_one_frame_as_by_mlab(engine, samples):
    config, windows = SpectrogramConfig(), movement(2, samples)
    assert config.frames(samples) == 1
    with pytest.warns(DegenerateWarning, match="shorter than nfft"):
        ours = to_images(windows, config, engine=engine, dtype="uint8")
    for picture, window in zip(ours, windows, strict=True):
        assert levels_apart(picture, mlab_picture(window, config)) <= 1


def test_quiet_bins_beside_gravity_are_kept():
    # A tone of 30 µg lies 90 dB below 1 g: single precision alone would blur it.
    time = np.arange(250) / 50
    windows = np.ones((1, 3, 250)) + 3e-5 * np.sin(2 * np.pi * 12 * time)
    config = SpectrogramConfig(floor=1e-13)
    ours = to_images(windows, config, dtype="uint8")
    assert levels_apart(ours[0], mlab_picture(windows[0].astype(np.float32), config)) <= 1


def test_dynamic_range_draws_what_lies_deeper_black(windows):
    config = SpectrogramConfig(dynamic_range=40)
    ours = to_images(windows, config, dtype="uint8")
    assert levels_apart(ours[0], mlab_picture(windows[0], config)) <= 1
    plain = to_images(windows, SpectrogramConfig(), dtype="uint8")
    assert (ours == 0).mean() > 2 * (plain == 0).mean()


def test_real_windows_draw_as_by_mlab(exercise):
    windows = exercise.X[::40]
    ours = to_images(windows, SpectrogramConfig(), dtype="uint8")
    worst = max(
        levels_apart(picture, mlab_picture(window, SpectrogramConfig()))
        for picture, window in zip(ours, windows, strict=True)
    )
    assert worst <= 1
