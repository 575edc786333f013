"""FOCAL and SemiCMT: each term against loops, what its gradient reaches, whole runs."""

import math
import re
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from img2imu import fewshot
from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.models import EncoderConfig, build_encoder, checkpoints
from img2imu.models.conv1d import LateConv1d, create_window_encoder
from img2imu.models.encoder import create_backbone
from img2imu.pretrain import (
    RECIPES,
    FocalConfig,
    PretrainConfig,
    SemiCMTConfig,
    SensorSource,
    SimCLRConfig,
    WindowsSource,
    World,
    loop,
    pretrain,
)
from img2imu.pretrain.methods.focal import ranking
from img2imu.pretrain.methods.semicmt import structure
from img2imu.pretrain.methods.sensor_base import distinct, info_nce, nt_xent
from img2imu.pretrain.methods.sensors import create_sensor_method
from img2imu.recordings import save_windows
from img2imu.recordings.sensors import ACCELEROMETER

from .sources import recorded

ALONE = World(torch.device("cpu"))
NAMES = ("accel", "gyro", "magn")
SEQUENCE, TEMPERATURE, MARGIN = 3, 0.3, 0.7
FOCAL = FocalConfig(
    dim=8, temperature=TEMPERATURE, private=0.9, orthogonality=2.5, order=4.5, sequence=SEQUENCE,
    margin=MARGIN,
)  # fmt: skip
SEMICMT = SemiCMTConfig(dim=8, temperature=TEMPERATURE, alone=0.9, orthogonality=2.5, structure=7.0)
METHODS = pytest.mark.parametrize("method", [FOCAL, SEMICMT], ids=["focal", "semicmt"])


def small(method, **settings):
    """A run of seconds."""
    common = {"policy": "none", "encoder": "conv1d", "epochs": 2, "batch_size": 12, "lr": 1e-3}
    return PretrainConfig(method, **{**common, **settings})


def source(sensors=NAMES, pictures=False, **settings):
    return SensorSource({"a": recorded(sensors)}, pictures, held=False, **settings)


def create(method, sensors=NAMES, batch=12, of=None):
    of = of or source(sensors)
    encoder = create_window_encoder(EncoderConfig("conv1d"), 3 * len(of.sensors), late=True)
    encoder.normalise_by(of.mean, of.deviation)
    return create_sensor_method(small(method, batch_size=batch), encoder, of, ALONE)


def embeddings(n=12, dim=8):
    """Of two views of three sensors, the last of which some windows lack, and the second one."""
    generator = torch.Generator().manual_seed(3)
    views = torch.randn(2, 3, n, dim, generator=generator, dtype=torch.float64)
    there = torch.ones(3, n, dtype=torch.bool)
    there[2, :4], there[1, 9] = False, False
    # What is absent is anything but a number that goes unnoticed.
    views = torch.where(there[..., None], views, 1e3)
    return [view.requires_grad_() for view in views], there


def unit(vector):
    return vector / math.sqrt(sum(x * x for x in vector))


def numbers(views):
    return [view.detach().numpy() for view in views]


def others(i, k):
    """Whether windows i and k are compared: the same, or of other sequences."""
    return i == k or i // SEQUENCE != k // SEQUENCE


def softmax_loss(scores, right):
    return math.log(sum(math.exp(s) for s in scores)) - right


def looped_between(views, there, apart):
    total, hits = 0.0, []
    for view in views:
        for a, b in combinations(range(3), 2):
            both = [i for i in range(len(there[0])) if there[a, i] and there[b, i]]
            losses, right = [], []
            for one, other in ((a, b), (b, a)):
                for i in both:
                    anchor = unit(view[one, i, :4])
                    scores = {
                        k: anchor @ unit(view[other, k, :4]) / TEMPERATURE
                        for k in both
                        if apart(i, k)
                    }
                    losses.append(softmax_loss(scores.values(), scores[i]))
                    right.append(max(scores, key=scores.get) == i)
            total += np.mean(losses)
            hits.append(np.mean(right))
    return total, np.mean(hits)


