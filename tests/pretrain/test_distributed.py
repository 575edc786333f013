"""Processes that exchange over gloo do what one process does with the joined batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from img2imu.errors import InputError
from img2imu.pretrain import FocalConfig, PretrainConfig, SensorSource, World, join_world, loop
from img2imu.pretrain import trainer as training
from img2imu.pretrain.norm import group_batch_norm

from .sources import recorded

RUN = """
import sys
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from img2imu.pretrain import (
    MoCoConfig, SimCLRConfig, SimSiamConfig, SupervisedConfig, join_world,
)
from img2imu.pretrain.methods.images import MoCo, SimCLR, SimSiam, Supervised

class Encoder(nn.Module):
    widths = [8, 6]

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, images):
        first = self.first(images)
        return [part.mean((2, 3)) for part in (first, self.second(first))]

def moco(splits, head="mlp"):
    settings = {"dim": 6, "queue": 40, "momentum": 0.9, "temperature": 0.2}
    return lambda world: MoCo(Encoder(), MoCoConfig(**settings, head=head, splits=splits), world)

METHODS = {
    "moco": moco(1),
    "moco, statistics in its heads": moco(1, "mlp-bn"),
    "moco, 2 splits": moco(2),
    "moco, 4 splits": moco(4),
    "moco, 8 splits": moco(8),
    "simsiam": lambda world: SimSiam(Encoder(), SimSiamConfig(16, 8), world),
    "simclr": lambda world: SimCLR(Encoder(), SimCLRConfig(6), 16, world),
    "supervised": lambda world: Supervised(Encoder(), [3], SupervisedConfig(), world),
}

def train(create, world):
    torch.manual_seed(0)
    method = create(world)
    parallel = lambda: DistributedDataParallel(method, broadcast_buffers=False)
    network = parallel() if world.size > 1 else method
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(4):
        # Another brightness for each image: the parts' statistics differ.
        bright = torch.linspace(0.2, 2, 16).view(-1, 1, 1, 1)
        noise = torch.rand(method.views, 16, 3, 16, 16, generator=generator)
        views = [bright * view for view in noise]
        # Of the last images few have a label, or none.
        labels = torch.randint(3, (16,), generator=generator)
        labels[9:15 + step % 2] = -1
        own = lambda tensor: tensor.chunk(world.size)[world.rank]
        loss = network([own(view) for view in views], own(labels), step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(step / 4)
        losses.append(loss.detach())
    return {"state": method.state_dict(), "losses": torch.stack(losses)}
"""

JOINED = (
    RUN
    + """
import os
from torch.distributed import TCPStore

# As torchrun does it, but torch is imported once. Processes fork before the store starts a thread,
# whose locks they would inherit, and learn its port afterwards.
count = 4
port_of_store, tell = os.pipe()
torch.set_num_threads(1)
children = []
for rank in range(count):
    if pid := os.fork():
        children.append(pid)
        continue
    port = os.read(port_of_store, 8).decode()
    os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    with join_world("cpu") as world:
        assert world.size == count
        done = {name: train(create, world) for name, create in METHODS.items()}
        torch.save(done, sys.argv[1] + f"/{world.rank}.pt")
    os._exit(0)
store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
os.write(tell, f"{store.port:8}".encode() * count)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""
)

TRAIN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from sources import recorded, stripes
import torch
from img2imu.pretrain import (
    FocalConfig, MoCoConfig, PretrainConfig, SensorSource, join_world, loop, pretrain
)
config = PretrainConfig(
    MoCoConfig(dim=16, queue=64, splits=1), encoder="test_resnet", epochs=1,
    batch_size=32, lr=1e-3, held=10,
)
with join_world("cpu") as world:
    for run in range(2):
        pretrain(config, stripes(110), Path(sys.argv[1]), world)
        if world.first:
            Path(sys.argv[1], f"run{{run}}").write_bytes(
                Path(sys.argv[1], "encoder.safetensors").read_bytes()
            )
    # Of windows of several sensors each process compares its own part.
    windows = recorded(("accel", "gyro", "magn"), subjects=4)
    source = SensorSource({{"a": windows}}, False, False, pairs=0.5)
    trainer = loop.Trainer(PretrainConfig(**{settings!r}, method=FocalConfig(8)), source, world)
    for step, batch in enumerate(trainer.loader.epoch(0)):
        trainer.step(batch, step)
        if not step:
            gradients = {{name: p.grad.clone() for name, p in trainer.method.named_parameters()}}
    done = {{"gradients": gradients, "state": trainer.method.state_dict(), "step": step}}
    torch.save(done, sys.argv[1] + f"/focal{{world.rank}}.pt")
