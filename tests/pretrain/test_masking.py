"""AIM: masks against what is told of them, the loss against a loop, incomplete windows."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from img2imu.cli import main
from img2imu.convert import token_views
from img2imu.errors import InputError
from img2imu.models import create_token_backbone
from img2imu.pretrain import AIMConfig, PretrainConfig, TokenSource, World, pretrain
from img2imu.pretrain.methods import aim as masking
from img2imu.pretrain.methods.aim import AIM, draw_mask, kept_tokens, patch_pixels
from img2imu.recordings import Windows, save_windows, with_gaps

ALONE = World(torch.device("cpu"))
GRID, UNITS = (3, 8), [0, 0, 1, 1]


def windows(n=48, sensors=("accel", "gyro"), seed=0):
    """Two classes of four people that a frequency tells apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    time = np.arange(100) / 50
    wave = np.sin(2 * np.pi * (2 + 5 * y[:, None, None]) * time + rng.uniform(0, 6, (n, 1, 1)))
    X = 0.5 * wave + rng.normal(0, 0.1, (n, 3 * len(sensors), 100))
    X[:, 2] += 1
    subject = np.array([f"s{row * 5 // n}" for row in range(n)])
    return Windows(
        X.astype(np.float32), y.astype(str), subject, subject, np.zeros(n), 50.0, sensors=sensors
    )


def method(sensors=("accel", "gyro"), **settings):
    views = token_views(50.0, 100, sensors)
    names = [f"{view.sensor}_{number}" for number, view in enumerate(views)]
    torch.manual_seed(0)
    backbone = create_token_backbone("test_vit", names, stages=(0,), init=None, seed=0)
    return AIM(backbone, AIMConfig(**{"decoder_depth": 1, "decoder_dim": 32} | settings), views)


def pictures(n=6, share=0.4, sensors=("accel", "gyro")):
    source = TokenSource({"w": with_gaps(windows(n, sensors), share)}, held=False)
    return source.draw(np.arange(n), torch.Generator().manual_seed(0))


def draw(missing, units=UNITS, seed=0):
    torch.manual_seed(seed)
    return draw_mask(missing, GRID, units, AIMConfig())


def ways(drawn):
    """How each window was masked: 0 at random, 1 in time, 2 whole sensors."""
    columns = drawn.unflatten(2, GRID)
    in_time = (columns == columns[:, :1, :1]).all((1, 2, 3))
    of_sensors = (drawn == drawn[:, :, :1]).all((1, 2))
    return torch.where(of_sensors, 2, torch.where(in_time, 1, 0))


def test_windows_are_masked_in_three_ways_alike():
    drawn = draw(torch.zeros(3000, 4, 24, dtype=torch.bool))
    way = ways(drawn)
    counts = way.bincount()
    assert len(counts) == 3 and (counts - 1000).abs().max() < 4 * math.sqrt(3000 * 2 / 9)
    # Shares: .8 of the tokens, half of the columns, one of two sensors with both its views.
    assert (drawn[way == 0].flatten(1).sum(1) == round(0.8 * 96)).all()
    assert (drawn[way == 1][:, 0].unflatten(1, GRID)[:, 0].sum(1) == 4).all()
    sensors = drawn[way == 2][:, :, 0]
    assert (sensors[:, 0] == sensors[:, 1]).all() and (sensors[:, 0] != sensors[:, 2]).all()
    # Each token as often as another.
    assert (drawn[way == 0].float().mean(0) - 0.8).abs().max() < 0.07


def test_a_single_picture_is_masked_in_two_ways():
    way = ways(draw(torch.zeros(400, 1, 24, dtype=torch.bool), [0]))
    assert set(way.tolist()) == {0, 1} and 140 < (way == 0).sum() < 260
    # Two views of one sensor hide each other.
    assert method(("accel",)).units == [0, 1]
    assert method().units == [0, 0, 1, 1]