def looped_views(views, there, part, apart):
    total = 0.0
    for sensor in range(3):
        own = [i for i in range(len(there[0])) if there[sensor, i]]
        rows = {(v, i): unit(views[v][sensor, i, part]) for v in range(2) for i in own}
        losses = []
        for v, i in rows:
            scores = [
                rows[v, i] @ row / TEMPERATURE
                for (w, k), row in rows.items()
                if (w, k) != (v, i) and apart(i, k)
            ]
            losses.append(softmax_loss(scores, rows[v, i] @ rows[1 - v, i] / TEMPERATURE))
        total += np.mean(losses)
    return total


def looped_orthogonality(views, there):
    total = 0.0
    for view in views:
        pairs = [(view[s], slice(4), view[s], there[s]) for s in range(3)]
        pairs += [
            (view[a], slice(4, 8), view[b], there[a] & there[b])
            for a, b in combinations(range(3), 2)
        ]
        for one, half, other, present in pairs:
            cosines = [
                unit(one[i, half]) @ unit(other[i, 4:]) for i in range(len(present)) if present[i]
            ]
            total += np.mean(np.square(cosines))
    return total


def looped_order(views, there):
    total = 0.0
    for view in views:
        for sensor in range(3):
            runs = np.arange(there.shape[1]).reshape(-1, SEQUENCE)
            runs = [run for run in runs if there[sensor, run].all()]

            def far(s, t, of=view[sensor]):
                return np.mean([
                    math.dist(of[i], of[k]) for i in s for k in t if i != k
                ])  # fmt: skip

            total += np.mean([
                max(0.0, far(s, s) - far(s, t) + MARGIN) for s, t in permutations(runs, 2)
            ])  # fmt: skip
    return total


def looped_structure(views, there, target=None):
    total = 0.0
    for view in views:
        for teacher, pupil in permutations(range(3), 2):
            if target not in (None, pupil):
                continue
            squares = []
            for i in np.flatnonzero(there[teacher] & there[pupil]):
                for k in np.flatnonzero(there[teacher]):
                    if i == k:
                        continue
                    seen = pupil if there[pupil, k] else teacher
                    theirs = unit(view[teacher, i, :4]) @ unit(view[teacher, k, :4])
                    ours = unit(view[pupil, i, :4]) @ unit(view[seen, k, :4])
                    squares.append((ours - theirs) ** 2)
            total += np.mean(squares)
    return total


def test_terms_of_focal_are_loops():
    views, there = embeddings()
    measures = {name: v.item() for name, v in create(FOCAL).measure(views, there).items()}
    plain, present = numbers(views), there.numpy()
    shared, top1 = looped_between(plain, present, others)
    assert measures["shared"] == pytest.approx(shared, rel=1e-9)
    assert measures["top1"] == pytest.approx(top1)
    private = looped_views(plain, present, slice(4, 8), others)
    assert measures["private"] == pytest.approx(private, rel=1e-9)
    independence = looped_orthogonality(plain, present)
    assert measures["orthogonality"] == pytest.approx(independence, rel=1e-9)
    order = looped_order(plain, present)
    assert order > 0.1
    assert measures["order"] == pytest.approx(order, rel=1e-9)
    weighted = shared + 0.9 * private + 2.5 * independence + 4.5 * order
    assert measures["loss"] == pytest.approx(weighted, rel=1e-9)


@pytest.mark.parametrize("target", [None, "gyro"])
def test_terms_of_semicmt_are_loops(target):
    views, there = embeddings()
    method = create(replace(SEMICMT, target=target))
    measures = {name: v.item() for name, v in method.measure(views, there).items()}
    plain, present = numbers(views), there.numpy()
    everyone = lambda i, k: True  # noqa: E731
    shared, top1 = looped_between(plain, present, everyone)
    assert measures["shared"] == pytest.approx(shared, rel=1e-9)
    assert measures["top1"] == pytest.approx(top1)
    alone = np.mean([
        looped_views(plain, present, half, everyone) for half in (slice(4), slice(4, 8))
    ])  # fmt: skip
    assert measures["alone"] == pytest.approx(alone, rel=1e-9)
    agreement = looped_structure(plain, present, 1 if target else None)
    assert measures["structure"] == pytest.approx(agreement, rel=1e-9)
    independence = looped_orthogonality(plain, present)
    assert measures["orthogonality"] == pytest.approx(independence, rel=1e-9)
    weighted = shared + 0.9 * alone + 2.5 * independence + 7 * agreement
    assert measures["loss"] == pytest.approx(weighted, rel=1e-9)


