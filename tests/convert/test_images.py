"""Windows to pictures: shapes, types, orientation, degenerate input, threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from img2imu.convert import (
    DegenerateWarning,
    SignalError,
    SpectrogramConfig,
    WaveformConfig,
    dead_axes,
    fast_views,
    pixel_axes,
    recommended_views,
    to_images,
)

from .signals import movement

VIEWS = (
    SpectrogramConfig(width=20, height=10),
    SpectrogramConfig(nfft=32, noverlap=30, normalize="fixed", detrend=True, width=20, height=10),
    WaveformConfig(width=20, height=10),
    WaveformConfig(low=-0.6, high=0.6, detrend=True, width=20, height=10),
)
ENGINES = pytest.mark.parametrize("engine", ["compiled", "torch", "reference"])


@ENGINES
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_one_view_gives_one_picture_and_several_give_a_row(engine, dtype):
    windows = movement(5, 250)
    several = to_images(windows, VIEWS, engine=engine, dtype=dtype)
    assert several.shape == (5, len(VIEWS), 3, 10, 20)
    assert several.dtype == dtype
    for index, view in enumerate(VIEWS):
        single = to_images(windows, view, engine=engine, dtype=dtype)
        assert single.shape == (5, 3, 10, 20)
        np.testing.assert_array_equal(several[:, index], single)


@ENGINES
@pytest.mark.parametrize("view", VIEWS)
def test_bytes_are_the_rounded_floats(engine, view):
    windows = movement(5, 250)
    levels = to_images(windows, view, engine=engine) * 255.0
    rounded = to_images(windows, view, engine=engine, dtype="uint8")
    assert np.abs(rounded - levels).max() <= 0.5 + 0.1


def test_no_windows_give_no_pictures():
    assert to_images(np.zeros((0, 3, 250)), VIEWS).shape == (0, len(VIEWS), 3, 10, 20)


def test_pictures_do_not_depend_on_their_neighbours_or_the_threads():
    windows, before = movement(70, 250), torch.get_num_threads()
    together = to_images(windows, VIEWS, dtype="uint8")
    assert torch.get_num_threads() == before
    alone = np.concatenate([to_images(window[None], VIEWS, dtype="uint8") for window in windows])
    # A transform of many frames may round otherwise than one of few.
    assert np.abs(together.astype(int) - alone).max() <= 1


@ENGINES
@pytest.mark.parametrize("frequency", [3.0, 12.5, 22.0])
def test_a_tone_is_brightest_where_the_axes_say(engine, frequency):
    config = SpectrogramConfig()
    tone = np.sin(2 * np.pi * frequency * np.arange(250) / 50)
    windows = np.stack([tone, np.zeros(250), np.zeros(250)])[None]
    red = to_images(windows, config, engine=engine)[0, 0]
    _, hertz = pixel_axes(config, 250)
    assert abs(hertz[red.mean(1).argmax()] - frequency) <= 50 / 64


@ENGINES
def test_a_burst_is_brightest_where_the_axes_say(engine):
    config, burst = SpectrogramConfig(nfft=32, noverlap=30), 3.6
    windows = 0.01 * np.random.default_rng(0).normal(size=(1, 3, 250))
    windows[0, 2, int(burst * 50)] = 5.0
    blue = to_images(windows, config, engine=engine)[0, 2]
    time, _ = pixel_axes(config, 250)
    assert abs(time[blue.mean(0).argmax()] - burst) <= 0.1


@ENGINES
@pytest.mark.parametrize("normalize", ["axis", "window"])
@pytest.mark.parametrize("level", [0.0, 1.0, 16.0, 1e4])
def test_a_constant_axis_without_its_mean_is_black(engine, normalize, level):
    config = SpectrogramConfig(detrend=True, normalize=normalize)
    windows = movement(1, 250)
    windows[:, 1] = level
    images = to_images(windows, config, engine=engine)
    assert images[:, 1].max() < 1e-6
    assert images[:, 0].max() > 0.5
    windows[:] = level
    assert not to_images(windows, config, engine=engine).any()


@ENGINES
def test_fixed_range_keeps_amplitude_and_axis_range_does_not(engine):
    windows = movement(1, 250) * np.array([1, 0.3, 0.1])[:, None]
    # One pixel for each frame and bin: a resize would mix clipped pixels with others.
    fixed = SpectrogramConfig(normalize="fixed", floor=1e-20, width=47, height=33)
    quiet, loud = (to_images(windows * gain, fixed, engine=engine) for gain in (0.1, 1.0))
    inside = (quiet > 0) & (loud < 1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose((loud - quiet)[inside], 20 / 75, atol=1e-4)
    free = SpectrogramConfig(floor=1e-20)
    np.testing.assert_allclose(
        to_images(windows * 0.1, free, engine=engine),
        to_images(windows, free, engine=engine),
        atol=1e-3,
    )


@ENGINES
def test_waveform_follows_its_formula(engine):
    config = WaveformConfig(low=-2, high=2, width=5, height=4)
    signal = np.array([[-3.0, -1.0, 0.0, 0.5, 3.0]] * 3)[None]
    relative = (signal[0, 0] + 2) / 4
    level = 1 - np.arange(4)[:, None] / 3
    expected = 1 / (1 + np.exp(-(relative - level) * 4 / 2))
    images = to_images(signal, config, engine=engine)
    np.testing.assert_allclose(images[0, 1], expected, atol=1e-6)


@ENGINES
def test_detrended_waveform_is_that_of_the_signal_without_its_mean(engine):
    windows = movement(4, 250)
    centred = windows - windows.mean(-1, keepdims=True)
    drawn, expected = (
        to_images(signal, WaveformConfig(low=-0.6, high=0.6, detrend=detrend), engine=engine)
        for signal, detrend in ((windows, True), (centred, False))
    )
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert abs(drawn - to_images(windows, WaveformConfig(low=-0.6, high=0.6), engine)).max() > 0.5


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (np.zeros((3, 250)), "shape"),
        (np.zeros((1, 2, 250)), "shape"),
        (np.zeros((1, 3, 0)), "shape"),
        (np.zeros((1, 3, 250), int), "floating"),
        (np.full((1, 3, 250), np.inf), "window 0 holds NaN"),
        (np.full((1, 3, 250), 2e6), "more than 1e\\+06 g"),
    ],
)
def test_unfit_windows_are_refused(windows, message):
    with pytest.raises(SignalError, match=message):
        to_images(windows, SpectrogramConfig())


def test_the_broken_window_is_named():
    windows = movement(4, 250)
    windows[2, 1, 77] = np.nan
    with pytest.raises(SignalError, match="window 2"):
        to_images(windows, SpectrogramConfig())


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_only_torch_draws_elsewhere(engine):
    with pytest.raises(SignalError, match="draws on the CPU"):
        to_images(movement(1, 250), SpectrogramConfig(), engine=engine, device="cuda")


def test_torch_is_the_default_of_nobody_and_needs_no_compiled_code(monkeypatch):
    """Each engine runs its own code: a test that the three agree compares three things."""
    import torch.nn.functional

    from img2imu.convert import fused

    monkeypatch.setattr(fused, "draw", None)
    to_images(movement(1, 250), VIEWS, engine="torch")
    with pytest.raises(TypeError):
        to_images(movement(1, 250), VIEWS)
    monkeypatch.setattr(torch.nn.functional, "interpolate", None)
    to_images(movement(1, 250), VIEWS, engine="reference")
    with pytest.raises(TypeError):
        to_images(movement(1, 250), VIEWS, engine="torch")


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
@pytest.mark.parametrize("preset", [recommended_views, fast_views])
def test_the_shortest_windows_are_drawn_alike_by_all(preset, samples):
    windows, views = movement(3, samples), preset(50.0, samples)
    with pytest.warns(DegenerateWarning):
        ours = to_images(windows, views, dtype="uint8").astype(int)
        for engine in ("torch", "reference"):
            theirs = to_images(windows, views, engine=engine, dtype="uint8")
            assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("options", [{"engine": "jax"}, {"dtype": "float16"}])
def test_unknown_choices_are_refused(options):
    with pytest.raises(SignalError, match="unknown"):
        to_images(movement(1, 250), SpectrogramConfig(), **options)


def test_views_must_have_one_size_and_be_there():
    windows = movement(1, 250)
    with pytest.raises(SignalError, match="size"):
        to_images(windows, (SpectrogramConfig(), SpectrogramConfig(height=48)))
    with pytest.raises(SignalError, match="view"):
        to_images(windows, ())


def test_a_single_frame_is_warned_of():
    with pytest.warns(DegenerateWarning, match="single frame"):
        to_images(movement(1, 66), SpectrogramConfig())


def test_dead_axes_are_those_that_never_change():
    windows = movement(3, 50)
    assert dead_axes(windows) == []
    windows[:, 1] = 0.25
    windows[0, 2] = 0.0  # dead in one window only
    assert dead_axes(windows) == ["y"]
