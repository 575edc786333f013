"""Two processes that exchange over gloo do what one process does with the joined batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from img2imu.errors import InputError
from img2imu.pretrain import join_world

RUN = """
import sys
from pathlib import Path
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from img2imu.pretrain import MoCoConfig, join_world
from img2imu.pretrain.methods import MoCo

class Encoder(nn.Module):
    widths = [8, 6]

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, images):
        first = self.first(images)
        return [part.mean((2, 3)) for part in (first, self.second(first))]

with join_world("cpu") as world:
    torch.manual_seed(0)
    config = MoCoConfig(dim=6, queue=24, momentum=0.9, temperature=0.2, head="mlp", splits=2)
    method = MoCo(Encoder(), config, world)
    network = DistributedDataParallel(method) if world.size > 1 else method
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(4):
        batch = [torch.rand(16, 3, 16, 16, generator=generator) for _ in range(2)]
        views = [view.chunk(world.size)[world.rank] for view in batch]
        loss = network(views, torch.zeros(len(views[0]), dtype=torch.long), step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(step / 4)
        losses.append(loss.detach())
    # Running statistics are each process' own.
    own = ("running_mean", "running_var", "num_batches_tracked")
    state = {k: v for k, v in method.state_dict().items() if not k.endswith(own)}
    torch.save({"state": state, "losses": torch.stack(losses)}, sys.argv[1] + f"/{world.rank}.pt")
"""

TRAIN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from sources import stripes
from img2imu.pretrain import MoCoConfig, PretrainConfig, join_world, pretrain
config = PretrainConfig(
    MoCoConfig(dim=16, queue=64, splits=4), encoder="test_resnet", epochs=int(sys.argv[2]),
    batch_size=32, lr=1e-3, held=40,
)
with join_world("cpu") as world:
    pretrain(config, stripes(200), Path(sys.argv[1]), world)
"""


def _torchrun(code: str, processes: int, *arguments: object, folder: Path) -> None:
    script = folder / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            f"--nproc-per-node={processes}",
            # It finds a free port by itself, and keeps it.
            "--standalone",
            str(script),
            *map(str, arguments),
        ],
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    alone, joined = tmp_path / "alone", tmp_path / "joined"
    alone.mkdir()
    joined.mkdir()
    _torchrun(RUN, 1, alone, folder=tmp_path)
    _torchrun(RUN, 2, joined, folder=tmp_path)
    one = torch.load(alone / "0.pt", weights_only=True)
    two = [torch.load(joined / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    torch.testing.assert_close(one["losses"], (two[0]["losses"] + two[1]["losses"]) / 2)
    for part in two:
        for name, tensor in one["state"].items():
            torch.testing.assert_close(part["state"][name], tensor, atol=1e-5, rtol=1e-4)


def test_two_processes_train_and_go_on(tmp_path):
    code = TRAIN.format(tests=str(Path(__file__).parent))
    _torchrun(code, 2, tmp_path / "run", 1, folder=tmp_path)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    # Each process draws augmentations of its own, so there are two different states.
    assert len(state["random"][0]) == 2
    assert not torch.equal(*state["random"][0])
    before = (tmp_path / "run" / "encoder.safetensors").read_bytes()
    _torchrun(code, 2, tmp_path / "run", 1, folder=tmp_path)
    assert (tmp_path / "run" / "encoder.safetensors").read_bytes() == before


def test_a_missing_gpu_is_told():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match="no CUDA device 0 here: 0 found"), join_world("cuda"):
        pass
