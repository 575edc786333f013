"""Settings of a picture: what is refused, and where a pixel lies in time and frequency."""

from __future__ import annotations

import json

import matplotlib.mlab as mlab
import numpy as np
import pytest

from img2imu.convert import (
    SignalError,
    SpectrogramConfig,
    WaveformConfig,
    paper_grid,
    pixel_axes,
    pixel_extent,
    view_from_dict,
    view_to_dict,
)


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling_rate": 0},
        {"sampling_rate": float("nan")},
        {"sampling_rate": float("inf")},
        {"nfft": 3},
        {"nfft": 64.5},
        {"noverlap": 64},
        {"noverlap": -1},
        {"normalize": "max"},
        {"db_range": (5, -70)},
        {"db_range": (0, float("inf"))},
        {"floor": 0},
        {"dynamic_range": 0.5},
        {"width": 1},
        {"height": 9.5},
    ],
)
def test_spectrogram_settings_out_of_range_are_refused_by_name(settings):
    with pytest.raises(SignalError, match=next(iter(settings)) + "|picture"):
        SpectrogramConfig(**settings)


@pytest.mark.parametrize(
    "settings", [{"low": 2.0}, {"high": float("nan")}, {"low": -1e9}, {"width": 0}]
)
def test_waveform_settings_out_of_range_are_refused(settings):
    with pytest.raises(SignalError):
        WaveformConfig(**settings)


@pytest.mark.parametrize("view", [SpectrogramConfig(nfft=32, noverlap=30), WaveformConfig(low=-4)])
def test_views_survive_json(view):
    assert view_from_dict(json.loads(json.dumps(view_to_dict(view)))) == view


@pytest.mark.parametrize("settings", [{"kind": "mel"}, {}, {"kind": "waveform", "nfft": 64}])
def test_unknown_views_are_refused(settings):
    with pytest.raises(SignalError):
        view_from_dict(settings)


def test_paper_grid_has_sixteen_cells_and_leaves_out_degenerate_ones():
    grid = paper_grid()
    assert {(cell.nfft, cell.hop) for cell in grid} == {
        (nfft, hop) for nfft in (32, 64, 128, 256) for hop in (2, 4, 8, 16)
    }
    assert {cell.nfft for cell in paper_grid(samples=100)} == {32, 64}
    assert {cell.nfft for cell in paper_grid(samples=250)} == {32, 64, 128}
    assert len(paper_grid(samples=500)) == 16


def test_degenerate_windows_are_named():
    config = SpectrogramConfig()
    assert "shorter than nfft = 64" in config.degenerate(63)
    assert "single frame" in config.degenerate(67)
    assert config.degenerate(68) == ""
    assert WaveformConfig().degenerate(1)


@pytest.mark.parametrize(("nfft", "hop", "samples"), [(64, 4, 250), (33, 5, 99), (16, 1, 40)])
def test_pixels_of_an_unscaled_picture_are_those_of_mlab(nfft, hop, samples):
    _, frequency, time = mlab.specgram(np.ones(samples), NFFT=nfft, Fs=50, noverlap=nfft - hop)
    config = SpectrogramConfig(
        nfft=nfft, noverlap=nfft - hop, width=len(time), height=len(frequency)
    )
    ours = pixel_axes(config, samples)
    np.testing.assert_allclose(ours[0], time, atol=1e-12)
    np.testing.assert_allclose(ours[1], frequency[::-1], atol=1e-12)


@pytest.mark.parametrize("view", [SpectrogramConfig(), WaveformConfig(height=5)])
def test_extent_puts_pixel_centres_on_the_axes(view):
    time, level = pixel_axes(view, 250)
    left, right, bottom, top = pixel_extent(view, 250)
    columns = left + (np.arange(view.width) + 0.5) * (right - left) / view.width
    rows = top - (np.arange(view.height) + 0.5) * (top - bottom) / view.height
    # At the rim the look-up stops at the outermost frame, sample or bin.
    np.testing.assert_allclose(columns[2:-2], time[2:-2], atol=1e-9)
    np.testing.assert_allclose(rows[2:-2], level[2:-2], atol=1e-9)
