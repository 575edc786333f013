"""Makes what the demo's APK carries, from the exercise data of ``img2imu quickstart``.

A classifier of ten windows per class, with the preset ``fast``, goes to ``build/assets`` in every
form, with its golden vectors and the recording of a person held out. What Python says of that
recording goes to ``build/expected.json``, for the tests.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2imu import Img2ImuClassifier
from img2imu.convert import fast_views
from img2imu.export import ExportConfig, export_classifier, write_golden
from img2imu.fewshot import READINGS
from img2imu.models import DEFAULT_ENCODER
from img2imu.recordings import (
    SplitManifest,
    WindowConfig,
    Windows,
    make_windows,
    open_source,
)
from img2imu.timeline import StreamingClassifier

BUILD = Path(__file__).parent / "build"
SHOTS = 10
"""Labelled windows per class."""

SECONDS = 15.0
"""Of each exercise in the recording."""

PAUSE = 1.0
"""Between them, in seconds: longer than what is bridged."""

OVERLAPS = (0.5, 0.9)
"""Of the app's recorded and live windows."""

LAG = 0
"""Windows that a label of the app waits for."""

Rows = list[tuple[float, float, float, float, str]]


def main() -> None:
    """Make everything in a hidden folder, then put it in place."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".assets-", dir=BUILD) as folder:
        assets = Path(folder, "assets")
        windows = make_windows(open_source("exercise"), WindowConfig())
        splits = SplitManifest.create("exercise", windows, (SHOTS,), (0,))
        classifier = fit(windows, splits)
        seen = splits.folds[0].windows("train", windows.subject)
        assets.mkdir()
        export(classifier, windows.select(seen), assets)
        rows = record(splits.folds[0].test[1])
        write_csv(assets / "recording.csv", rows)
        expected = {f"{overlap:g}": answers(classifier, rows, overlap) for overlap in OVERLAPS}
        shutil.rmtree(BUILD / "assets", ignore_errors=True)
        assets.rename(BUILD / "assets")
        (BUILD / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def fit(windows: Windows, splits: SplitManifest) -> Img2ImuClassifier:
    """A few-shot classifier of the exercises."""
    rows = splits.draw(fold=0, seed=0, shots=SHOTS)
    views = fast_views(windows.sampling_rate, windows.X.shape[-1])
    encoder = replace(DEFAULT_ENCODER, **READINGS["fast"])
    classifier = Img2ImuClassifier(windows.sampling_rate, views, encoder)
    return classifier.fit(windows.X[rows], windows.y[rows], windows.subject[rows])


def export(classifier: Img2ImuClassifier, seen: Windows, folder: Path) -> None:
    """Every form that the app can choose, and the golden vectors of its self-test."""
    whole = ExportConfig(to=("onnx", "torchscript"), quantize=("int8",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript's, of itself
        reports = export_classifier(classifier, folder, whole, seen.X)
    reports += export_classifier(classifier, folder, ExportConfig(form=("image",)))
    for report in reports:
        print(f"{report.path.name}: {report.size / 1e6:.1f} MB, {report.kind}, compared")
    write_golden(folder / "golden", classifier)


def record(subject: str) -> Rows:
    """The beginning of each exercise of a person, one after the other."""
    rows: Rows = []
    clock, seen = 0.0, set()
    for piece in open_source("exercise").pieces():
        label = piece.labels[0]
        if piece.subject != subject or label in seen:
            continue
        seen.add(label)
        count = round(SECONDS * piece.rate)
        for index, (x, y, z) in enumerate(piece.values[:count].tolist()):
            rows.append((clock + index / piece.rate, x, y, z, label))
        clock = rows[-1][0] + PAUSE
    return rows


def write_csv(path: Path, rows: Rows) -> None:
    """Columns t, x, y, z, label: seconds and g."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["t", "x", "y", "z", "label"])
        for time, x, y, z, label in rows:
            writer.writerow([f"{time:.2f}", f"{x:.5f}", f"{y:.5f}", f"{z:.5f}", label])


def answers(classifier: Img2ImuClassifier, rows: Rows, overlap: float) -> list[dict[str, object]]:
    """What Python says of each window of the recording, as a phone would receive it."""
    stream = StreamingClassifier(classifier, classifier.sampling_rate, overlap, lag=LAG)
    time = np.array([round(row[0], 2) for row in rows])
    values = np.array([[round(value, 5) for value in row[1:4]] for row in rows], np.float32)
    found = stream.push(time, values) + stream.finish()
    return [
        {
            "start": one.start,
            "label": "unknown" if one.unknown else str(one.label),
            "confidence": one.confidence,
        }
        for one in found
    ]


if __name__ == "__main__":
    main()
