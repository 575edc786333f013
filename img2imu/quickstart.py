"""The whole job on real data, offline: also the tutorial of the Python interface.

Read :func:`quickstart` from top to bottom: windows, evaluation, classifier, labels over time, ONNX
file, report.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .environment import environment
from .export import ExportConfig, export_classifier, measure_latency
from .fewshot import Img2ImuClassifier, ProbeConfig, evaluate
from .files import appearing, sha256_of, write_json
from .models import DEFAULT_ENCODER, EncoderConfig
from .progress import Progress, silent
from .recordings import (
    DATASETS,
    Source,
    SplitManifest,
    WindowConfig,
    Windows,
    make_windows,
    open_source,
    save_windows,
)
from .report import draw_timeline, save_png, write_report
from .timeline import Timeline, predict_recordings

SHOTS = 10
"""Labelled windows per class of the classifier that is built."""

CURVE = (1, 2, 5, SHOTS, 20, 50)
"""Labelled windows per class of the evaluation."""

PAUSE = 10.0
"""Seconds between the sets of exercise in the held-out recording."""


def quickstart(
    folder: str | Path,
    encoder: EncoderConfig | None = None,
    *,
    seeds: int = 3,
    progress: Progress = silent,
    say: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """From recordings to a phone-ready classifier and a report, on the exercise data set.

    Parameters
    ----------
    folder
        Where everything is written; made if it does not exist.
    encoder
        Which encoder with which weights; None takes the default one.
    seeds
        Draws of the labelled windows in each fold.
    progress
        Opens a progress bar for each long step.
    say
        Takes the lines that tell what is done.

    Returns
    -------
    dict
        What ``results.json`` holds.

    Raises
    ------
    InputError
        If the weights cannot be read or the folder cannot be written. Nothing is left behind.
    """
    encoder = encoder or DEFAULT_ENCODER
    steps = Steps(say)
    with appearing(Path(folder)) as out:
        with steps("Cut the recordings into windows"):
            source = open_source("exercise")
            windows = cut_windows(source, out)
            steps.note(f"{len(windows):,} windows of {len(windows.subjects)} people")
        with steps(f"Evaluate on people held out, {CURVE[0]} to {CURVE[-1]} windows per class"):
            outcome = evaluate_few_shot(windows, encoder, seeds, out, progress)
            for record in outcome["results"]:
                if record["shots"] == SHOTS:
                    score = f"{record['f1_mean']:.3f} ± {record['f1_std']:.3f}"
                    steps.note(f"{record['method']:<12} macro-F1 {score} from {SHOTS}")
        with steps(f"Fit a classifier on {SHOTS} windows per class"):
            splits = SplitManifest.load(out / "splits.json")
            classifier = fit_few_shot(windows, splits, encoder, out)
            steps.note(f"the people held out are {' and '.join(splits.folds[0].test)}")
        with steps("Label the recording of a person held out"):
            subject = splits.folds[0].test[0]
            timeline = label_recording(classifier, source, subject, out, progress)
            held_out = {"subject": subject, **timeline.summary()}
            steps.note(f"macro-F1 {held_out['scores']['macro_f1']:.3f} on subject {subject}")
        with steps("Export to ONNX, compare with PyTorch, measure the latency"):
            exported = export(classifier, out)
            steps.note(f"{exported['size'] / 1e6:.1f} MB, same answers as PyTorch")
        results = {
            "data": _describe(source.name),
            "shots": SHOTS,
            "weights": describe_weights(encoder),
            **outcome,
            "held_out": held_out,
            "export": exported,
            "environment": environment(),
            "steps": list(steps.done),
        }
        with steps("Write the report"):
            write_json(out / "results.json", results)
            write_report(out / "report.html", results, windows, classifier.views_, timeline)
    return results


def cut_windows(source: Source, out: Path) -> Windows:
    """Windows of 5 s at 50 Hz, each sharing half of its samples with the next."""
    windows = make_windows(source, WindowConfig(sampling_rate=50.0, seconds=5.0, overlap=0.5))
    save_windows(out / "windows.npz", windows, {"source": source.name})
    return windows


def evaluate_few_shot(
    windows: Windows, encoder: EncoderConfig, seeds: int, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Macro-F1 by method and number of shots, on people in no part of the training."""
    methods = ["img2imu", "random-2d", "hand-forest", "minirocket"]
    if not (encoder.checkpoint or encoder.pretrained):
        methods.remove("random-2d")  # a random encoder is its own control
    if find_spec("sktime") is None:
        methods.remove("minirocket")
    config = ProbeConfig(encoder=encoder, shots=CURVE, seeds=seeds)
    outcome = evaluate(windows, config, methods, name="exercise", progress=progress)
    write_json(out / "splits.json", outcome["settings"]["splits"])
    return outcome


