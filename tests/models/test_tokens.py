"""An encoder that leaves missing patches out, against timm's own and against itself."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from img2imu.errors import InputError
from img2imu.models import (
    EncoderConfig,
    build_encoder,
    build_token_encoder,
    create_token_backbone,
)
from img2imu.models.encoder import IMAGENET_MEAN, IMAGENET_STD, create_backbone, feature_maps
from img2imu.models.tokens import TokenEncoder, observed_mean
from img2imu.models.weights import write_tensors
from img2imu.pretrain.checkpoint import save_encoder

NAMES = ["accel_spectrogram", "accel_waveform"]


def backbone(names=NAMES, name="test_vit"):
    return create_token_backbone(name, names, stages=(1,), init=None, seed=0).eval()


def pictures(n=3, count=2, lost=()):
    images = torch.rand(n, count, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    for window, picture, row, column in lost:
        images[window, picture, :, 16 * row + 5, 16 * column + 3] = torch.nan
    return images


LOST = [(0, 0, 0, 1), (0, 1, 2, 3), (1, 1, 1, 1), (1, 0, 0, 0)]


@torch.no_grad()
def test_a_complete_picture_is_read_as_timm_reads_it():
    mine = backbone(NAMES[:1])
    nn.init.zeros_(mine.view_embed[NAMES[0]])
    body = create_backbone("test_vit", stages=(0, 1), seed=5).body.eval()
    body.load_state_dict(
        {name: value for name, value in mine.state_dict().items() if name.startswith("model.")}
    )
    images = pictures(count=1)
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    maps = feature_maps(body, (images[:, 0] - mean) / deviation)
    encoder = TokenEncoder(mine, (0, 1))
    for state, expected in zip(encoder.stage_features(images), maps, strict=True):
        rows = expected.mean(3).transpose(1, 2).flatten(1)
        torch.testing.assert_close(state, rows, rtol=1e-5, atol=1e-5)


def test_a_token_is_missing_where_a_pixel_is():
    lost = backbone().missing(pictures(lost=LOST)).unflatten(2, (3, 4))
    assert [tuple(place.tolist()) for place in lost.nonzero()] == sorted(LOST)


@torch.no_grad()
def test_of_a_missing_patch_nothing_is_seen():
    encoder = TokenEncoder(backbone(), (0, 1))
    images = pictures(lost=LOST)
    before = encoder(images)
    assert before.isfinite().all()
    other = images.clone()
    for window, picture, row, column in LOST:
        other[window, picture, :, 16 * row : 16 * row + 5, 16 * column : 16 * column + 16] = 9.0
    assert torch.equal(encoder(other), before)
    # What is not missing is seen.
    other[0, 0, :, 40, 40] = 9.0
    assert not torch.equal(encoder(other)[0], before[0])
    assert torch.equal(encoder(other)[1:], before[1:])


@torch.no_grad()
def test_masked_in_the_attention_is_as_good_as_left_out():
    mine, images = backbone(), pictures(1, lost=LOST[:2])
    prefix, tokens = mine.embed(images)
    visible = ~mine.missing(images).flatten(1)
    masked = mine.read(prefix, tokens, visible)[-1][visible]
    kept = tokens[visible][None]
    alone = mine.read(prefix, kept, torch.ones(1, kept.shape[1], dtype=torch.bool))[-1][0]
    torch.testing.assert_close(masked, alone, rtol=1e-5, atol=1e-5)


def test_means_are_those_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2, 3 * 6, 5, generator=generator)
    visible = torch.rand(2, 3, 6, generator=generator) < 0.5
    visible[0, 1] = False
    means = observed_mean(states, visible, (2, 3)).unflatten(1, (3, 2, 5))
    for window in range(2):
        seen = visible[window].flatten()
        everything = states[window][seen].mean(0)
        for picture in range(3):
            for row in range(2):
                places = [6 * picture + 3 * row + column for column in range(3)]
                rows = [states[window, place] for place in places if seen[place]]
                expected = torch.stack(rows).mean(0) if rows else everything
                torch.testing.assert_close(means[window, picture, row], expected)


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InputError, match="resnet18 is no plain vision transformer"):
        backbone(name="resnet18")
    with pytest.raises(InputError, match="40 high does not divide into patches of 16x16"):
        backbone().grid(40, 128)
    config = EncoderConfig("tokens/test_vit", stages=(1,), bands=1)
    with pytest.raises(InputError, match="can be probed, and neither fitted"):
        build_encoder(config)
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, backbone())
    config = EncoderConfig("tokens/test_vit", checkpoint=str(path), stages=(1,), bands=1)
    with torch.no_grad():
        read = build_token_encoder(config, NAMES)(pictures())
        torch.testing.assert_close(read, TokenEncoder(backbone(), (1,))(pictures()))
    plain = tmp_path / "plain.safetensors"
    write_tensors(
        plain, {k.removeprefix("model."): v for k, v in backbone().model.state_dict().items()}
    )
    started = build_token_encoder(replace(config, checkpoint=str(plain)), NAMES)
    torch.testing.assert_close(
        started.backbone.model.state_dict(), backbone().model.state_dict(), rtol=0, atol=0
    )
    with pytest.raises(InputError, match="has not learnt to read gyro_waveform"):
        build_token_encoder(config, [*NAMES, "gyro_waveform"])
