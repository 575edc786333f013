"""The readers on the real files, held against an independent reading of the same lines."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2imu.recordings.archives import unpack
from img2imu.recordings.registry import open_source

DATA = Path(os.environ.get("IMG2IMU_DATA", Path(__file__).parents[3] / "shared" / "data"))


def archive(name: str) -> Path:
    path = DATA / f"{name}.tar.xz"
    if not path.exists():
        pytest.skip(f"needs {path}: set IMG2IMU_DATA to the folder of the development data")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def totals(path: Path, **options: Any) -> tuple[int, set[str], Counter[str], float]:
    """Rows used, subjects, rows by label, median magnitude."""
    source = open_source(path, **options)
    subjects, labels, norms = set(), Counter[str](), []
    for piece in source.pieces():
        subjects.add(piece.subject)
        labels.update(piece.labels.tolist())
        norms.append(np.linalg.norm(piece.values, axis=1))
        assert np.isfinite(piece.values).all()
    assert source.report.rows == source.report.used + source.report.dropped.total()
    assert source.report.used == labels.total()
    return source.report.rows, subjects, labels, float(np.median(np.concatenate(norms)))


def lines_in(path: Path, suffix: str) -> list[bytes]:
    return [
        line
        for file in unpack(path).rglob(f"*{suffix}")
        for line in file.read_bytes().splitlines()
        if line.strip()
    ]


def test_daphnet() -> None:
    path = archive("daphnet")
    fields = np.array([line.split() for line in lines_in(path, ".txt")], dtype=np.int64)
    rows, subjects, labels, magnitude = totals(path)
    assert rows == len(fields) == 417_906
    assert subjects == {"S01", "S02", "S03", "S06", "S07"}
    assert labels["freeze"] == np.count_nonzero(fields[:, 10] == 2)
    assert labels["no freeze"] == np.count_nonzero(fields[:, 10] == 1)
    assert 0.9 < magnitude < 1.1


def test_wisdm_2019() -> None:
    path = archive("wisdm2019_phone_accel")
    rows, subjects, labels, magnitude = totals(path)
    assert rows == labels.total() == 1_433_489
    assert len(subjects) == 22
    assert len(labels) == 18
    assert 0.9 < magnitude < 1.1


def test_motionsense() -> None:
    rows, subjects, labels, magnitude = totals(archive("motionsense"))
    assert rows == labels.total() == 1_433_825
    assert subjects == {str(number) for number in range(1, 25)}
    assert len(labels) == 6
    assert 0.9 < magnitude < 1.1


def test_cow_walking_through_columns_and_path() -> None:
    path = archive("cow_walking")
    rows, subjects, labels, magnitude = totals(
        path,
        columns=("Time", "BNO055_AX", "BNO055_AY", "BNO055_AZ"),
        unit="m/s2",
        path_pattern=r"(?P<label>\w+)/\d+_\w+_(?P<subject>\d+)_\d+_\d+\.csv",
    )
    assert rows == sum(line[:2] == b"20" for line in lines_in(path, ".csv"))
    assert len(subjects) == 10
    assert set(labels) == {"Grazing", "Resting", "Walking", "Others"}
    assert 0.9 < magnitude < 1.1


def test_road_surface_through_columns() -> None:
    path = archive("road_surface")
    rows, _, labels, _ = totals(
        path,
        columns=("timestamp", "X-axis", "Y-axis", "Z-axis"),
        unit="m/s2",
        label="road_type",
    )
    assert rows == sum(line[:1] != b"#" for line in lines_in(path, ".csv"))
    assert set(labels) == {"Bumpy", "Smooth", "Rough"}
