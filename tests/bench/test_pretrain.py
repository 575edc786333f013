"""The pre-training benchmark: what its report holds and what is compared; never how fast it was."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from img2imu.bench import pretrain
from img2imu.errors import InputError
from img2imu.images import Loader
from img2imu.pretrain import RECIPES
from img2imu.pretrain.methods.images import info_nce_logits

CPU = torch.device("cpu")
SMALL = {"batch": 16, "width": 64, "height": 48, "threads": 1, "encoder": "test_resnet"}
PARTS = {
    *("waiting for images", "augmentation", "query forward", "key forward", "heads and loss"),
    *("backward", "optimiser", "momentum and queue"),
}
STEP = {"steps": 2, "rounds": 2}


def check(report, names):
    report = json.loads(json.dumps(report))
    assert set(report["rates"]) == set(report["losses"]) == names
    for name, rate in report["rates"].items():
        assert len(rate["each"]) == 2
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert name in pretrain.table(report)
    return report


def test_report_without_lightly(monkeypatch):
    # None in sys.modules is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "lightly", None)
    ours = {
        pretrain.OURS,
        "img2imu, the paper's 8 batch-norm splits",
        "img2imu, MoCo's augmentations",
    }
    before = torch.get_num_threads()
    report = check(pretrain.run(**STEP, **SMALL), ours)
    assert torch.get_num_threads() == before
    assert report["speedup"] == {}
    assert "pip install" in pretrain.table(report)
    # An epoch untimed, one in each round; with the parts, one more of the first contestant.
    assert [len(losses) for losses in report["losses"].values()] == [4, 3, 3]
    step = report["step"]
    assert set(step["parts"]) == PARTS
    assert min(step["parts"].values()) > 0
    assert step["sum"] == pytest.approx(sum(step["parts"].values()))
    assert step["augmentation"] == pytest.approx(step["parts"]["augmentation"] / step["sum"])
    assert step["whole"] == pytest.approx(1000 * 16 / report["rates"]["img2imu"]["median"])
    assert step["gpu_idle"] is None


def test_report_beside_lightly():
    pytest.importorskip("lightly")
    theirs = {pretrain.PEER, pretrain.EXAMPLE, "lightly, augmentation left out"}
    report = pretrain.run(**STEP, **SMALL)
    names = set(report["rates"])
    assert theirs < names
    check(report, names)
    assert set(report["speedup"]) == theirs
    for losses in report["losses"].values():
        assert np.isfinite(losses).all()
        assert min(losses) > 0


def test_all_contestants_see_the_same_images():
    pytest.importorskip("lightly")
    source = pretrain.draw_images(32, 16, 8, "cpu")
    assert source.images.shape == (32, 8, 16, 3)
    assert len(np.unique(source.images.reshape(32, -1), axis=0)) == 32
    ours = [batch.images.numpy() for batch in Loader(source, 8, 0, CPU).epoch(0)]
    [*pairs] = pretrain.lightly_views(source, 8, 2, CPU)
    assert [part.shape for pair in pairs for part in pair] == [(8, 3, 8, 16)] * 8
    views = pretrain.lightly_views(source, 8, 2, CPU)
    views.dataset.transform = np.asarray
    theirs = [batch.permute(0, 3, 1, 2).numpy() for batch in views]
    assert len(ours) == len(theirs) == len(pretrain.prepared_views(source, 8, CPU))
    assert sorted(map(bytes, np.concatenate(ours))) == sorted(map(bytes, np.concatenate(theirs)))


def test_lightly_starts_as_we_do():
    pytest.importorskip("lightly")
    config = replace(RECIPES["paper"]["moco"], batch_size=16, encoder="test_resnet")
    source = pretrain.draw_images(16, 64, 48, "cpu")
    entrants = pretrain.contestants(config, source, CPU, 1)
    ours = entrants[pretrain.OURS].trainer
    theirs = entrants[pretrain.PEER]
    state = theirs.encoder[0].state_dict()
    for name, value in ours.method.encoder.state_dict().items():
        assert torch.equal(value, state[name])
    assert theirs.criterion.memory_bank.bank.shape == ours.method.queue.shape[1:] == (4096, 64)
    assert theirs.mixed == (ours.policy.dtype == torch.bfloat16)
    assert not entrants[pretrain.EXAMPLE].mixed


def test_lightly_trains_and_its_key_encoder_follows():
    pytest.importorskip("lightly")
    config = replace(RECIPES["paper"]["moco"], batch_size=16, encoder="test_resnet")
    views = [tuple(torch.randn(2, 16, 3, 48, 64))]
    theirs = pretrain.Lightly(config, views, CPU, torch.float32)
    before = [p.clone() for p in theirs.encoder.parameters()]
    theirs()
    trained = [p.clone() for p in theirs.encoder.parameters()]
    # Not all of them: the last norm of each block starts at zero and lets no gradient through.
    assert any(not torch.equal(a, b) for a, b in zip(before, trained, strict=True))
    theirs()
    expected = [0.999 * a + 0.001 * b for a, b in zip(before, trained, strict=True)]
    for key, wanted in zip(theirs.key_encoder.parameters(), expected, strict=True):
        torch.testing.assert_close(key, wanted)


def test_our_loss_is_that_of_lightly():
    loss = pytest.importorskip("lightly.loss")
    query, key, queue = (F.normalize(torch.randn(n, 16), dim=1) for n in (8, 8, 64))
    theirs = loss.NTXentLoss(0.07, memory_bank_size=(64, 16))
    theirs.memory_bank.bank = queue.clone()
    [logits] = info_nce_logits(query[None], key[None], queue[None], 0.07)
    ours = F.cross_entropy(logits, torch.zeros(8).long())
    torch.testing.assert_close(ours, theirs(query, key))


def test_lightly_neither_prints_nor_reaches_for_its_server():
    pytest.importorskip("lightly")
    program = (
        "import socket, threading\n"
        "def refuse(*_): print('reached for', _)\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from img2imu.bench import pretrain\n"
        "import torch\n"
        "assert pretrain.has_lightly()\n"
        "pretrain.lightly_views(pretrain.draw_images(8, 8, 8, 'cpu'), 8, 1, torch.device('cpu'))\n"
        "[thread.join(10) for thread in threading.enumerate()[1:]]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_stopwatch_leaves_no_hooks_behind():
    config = replace(RECIPES["paper"]["moco"], batch_size=16, encoder="test_resnet")
    ours = pretrain.Ours(config, pretrain.draw_images(32, 64, 48, "cpu"), CPU, compile=False)
    stopwatch = pretrain.Stopwatch(CPU)
    with stopwatch.watching(ours.trainer):
        ours(stopwatch.end_step)
    assert [set(step) for step in stopwatch.steps] == [PARTS] * 2
    ours(stopwatch.end_step)
    assert set(stopwatch.steps[-1]) == {"momentum and queue"}


def test_steps_fall_evenly_to_the_workers(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightly", None)
    report = pretrain.run(**{**SMALL, "threads": 2, "width": 32, "height": 24}, steps=1, rounds=1)
    assert report["settings"]["steps"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps"),
        ({"rounds": 0}, "rounds"),
        ({"threads": 0}, "threads"),
        ({"batch": 12}, "multiple of splits"),
        ({"batch": 0}, "batch_size"),
        ({"width": 4}, "8x8"),
        ({"encoder": "nonsense"}, "nonsense"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_unfit_values_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        pretrain.run(**{**SMALL, "steps": 1, **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_device_is_refused():
    with pytest.raises(InputError, match="cuda"):
        pretrain.run(device="cuda")