def test_something_is_always_seen():
    torch.manual_seed(1)
    missing = torch.rand(2000, 4, 24) < torch.rand(2000, 1, 1)
    missing[:50] = False
    missing[:50, :2] = True  # the sensor that is there must not be hidden whole
    missing[50:60] = True
    missing[50:60, 1, 3] = False  # a single token
    drawn = draw(missing)
    seen = (~missing & ~drawn).flatten(1).sum(1)
    there = (~missing).flatten(1).any(1)
    assert (seen[there] >= 1).all() and not (seen[~there]).any()
    target = (~missing & drawn).flatten(1).sum(1)
    assert (target[50:60] == 0).all() and (target[:50] > 0).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_all_that_is_seen_is_kept(share):
    torch.manual_seed(2)
    unseen = torch.rand(50, 40) < 0.6
    kept = kept_tokens(unseen, share)
    dropped = min(int(share * 40), int(unseen.sum(1).min()))
    assert kept.shape == (50, 40 - dropped)
    for row, numbers in enumerate(kept.tolist()):
        assert len(set(numbers)) == len(numbers)
        assert set((~unseen[row]).nonzero().flatten().tolist()) <= set(numbers)


def test_patches_are_cut_and_normalised_as_by_a_loop():
    images = torch.rand(2, 2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    patches = patch_pixels(images, (16, 16)).double()
    for window in range(2):
        token = 0
        for picture in range(2):
            for row in range(2):
                for column in range(3):
                    cut = images[window, picture, :, 16 * row :, 16 * column :][:, :16, :16]
                    pixels = cut.double().flatten()
                    expected = (pixels - pixels.mean()) / (pixels.var(correction=0) + 1e-6).sqrt()
                    torch.testing.assert_close(
                        patches[window, token], expected, rtol=1e-4, atol=1e-4
                    )
                    token += 1


def test_the_loss_is_a_loop_over_observed_hidden_tokens():
    aim, images = method(), pictures()
    torch.manual_seed(3)
    loss = aim([images], torch.tensor([]), 0)["loss"].item()
    torch.manual_seed(3)
    missing = aim.encoder.missing(images)
    drawn = draw_mask(missing, aim.grid, aim.units, aim.config)
    predicted, _ = aim.predict(images, missing.flatten(1), drawn.flatten(1))
    predicted = predicted.detach().double().unflatten(1, (4, 3, 8)).numpy()
    error = total = 0.0
    counted = 0
    for window, picture, row, column in np.ndindex(6, 4, 3, 8):
        cut = images[window, picture, :, 16 * row :, 16 * column :][:, :16, :16].double().numpy()
        if np.isnan(cut).any() or not drawn[window, picture, 8 * row + column]:
            continue
        pixels = (cut - cut.mean()).ravel() / math.sqrt(cut.var() + 1e-6)
        error += ((predicted[window, picture, row, column] - pixels) ** 2).sum()
        total += (pixels**2).sum()
        counted += 1
    assert 0 < counted < drawn.sum()
    assert loss == pytest.approx(error / total, rel=1e-5)
    # Who predicts each patch's mean is at chance.
    with torch.no_grad():
        for value in aim.exit[1].parameters():
            value.zero_()
    assert aim([images], torch.tensor([]), 0)["loss"].item() == pytest.approx(aim.chance)


def test_processes_share_one_mean(monkeypatch):
    aim, images = method(dropped=0.0), pictures(8)
    masks = draw(torch.zeros(8, 4, 24, dtype=torch.bool), seed=5)
    given = iter([masks, masks[:4], masks[4:], masks[:4], masks[4:]])
    monkeypatch.setattr(masking, "draw_mask", lambda *_: next(given))
    joined = aim([images], torch.tensor([]), 0)["loss"].item()
    totals = []
    monkeypatch.setattr(masking, "gather", lambda own: totals.append(own) or own)
    for part in (images[:4], images[4:]):
        aim([part], torch.tensor([]), 0)
    monkeypatch.setattr(masking, "gather", lambda own: torch.cat(totals))
    each = [aim([part], torch.tensor([]), 0)["loss"].item() for part in (images[:4], images[4:])]
    assert np.mean(each) == pytest.approx(joined, rel=1e-5)


def test_hidden_and_missing_tokens_give_nothing_away():
    aim, images = method(), pictures()
    missing = aim.encoder.missing(images).flatten(1)
    drawn = draw(missing.unflatten(1, (4, 24)), seed=4).flatten(1)
    unseen = (missing | drawn).unflatten(1, (4, 3, 8))
    filled = images.nan_to_num(0.0).requires_grad_()
    marked = torch.where(images.isnan(), torch.nan, filled)
    torch.manual_seed(0)
    predicted, _ = aim.predict(marked, missing, drawn)
    predicted[~missing].square().sum().backward()
    moved = filled.grad.abs().amax(2).unflatten(3, (8, 16)).unflatten(2, (3, 16)).amax((3, 5))
    assert (moved[unseen] == 0).all()
    assert (moved[~unseen] > 0).float().mean() > 0.99
    # Nor does a missing token reach what is predicted of others: not even its place.
    with torch.no_grad():
        for window in range(6):
            aim.places.data[missing[window]] += 1
            torch.manual_seed(0)
            again, _ = aim.predict(images, missing, drawn)
            aim.places.data[missing[window]] -= 1
            there = ~missing[window]
            torch.testing.assert_close(
                again[window, there], predicted[window, there], rtol=1e-4, atol=1e-4
            )


def test_every_weight_learns():
    aim = method()
    aim([pictures()], torch.tensor([]), 0)["loss"].backward()
    still = [
        name
        for name, weight in aim.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    # Keys' biases cancel in a softmax; all else moves.
    assert not [name for name in still if "qkv.bias" not in name]


def small(**settings):
    common = {
        "policy": "none", "encoder": "test_vit", "stages": (0,), "batch_size": 16,
        "epochs": 2, "lr": 1e-3, "held": 0,
    }  # fmt: skip
    return PretrainConfig(AIMConfig(decoder_depth=1, decoder_dim=32), **common | settings)


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    source = TokenSource({"w": with_gaps(windows(), 0.25)}, held=False)
    last = pretrain(small(), source, tmp_path / "whole", ALONE)
    assert last["loss"] < 1.5 and last["chance"] == 1 and 0.1 < last["missing"] < 0.6

    def killed(epoch, encoder):
        if epoch == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        pretrain(small(), source, tmp_path / "cut", ALONE, after_epoch=killed)
    pretrain(small(), source, tmp_path / "cut", ALONE)
    one, other = (load_file(tmp_path / name / "encoder.safetensors") for name in ("whole", "cut"))
    assert one.keys() == other.keys() and "view_embed.gyro_waveform" in one
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_aim_cannot_learn_from_is_told(tmp_path):
    with pytest.raises(InputError, match="windows of the same sensors"):
        TokenSource({"a": windows(), "b": windows(sensors=("accel",))})
    source = TokenSource({"w": windows()}, held=False)
    for settings, message in [
        ({"encoder": "conv1d", "stages": (4,)}, "with a vision transformer"),
        ({"policy": "all"}, "no policy"),
        ({"bands": 6}, "it has no bands"),
    ]:
        with pytest.raises(InputError, match=message):
            small(**settings)
    with pytest.raises(InputError, match="multiple of 32"):
        AIMConfig(decoder_dim=40)
    with pytest.raises(InputError, match="resnet18 is no plain vision transformer"):
        pretrain(small(encoder="resnet18", stages=(1,)), source, tmp_path / "r", ALONE)
    with pytest.raises(InputError, match="moco learns from complete windows"):
        pretrain(PretrainConfig(), source, tmp_path / "r", ALONE)
    assert not (tmp_path / "r").exists()


def test_incomplete_windows_go_from_pretraining_to_the_probe(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path / "cache"))
    path, run = tmp_path / "w.npz", tmp_path / "run"
    gappy = with_gaps(windows(80), 0.25)
    save_windows(path, gappy)
    begin = ["pretrain", "--source", str(path), "--method", "aim", "-o", str(run)]
    small_one = ["--encoder", "test_vit", "--epochs", "1", "--stages", "0", "--held", "0"]
    assert main([*begin, *small_one]) == 0
    probe = ["probe", str(path), "--encoder", "test_vit", "--seeds", "1", "--shots"]
    capsys.readouterr()
    assert main([*probe, "2", "--weights", str(run)]) == 0
    out = capsys.readouterr().out
    assert "hand-forest, quant, minirocket left out" in out or "hand-forest, quant left out" in out
    assert "img2imu        logistic" in out and "random-2d      logistic" in out
    for more, message in [
        (["--weights", str(run), "--methods", "quant"], "quant reads complete windows"),
        (["--weights", str(run), "--model", str(tmp_path / "m")], "cannot be fitted so far"),
        ([], "samples are missing"),
    ]:
        assert main([*probe, "2", *more]) == 2
        assert message in capsys.readouterr().err
    assert main(["pretrain", "--source", str(path), "-o", str(tmp_path / "x")]) == 2
    assert "samples are missing" in capsys.readouterr().err
