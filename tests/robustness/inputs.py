"""Healthy inputs of every kind that a command reads, as small as each takes them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RATE, SAMPLES = 20.0, 64
LABELS, SUBJECTS = ("rest", "walk"), ("s0", "s1", "s2")
GRAVITY = 9.80665

Run = Callable[[Sequence[str]], None]
"""Runs a command in the folder of the inputs, which must succeed."""


def signal(rows: int, label: str, seed: int) -> NDArray[np.float64]:
    """Acceleration in g, shape (rows, 3): noise about gravity, on a sine that tells the label."""
    rng = np.random.default_rng(seed)
    pace = 1 + LABELS.index(label)
    wave = np.sin(2 * np.pi * pace * np.arange(rows)[:, None] / RATE + rng.uniform(0, 6, 3))
    return np.round(wave * pace / 2 + rng.normal((0, 0, 1), 0.1, (rows, 3)), 4)


def windows_arrays(each: int = 10) -> dict[str, NDArray[np.generic]]:
    """What a windows file holds: `each` windows of every subject and class."""
    cases = [(s, label) for s in SUBJECTS for label in LABELS for _ in range(each)]
    return {
        "X": np.stack(
            [signal(SAMPLES, label, seed).T for seed, (_, label) in enumerate(cases)]
        ).astype(np.float32),
        "y": np.array([label for _, label in cases]),
        "subject": np.array([subject for subject, _ in cases]),
        "sampling_rate": np.array(RATE),
    }


def write_windows(folder: Path) -> None:
    """``windows.npz``, and the folder form in ``arrays``."""
    arrays = windows_arrays()
    np.savez(folder / "windows.npz", **arrays)
    (folder / "arrays").mkdir()
    np.save(folder / "arrays/X.npy", arrays["X"].transpose(0, 2, 1))
    np.save(folder / "arrays/Y.npy", arrays["y"])
    np.save(folder / "arrays/pid.npy", arrays["subject"])


def recording(rows: int = 200) -> dict[str, list[str] | NDArray[np.float64]]:
    """Columns of a recording of one subject at rest, then walking."""
    values = np.concatenate([signal(rows, label, 7) for label in LABELS])
    return {
        "time": np.round(np.arange(len(values)) / RATE, 3),
        **{axis: values[:, i] for i, axis in enumerate("xyz")},
        "label": [label for label in LABELS for _ in range(rows)],
    }


def csv_text(columns: dict[str, list[str] | NDArray[np.float64]]) -> str:
    """Columns as CSV."""
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


def write_recordings(folder: Path) -> None:
    """One recording as CSV, TSV, gzip, Parquet, NPZ, zip and tar, and in official formats."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = recording()
    text = csv_text(columns)
    (folder / "walk.csv").write_text(text)
    (folder / "walk.tsv").write_text(text.replace(",", "\t"))
    (folder / "walk.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    pq.write_table(pa.table(columns), folder / "walk.parquet")
    np.savez(folder / "walk.npz", **{name: np.asarray(values) for name, values in columns.items()})
    (folder / "walks").mkdir()
    for name in ("a", "b"):
        (folder / f"walks/{name}.csv").write_text(text)
    with zipfile.ZipFile(folder / "walks.zip", "w") as archive:
        archive.writestr("walks/a.csv", text)
    with tarfile.open(folder / "walks.tar.gz", "w:gz") as tar:
        add_member(tar, "walks/a.csv", text.encode())
    _write_official(folder)


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _write_official(folder: Path) -> None:
    values = np.concatenate([signal(160, label, 3) for label in LABELS])
    activity = [label for label in ("Sitting", "Walking") for _ in range(160)]
    v1 = [
        f"33,{act},{49105962326000 + i * 50_000_000},{x},{y},{z};"
        for i, (act, (x, y, z)) in enumerate(zip(activity, values * GRAVITY, strict=True))
    ]
    (folder / "WISDM_ar_v1.1_raw.txt").write_text("\n".join(v1) + "\n")
    letter = {"Sitting": "D", "Walking": "A"}
    later = [
        line.replace(f"33,{a}", f"1600,{b}") for line in v1 for a, b in letter.items() if a in line
    ]
    (folder / "data_1600_accel_phone.txt").write_text("\n".join(later) + "\n")
    mg = (values * 1000).astype(int)
    daphnet = [
        f"{round(15 + i * 1000 / 64)} {x} {y} {z} 500 0 0 0 900 0 {1 + (i > 160)}"
        for i, (x, y, z) in enumerate(mg)
    ]
    (folder / "S01R01.txt").write_text("\n".join(daphnet) + "\n")
    goat = [f"walking,{i * 10},{x},{y},{z},0" for i, (x, y, z) in enumerate(values * GRAVITY)]
    head = "label,timestamp_ms,ax,ay,az,axhg"
    (folder / "pos_A.csv").write_text("\n".join([head, *goat]) + "\n")
    motion = folder / "motion/dws_1"
    motion.mkdir(parents=True)
    rows = [f"{i},{x},{y},{z}" for i, (x, y, z) in enumerate(values)]
    (motion / "sub_3.csv").write_text("\n".join([",x,y,z", *rows]) + "\n")
    capture = folder / "capture"
    capture.mkdir()
    stamps = np.datetime64("2020-01-01T00:00:00.000") + np.arange(len(values)) * np.timedelta64(
        10, "ms"
    )
    lines = [
        f"{t},{x},{y},{z},7030 sleeping;MET 0.95"
        for t, (x, y, z) in zip(stamps, values, strict=True)
    ]
    (capture / "P001.csv").write_text("\n".join(["time,x,y,z,annotation", *lines]) + "\n")
    (capture / "annotation-label-dictionary.csv").write_text(
        "annotation,label:WillettsSpecific2018,label:Willetts2018,label:Walmsley2020\n"
        "7030 sleeping;MET 0.95,sleep,sleep,sleep\n"
    )


def photo(seed: int, form: str = "JPEG") -> bytes:
    """An encoded picture of 40 × 30 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((40, 30)).save(stream, form)
    return stream.getvalue()


def write_photos(folder: Path) -> None:
    """A dozen pictures of two classes: as a folder, zip, tar, Parquet and shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = {
        f"{name}/{i}.{'png' if i == 5 else 'jpg'}": photo(10 * k + i, "PNG" if i == 5 else "JPEG")
        for k, name in enumerate(("ash", "birch"))
        for i in range(6)
    }
    for name, content in files.items():
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name).write_bytes(content)
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for name, content in files.items():
            add_member(tar, name, content)
    table = {
        "image": [{"bytes": content, "path": name} for name, content in files.items()],
        "label": [int(name.startswith("birch")) for name in files],
    }
    pq.write_table(pa.table(table), folder / "photos.parquet")
    shard = folder / "shard"
    shard.mkdir()
    contents = list(files.values())
    (shard / "part.bin").write_bytes(b"".join(contents))
    lengths = np.array([len(content) for content in contents])
    np.savez(
        shard / "part.npz",
        offsets=np.cumsum([0, *lengths])[:-1].astype(np.int64),
        lengths=lengths.astype(np.int32),
        labels=np.array(table["label"], np.int16),
        names=np.array([name.encode() for name in files]),
    )
    (shard / "classes.json").write_text(json.dumps({"classes": ["ash", "birch"]}))


