"""InfoMAE: each loss against a formula, what gradients reach, what is hidden."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from img2imu.errors import InputError
from img2imu.pretrain import (
    RECIPES,
    InfoMAEConfig,
    PictureSource,
    PretrainConfig,
    SensorSource,
    World,
    loop,
    pretrain,
)
from img2imu.pretrain.methods.infomae import (
    PATCH,
    SPAN,
    InfoMAE,
    correlation,
    energy_distance,
    masked_error,
)
from img2imu.pretrain.methods.sensors import create_sensor_method
from img2imu.pretrain.monitors import read_columns
from img2imu.pretrain.sources.sensors import SensorLoader

ALONE = World(torch.device("cpu"))
SIGNALS = replace(RECIPES["recommended"]["infomae"], method=InfoMAEConfig(), epochs=2, batch_size=8)
PICTURES = replace(
    RECIPES["windows"]["infomae"], encoder="test_resnet", stages=(2,), epochs=2, batch_size=8
)
STEPS = 6


@pytest.fixture(scope="module")
def sets(exercise):
    """24 windows of 2 s with both sensors, 16 with one of them each."""
    some = exercise.select(slice(None, None, 40))
    X = np.ascontiguousarray(some.X[:, :, :100])
    both = np.concatenate([X, 2 * X[:, ::-1] ** 2], axis=1)
    windows = replace(some, X=both, sensors=("accel", "gyro"))
    accel = replace(some, X=X)
    gyro = replace(some, X=both[:, 3:], sensors=("gyro",))
    rows = slice(0, 24), slice(24, 32), slice(32, 40)
    return {
        name: each.select(own)
        for name, each, own in zip(("both", "a", "g"), (windows, accel, gyro), rows, strict=True)
    }


def made(config, sets):
    """A method without dropout, its source, and a batch of its loader's."""
    torch.manual_seed(0)
    source = SensorSource(sets, not config.reads_windows, held=False)
    encoder = loop.untrained_encoder(config, source)
    method = create_sensor_method(config, encoder, source, ALONE)
    for each in method.modules():
        if isinstance(each, torch.nn.Dropout):
            each.p = 0.0
    batch = next(SensorLoader(source, 8, 0, ALONE, 1, 1, method.paired).epoch(0))
    view = batch.images[0]
    return method, view / 255 - 0.5 if source.pictures else view, batch.labels


def test_the_error_is_that_of_what_is_hidden():
    rng = np.random.default_rng(0)
    predicted, target = rng.normal(size=(2, 4, 3, 5, 6))
    mask = rng.random((4, 1, 5, 6)) < 0.4
    errors = [
        (predicted[n, c, y, x] - target[n, c, y, x]) ** 2
        for n, _, y, x in zip(*np.nonzero(mask), strict=True)
        for c in range(3)
    ]
    given = torch.from_numpy(predicted).requires_grad_()
    loss = masked_error(given, torch.from_numpy(target), torch.from_numpy(mask))
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-12)
    loss.backward()
    moved = given.grad.numpy() != 0
    np.testing.assert_array_equal(moved, np.broadcast_to(mask, moved.shape))


def test_distributions_differ_by_their_energy_distance():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 4)), rng.normal(1, 2, size=(7, 4))

    def mean(one, other):
        return np.mean([[np.linalg.norm(a - b) for b in other] for a in one])

    expected = 2 * mean(first, second) - mean(first, first) - mean(second, second)
    samples = torch.from_numpy(first), torch.from_numpy(second)
    assert energy_distance(*samples).item() == pytest.approx(expected, rel=1e-12)
    shuffled = samples[0][torch.tensor([3, 1, 4, 0, 2])]
    assert energy_distance(samples[0], shuffled).item() == pytest.approx(0, abs=1e-12)


def test_correlation_is_that_of_columns():
    rng = np.random.default_rng(0)
    first = rng.normal(3, 2, size=(50, 4))
    second = first[:, :3] + rng.normal(size=(50, 3))
    each = [np.corrcoef(a, b)[0, 1] ** 2 for a in first.T for b in second.T]
    value = correlation(torch.from_numpy(first), torch.from_numpy(second))
    assert value.item() == pytest.approx(np.mean(each), rel=1e-4)