"""

SENSORS = {"policy": "none", "encoder": "conv1d", "epochs": 1, "batch_size": 16, "lr": 1e-3}


TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
"""It finds a free port by itself, and keeps it."""


def _succeed(code: str, folder: Path, *arguments: object, launcher: tuple[str, ...] = ()) -> None:
    script = folder / "script.py"
    script.write_text(code)
    command = [sys.executable, *launcher, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-3000:]


def test_four_processes_equal_one_on_the_joined_batch(tmp_path):
    """Losses, weights, queue and running statistics; statistics of all, of two, and of own parts"""
    _succeed(JOINED, tmp_path, tmp_path)
    # Without synchronisation losses differ by .06 to 2, running statistics by .07 and more.
    four = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(4)]
    alone: dict = {}
    exec(RUN, alone)
    for name, create in alone["METHODS"].items():
        one = alone["train"](create, World(torch.device("cpu")))
        parts = [each[name] for each in four]
        losses = torch.stack([part["losses"] for part in parts]).mean(0)
        close = {"atol": 3e-4, "rtol": 1e-3}
        torch.testing.assert_close(
            one["losses"], losses, **close, msg=lambda text, n=name: f"{n}: {text}"
        )
        for part in parts:
            assert part["state"].keys() == one["state"].keys()
            for key, tensor in one["state"].items():
                torch.testing.assert_close(
                    part["state"][key],
                    tensor,
                    **close,
                    msg=lambda text, n=name, k=key: f"{n}, {k}: {text}",
                )


def test_two_processes_train_and_go_on(tmp_path, monkeypatch):
    run = tmp_path / "run"
    code = TRAIN.format(tests=str(Path(__file__).parent), settings=SENSORS)
    _succeed(code, tmp_path, run, launcher=TORCHRUN)
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    # Each process draws augmentations of its own, so there are two different states.
    assert len(state["random"][0]) == 2
    assert not torch.equal(*state["random"][0])
    assert state["method"]["encoder.body.bn1.num_batches_tracked"] == 3
    assert (run / "run0").read_bytes() == (run / "run1").read_bytes()
    _two_processes_of_sensors(run, monkeypatch)


def _two_processes_of_sensors(run, monkeypatch):
    """Batches and losses are each process' own, gradients their mean, weights equal thereafter."""
    parts = [torch.load(run / f"focal{rank}.pt", weights_only=True) for rank in range(2)]
    assert parts[0]["step"] == 60 // 16 - 1
    for name, tensor in parts[0]["state"].items():
        assert torch.equal(tensor, parts[1]["state"][name]), name
    monkeypatch.setattr(training, "DistributedDataParallel", lambda method, **_: method)
    batches, gradients = [], []
    for rank in range(2):
        windows = recorded(("accel", "gyro", "magn"), subjects=4)
        source = SensorSource({"a": windows}, False, False, pairs=0.5)
        config = PretrainConfig(FocalConfig(8), **SENSORS)
        trainer = loop.Trainer(config, source, World(torch.device("cpu"), rank, 2))
        batches.append(next(trainer.loader.epoch(0)))
        trainer.step(batches[-1], 0)
        gradients.append({name: p.grad for name, p in trainer.method.named_parameters()})
    assert batches[0].images.shape == batches[1].images.shape == (2, 3, 8, 3, 60)
    assert not torch.equal(batches[0].images, batches[1].images)
    for name, gradient in parts[0]["gradients"].items():
        mean = (gradients[0][name] + gradients[1][name]) / 2
        assert torch.allclose(gradient, mean, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize(("splits", "processes"), [(3, 2), (2, 3), (4, 6)])
def test_splits_that_cannot_be_dealt_out_are_told(splits, processes):
    world = World(torch.device("cpu"), 0, processes)
    with pytest.raises(InputError, match=rf"splits \({splits}\) must be a multiple or a divisor"):
        group_batch_norm(nn.BatchNorm2d(3), splits, world)


def test_a_missing_gpu_is_told():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match="no CUDA device 0 here: 0 found"), join_world("cuda"):
        pass