def reached(views, term):
    """Largest gradient of a term at each sensor, window and coordinate of the views."""
    gradients = torch.autograd.grad(term, views, retain_graph=True)
    return torch.stack(gradients).abs().amax(0)


@METHODS
def test_gradients_reach_what_they_should(method):
    views, there = embeddings()
    measures = create(method).measure(views, there)
    for name in ("loss", "shared", "private", "alone", "orthogonality", "order", "structure"):
        if name in measures:
            assert not reached(views, measures[name])[~there].any(), name
    shared, private = reached(views, measures["shared"]).chunk(2, dim=2)
    assert shared[there].any(1).all() and not private.any()
    # What asks for right angles leaves lengths alone.
    [turn] = torch.autograd.grad(measures["orthogonality"], views[:1], retain_graph=True)
    for half, force in zip(views[0].chunk(2, dim=2), turn.chunk(2, dim=2), strict=True):
        assert force[there].any(1).all()
        assert (half * force).sum(2)[there].abs().max() < 1e-12
    if method is FOCAL:
        shared, private = reached(views, measures["private"]).chunk(2, dim=2)
        assert private[there].any(1).all() and not shared.any()
        # Windows of sequences without the sensor throughout are in no order.
        whole = there.unflatten(1, (-1, SEQUENCE)).all(2).repeat_interleave(SEQUENCE, dim=1)
        assert torch.equal(reached(views, measures["order"]).any(2), whole)
    else:
        shared, private = reached(views, measures["structure"]).chunk(2, dim=2)
        assert shared[there].any(1).all() and not private.any()


def test_a_target_learns_from_its_teachers_alone():
    views, there = embeddings()
    there[0, 5] = False
    measures = create(replace(SEMICMT, target="gyro")).measure(views, there)
    [force] = torch.autograd.grad(measures["structure"], views[:1])
    assert not force[[0, 2]].any()
    assert force[1, there[1] & (there[0] | there[2])].any(1).all()


def test_sensors_of_no_common_window_share_nothing():
    views, there = embeddings()
    there[0, :6], there[1, 6:], there[2] = False, False, False
    for method in (FOCAL, SEMICMT):
        measures = create(method).measure(views, there)
        assert measures["shared"] == measures["top1"] == measures.get("structure", 0) == 0
        assert not reached(views, measures["loss"])[~there].any()
        assert all(value.isfinite() for value in measures.values())