def test_pairs_are_aligned_by_what_is_read_in_the_end(sets):
    method, view, trust = made(SIGNALS, sets)
    measures = method([view], trust, step=STEPS)
    rows = np.flatnonzero((trust > 0).all(0))
    assert 4 <= len(rows) < 8
    parts = []
    for k in range(2):
        embedded = method.shared[k](method.encoder.of_sensor(k)(view[k, rows]))
        values = embedded.detach().double().numpy()
        parts.append([each / np.linalg.norm(each) for each in values])
    logits = np.array([[a @ b for b in parts[1]] for a in parts[0]]) / 0.2
    losses = [
        -each[n] + math.log(sum(math.exp(value) for value in each))
        for n in range(len(rows))
        for each in (logits[n], logits[:, n])
    ]
    assert measures["contrast"].item() == pytest.approx(np.mean(losses), rel=1e-4)
    distance = energy_distance(*(torch.tensor(np.array(each)) for each in parts))
    assert measures["distribution"].item() == pytest.approx(distance.item(), rel=1e-4)
    loss = sum(
        measures[name] for name in ("reconstruction", "distribution", "contrast", "independence")
    )
    assert measures["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
    assert method.chance == pytest.approx(1 + math.log(len(rows)))


def test_hidden_samples_are_predicted_from_the_cell_around_them(sets, monkeypatch):
    method, view, trust = made(SIGNALS, sets)
    mask = method.form.mask(view, 0.5)
    monkeypatch.setattr(method.form, "mask", lambda *_: mask)
    measures = method([view], trust, step=0)
    errors = []
    for k in range(2):
        own = trust[k] > 0
        encoder = method.encoder.of_sensor(k)
        mean, deviation = encoder.mean, encoder.deviation
        hidden = torch.where(mask[k, own], mean, view[k, own])
        cells = encoder.layers(encoder.normalised(hidden)).mT
        read = cells.amax(1, keepdim=True).expand_as(cells)
        parts = [
            head[k](each) for each in (cells, read) for head in (method.shared, method.private)
        ]
        decoded = method.decoders[k](torch.cat(parts, dim=2)).detach()
        truth = (view[k, own] - mean) / deviation
        first = (100 - decoded.shape[1]) // 2  # the sample in the middle of the first cell
        some = [
            (decoded[n, t, axis] - truth[n, axis, first + t]) ** 2
            for n in range(len(decoded))
            for t in range(decoded.shape[1])
            if mask[k, own][n, 0, first + t]
            for axis in range(3)
        ]
        errors.append(torch.stack(some).double().mean())
    expected = torch.stack(errors).mean().item()
    assert measures["reconstruction"].item() == pytest.approx(expected, rel=1e-4)
    # Before pairs are aligned, that is all.
    assert measures["loss"] == measures["reconstruction"] and method.chance == 1


def test_a_cell_of_a_picture_gives_its_square(sets):
    method, view, _ = made(PICTURES, sets)
    form, there = method.form, torch.ones(2, 8, dtype=torch.bool)
    cells = form.cells(view, there)
    assert [each.shape for each in cells] == [(8, 9, 12, form.channels)] * 2
    decoded = torch.randn(2, 9, 12, form.outputs)
    placed = form.placed(decoded, (72, 96))
    for _ in range(20):
        n, channel, y, x = (int(torch.randint(size, ())) for size in placed.shape)
        number = channel * 64 + (y % 8) * 8 + x % 8
        assert placed[n, channel, y, x] == decoded[n, y // 8, x // 8, number]
    method.eval()
    cells = form.cells(view, there)
    whole = form.encoder(view.flatten(0, 1))[-1].unflatten(1, (form.channels, -1))
    torch.testing.assert_close(form.pooled(torch.cat(cells)), whole.mT, atol=1e-4, rtol=1e-3)
    normal = form.target(view)
    torch.testing.assert_close(normal.mean((2, 3, 4)), torch.zeros(2, 8), atol=1e-5, rtol=0)
    spread = normal.std((2, 3, 4), correction=0)[view.std((2, 3, 4)) > 0.05]
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("config", "side"), [(SIGNALS, SPAN), (PICTURES, PATCH)])
def test_what_is_hidden_is_not_seen(sets, config, side):
    method, view, _ = made(config, sets)
    form = method.form
    mask = form.mask(view, 0.4)
    cells = mask[:, :, 0]
    for axis in range(2, cells.ndim):
        cells = cells.index_select(axis, torch.arange(0, cells.shape[axis], side))
    grid = cells.shape[2:].numel()
    assert (cells.flatten(2).sum(2) == round(0.4 * grid)).all()
    for axis in range(3, mask.ndim):  # nothing but whole squares
        at = torch.arange(mask.shape[axis]) // side * side
        assert torch.equal(mask, mask.index_select(axis, at))
    assert not torch.equal(mask[0, 0], mask[0, 1])
    other = torch.where(mask, torch.randn(view.shape), view)
    assert torch.equal(form.hide(view, mask), form.hide(other, mask))
    seen = ~mask.expand(view.shape)
    assert torch.equal(form.hide(view, mask)[seen], view[seen])


@pytest.mark.parametrize("config", [SIGNALS, PICTURES], ids=["signals", "pictures"])
def test_only_pairs_are_aligned_and_only_by_their_shared_parts(sets, config):
    method, view, trust = made(config, sets)
    view = view.float().requires_grad_()
    measures = method([view], trust, step=STEPS)
    (measures["distribution"] + measures["contrast"]).backward(retain_graph=True)
    reached = view.grad.abs().flatten(2).sum(2) > 0
    several = (trust > 0).all(0)
    assert 0 < several.sum() < len(several)
    assert torch.equal(reached, several.expand(2, -1))
    for part in (method.private, method.decoders):
        assert all(each.grad is None for each in part.parameters())
    assert all(each.grad is not None for each in method.shared.parameters())
    view.grad = None
    measures["reconstruction"].backward()
    reached = view.grad.abs().flatten(2).sum(2) > 0
    assert torch.equal(reached, trust > 0)
    for part in (method.private, method.decoders, method.shared):
        assert all(each.grad is not None for each in part.parameters())


def test_sensors_are_alone_at_first(sets):
    method, view, trust = made(SIGNALS, sets)
    assert method.first == 5  # half of two epochs of five steps
    before, after = (method([view], trust, step=step) for step in (4, 5))
    assert not before["contrast"].requires_grad and after["contrast"].requires_grad
    assert before.keys() == after.keys()
    assert {"spread", "uniformity", "alignment", "top1"} < before.keys()


def test_norm_follows_whole_pictures_alone(sets):
    method, view, trust = made(PICTURES, sets)
    view = view.float()
    norm = next(each for each in method.modules() if isinstance(each, torch.nn.BatchNorm2d))
    conv = next(each for each in method.encoder.modules() if isinstance(each, torch.nn.Conv2d))
    several = (trust > 0).all(0)
    with torch.no_grad():
        maps = conv(view[:, several].flatten(0, 1))
        method([view], trust, step=0)
    expected = 0.1 * maps.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, atol=1e-5, rtol=1e-3)
    assert norm.momentum == 0.1