FEW = ["--folds", "3", "--seeds", "1", "--shots", "2"]
"""The smallest evaluation there is."""

SMALL = ["--encoder", "test_resnet", "--stages", "1", "2", "--batch-size", "4", "--epochs", "1"]
SMALL += ["--queue", "8", "--splits", "1", "--dim", "8", "--held", "4", "--device", "cpu"]
SMALL_1D = ["--method", "simclr", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]
STUDY = [*FEW, "--rows", "hand-forest", "--reference", "random-1d", "--probes", "logistic"]
STUDY += ["--jobs", "1"]


def write_made(run: Run) -> None:
    """What commands make of the inputs: a store, runs, a classifier, a study."""
    run(["pack", "photos", "store", "--size", "32x24"])
    run(["pretrain", "--source", "store", "-o", "run", *SMALL])
    run(["pretrain", "--source", "windows.npz", "-o", "run-1d", *SMALL_1D])
    run(
        [
            *("probe", "windows.npz", "--preset", "fast", *FEW, "--methods", "img2imu"),
            *("--model", "model", "--json", "probe.json", "--splits", "splits.json"),
        ]
    )
    run(["study", "table2", "windows.npz", "-o", "study", *STUDY])


def write_others(folder: Path) -> None:
    """Weights as a torch file, and a list of encoders."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "run-1d/encoder.safetensors"), folder / "weights.pt")
    encoders = {"mine": "run-1d/encoder.safetensors", "own": {"name": "conv1d", "seed": 3}}
    (folder / "encoders.json").write_text(json.dumps(encoders))


def write_inputs(folder: Path, run: Run) -> None:
    """All of them."""
    write_windows(folder)
    write_recordings(folder)
    write_photos(folder)
    write_made(run)
    write_others(folder)
