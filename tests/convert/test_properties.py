"""Whatever finite window and valid setting: a picture in [0, 1], the same by all engines."""

from __future__ import annotations

import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.convert import DegenerateWarning, SpectrogramConfig, WaveformConfig, to_images

from .signals import levels_apart

SIZES = {"width": st.integers(2, 40), "height": st.integers(2, 40)}


@st.composite
def spectrograms(draw):
    nfft = draw(st.integers(4, 70))
    return SpectrogramConfig(
        sampling_rate=draw(st.sampled_from([1.0, 20.0, 50.0, 100.0])),
        nfft=nfft,
        noverlap=draw(st.integers(0, nfft - 1)),
        detrend=draw(st.booleans()),
        normalize=draw(st.sampled_from(["axis", "window", "fixed"])),
        dynamic_range=draw(st.none() | st.floats(1, 120)),
        floor=draw(st.sampled_from([1e-10, 1e-8, 1e-6])),
        **{name: draw(size) for name, size in SIZES.items()},
    )


def windows(limit):
    shape = st.tuples(st.integers(0, 3), st.just(3), st.integers(1, 90))
    smooth = hnp.arrays(np.float32, shape, elements=st.floats(-limit, limit, width=32))
    # Constant axes, steps and single spikes: what a broken sensor delivers.
    sparse = hnp.arrays(
        np.float32,
        shape,
        elements=st.sampled_from([0.0, 1.0, -limit, limit]),
        fill=st.sampled_from([0.0, 1.0, limit]),
    )
    return smooth | sparse


def render(signal, view, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateWarning)
        return to_images(signal, view, **options)


views = spectrograms() | st.builds(
    WaveformConfig,
    low=st.floats(-16, 0),
    high=st.floats(0.5, 16),
    detrend=st.booleans(),
    **SIZES,
)


@settings(max_examples=80, deadline=None)
@given(windows(1e6), views)
def test_any_finite_window_gives_values_between_zero_and_one(signal, view):
    for engine in ("compiled", "torch", "reference"):
        images = render(signal, view, engine=engine)
        assert images.shape == (len(signal), 3, view.height, view.width)
        assert images.dtype == np.float32
        assert ((images >= 0) & (images <= 1)).all()  # false for NaN


@settings(max_examples=200, deadline=None)
@given(windows(16.0), views)
def test_engines_differ_by_at_most_one_grey_level(signal, view):
    ours = render(signal, view, dtype="uint8")
    for engine in ("torch", "reference"):
        if len(signal):
            assert levels_apart(ours, render(signal, view, engine=engine, dtype="uint8")) <= 1
