"""The torch modules: differentiable, exportable, equal to the fused pictures of the CPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from img2imu.convert import (
    Spectrogram,
    SpectrogramConfig,
    Views,
    Waveform,
    WaveformConfig,
    to_images,
)

from .signals import movement

SMALL = SpectrogramConfig(nfft=8, noverlap=4, width=7, height=6)
SPECTROGRAMS = [
    SpectrogramConfig(),
    SpectrogramConfig(nfft=63, noverlap=50, detrend=True),
    SpectrogramConfig(normalize="window"),
    SpectrogramConfig(nfft=128, noverlap=124, normalize="fixed", width=96, height=72),
]

WAVEFORMS = [WaveformConfig(), WaveformConfig(low=-0.6, high=0.6, detrend=True)]


@pytest.mark.parametrize("view", [*SPECTROGRAMS, *WAVEFORMS])
def test_module_draws_what_to_images_draws(view):
    windows = movement(3, 250)
    drawn = Views((view,))(torch.from_numpy(windows))
    assert drawn.shape == (3, 1, 3, view.height, view.width)
    np.testing.assert_allclose(drawn[:, 0].numpy(), to_images(windows, view), atol=2e-5)


@pytest.mark.parametrize(
    "module",
    [
        Spectrogram(SMALL),
        Spectrogram(replace(SMALL, normalize="window", detrend=True)),
        Spectrogram(replace(SMALL, normalize="fixed", db_range=(-200, 100))),
        Waveform(WaveformConfig(width=7, height=6)),
    ],
)
def test_gradients_are_those_of_finite_differences(module):
    windows = torch.from_numpy(movement(1, 16)).double().requires_grad_()
    assert torch.autograd.gradcheck(module.double(), (windows,), atol=1e-4)


def test_a_silent_axis_has_finite_gradients():
    windows = torch.zeros(1, 3, 250)
    windows[0, 0] = torch.randn(250)
    windows.requires_grad_()
    Spectrogram()(windows).sum().backward()
    assert windows.grad.isfinite().all()


def test_autocast_does_not_coarsen_the_spectrum():
    windows, module = torch.from_numpy(movement(2, 250)), Spectrogram()
    with torch.autocast("cpu", torch.bfloat16):
        drawn = module(windows)
    torch.testing.assert_close(drawn.float(), module(windows), atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:.*jit.*:FutureWarning", "ignore::torch.jit.TracerWarning")
def test_torchscript_trace_gives_the_same_pictures():
    views = (SpectrogramConfig(), SpectrogramConfig(detrend=True), WaveformConfig())
    windows, module = torch.from_numpy(movement(3, 250)), Views(views)
    traced = torch.jit.trace(module, windows[:1], check_trace=False)
    torch.testing.assert_close(traced(windows), module(windows), atol=1e-4, rtol=0)
    assert "fft_rfft" not in str(traced.inlined_graph)


@pytest.fixture(scope="module")
def onnx_session(tmp_path_factory):
    import onnxruntime

    path = tmp_path_factory.mktemp("onnx") / "views.onnx"
    views = (SpectrogramConfig(), SpectrogramConfig(detrend=True, normalize="fixed"))
    batch = {0: torch.export.Dim("batch")}
    torch.onnx.export(
        Views((*views, WaveformConfig())).eval(),
        (torch.zeros(2, 3, 250),),
        path,
        dynamo=True,
        dynamic_shapes=(batch,),
        input_names=["windows"],
        verbose=False,
    )
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("count", [1, 5])
def test_onnx_graph_gives_the_same_pictures_for_any_batch(onnx_session, count):
    windows = movement(count, 250)
    (drawn,) = onnx_session.run(None, {"windows": windows})
    views = (SpectrogramConfig(), SpectrogramConfig(detrend=True, normalize="fixed"))
    expected = to_images(windows, (*views, WaveformConfig()))
    np.testing.assert_allclose(drawn, expected, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("view", [*SPECTROGRAMS, *WAVEFORMS])
def test_cuda_draws_the_same_pictures(view):
    windows = movement(70, 250)
    on_gpu = to_images(windows, view, "torch", "uint8", device="cuda").astype(int)
    assert np.abs(on_gpu - to_images(windows, view, dtype="uint8")).max() <= 1


def test_importing_the_converter_leaves_torch_alone():
    code = """
import sys
import img2imu
from img2imu import convert
from img2imu.cli import build_parser
from img2imu.convert import VIEW_PRESETS, SpectrogramConfig, WaveformConfig, save_gallery, to_images
assert set(convert.__all__) <= set(dir(convert))
build_parser().format_help()
assert not {'torch', 'numba', 'cv2', 'matplotlib', 'scipy'} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
