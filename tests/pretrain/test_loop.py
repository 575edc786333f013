"""The whole loop, small but real: it learns, survives a kill bit for bit, and refuses nonsense."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from img2imu.errors import InputError
from img2imu.models import checkpoints, create_backbone
from img2imu.pretrain import (
    MoCoConfig,
    PretrainConfig,
    RandomConfig,
    SimSiamConfig,
    SupervisedConfig,
    World,
    loop,
    pretrain,
    trainer,
)
from img2imu.pretrain.trainer import learning_rate

from .sources import photographs_of, stripes

ALONE = World(torch.device("cpu"))
MOCO = PretrainConfig(
    MoCoConfig(dim=16, queue=128, momentum=0.9, temperature=0.2, head="mlp", splits=2),
    policy="sensor-crops-soft",
    encoder="test_resnet",
    stages=(2, 4),
    bands=3,
    epochs=3,
    batch_size=32,
    optimizer="sgd",
    lr=0.02,
    held=80,
)


@pytest.fixture(scope="module")
def photographs(shared_data):
    """Real images of five classes, 48x36."""
    shard = shared_data / "tiny_imagenet" / "train_00.bin"
    if not shard.is_file():
        pytest.skip("no Tiny-ImageNet shard")
    return photographs_of(shard, classes=5)


def rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def test_moco_learns(tmp_path):
    pretrain(MOCO, stripes(1200), tmp_path / "run", ALONE)
    losses = [row["loss"] for row in rows(tmp_path / "run" / "epochs.csv")]
    chance = math.log(1 + MOCO.method.queue)
    assert len(losses) == 3
    assert losses[2] < losses[0] < chance and losses[2] < 0.9 * chance


def test_neighbours_on_photographs_beat_those_of_a_random_encoder(tmp_path, photographs):
    config = replace(MOCO, method=SupervisedConfig(), epochs=3, held=200, lr=0.05)
    trainer = loop.Trainer(config, photographs, ALONE)
    before = trainer.watch.accuracy(trainer.method.encoder)
    last = pretrain(config, photographs, tmp_path / "run", ALONE)
    assert last["knn"] > before + 0.05
    assert last["knn_start"] == before and last["knn_guess"] == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    "method", [SimSiamConfig(64, 16), SupervisedConfig()], ids=["simsiam", "supervised"]
)
def test_other_methods_learn(tmp_path, method):
    config = replace(MOCO, method=method, epochs=2)
    pretrain(config, stripes(320), tmp_path / "run", ALONE)
    first, second = (row["loss"] for row in rows(tmp_path / "run" / "epochs.csv"))
    assert second < first


def test_random_is_the_untrained_encoder(tmp_path):
    config = replace(MOCO, method=RandomConfig(), seed=3)
    pretrain(config, stripes(200), tmp_path / "run", ALONE)
    written = load_file(tmp_path / "run" / "encoder.safetensors")
    expected = create_backbone("test_resnet", seed=3).body.state_dict()
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in written)


def test_the_encoder_written_is_the_one_trained(tmp_path):
    config = replace(MOCO, method=SupervisedConfig(), epochs=1, encoder="resnet18", held=0)
    pretrain(config, stripes(64), tmp_path / "run", ALONE)
    encoder = load_file(tmp_path / "run" / "encoder.safetensors")
    state = checkpoints.load(tmp_path / "run" / "checkpoint.pt")
    for name, tensor in encoder.items():
        assert torch.equal(tensor, state["method"][f"encoder.body.{name}"])


RUN = """
import sys, time
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from sources import stripes
from img2imu.pretrain import MoCoConfig, PretrainConfig, World, loop
loop.LOG_STEPS, loop.CHECKPOINT_SECONDS = 3, 0.0
config = PretrainConfig(
    MoCoConfig(dim=16, queue=100, head="mlp-bn", splits=2), policy="sensor-aware",
    encoder="test_resnet", epochs=3, batch_size=32, lr=1e-3, held=40,
)
loop.pretrain(config, stripes(400), Path(sys.argv[1]), World(torch.device("cpu")))
"""


CODE = RUN.format(tests=str(Path(__file__).parent))


def _start(out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", CODE, str(out)], env=environment)


def _run_here(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG_STEPS", "CHECKPOINT_SECONDS"):
        monkeypatch.setattr(loop, name, getattr(loop, name))  # which the code sets
    monkeypatch.setattr(sys, "argv", ["", str(out)])
    exec(CODE, {})


def _killed_at(out: Path, step: int) -> None:
    """Start the run, and SIGKILL it once a checkpoint of at least `step` steps lies there."""
    process = _start(out)
    log = out / "steps.csv"
    while process.poll() is None:
        # The file is empty for a moment after it is made.
        last = ["", *(log.read_text().splitlines() if log.is_file() else [])][-1]
        if last.split(",")[0].isdigit() and int(last.split(",")[0]) >= step:
            break
        time.sleep(0.005)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_run_goes_on_bit_for_bit(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    _run_here(whole, monkeypatch)
    _killed_at(broken, 17)
    assert not (broken / "encoder.safetensors").exists()
    _run_here(broken, monkeypatch)
    expected, resumed = (checkpoints.load(run / "checkpoint.pt") for run in (whole, broken))
    assert expected["step"] == resumed["step"] == 33
    assert torch.equal(expected["random"][0], resumed["random"][0])
    for name, tensor in expected["method"].items():
        assert torch.equal(tensor, resumed["method"][name]), name
    _assert_equal(expected["optimizer"]["state"], resumed["optimizer"]["state"])
    a, b = (load_file(run / "encoder.safetensors") for run in (whole, broken))
    assert all(torch.equal(a[name], b[name]) for name in a)
    timeless = [
        [{k: v for k, v in row.items() if k not in ("images_per_second", "waited")} for row in log]
        for run in (whole, broken)
        for log in (rows(run / "steps.csv"), rows(run / "epochs.csv"))
    ]
    assert timeless[:2] == timeless[2:]


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for number, values in one.items():
        for name, value in values.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[number][name]))


def test_a_finished_run_is_left_as_it_is(tmp_path):
    config = replace(MOCO, method=SupervisedConfig(), epochs=1)
    first = pretrain(config, stripes(200), tmp_path / "run", ALONE)
    before = load_file(tmp_path / "run" / "encoder.safetensors")
    again = pretrain(config, stripes(200), tmp_path / "run", ALONE)
    after = load_file(tmp_path / "run" / "encoder.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again["loss"] == pytest.approx(first["loss"], rel=1e-4)


def test_steps_cut_the_last_epoch_short(tmp_path, monkeypatch):
    """Killed within it a run goes on to the bit; to the end the learning rate falls."""
    config = replace(MOCO, epochs=1, steps=5, lr_schedule="cosine")
    source = stripes(80)  # 72 to learn from are two steps an epoch
    pretrain(config, source, tmp_path / "whole", ALONE)
    step = loop.Trainer.step
    rates = []

    def counted(self, batch, number):
        if number == 4 and not rates:
            rates.append(learning_rate(self.config, number, self.loader.steps))
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", counted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, source, tmp_path / "killed", ALONE)
    last = pretrain(config, source, tmp_path / "killed", ALONE)
    assert (last["step"], last["epoch"]) == (5, 3)
    assert rates == [pytest.approx(config.lr * (1 + np.cos(np.pi * 4 / 5)) / 2)]
    one, other = (load_file(tmp_path / run / "encoder.safetensors") for run in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    monkeypatch.setattr(loop.Trainer, "step", None)
    assert pretrain(config, source, tmp_path / "killed", ALONE) == last


def test_other_settings_are_named_not_mixed(tmp_path):
    source = stripes(200)
    config = replace(MOCO, method=SupervisedConfig(), epochs=1)
    pretrain(config, source, tmp_path / "run", ALONE)
    with pytest.raises(InputError, match=r"other settings \(lr, policy\)"):
        pretrain(replace(config, lr=1.0, policy="all"), source, tmp_path / "run", ALONE)
    with pytest.raises(InputError, match=r"other settings \(source\)"):
        pretrain(config, stripes(201), tmp_path / "run", ALONE)


def test_a_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        pretrain(MOCO, stripes(200), tmp_path, ALONE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_STEPS", 1)
    config = replace(MOCO, method=SupervisedConfig(), epochs=2)
    step = loop.Trainer.step

    def poisoned(self, batch, number):
        measures = step(self, batch, number)
        if number == 4:
            with torch.no_grad():
                next(self.method.parameters()).fill_(float("nan"))
        return measures

    monkeypatch.setattr(loop.Trainer, "step", poisoned)
    with pytest.raises(InputError, match=r"the loss is nan after step 6: lower lr"):
        pretrain(config, stripes(132), tmp_path / "run", ALONE)
    state = checkpoints.load(tmp_path / "run" / "checkpoint.pt")
    assert state["step"] == 3
    assert all(torch.isfinite(v).all() for v in state["method"].values())
    assert not (tmp_path / "run" / "encoder.safetensors").exists()


def test_a_full_gpu_is_told(tmp_path, monkeypatch):
    def full(self, batch, step):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop.Trainer, "step", full)
    with pytest.raises(InputError, match=r"the GPU's memory is full: lower batch_size \(32\)"):
        pretrain(MOCO, stripes(200), tmp_path / "run", ALONE)


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    config = replace(MOCO, method=SupervisedConfig(), batch_size=512)
    with pytest.raises(InputError, match="a batch of 512 is more than the 90 images"):
        pretrain(config, stripes(100), tmp_path / "run", ALONE)


def test_supervision_needs_labels(tmp_path):
    source = stripes(100)
    source.labels[:] = -1
    with pytest.raises(InputError, match="needs labels of two or more"):
        pretrain(replace(MOCO, method=SupervisedConfig()), source, tmp_path / "run", ALONE)


@pytest.mark.parametrize("method", [MOCO.method, SupervisedConfig()], ids=["moco", "supervised"])
def test_images_without_a_label_are_no_neighbours(tmp_path, method):
    """One stray image beside class folders, or most of them."""
    for known in (99, 24, 5):
        source = stripes(100)
        source.labels[known:] = -1
        config = replace(MOCO, method=method, batch_size=4, epochs=1)
        held, training = trainer.split_rows(source, config)
        assert len(held) == known // 10 and (source.labels[held] >= 0).all()
        assert not set(held) & set(training)
        supervised = isinstance(method, SupervisedConfig)
        assert len(training) == (known if supervised else 100) - len(held)
        last = pretrain(config, source, tmp_path / str(known), ALONE)
        assert math.isfinite(last["loss"])
        # Below ten, none is held back.
        assert ("knn" in last) == (known >= 10)
        again = pretrain(config, source, tmp_path / str(known), ALONE)
        assert again == last


def test_all_images_have_labels_or_none():
    """Which rows are held back then is as it was before some might have one."""
    config, order = replace(MOCO, seed=3), np.random.default_rng(3).permutation(200)
    held, training = trainer.split_rows(stripes(200), config)
    assert held.tolist() == sorted(order[:20]) and training.tolist() == sorted(order[20:])
    source = stripes(200)
    source.labels[:] = -1
    held, training = trainer.split_rows(source, config)
    assert not len(held) and training.tolist() == list(range(200))


def test_learning_rate_rises_and_falls():
    config = replace(MOCO, lr=0.4, lr_schedule="cosine", warmup_epochs=1, epochs=3)
    rates = [learning_rate(config, step, 10) for step in range(30)]
    assert rates[0] == pytest.approx(0.04) and rates[9] == pytest.approx(0.4)
    assert rates[10] == pytest.approx(0.4) and rates[20] == pytest.approx(0.2)
    assert 0 < rates[29] < 0.01
    constant = replace(config, lr_schedule="constant")
    assert learning_rate(constant, 29, 10) == 0.4


def test_init_starts_from_a_file(tmp_path):
    source, config = stripes(100), replace(MOCO, method=RandomConfig(), encoder="resnet18")
    pretrain(replace(config, seed=5), source, tmp_path / "donor", ALONE)
    donor = tmp_path / "donor" / "encoder.safetensors"
    pretrain(replace(config, init=str(donor)), source, tmp_path / "run", ALONE)
    a, b = load_file(donor), load_file(tmp_path / "run" / "encoder.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_folded_weights_are_trained_on_and_resumed(tmp_path, monkeypatch, reference_weights):
    config = replace(
        MOCO,
        method=SupervisedConfig(),
        encoder="resnet18",
        stages=(2,),
        init=str(reference_weights),
        epochs=2,
        batch_size=16,
    )
    source, whole, broken = stripes(72), tmp_path / "whole", tmp_path / "broken"
    pretrain(config, source, whole, ALONE)
    step = loop.Trainer.step

    def interrupted(self, batch, number):
        if number == 5:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, source, broken, ALONE)
    monkeypatch.setattr(loop.Trainer, "step", step)
    # What batch norm was measured on at the beginning no longer counts.
    monkeypatch.setattr(trainer, "REVIVAL", 8)
    pretrain(config, source, broken, ALONE)
    expected, resumed = (load_file(run / "encoder.safetensors") for run in (whole, broken))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_config_file_tells_everything(tmp_path):
    config = replace(MOCO, method=SupervisedConfig(), epochs=1)
    pretrain(config, stripes(100), tmp_path / "run", ALONE)
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert PretrainConfig.from_dict(written["pretrain"]) == config
    assert written["source"]["count"] == 100
