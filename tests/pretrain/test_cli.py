import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from img2imu.cli import main
from img2imu.images import ImageStore
from img2imu.models import create_encoder
from img2imu.pretrain import RECIPES, PretrainConfig
from img2imu.pretrain.runs import describe_source
from img2imu.settings import read_sealed

SMALL = [
    "--count=96",
    "--size=32x24",
    "--encoder=test_resnet",
    "--epochs=2",
    "--batch-size=32",
    "--queue=64",
]


def test_an_encoder_of_no_data_at_all(tmp_path, capsys):
    out, report = tmp_path / "run", tmp_path / "last.json"
    options = ["--source=dead-leaves", "-o", str(out), *SMALL, "--lr=0.02", "--json", str(report)]
    assert main(["pretrain", *options]) == 0
    printed = capsys.readouterr().out
    assert "encoder.safetensors" in printed and "loss" in printed
    last = json.loads(report.read_text())
    with (out / "epochs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert last["epoch"] == len(rows) == 2
    assert float(rows[-1]["loss"]) == pytest.approx(last["loss"], rel=1e-4)
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    written = PretrainConfig.from_dict(read_sealed(out / "config.json")["pretrain"])
    preset = RECIPES["recommended"]["moco"]
    assert written.differences(preset) == [
        "batch_size", "encoder", "epochs", "lr", "method.queue",
    ]  # fmt: skip


def test_folded_weights_are_a_start(tmp_path, reference_weights):
    out, init = tmp_path / "run", ["--init", str(reference_weights), "--stages=3", "--lr=1e-9"]
    small = [option.replace("test_resnet", "resnet18") for option in SMALL]
    assert main(["pretrain", "--source=dead-leaves", "-o", str(out), *small, *init]) == 0
    images = torch.rand(4, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    trained, start = (
        create_encoder(checkpoint=path, stages=(1,))(images)
        for path in (out / "encoder.safetensors", reference_weights)
    )
    # So slow a run moves nothing but the running statistics of batch norm.
    assert 0 < (trained - start).norm() < 0.2 * start.norm()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--source=nowhere"], "no packed store at nowhere"),
        (["--source=dead-leaves", "--size=huge"], "--size takes WIDTHxHEIGHT"),
        (["--source=dead-leaves", "--preset=paper", "--method=supervised"], "has no method"),
        (["--source=dead-leaves", "--policy=flip"], "unknown policy 'flip'"),
        (["--source=dead-leaves", "--method=supervised", "--queue=9"], "--queue is no setting of"),
        (["--source=dead-leaves", "--method=supervised"], "labels of two or more classes"),
        (["--source=dead-leaves", *SMALL, "--queue=16"], r"queue (16) must be at least"),
        (["--source=dead-leaves", "--encoder=resnet1"], "unknown encoder 'resnet1'"),
        (["--source=dead-leaves", *SMALL, "--init=nothing.safetensors"], "no weights file at"),
        (["--source=dead-leaves", *SMALL, "--transfer=nothing.npz"], "nothing.npz"),
        (["--source=dead-leaves", "--transfer=x.npz", "--transfer-every=0"], "must be at least 1"),
        (["--source=dead-leaves", "--transfer=x.npz", "--transfer-every=-3"], "must be at least 1"),
        (["--source=dead-leaves", "--seed=99999999999"], "seed must lie in [0, 4294967295]"),
        (["--source=dead-leaves", "--seed=-1"], "seed must lie in"),
        (["--source=dead-leaves", "--queue=9999999999"], "queue must lie in [1, 4194304]"),
        (["--source=dead-leaves", "--queue=-1"], "queue must lie in"),
        (["--source=dead-leaves", "--dim=99999999"], "dim must lie in"),
        (["--source=dead-leaves", "--size=999999x8"], "8x8 to 4096x4096 pixels, not 999999x8"),
        (["--source=dead-leaves", "--size=0x0"], "8x8 to 4096x4096 pixels, not 0x0"),
        (["--source=dead-leaves", "--count=999999999999"], "1 to 100000000 images"),
        (["--source=dead-leaves", "--count=-1"], "1 to 100000000 images, not -1"),
        (["--source=dead-leaves", "--epochs=999999999999"], "epochs must lie in"),
        (["--source=dead-leaves", "--batch-size=1000000000"], "batch_size must lie in"),
        (["--source=dead-leaves", "--lr=nan"], "lr must be positive"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capsys, options, said):
    out = tmp_path / "run"
    assert main(["pretrain", "-o", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not (out / "encoder.safetensors").exists()


def test_a_damaged_store_is_told_before_training(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "photos" / "noise").mkdir(parents=True)
    for number in range(40):
        pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "noise" / f"{number}.png")
    store, out = tmp_path / "store", tmp_path / "run"
    assert main(["pack", str(tmp_path / "photos"), str(store), "--size=32x24"]) == 0
    before = describe_source(ImageStore.open(store))
    with (store / "images.bin").open("r+b") as stream:
        stream.seek(5000)
        byte = stream.read(1)
        stream.seek(5000)
        stream.write(bytes([byte[0] ^ 1]))
    capsys.readouterr()
    assert main(["pretrain", "--source", str(store), "-o", str(out)]) == 2
    assert "differs from its hash" in capsys.readouterr().err
    assert not out.exists()
    # Packed anew from other pixels with the same labels, it is another source.
    shutil.rmtree(store)
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "photos" / "noise" / "0.png")
    assert main(["pack", str(tmp_path / "photos"), str(store), "--size=32x24"]) == 0
    after = describe_source(ImageStore.open(store))
    assert after["labels_sha256"] == before["labels_sha256"]
    assert after != before


def test_one_stray_image_beside_class_folders(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for number in range(48):
        name = f"class{number % 3}/{number}.png" if number else "stray.png"
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    store, common = str(tmp_path / "store"), ["--encoder=test_resnet", "--batch-size=8"]
    assert main(["pack", str(tmp_path / "photos"), store, "--size=32x24"]) == 0
    assert "1 of them in no class" in capsys.readouterr().out
    for method in ("moco", "supervised"):
        options = [f"--method={method}", "--epochs=1", *common]
        assert main(["pretrain", "--source", store, "-o", str(tmp_path / method), *options]) == 0
        assert "knn" in capsys.readouterr().out


@pytest.mark.usefixtures("_one_seed")
def test_transfer_is_measured_during_training(tmp_path, exercise):
    from img2imu.recordings import save_windows

    windows = tmp_path / "windows.npz"
    save_windows(windows, exercise.select(slice(None, None, 6)), {})
    out = tmp_path / "run"
    options = ["--transfer", str(windows), "--transfer-every=2", "--lr=0.02"]
    assert main(["pretrain", "--source=color-noise", "-o", str(out), *SMALL, *options]) == 0
    with (out / "epochs.csv").open(newline="") as stream:
        scores = [row["transfer"] for row in csv.DictReader(stream)]
    assert scores[0] == "nan" and 1 / 7 < float(scores[1]) < 1
    assert not [path for path in out.iterdir() if "transfer" in path.name]
