"""Pictures of windows: what is drawn, labelled, held out; that encoders learn from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F  # noqa: N812

from img2imu.cli import main
from img2imu.convert import to_images
from img2imu.errors import InputError
from img2imu.models.encoder import create_backbone
from img2imu.models.weights import fold_batch_norm
from img2imu.pretrain import (
    RECIPES,
    PictureSource,
    SimCLRConfig,
    SimSiamConfig,
    SupervisedConfig,
    World,
    loop,
    pretrain,
)
from img2imu.pretrain.methods.images import smoothed_cross_entropy
from img2imu.pretrain.sources import sets as window_sets
from img2imu.pretrain.sources.pictures import PictureLoader
from img2imu.pretrain.sources.sets import change
from img2imu.recordings import UNLABELLED, save_windows

ALONE = World(torch.device("cpu"))
TINY = replace(
    RECIPES["windows"]["supervised"], encoder="test_resnet", stages=(1, 2), epochs=2, batch_size=8
)


@pytest.fixture(scope="module")
def sets(exercise):
    """Real windows, every fifth; and the first 2 s of some of them, half of them unlabelled."""
    some, short = exercise.select(slice(None, None, 5)), exercise.select(slice(2, None, 40))
    y = np.where(np.arange(len(short)) % 2, UNLABELLED, short.y)
    cut = np.ascontiguousarray(short.X[:, :, :100])
    return {"whole": some, "short": replace(short, X=cut, y=y)}


def test_a_picture_is_the_view_of_its_window_and_has_its_label(sets, monkeypatch):
    monkeypatch.setattr(window_sets, "change", lambda windows, *_: windows)
    source = PictureSource(sets, held=False)
    rows = np.array([0, 3, len(sets["whole"]), len(sets["whole"]) + 1, 7])
    images, labels = source.draw(rows, 0.0, torch.Generator().manual_seed(0))
    every = [
        to_images(each.X[[row]], views)[0]
        for row, each, views in [
            (0, sets["whole"], source.views[0]),
            (3, sets["whole"], source.views[0]),
            (0, sets["short"], source.views[1]),
            (1, sets["short"], source.views[1]),
            (7, sets["whole"], source.views[0]),
        ]
    ]
    names = [(name, view, label) for name, each in sets.items() for view in range(5)
             for label in each.classes]  # fmt: skip
    for number, (image, candidates) in enumerate(zip(images, every, strict=True)):
        errors = [np.abs(image.numpy() / 255 - one).max() for one in candidates]
        view = int(np.argmin(errors))
        assert errors[view] <= 0.5 / 255 + 1e-6
        name = "short" if number in (2, 3) else "whole"
        row = rows[number] - (len(sets["whole"]) if name == "short" else 0)
        label = sets[name].y[row]
        assert (labels[number] == -1) == (label == UNLABELLED)
        if label != UNLABELLED:
            assert names[labels[number]] == (name, view, label)
    assert sum(source.groups) == len(names)


def test_each_sensor_of_each_set_is_drawn_by_its_own_views(sets, monkeypatch):
    monkeypatch.setattr(window_sets, "change", lambda windows, *_: windows)
    one = sets["whole"]
    both = replace(one, X=np.concatenate([one.X, 3 * one.X[:, ::-1]], 1), sensors=("accel", "gyro"))
    source = PictureSource({"one": one, "both": both}, held=False)
    assert [len(views) for views in source.views] == [5, 9]
    assert source.describe()["sets"][1]["sensors"] == ["accel", "gyro"]
    row = 4
    rows = np.full(400, len(one) + row)
    images, labels = source.draw(rows, 0.0, torch.Generator().manual_seed(0))
    every = to_images(both.X[[row]], source.views[1], sensors=both.sensors)[0]
    errors = np.abs(images.numpy()[:, None] / 255 - every).max(axis=(2, 3, 4))
    view = errors.argmin(axis=1)
    assert errors.min(axis=1).max() <= 0.5 / 255 + 1e-6
    assert np.bincount(view, minlength=9).min() > 20  # each about as often: 44
    classes = len(one.classes)
    expected = classes * (5 + view) + one.classes.index(one.y[row])
    np.testing.assert_array_equal(labels.numpy(), expected)


def test_signals_change_little():
    """Turned by 20° at most: length and direction of gravity stay near."""
    still = torch.zeros(200, 3, 100)
    still[:, 2] = 1
    changed = change(still, torch.Generator().manual_seed(0)).mean(2)
    length = changed.norm(dim=1)
    angle = torch.rad2deg(torch.acos((changed[:, 2] / length).clamp(-1, 1)))
    assert angle.max() < 20.5 and angle.mean() > 3
    assert abs(length.mean() - 1) < 0.05 and 0.05 < length.std() < 0.15


def test_neighbours_follow_in_the_same_recording(sets, monkeypatch):
    monkeypatch.setattr(window_sets, "change", lambda windows, *_: seen.append(windows) or windows)
    seen: list[torch.Tensor] = []
    windows = sets["whole"]
    source = PictureSource({"whole": windows}, held=False)
    rows = np.arange(len(windows))
    source.draw(rows, 1.0, torch.Generator().manual_seed(0))
    for row, drawn in zip(rows, seen[0].numpy(), strict=True):
        same = (windows.recording == windows.recording[row]) & (
            windows.subject == windows.subject[row]
        )
        later = np.flatnonzero(same & (windows.start > windows.start[row]))
        expected = later[np.argmin(windows.start[later])] if len(later) else row
        np.testing.assert_array_equal(drawn, windows.X[expected])


def test_subjects_held_out_are_in_no_batch(sets):
    source = PictureSource(sets, seed=3)
    for name, training in zip(sets, source.sets, strict=True):
        held = source.held[name]
        assert len(held.subjects) == 3
        assert not set(held.subjects) & set(training.subjects)
        assert len(training) + np.isin(sets[name].subject, held.subjects).sum() == len(sets[name])
        assert UNLABELLED not in held.y
    assert PictureSource(sets, held=False).held == {}


def test_few_subjects_are_not_held_out(sets):
    few = sets["whole"].select(np.isin(sets["whole"].subject, sets["whole"].subjects[:5]))
    assert PictureSource({"few": few}).held == {}


def test_batches_depend_on_seed_epoch_and_step_alone(sets):
    source = PictureSource(sets)
    rows = np.arange(len(source))
    loader = PictureLoader(source, 16, 1, ALONE, rows, views=2, neighbours=0.5)
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, start=3))
    assert len(whole) == loader.steps and len(rest) == loader.steps - 3
    assert whole[0].images.shape == (2, 16, 3, 72, 96)
    for one, other in zip(whole[3:], rest, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
    assert not torch.equal(whole[0].images, whole[1].images)
    assert not torch.equal(next(loader.epoch(1)).images, whole[0].images)


def test_small_sets_are_drawn_more_often_than_their_share(sets):
    source = PictureSource(sets, held=False)
    weights = source.weights(np.arange(len(source)))
    parts = np.split(weights, [len(sets["whole"])])
    sizes = np.array([len(each) for each in sets.values()])
    expected = np.sqrt(sizes) / np.sqrt(sizes).sum()
    np.testing.assert_allclose([part.sum() for part in parts], expected)


def test_the_loss_knows_but_the_classes_of_the_group():
    torch.manual_seed(0)
    logits, target = torch.randn(1, 4, 5), torch.tensor([0, 1, 3, -1])
    group = torch.tensor([0, 0, 1, 1, 1])
    possible = group == group[target.clamp(min=0)][:, None]
    loss = smoothed_cross_entropy(logits.masked_fill(~possible, -torch.inf), target, possible, 0.1)
    each = [
        F.cross_entropy(logits[0, :2, :2], target[:2], label_smoothing=0.1, reduction="sum"),
        F.cross_entropy(logits[0, 2:3, 2:], target[2:3] - 2, label_smoothing=0.1),
    ]
    torch.testing.assert_close(loss, sum(each) / 3)


@pytest.mark.parametrize(
    "method",
    [SupervisedConfig(), SimSiamConfig(64, 16), SimCLRConfig()],
    ids=["supervised", "simsiam", "simclr"],
)
def test_encoders_learn_from_windows(sets, tmp_path, method):
    config = replace(TINY, method=method, lr=1e-3, epochs=3)
    pretrain(config, PictureSource(sets), tmp_path / "run", ALONE)
    names, *rows = [
        line.split(",") for line in (tmp_path / "run/epochs.csv").read_text().splitlines()
    ]
    losses = [float(row[names.index("loss")]) for row in rows]
    assert losses[-1] < losses[0]


def test_moco_tells_windows_apart(sets, tmp_path, reference_weights):
    method = replace(RECIPES["windows"]["moco"].method, queue=64)
    config = replace(TINY, method=method, encoder="resnet18", stages=(1,), batch_size=32,
                     init=str(reference_weights), lr=1e-4, neighbours=0.5)  # fmt: skip
    last = pretrain(config, PictureSource({"a": sets["whole"]}), tmp_path / "run", ALONE)
    assert last["loss"] < last["chance"]


def test_an_interrupted_run_goes_on_bit_for_bit(sets, tmp_path, monkeypatch):
    source, whole, broken = PictureSource(sets), tmp_path / "whole", tmp_path / "broken"
    pretrain(TINY, source, whole, ALONE)
    step = loop.Trainer.step

    def interrupted(self, batch, number):
        if number == self.loader.steps + 2:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, source, broken, ALONE)
    monkeypatch.setattr(loop.Trainer, "step", step)
    pretrain(TINY, PictureSource(sets), broken, ALONE)
    expected, resumed = (load_file(run / "encoder.safetensors") for run in (whole, broken))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_the_average_is_that_of_the_folded_weights(sets, tmp_path):
    donor, run, plain = tmp_path / "donor", tmp_path / "run", tmp_path / "plain"
    source = PictureSource({"short": sets["short"]})
    config = replace(TINY, encoder="resnet18", stages=(1,), epochs=1)
    pretrain(replace(config, seed=5), source, donor, ALONE)
    init = str(donor / "encoder.safetensors")
    pretrain(replace(config, init=init, average=0.25), source, run, ALONE)
    pretrain(replace(config, init=init), source, plain, ALONE)
    folded = [
        fold_batch_norm(
            create_backbone("resnet18", stages=(1,), bands=6, init=file).body
        ).state_dict()
        for file in (init, str(plain / "encoder.safetensors"))
    ]
    written = load_file(run / "encoder.safetensors")
    assert written.keys() == folded[0].keys()
    for name, value in written.items():
        mean = 0.25 * folded[0][name] + 0.75 * folded[1][name]
        torch.testing.assert_close(value, mean, atol=1e-6, rtol=1e-5)


def test_norm_that_cannot_be_folded_cannot_be_averaged(sets, tmp_path):
    donor, source = tmp_path / "donor", PictureSource({"short": sets["short"]})
    pretrain(replace(TINY, epochs=1), source, donor, ALONE)
    config = replace(TINY, init=str(donor / "encoder.safetensors"), average=0.5)
    with pytest.raises(InputError, match="no average"):
        pretrain(config, source, tmp_path / "run", ALONE)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("_one_seed")
def test_the_command_compares_the_encoder_with_its_start(exercise, sets, tmp_path, capsys):
    # Of each subject held out all windows, so that ten for each class can be drawn.
    some = exercise.select(np.isin(exercise.y, exercise.classes[:3]))
    files = []
    for name, windows in (("whole", some), ("short", sets["short"])):
        files.append(tmp_path / f"{name}.npz")
        save_windows(files[-1], windows)
    command = ["pretrain", "--source", *files, "--method", "supervised", "--encoder", "test_resnet",
               "--stages", 1, "--epochs", 1, "--batch-size", 32, "--device", "cpu",
               "-o", tmp_path / "run", "--json", tmp_path / "out.json"]  # fmt: skip
    assert main([str(word) for word in command]) == 0
    printed = capsys.readouterr().out
    assert "whole: macro-F1 from" in printed and "before training" in printed
    assert "short: not compared" in printed
    assert '"whole, trained"' in (tmp_path / "out.json").read_text()


def test_unlabelled_windows_cannot_supervise(sets, tmp_path):
    windows = sets["whole"]
    nothing = replace(windows, y=np.full(len(windows), UNLABELLED))
    with pytest.raises(InputError, match="labels of two or more classes"):
        pretrain(TINY, PictureSource({"a": nothing}), tmp_path / "run", ALONE)


def test_nothing_to_learn_from_is_refused(sets):
    with pytest.raises(InputError, match="no windows"):
        PictureSource({"a": sets["whole"].select(slice(0, 0))})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "supervised"], "supervised with the encoder resnet18 takes no neighbours"),
        (["--method", "simclr"], "simclr with the encoder conv1d takes no neighbours"),
        (["--method", "focal"], "focal with the encoder resnet18 takes no neighbours"),
        (["--method", "aim"], "aim with the encoder vit_tiny_patch16_224 takes no neighbours"),
    ],
)
def test_neighbours_are_refused_where_nothing_reads_them(tmp_path, refused, sets, options, said):
    save_windows(tmp_path / "a.npz", sets["whole"])
    out, next_in_time = tmp_path / "out", ["--neighbours", 0.5]
    windows = ["pretrain", "--source", tmp_path / "a.npz", "-o", out, *next_in_time]
    assert said in refused(*windows, *options)
    images = ["pretrain", "--source", "dead-leaves", "-o", out, *next_in_time]
    assert "they need windows files" in refused(*images)
    assert not out.exists()


def test_several_sources_are_windows(tmp_path, refused, sets):
    save_windows(tmp_path / "a.npz", sets["whole"])
    said = refused(
        "pretrain", "--source", tmp_path / "a.npz", "store", "-o", tmp_path / "out",
        "--method", "supervised",
    )  # fmt: skip
    assert "several sources" in said
