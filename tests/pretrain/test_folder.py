"""The folder of a run: damaged, full, finished, or in use, it is never a traceback or a mix."""

import csv
import os
import random
import resource
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.files import locked
from img2imu.images import ProceduralImages
from img2imu.models import checkpoints
from img2imu.pretrain import PretrainConfig, SimSiamConfig, World, checkpoint, loop, pretrain
from img2imu.settings import read_sealed, write_sealed

from .sources import stripes

ALONE = World(torch.device("cpu"))
CONFIG = PretrainConfig(
    SimSiamConfig(16, 8), encoder="test_resnet", epochs=2, batch_size=32, lr=1e-3, held=20
)
SOURCE = stripes(100)
OPTIONS = [
    *("--source=dead-leaves", "--count=32", "--size=32x24", "--encoder=test_resnet"),
    *("--method=simsiam", "--dim=16", "--hidden=8", "--epochs=1", "--batch-size=16"),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the command, to be copied."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["pretrain", *OPTIONS, "-o", str(out)]) == 0
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy that may be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_stays_to_the_byte(run, capsys):
    before = contents(run)
    assert {"checkpoint.pt", "config.json", "curves.png", "encoder.safetensors"} < before.keys()
    assert main(["pretrain", *OPTIONS, "-o", str(run)]) == 0
    assert contents(run) == before
    with (run / "epochs.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)
    assert f"{float(row['loss']):.4g}" in capsys.readouterr().out


def test_the_encoder_may_be_read_by_all(run):
    umask = os.umask(0)
    os.umask(umask)
    assert (run / "encoder.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def resealed(path: Path, **changes: object) -> None:
    write_sealed(path, {**read_sealed(path), **changes})


def repacked(path: Path) -> None:
    """Compressed, as a file that unpacks to any size would be."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)


DAMAGES = {
    "config empty": ("config.json", lambda path: path.write_text("")),
    "config a list": ("config.json", lambda path: path.write_text("[]")),
    "config edited": (
        "config.json", lambda path: path.write_text(path.read_text().replace("0.05", "0.06"))
    ),
    "config nested": ("config.json", lambda path: path.write_text("[" * 100_000)),
    "config binary": ("config.json", lambda path: path.write_bytes(b"\xff\xfe\0")),
    "config without settings": ("config.json", lambda path: resealed(path, pretrain=None)),
    "config of no method": ("config.json", lambda path: resealed(path, pretrain={"method": {}})),
    "config a folder": ("config.json", lambda path: (path.unlink(), path.mkdir())),
    "checkpoint empty": ("checkpoint.pt", lambda path: path.write_bytes(b"")),
    "checkpoint cut": ("checkpoint.pt", lambda path: path.write_bytes(path.read_bytes()[:5000])),
    "checkpoint flipped": ("checkpoint.pt", flipped),
    "checkpoint no zip": ("checkpoint.pt", lambda path: path.write_bytes(b"PK" * 999)),
    "checkpoint compressed": ("checkpoint.pt", repacked),
    "checkpoint a tensor": ("checkpoint.pt", lambda path: torch.save(torch.zeros(3), path)),
    "log a folder": ("steps.csv", lambda path: (path.unlink(), path.mkdir())),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_sentence(run, capsys, damage):
    name, spoil = DAMAGES[damage]
    spoil(run / name)
    before = contents(run)
    capsys.readouterr()
    assert main(["pretrain", *OPTIONS, "-o", str(run)]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert name in line or "holds no run" in line
    assert contents(run) == before


@pytest.mark.parametrize("name", ["steps.csv", "epochs.csv"])
@pytest.mark.parametrize(
    "damage", ["", "\0\xff", "step\n1,2,3\n"], ids=["empty", "binary", "foreign"]
)
def test_damaged_logs_are_written_anew(run, name, damage):
    """All their rows are in the checkpoint."""
    before = contents(run)
    (run / name).write_text(damage)
    assert main(["pretrain", *OPTIONS, "-o", str(run)]) == 0
    assert contents(run) == before


def test_any_flipped_byte_of_a_checkpoint_is_told_or_means_nothing(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, {"step": 3, "tensor": torch.arange(200), "rows": [{"loss": 0.5}]})
    whole, rng = path.read_bytes(), random.Random(0)
    told = 0
    for place in range(0, len(whole), 3):
        data = bytearray(whole)
        data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            state = checkpoints.load(path)
        except InputError as error:
            told += 1
            assert len(str(error).splitlines()) == 1
        else:
            assert state.keys() == {"step", "tensor", "rows"}
            assert (state["step"], state["rows"]) == (3, [{"loss": 0.5}])
            assert torch.equal(state["tensor"], torch.arange(200))
    # The rest of the file is padding and what nobody reads.
    assert told > len(whole) / 3 / 2


def test_a_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, ("touch evil",)

    torch.save({"step": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        checkpoints.load(tmp_path / "checkpoint.pt")
    assert not Path("evil").exists()


def first(tensors: dict) -> str:
    return next(iter(tensors))


CHANGES = {
    "step": [
        lambda state: state.update(step="7"),
        lambda state: state.update(step=-1),
        lambda state: state.update(step=99),
        lambda state: state.pop("step"),
    ],
    "method": [
        lambda state: state.update(method=None),
        lambda state: state["method"].pop(first(state["method"])),
        lambda state: state["method"].update({first(state["method"]): torch.zeros(2)}),
        lambda state: state["method"].update({first(state["method"]): 3}),
    ],
    "optimizer": [
        lambda state: state.update(optimizer={}),
        lambda state: state["optimizer"].update(param_groups=[]),
        lambda state: state["optimizer"]["param_groups"][0].update(weight_decay=5.0),
        lambda state: state["optimizer"]["state"][0].pop("exp_avg"),
        lambda state: state["optimizer"]["state"][0].update(exp_avg=torch.zeros(7)),
        lambda state: state["optimizer"]["state"].update({10**6: {}}),
    ],
    "random": [
        lambda state: state.update(random=[]),
        lambda state: state.update(random=[torch.zeros(1, 9)]),
        lambda state: state.update(random=[torch.zeros(1, 9, dtype=torch.uint8)]),
        lambda state: state.update(random=[state["random"][0].repeat(2, 1)]),
    ],
    "readings": [lambda state: state.update(readings=5), lambda state: state.pop("readings")],
    "epochs": [
        lambda state: state.update(epochs=[]),
        lambda state: state.update(epochs=[{"step": 1}]),
        lambda state: state.update(epochs=["row"]),
    ],
    "steps": [lambda state: state.update(steps=[{"loss": "low"}])],
    "more": [lambda state: state.update(more=1)],
}


def test_a_checkpoint_with_other_entries_is_told(tmp_path):
    pretrain(replace(CONFIG, epochs=1), SOURCE, tmp_path / "run", ALONE)
    path = tmp_path / "run" / "checkpoint.pt"
    trainer = loop.Trainer(replace(CONFIG, epochs=1), SOURCE, ALONE)
    assert trainer.load_state(checkpoints.load(path), path) == 2
    for changes in CHANGES.values():
        for change in changes:
            state = checkpoints.load(path)
            change(state)
            with pytest.raises(InputError, match=r"checkpoint.*(cannot be|of step|is of)"):
                trainer.load_state(state, path)


@contextmanager
def no_file_larger_than(size: int):
    """Writing beyond fails, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [10, 1000, 50_000])
def test_a_disk_full_from_the_beginning_is_one_sentence(tmp_path, capsys, size):
    out = tmp_path / "run"
    with no_file_larger_than(size):
        assert main(["pretrain", *OPTIONS, "-o", str(out)]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert f"the disk of {out} is full" in line
    left = {path.name for path in out.iterdir()} - {"tensorboard"}
    assert left <= {".lock", "config.json", "steps.csv", "epochs.csv"}
    assert main(["pretrain", *OPTIONS, "-o", str(out)]) == 0


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "run"
    pretrain(CONFIG, SOURCE, whole, ALONE)
    step = loop.Trainer.step

    def filling(self, batch, number):
        if number == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", filling)
    with (
        no_file_larger_than(resource.RLIM_INFINITY),
        pytest.raises(InputError, match="is full: the last checkpoint is kept"),
    ):
        pretrain(CONFIG, SOURCE, out, ALONE)
    monkeypatch.setattr(loop.Trainer, "step", step)
    assert checkpoints.load(out / "checkpoint.pt")["step"] == 2
    assert not [path for path in out.iterdir() if "partial" in path.name]
    pretrain(CONFIG, SOURCE, out, ALONE)
    assert (out / "encoder.safetensors").read_bytes() == (
        whole / "encoder.safetensors"
    ).read_bytes()


def test_an_encoder_that_does_not_fit_leaves_the_old_one(run):
    before = (run / "encoder.safetensors").read_bytes()
    with no_file_larger_than(2000), pytest.raises(InputError, match=r"the disk of .* is full"):
        checkpoint.save_encoder(run / "encoder.safetensors", torch.nn.Linear(100, 100))
    assert (run / "encoder.safetensors").read_bytes() == before


def test_two_runs_do_not_share_a_folder(run):
    config = PretrainConfig.from_dict(read_sealed(run / "config.json")["pretrain"])
    before = contents(run)
    with locked(run), pytest.raises(InputError, match="another process is at work"):
        pretrain(config, ProceduralImages("dead-leaves", 32, 32, 24), run, ALONE)
    assert contents(run) == before


def test_what_a_killed_beginning_leaves_is_no_foreign_folder(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".partial-config.json").write_text("{")
    last = pretrain(CONFIG, SOURCE, tmp_path, ALONE)
    assert last["epoch"] == 2
    assert not (tmp_path / ".partial-config.json").exists()