def test_losses_of_chance():
    """Embeddings at random: terms are near what is told, and the loss is their sum."""
    generator = torch.Generator().manual_seed(0)
    n, dim = 120, 64
    settings = {"dim": dim, "temperature": 5.0}
    of = source(pairs=0.5)
    for method in (FocalConfig(**settings), SemiCMTConfig(**settings)):
        created = create(method, batch=n, of=of)
        views = [torch.randn(3, n, dim, generator=generator) for _ in range(2)]
        # Of 6 recordings 3 have all sensors, and each other one of them.
        there = torch.zeros(3, n, dtype=torch.bool)
        there[:, ::2] = True
        for sensor in range(3):
            there[sensor, 1 + 2 * sensor :: 6] = True
        if isinstance(method, FocalConfig):  # whole sequences, not windows
            there = there[:, : n // 4].repeat_interleave(4, dim=1)
        measures = created.measure(views, there)
        got = measures["loss"]
        if isinstance(method, FocalConfig):
            # Distances hardly differ from each other.
            assert measures["order"] == pytest.approx(2 * 3, rel=0.1)
        assert float(got) == pytest.approx(created.chance, rel=0.03)


def test_pieces_on_two_windows():
    """What can be told without a formula."""
    axes = torch.eye(4, dtype=torch.float64)[:2]
    everyone = distinct(2, 1, axes.device)
    loss, top1 = info_nce(axes, axes, everyone, 0.5)
    assert loss == pytest.approx(math.log1p(math.exp(-2))) and top1 == 1
    loss, top1 = info_nce(axes, axes.flip(0), everyone, 0.5)
    assert loss == pytest.approx(math.log1p(math.exp(2))) and top1 == 0
    loss, top1 = nt_xent(axes, axes, everyone, 0.5)
    assert loss == pytest.approx(math.log1p(2 * math.exp(-2))) and top1 == 1
    # Two sequences at a distance of 5, whose own windows are 1 apart.
    line = torch.tensor([[[0.0], [1.0]], [[5.0], [6.0]]], dtype=torch.float64)
    assert ranking(line, 3.0) == 0 and ranking(line, 4.5) == 0.5
    assert ranking(line[:1], 1.0) == 0
    # The teacher's are alike, the pupil's opposite: cosines of 1 and −1.
    alike, opposite = axes[[0, 0]], torch.stack([axes[0], -axes[0]])
    yes, no = torch.ones(2, dtype=torch.bool), torch.tensor([True, False])
    assert structure(alike, opposite, yes, yes) == 4
    # With the second as an anchor only the first is compared, with the teacher's second.
    assert structure(alike, opposite, yes, no) == 0
    assert structure(alike, -opposite, yes, no) == 4
    assert structure(alike, opposite, yes, ~yes) == 0


@METHODS
@pytest.mark.parametrize("pictures", [False, True])
def test_gradients_reach_encoder_and_heads_of_sensors_that_are_there(method, pictures):
    of = source(pictures=pictures)
    config = small(method)
    if pictures:
        config = replace(config, encoder="test_resnet", stages=(2,))
        encoder = create_backbone("test_resnet", stages=(2,))
        # Blocks begin with a weight of 0, behind which nothing would be reached.
        for norm in encoder.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(norm.weight)
    else:
        encoder = loop.untrained_encoder(config, of)
        assert isinstance(encoder, LateConv1d)
    created = create_sensor_method(config, encoder, of, ALONE)
    drawn, trust = of.draw(of.sequences(SEQUENCE)[[0, 4, 9, 13]].ravel(), torch.Generator())
    views = [drawn.float() + 0.1 * torch.randn(drawn.shape) for _ in range(2)]
    created(views, trust, 0)["loss"].backward()
    idle = [name for name, p in created.named_parameters() if not p.grad.abs().max() > 0]
    assert idle == []
    trust[2] = 0
    created.zero_grad(set_to_none=True)
    created(views, trust, 0)["loss"].backward()
    absent = [created.heads[2]] if pictures else [created.heads[2], encoder.parts[2]]
    silent = {id(p) for part in absent for p in part.parameters()}
    for name, p in created.named_parameters():
        # A gradient of 0, not none: other processes may have the sensor.
        assert (p.grad.abs().max() > 0) == (id(p) not in silent), name


@METHODS
def test_runs_learn_and_write_each_sensors_encoder(tmp_path, method):
    of = source(("accel", "gyro"))
    method = replace(method, dim=64, temperature=0.07, orthogonality=1.0)
    last = pretrain(small(method, epochs=25), of, tmp_path / "run", ALONE)
    assert last["loss"] < 0.9 * last["chance"] and last["spread"] > 0.1
    assert last["top1"] > 0.2
    whole = build_encoder(
        EncoderConfig("conv1d", checkpoint=str(tmp_path / "run" / "encoder.safetensors")), axes=6
    )
    X = torch.from_numpy(of.sets[0].X)
    each = [
        build_encoder(EncoderConfig("conv1d", checkpoint=str(tmp_path / "run" / name)))(part)
        for name, part in zip(
            ("encoder-accel.safetensors", "encoder-gyro.safetensors"),
            (X[:, :3], X[:, 3:]),
            strict=True,
        )
    ]
    assert torch.equal(whole(X), torch.cat(each, dim=1))


@METHODS
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, monkeypatch, method):
    monkeypatch.setattr(loop, "LOG_STEPS", 1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    of, whole, broken = source(pairs=0.5), tmp_path / "whole", tmp_path / "broken"
    config = small(method)
    pretrain(config, of, whole, ALONE)
    step = loop.Trainer.step

    def interrupted(self, batch, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, of, broken, ALONE)
    assert checkpoints.load(broken / "checkpoint.pt")["step"] == 3
    monkeypatch.setattr(loop.Trainer, "step", step)
    torch.manual_seed(99)
    pretrain(config, of, broken, ALONE)
    expected, resumed = (checkpoints.load(run / "checkpoint.pt") for run in (whole, broken))
    assert expected["step"] == resumed["step"] == 4
    assert torch.equal(expected["random"][0], resumed["random"][0])
    for name, tensor in expected["method"].items():
        assert torch.equal(tensor, resumed["method"][name]), name
    for name in ("encoder", "encoder-accel", "encoder-gyro", "encoder-magn"):
        a, b = (load_file(run / f"{name}.safetensors") for run in (whole, broken))
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@METHODS
def test_what_cannot_be_learnt_is_told_and_leaves_nothing(tmp_path, method):
    def refused(said, of, **settings):
        with pytest.raises(InputError, match=said):
            pretrain(small(**{"method": method, **settings}), of, tmp_path / "run", ALONE)
        assert not (tmp_path / "run").exists()

    refused("no window has two sensors.* the sources hold accel$", source(ACCELEROMETER))
    refused("no window has two sensors", source(pairs=0.0))
    apart = {"a": recorded(ACCELEROMETER), "b": recorded(("gyro",))}
    refused("hold accel and gyro$", SensorSource(apart, False, held=False))
    if method is FOCAL:
        refused("a batch of 3 windows does not hold two sequences of 3", source(), batch_size=3)
    else:
        refused("more windows than sensors: accel and gyro and magn, not 3", source(), batch_size=3)
        other = replace(method, target="baro")
        refused("target baro is no sensor of the sources: accel and gyro", source(), method=other)


def test_weights_of_all_sensors_together_are_no_start(tmp_path):
    windows = recorded(subjects=4)
    together = WindowsSource(windows.X, 25.0, windows.sensors)
    pretrain(small(SimCLRConfig()), together, tmp_path / "simclr", ALONE)
    init = str(tmp_path / "simclr" / "encoder.safetensors")
    with pytest.raises(InputError, match="reads all sensors of a window together"):
        pretrain(small(FOCAL, init=init), source(("accel", "gyro")), tmp_path / "run", ALONE)


@pytest.mark.parametrize("name", ["focal", "semicmt"])
@pytest.mark.parametrize("preset", ["recommended", "windows"])
def test_recipes_fit_their_method(preset, name):
    config = RECIPES[preset][name]
    assert config.method_name == name and config.policy == "none"
    assert config.reads_windows == (preset == "recommended")


def test_from_windows_to_a_comparison(tmp_path, capsys, _one_seed):
    """The command on sets of two sensors and of one; transfer is read in the encoder's order."""
    both = recorded(subjects=6, recordings=4)
    save_windows(tmp_path / "both.npz", both)
    one = recorded(("gyro",), subjects=6, recordings=4, seed=4)
    save_windows(tmp_path / "one.npz", one)
    save_windows(tmp_path / "turned.npz", both.only(("gyro", "accel")))
    command = ["pretrain", "--source", f"{tmp_path}/both.npz", f"{tmp_path}/one.npz"]
    command += ["--encoder", "conv1d", "--epochs", "1", "--batch-size", "16", "--device", "cpu"]
    focal = [*command, "--method", "focal", "-o", str(tmp_path / "focal")]
    assert main([*focal, "--transfer", f"{tmp_path}/turned.npz"]) == 2
    assert "reads the same sensors" in capsys.readouterr().err
    assert main(focal) == 0
    said = capsys.readouterr().out
    assert "both: macro-F1 from 10 labels per class among 3 subjects held out" in said
    # A set that lacks a sensor is compared by the network of the one it has.
    found = re.search(r"one: macro-F1 .* held out ([.\d]+), before training ([.\d]+)", said)
    [held] = SensorSource({"one": one}, False).held.values()
    file = str(tmp_path / "focal" / "encoder-gyro.safetensors")
    read = fewshot.ProbeConfig(encoder=EncoderConfig("conv1d", checkpoint=file))
    [probed] = fewshot.evaluate(held, read, ["img2imu"])["results"]
    assert float(found[1]) == pytest.approx(probed["f1_mean"], abs=5e-4)
    assert {each.name for each in (tmp_path / "focal").glob("*.safetensors")} == {
        "encoder.safetensors", "encoder-accel.safetensors", "encoder-gyro.safetensors"
    }  # fmt: skip
    alone = ["pretrain", "--source", f"{tmp_path}/one.npz", "--encoder", "conv1d"]
    assert main([*alone, "--method", "semicmt", "-o", str(tmp_path / "no")]) == 2
    assert "no window has two sensors" in capsys.readouterr().err
    assert main([*focal, "--target", "accel"]) == 2
    assert "--target is no setting of focal" in capsys.readouterr().err