def fit_few_shot(
    windows: Windows, splits: SplitManifest, encoder: EncoderConfig, out: Path
) -> Img2ImuClassifier:
    """A classifier from the first draw of the first fold, saved as a folder."""
    rows = splits.draw(fold=0, seed=0, shots=SHOTS)
    classifier = Img2ImuClassifier(windows.sampling_rate, encoder=encoder)
    classifier.fit(windows.X[rows], windows.y[rows], windows.subject[rows])
    classifier.save(out / "model")
    return classifier


def label_recording(
    classifier: Img2ImuClassifier,
    source: Source,
    subject: str,
    out: Path,
    progress: Progress = silent,
) -> Timeline:
    """All that `subject` recorded, as one file with labels over time."""
    path = out / f"subject-{subject}.csv"
    write_recording(path, source, subject)
    recording = open_source(path, unit="g", label="exercise")
    timeline = predict_recordings(classifier, recording, out / "predictions.csv", progress=progress)
    save_png(out / "predictions.png", draw_timeline(timeline))
    return timeline


def export(classifier: Img2ImuClassifier, out: Path) -> dict[str, Any]:
    """The classifier as one ONNX file, checked against PyTorch and timed on one and all cores."""
    [report] = export_classifier(classifier, out, ExportConfig())
    example = classifier.check_windows_[0]
    latencies = [
        measure_latency(report.path, example, threads).to_dict()
        for threads in sorted({1, environment()["cpu"]["cores"]})
    ]
    return {**report.to_dict(), "path": report.path.name, "latency": latencies}


def write_recording(path: Path, source: Source, subject: str) -> None:
    """Write all that `subject` recorded as one CSV file, with a pause between recordings."""
    clock, current = 0.0, None
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time", "x", "y", "z", "exercise"])
        for piece in source.pieces():
            if piece.subject != subject:
                continue
            if current not in (None, piece.recording):
                clock += PAUSE
            current = piece.recording
            for moment, values, label in zip(piece.time, piece.values, piece.labels, strict=True):
                writer.writerow([f"{clock + moment:.2f}", *(f"{v:.5f}" for v in values), label])
            clock += piece.time[-1] + 1 / piece.rate


def describe_weights(encoder: EncoderConfig) -> dict[str, Any]:
    """Which weights an encoder has, for the report."""
    if encoder.checkpoint:
        path = Path(encoder.checkpoint)
        sha256 = sha256_of(path)
        return {"encoder": encoder.name, "kind": "file", "title": path.name, "sha256": sha256}
    if encoder.pretrained:
        return {"encoder": encoder.name, "kind": "name", "title": f"those of {encoder.name}"}
    return {"encoder": encoder.name, "kind": "random", "title": f"random, seed {encoder.seed}"}


@dataclass
class Steps:
    """Tells what is being done, and keeps how long it took."""

    say: Callable[[str], Any]
    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        number = len(self.done) + 1
        self.say(f"{number}  {name}")
        entry = {"name": name, "seconds": 0.0}
        self.done.append(entry)
        start = time.perf_counter()
        yield
        entry["seconds"] = round(time.perf_counter() - start, 2)
        self.note(f"{entry['seconds']:.1f} s")

    def note(self, text: str) -> None:
        """Say something about the present step."""
        self.say(f"   {text}")


def _describe(name: str) -> dict[str, str]:
    entry = DATASETS[name]
    return {
        "name": name,
        "title": entry.title,
        "noun": "exercise",
        "citation": entry.citation,
        "licence": entry.licence,
    }
