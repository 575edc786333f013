"""Encoders of windows against explicit sums, and the doors they are reached by."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.signal import correlate

from img2imu.errors import InputError
from img2imu.models import WINDOW_ENCODERS, EncoderConfig, build_encoder, create_encoder
from img2imu.models.conv1d import ARCHITECTURES, CausalConv1d, Conv1d


def windows(n=4, samples=250, seed=0, axes=3):
    return torch.randn(n, axes, samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("axes", [3, 6, 9])
def test_conv1d_is_three_correlations_and_a_maximum(axes):
    encoder = build_encoder(EncoderConfig("conv1d", seed=5), axes=axes)
    mean, deviation = np.linspace(-1, 1, axes), np.linspace(0.5, 0.7, axes)
    encoder.normalise_by(mean, deviation)
    window = windows(1, 100, axes=axes)[0].numpy().astype(np.float64)
    signals = (window - mean[:, None]) / deviation[:, None]
    for layer in (0, 3, 6):
        weight, bias = (p.numpy() for p in encoder.layers[layer].parameters())
        signals = np.stack([
            sum(correlate(s, w, "valid") for s, w in zip(signals, kernels, strict=True)) + b
            for kernels, b in zip(weight, bias, strict=True)
        ]).clip(0)  # fmt: skip
    assert signals.shape == (96, 100 - 24 - 16 - 8 + 3)
    ours = encoder(torch.from_numpy(window[None]).float())[0].numpy()
    assert np.allclose(ours, signals.max(1), atol=1e-5)


def test_a_context_knows_no_future():
    encoder = build_encoder(EncoderConfig("cpc1d"))
    before = windows(2)
    after = before.clone()
    after[..., 100:] += 1
    (latent, context), (other_latent, other_context) = map(encoder.sequences, (before, after))
    assert latent.shape == context.shape == (2, 96, encoder.steps(250))
    # Step t reads samples 4 t to 4 t + 9.
    assert torch.equal(latent[..., :23], other_latent[..., :23])
    assert torch.equal(context[..., :23], other_context[..., :23])
    assert (latent[..., 23:] != other_latent[..., 23:]).any(1).all()
    assert (context[..., 23:] != other_context[..., 23:]).any(1).all()
    features = np.concatenate([context.numpy().mean(2), context.numpy().std(2)], axis=1)
    assert np.allclose(encoder(before).numpy(), features, atol=1e-5)
    # And it knows the past: ten steps and its own.
    past = before.clone()
    past[..., :4] += 1
    changed = (encoder.sequences(past)[1] != context).any(1).any(0)
    assert changed[: 10 + 1].all() and not changed[11:].any()


@pytest.mark.parametrize("samples", [10, 11, 13, 14, 100, 250])
def test_steps_are_those_of_the_network(samples):
    encoder = build_encoder(EncoderConfig("cpc1d"))
    assert encoder.sequences(windows(1, samples))[0].shape[2] == CausalConv1d.steps(samples)


@pytest.mark.parametrize("name", WINDOW_ENCODERS)
def test_frozen_encoders_are_reached_like_any_other(name):
    encoder = create_encoder(name, seed=1)
    assert isinstance(encoder, ARCHITECTURES[name])
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())
    [features] = encoder.stage_features(windows())
    assert features.shape == (4, encoder.width)
    assert torch.equal(features, encoder(windows()))
    again, other = (build_encoder(EncoderConfig(name, seed=seed))(windows()) for seed in (1, 2))
    assert torch.equal(again, features) and not torch.allclose(other, features)


def test_a_file_holds_weights_and_statistics(tmp_path):
    encoder = Conv1d().eval()
    encoder.normalise_by(np.array([0.1, 0.2, 0.9]), np.array([0.5, 0.6, 0.7]))
    path = tmp_path / "encoder.safetensors"
    save_file(encoder.state_dict(), path)
    loaded = build_encoder(EncoderConfig("conv1d", checkpoint=str(path)))
    assert torch.equal(loaded(windows()), encoder(windows()))
    assert load_file(path)["deviation"].shape == (3, 1)


@pytest.mark.parametrize("name", WINDOW_ENCODERS)
def test_files_of_other_encoders_are_refused(tmp_path, reference_weights, name):
    save_file({"layers.0.weight": torch.zeros(32, 3, 24)}, tmp_path / "part.safetensors")
    for path in (reference_weights, tmp_path / "part.safetensors"):
        with pytest.raises(InputError, match=f"does not hold an encoder {name}"):
            build_encoder(EncoderConfig(name, checkpoint=str(path)))


@pytest.mark.parametrize("name", WINDOW_ENCODERS)
def test_a_file_of_other_axes_is_told(tmp_path, name):
    encoder = create_encoder(name, seed=1, axes=6)
    path = str(tmp_path / "six.safetensors")
    save_file(encoder.state_dict(), path)
    six = windows(axes=6)
    assert torch.equal(create_encoder(name, checkpoint=path, axes=6)(six), encoder(six))
    assert (encoder(six) != encoder(torch.cat([six[:, :3], six[:, :3]], 1))).any(1).all()
    with pytest.raises(InputError, match=r"six\.safetensors reads windows of 6 axes.* have 3"):
        create_encoder(name, checkpoint=path)
    with pytest.raises(InputError, match=r"reads windows \(n, 6, samples\), not \(4, 3, 250\)"):
        encoder(windows())
    other = encoder.state_dict() | {"mean": torch.zeros(9, 1)}
    save_file(other, path)
    with pytest.raises(InputError, match=f"does not hold an encoder {name}"):
        create_encoder(name, checkpoint=path)


@pytest.mark.parametrize("name", WINDOW_ENCODERS)
def test_what_is_no_window_is_told(name):
    encoder = build_encoder(EncoderConfig(name))
    assert torch.isfinite(encoder(windows(2, encoder.shortest))).all()
    with pytest.raises(InputError, match=f"{encoder.shortest - 1} samples are too short"):
        encoder(windows(2, encoder.shortest - 1))
    with pytest.raises(InputError, match=r"reads windows .* not \(2, 7, 3, 72, 96\)"):
        encoder(torch.zeros(2, 7, 3, 72, 96))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stages": (3,)}, "neither stages nor bands"),
        ({"bands": 1}, "neither stages nor bands"),
        ({"pretrained": True}, "no weights by the name of conv1d"),
    ],
)
def test_settings_that_do_not_apply(settings, said):
    with pytest.raises(InputError, match=said):
        EncoderConfig("conv1d", **settings)
