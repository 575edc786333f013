"""The cache: what goes first, what never goes, and what killed processes left."""

import os
import time

import numpy as np
import pytest

from img2imu import cache
from img2imu.cli import main
from img2imu.convert import SpectrogramConfig
from img2imu.errors import InputError
from img2imu.fewshot import FeatureCache
from img2imu.models import EncoderConfig, build_encoder

DAY = 86400


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path))
    monkeypatch.delenv("IMG2IMU_CACHE_LIMIT", raising=False)
    return tmp_path


def entry(folder, name, size, days):
    """A file of `size` bytes, or a folder with one, not used for so many days."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix:
        path.write_bytes(bytes(size))
        inside = []
    else:
        path.mkdir()
        inside = [path / "0.npy"]
        inside[0].write_bytes(bytes(size))
    for each in (*inside, path):
        os.utime(each, times=(time.time() - days * DAY,) * 2)
    return path


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def test_the_least_recently_used_go_until_the_rest_fits(folder, monkeypatch):
    entry(folder, "features/old", 400, 30)
    entry(folder, "finetune/older.pt", 300, 40)
    entry(folder, "unpacked/middle", 300, 20)
    entry(folder, "features/new", 500, 10)
    entry(folder, "downloads/ancient.zip", 200, 99)
    assert cache.tidy() == []  # 20 GB are enough
    monkeypatch.setenv("IMG2IMU_CACHE_LIMIT", "1.2e-6")  # 1,200 bytes
    assert [gone.path.name for gone in cache.tidy()] == ["older.pt", "old"]
    assert left(folder) == ["downloads/ancient.zip", "features/new", "unpacked/middle"]
    cache.used(folder / "unpacked/middle")
    monkeypatch.setenv("IMG2IMU_CACHE_LIMIT", "0")
    assert [gone.path.name for gone in cache.tidy()] == ["new"]
    # What was used today stays, and downloads do.
    assert left(folder) == ["downloads/ancient.zip", "unpacked/middle"]


def test_what_killed_processes_left_is_swept(folder):
    entry(folder, "features/.abc123", 10, 2)
    entry(folder, "unpacked/.part-xyz", 10, 2)
    entry(folder, "finetune/.partial-a.json", 10, 2)
    entry(folder, "features/.running", 10, 0.5)
    entry(folder, "features/whole", 10, 2)
    assert {gone.path.name for gone in cache.tidy()} == {".abc123", ".part-xyz", ".partial-a.json"}
    assert left(folder) == ["features/.running", "features/whole"]


@pytest.mark.parametrize("limit", ["few", "-1", "nan"])
def test_a_limit_is_a_number(folder, monkeypatch, limit):
    monkeypatch.setenv("IMG2IMU_CACHE_LIMIT", limit)
    with pytest.raises(InputError, match=f"number of GB, not '{limit}'"):
        cache.tidy()


def test_features_found_again_are_used_and_new_ones_tidy(folder, monkeypatch):
    X = np.random.default_rng(0).normal(size=(2, 3, 100)).astype(np.float32)
    views = (SpectrogramConfig(width=24, height=24),)
    encoder = build_encoder(EncoderConfig(stages=(1,), bands=1))
    FeatureCache().get(X, views, encoder)
    [kept] = (folder / "features").iterdir()
    for path in (kept, *kept.iterdir()):
        os.utime(path, times=(0, 0))
    FeatureCache().get(X, views, encoder)
    assert cache.Entry.at(kept).used > time.time() - DAY
    stale = entry(folder, "features/stale", 100, 2)
    monkeypatch.setenv("IMG2IMU_CACHE_LIMIT", "0")
    FeatureCache().get(X + 1, views, encoder)
    assert not stale.exists()
    assert len(list((folder / "features").iterdir())) == 2


def test_the_command_tells_sweeps_and_clears(folder, capsys):
    entry(folder, "features/one", 2_000_000, 1)
    entry(folder, "features/.left", 1_000_000, 3)
    entry(folder, "finetune/a.json", 1000, 1)
    assert main(["cache"]) == 0
    printed = capsys.readouterr().out
    assert "swept      0.001 GB in 1 entries" in printed
    assert f"folder     {folder}" in printed
    assert "features   0.002 GB in 1 entries" in printed
    assert main(["cache", "--clear", "features"]) == 0
    assert "cleared    0.002 GB in 1 entries" in capsys.readouterr().out
    assert left(folder) == ["finetune/a.json"]