def test_half_of_a_batch_has_several_sensors(sets):
    source = SensorSource(sets, False, held=False, pairs=0.2)
    several = (source.trust > 0).sum(0) >= 2
    assert 4 < several.sum() < 8
    loader = SensorLoader(source, 8, 0, ALONE, 1, 1, 0.5)
    for seed in range(5):
        rows = loader.choose(np.random.default_rng(seed))
        assert len(set(rows)) == 8 and several[rows].sum() >= 4
    few = SensorLoader(source, 24, 0, ALONE, 1, 1, 0.5)
    rows = few.choose(np.random.default_rng(0))
    assert len(set(rows)) == 24 and several[rows].sum() == several.sum()


def test_an_interrupted_run_goes_on_bit_for_bit(sets, tmp_path, monkeypatch):
    config = replace(PICTURES, stages=(1,))

    def source():
        return SensorSource(sets, True, held=False)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretrain(config, source(), whole, ALONE)
    step = loop.Trainer.step

    def interrupted(self, batch, number):
        if number == self.loader.steps + 1:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, source(), broken, ALONE)
    monkeypatch.setattr(loop.Trainer, "step", step)
    pretrain(config, source(), broken, ALONE)
    expected, resumed = (load_file(run / "encoder.safetensors") for run in (whole, broken))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    first, second = (read_columns(run / "epochs.csv") for run in (whole, broken))
    for name in ("loss", "reconstruction", "contrast", "chance", "spread"):
        assert first[name] == second[name]
    assert first["chance"][0] == 1 < first["chance"][1]


def test_what_cannot_be_aligned_is_refused(sets, tmp_path):
    alone = SensorSource({"a": sets["a"], "g": sets["g"]}, False, held=False)
    with pytest.raises(InputError, match="no windows have two sensors, and so there is nothing to"):
        pretrain(SIGNALS, alone, tmp_path / "run", ALONE)
    with pytest.raises(InputError, match="a batch of 2 windows is too small"):
        source = SensorSource(sets, False, held=False)
        pretrain(replace(SIGNALS, batch_size=2), source, tmp_path / "run", ALONE)
    with pytest.raises(InputError, match="learns from the sensors of windows"):
        pretrain(PICTURES, PictureSource(sets, held=False), tmp_path / "run", ALONE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"masked": 1.0}, "masked must lie between 0 and 1, not 1.0"),
        ({"align_from": 1.5}, r"align_from must lie in \[0, 1\], not 1.5"),
        ({"dim": 5}, "dim must be even"),
        ({"contrast": -1.0}, "contrast must not be negative"),
    ],
)
def test_values_out_of_range_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        InfoMAEConfig(**settings)


def test_one_stage_is_read():
    with pytest.raises(InputError, match="infomae reads one stage, not 2"):
        PretrainConfig(InfoMAEConfig(), policy="none", stages=(1, 2))


def test_a_transformer_reads_pictures_with_parts_hidden(sets):
    config = replace(PICTURES, encoder="vit_tiny_patch16_224", stages=(0,))
    method, view, trust = made(config, sets)
    assert isinstance(method, InfoMAE)
    measures = method([view.float()], trust, step=STEPS)
    assert method.form.reach == 16
    measures["loss"].backward()
    assert math.isfinite(measures["loss"].item())
    used = {name for name, each in method.named_parameters() if each.grad is not None}
    assert {"encoder.body.model.blocks.0.mlp.fc1.weight", "decoders.1.2.weight"} <= used
