"""The augmentations' benchmark: what its report and its sheet hold; never how fast it was."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from img2imu.augment import POLICIES
from img2imu.bench import augment
from img2imu.errors import InputError


@pytest.fixture(scope="module")
def report():
    """With a compiler that traces and does not compile, which would take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
        patch.setattr(augment.shutil, "which", lambda name: name)
        return augment.run(rounds=2, batch=4, threads=1)


def test_report_is_json_and_a_table(report):
    again = json.loads(json.dumps(report))
    peers = {"img2imu classes", "kornia stock", "kornia stock compiled", "torchvision v2"}
    assert set(again["rates"]) == peers | {"img2imu fused float32", "img2imu fused bfloat16"}
    assert set(again["speedup"]) == peers
    for rate in again["rates"].values():
        assert len(rate["each"]) == 2
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
    text = augment.table(report)
    assert "wanted 10" in text and "wanted 8" in text


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(augment.shutil, "which", lambda name: None)
    images = torch.zeros(1, 3, 96, 128, dtype=torch.uint8)
    assert augment.COMPILED not in augment.contestants(images)


def test_fused_path_agrees_with_the_classes(report):
    assert report["agreement"] <= 1e-5


@pytest.mark.parametrize("options", [{"rounds": 0}, {"batch": 0}, {"threads": 0}])
def test_unfit_numbers_are_refused(options):
    with pytest.raises(InputError):
        augment.run(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_device_is_refused():
    with pytest.raises(InputError, match="cuda"):
        augment.run(rounds=1, batch=1, device="cuda")


def test_pictures_without_photographs(monkeypatch):
    monkeypatch.delenv("IMG2IMU_DATA", raising=False)
    pictures = augment.pictures()
    assert pictures.shape == (8, 3, 96, 128)
    assert pictures.dtype == np.uint8
    assert (pictures.reshape(8, -1).std(1) > 5).all()


def test_pictures_of_photographs(monkeypatch, shared_data):
    if not any((shared_data / "photos").rglob("*.jpg")):
        pytest.skip(f"no photos in {shared_data}")
    monkeypatch.setenv("IMG2IMU_DATA", str(shared_data))
    made_up = augment.made_up_scenes(4, 0)
    assert not np.array_equal(augment.photographs(4, 0), made_up)


def test_sheet_shows_every_augmentation_and_policy(tmp_path):
    images = augment.made_up_scenes(1, 1)
    state = torch.get_rng_state()
    rows = augment.augmented(images, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(rows) == 11 + len(POLICIES)
    assert np.array_equal(rows["original"], images.transpose(0, 2, 3, 1))
    augment.show(tmp_path / "sheet.png", images)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]
    assert Image.open(tmp_path / "sheet.png").height > 1000
