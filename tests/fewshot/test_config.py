"""What the presets draw and what they cost."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from img2imu.convert import SpectrogramConfig, Views, WaveformConfig
from img2imu.fewshot import READINGS, ProbeConfig
from img2imu.models import EncoderConfig, create_encoder


@pytest.mark.parametrize("preset", ["recommended", "fast"])
@pytest.mark.parametrize(("rate", "seconds"), [(50, 5), (50, 2), (50, 10), (10, 5), (20, 1)])
def test_views_say_something_of_windows_of_any_length(preset, rate, seconds):
    [views] = ProbeConfig(preset).drawings(rate, rate * seconds)
    assert len(set(views)) == 5
    assert not any(view.degenerate(rate * seconds) for view in views)
    assert all(view.sampling_rate == rate for view in views)
    kinds = [type(view) for view in views]
    assert kinds == [SpectrogramConfig] * 3 + [WaveformConfig] * 2
    assert [view.detrend for view in views] == [False, True, True, False, True]


def test_frames_follow_the_length_of_the_window():
    [views] = ProbeConfig().drawings(50, 250)
    assert [(view.nfft, view.hop) for view in views[:3]] == [(32, 2), (32, 2), (128, 4)]
    [views] = ProbeConfig().drawings(50, 100)
    assert [(view.nfft, view.hop) for view in views[:3]] == [(16, 1), (16, 1), (64, 2)]


def test_an_encoder_of_windows_is_shown_no_pictures():
    assert ProbeConfig(encoder=EncoderConfig("conv1d")).drawings(50, 250) == [()]


def test_fast_costs_at_most_half_of_one_resnet_on_the_papers_picture():
    def cost(encoder, *shape):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            encoder(torch.zeros(1, *shape))
        return counter.get_total_flops()

    [views] = ProbeConfig("fast").drawings(50, 250)
    with torch.inference_mode():
        pictures = Views(views)(torch.zeros(1, 3, 250))
    whole = cost(create_encoder(**READINGS["paper"]), 3, 96, 128)
    assert cost(create_encoder(**READINGS["fast"]), *pictures.shape[1:]) <= 0.5 * whole
