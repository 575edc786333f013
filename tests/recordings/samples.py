"""Small files in the data sets' official formats, written by the tests themselves."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRAVITY = 9.80665


def signal(rows: int, seed: int = 0) -> NDArray[np.float64]:
    """Acceleration in g, shape (rows, 3), rounded so that text holds it exactly."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal((0, 0, 1), 0.2, (rows, 3)), 4)


def wisdm_2019_lines(subject: int, activity: str, values: NDArray[np.float64]) -> list[str]:
    start, step = 252_207_666_810_782, 50_000_000
    return [
        f"{subject},{activity},{start + row * step},{x:.6f},{y:.6f},{z:.6f};"
        for row, (x, y, z) in enumerate(values * GRAVITY)
    ]


def write_wisdm_2019(folder: Path, subjects: Sequence[int] = (1600, 1601), rows: int = 40) -> Path:
    """Phone files of two activities per subject, as below the official wisdm-dataset/raw."""
    target = folder / "wisdm-dataset" / "raw" / "phone" / "accel"
    target.mkdir(parents=True)
    for subject in subjects:
        lines = [
            line
            for activity in "AB"
            for line in wisdm_2019_lines(subject, activity, signal(rows // 2, subject))
        ]
        path = target / f"data_{subject}_accel_phone.txt"
        path.write_text("\n".join(lines) + "\n")
    return folder


def write_wisdm_2019_sensor(
    folder: Path,
    device: str,
    kind: str,
    subject: int,
    takes: Sequence[tuple[str, int, NDArray[Any]]],
) -> Path:
    """A file of one sensor; takes are an activity, its first timestamp in ns, and (rows, 3)."""
    path = folder / "raw" / device / kind / f"data_{subject}_{kind}_{device}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{subject},{activity},{start + row * 50_000_000},{x:.6f},{y:.6f},{z:.6f};"
        for activity, start, values in takes
        for row, (x, y, z) in enumerate(values)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_wisdm_v1(folder: Path, text: str) -> Path:
    target = folder / "WISDM_ar_v1.1"
    target.mkdir(parents=True)
    (target / "WISDM_ar_v1.1_raw.txt").write_text(text)
    return folder


def daphnet_lines(
    ankle: NDArray[np.int64], labels: Sequence[int], thigh: int = 500, trunk: int = 900
) -> list[str]:
    """Lines at 64 Hz in whole ms; thigh and trunk have constant values."""
    return [
        f"{round(15 + row * 1000 / 64)} {x} {y} {z} {thigh} 0 0 0 {trunk} 0 {label}"
        for row, ((x, y, z), label) in enumerate(zip(ankle, labels, strict=True))
    ]


def write_daphnet(folder: Path, files: dict[str, list[str]]) -> Path:
    target = folder / "dataset_fog_release" / "dataset"
    target.mkdir(parents=True)
    for name, lines in files.items():
        (target / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_motionsense(folder: Path, trials: dict[str, NDArray[np.float64]]) -> Path:
    """Trials by name, such as ``dws_1/sub_3``."""
    for name, values in trials.items():
        path = folder / "B_Accelerometer_data" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{row},{x:.6f},{y:.6f},{z:.6f}" for row, (x, y, z) in enumerate(values)]
        path.write_text("\n".join([",x,y,z", *lines]) + "\n")
    return folder


MOTION = (
    *("attitude.roll", "attitude.pitch", "attitude.yaw", "gravity.x", "gravity.y", "gravity.z"),
    *("rotationRate.x", "rotationRate.y", "rotationRate.z"),
    *("userAcceleration.x", "userAcceleration.y", "userAcceleration.z"),
)


def write_device_motion(folder: Path, name: str, values: NDArray[np.float64]) -> Path:
    """A trial's file of attitude, gravity, rotation rate and the phone's own acceleration."""
    path = folder / "A_DeviceMotion_data" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{row}," + ",".join(f"{v:.6f}" for v in cells) for row, cells in enumerate(values)]
    path.write_text("\n".join([",".join(["", *MOTION]), *lines]) + "\n")
    return path


PVS_LABELS = (
    *("paved_road", "unpaved_road", "dirt_road", "cobblestone_road", "asphalt_road"),
    *("no_speed_bump", "speed_bump_asphalt", "speed_bump_cobblestone"),
    *("good_road_left", "regular_road_left", "bad_road_left"),
    *("good_road_right", "regular_road_right", "bad_road_right"),
)


def write_pvs(folder: Path, trip: int, values: NDArray[np.float64], set_: list[set[str]]) -> Path:
    """A trip; `set_` names the label columns that are 1 in each row."""
    target = folder / f"PVS {trip}"
    target.mkdir(parents=True)
    placements = ("dashboard", "above_suspension", "below_suspension")
    names = [
        f"{kind}_{axis}_{place}"
        for kind, places in (("acc", placements), ("gyro", placements), ("mag", placements[:2]))
        for place in places
        for axis in "xyz"
    ]
    head = ",".join(["timestamp", *names, "speed"])
    lines = []
    for row, value in enumerate(values * GRAVITY):
        cells = [f"{v * scale:.6f}" for scale in (1, 2, 3, 4, 5, 6, 7, 8) for v in value]
        lines.append(",".join([f"{1577218796.59 + row / 100:.2f}", *cells, "0.0"]))
    for side in ("left", "right"):
        (target / f"dataset_gps_mpu_{side}.csv").write_text("\n".join([head, *lines]) + "\n")
    hot = [",".join(str(int(name in row)) for name in PVS_LABELS) for row in set_]
    (target / "dataset_labels.csv").write_text("\n".join([",".join(PVS_LABELS), *hot]) + "\n")
    return folder


def write_goat(folder: Path, goat: str, position: str, lines: list[str]) -> Path:
    """A sensor's file; lines are ``label,timestamp_ms,ax,ay,az,axhg``."""
    target = folder / goat
    target.mkdir(parents=True, exist_ok=True)
    head = "label,timestamp_ms,ax,ay,az,axhg"
    (target / f"pos_{position}.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder


CAPTURE24_DICTIONARY = """\
annotation,label:WillettsSpecific2018,label:Willetts2018,label:Walmsley2020
7030 sleeping;MET 0.95,sleep,sleep,sleep
"leisure;walking, with a dog;MET 3.0",walking,walking,light
"""


def write_capture24(folder: Path, person: str, lines: list[str]) -> Path:
    """A person's file and the dictionary; lines are ``time,x,y,z,annotation``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotation-label-dictionary.csv").write_text(CAPTURE24_DICTIONARY)
    with gzip.open(folder / f"{person}.csv.gz", "wt") as stream:
        stream.write("\n".join(["time,x,y,z,annotation", *lines]) + "\n")
    return folder
