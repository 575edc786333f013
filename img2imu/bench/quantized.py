"""What each kind of exported file costs and gains: size, latency, agreement, macro-F1."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..export import (
    ExportError,
    end_to_end,
    export_onnx,
    export_ort,
    export_torchscript,
    quantize_onnx,
)
from ..export.config import KINDS
from ..export.latency import open_session, time_in_turns
from ..fewshot import READINGS, Img2ImuClassifier, ProbeConfig
from ..fewshot.config import PresetName
from ..fewshot.metrics import confusion_matrix, macro_f1
from ..models import DEFAULT_ENCODER, EncoderConfig
from ..recordings import UNLABELLED, SplitManifest, Windows
from ..studies.data import thin

TRAINING = 500
"""Most windows that a classifier is fitted on."""

TEST = 1000
"""Most windows that it is tested on."""

FILES: dict[str, str] = {
    "float": "float.onnx",
    **{kind: f"{kind}.onnx" for kind in KINDS},
    "ORT": "float.ort",
    "TorchScript": "float.pt",
}
"""Name of each kind of file; all come from the first."""

BATCH = 16

Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Windows (n, 3 * sensors, samples) to logits (n, classes)."""


@dataclass(frozen=True)
class Split:
    """Windows of training subjects and of test subjects."""

    training: Windows
    test: Windows


def split(windows: Windows, name: str) -> Split:
    """Labelled windows by subject: training and test part of the first of five folds.

    Raises
    ------
    InputError
        If there are too few subjects or classes.
    """
    windows = windows.select(windows.y != "")
    manifest = SplitManifest.create(name, windows, (None,), (0,))
    training = windows.select(manifest.draw(fold=0, seed=0, shots=None))
    test = windows.select(manifest.folds[0].windows("test", windows.subject))
    return Split(thin(training, TRAINING), thin(test, TEST))


def fit(
    training: Windows,
    preset: PresetName,
    encoder: EncoderConfig | None = None,
    unlabelled: NDArray[np.float32] | None = None,
) -> Img2ImuClassifier:
    """A classifier of a preset from all windows given.

    Its encoder is the default one; the paper's preset reads later stages than that one has, so its
    network is random.
    """
    rate, sensors = training.sampling_rate, training.sensors
    if encoder is None:
        encoder = EncoderConfig() if preset == "paper" else DEFAULT_ENCODER
    views = ProbeConfig(preset).drawing(rate, training.X.shape[-1], sensors)
    reading = replace(encoder, **READINGS[preset])
    classifier = Img2ImuClassifier(rate, views, reading, order=0.0, sensors=sensors)
    if unlabelled is None:
        return classifier.fit(training.X, training.y)
    labels = np.concatenate([training.y, np.full(len(unlabelled), UNLABELLED)])
    return classifier.fit(np.concatenate([training.X, unlabelled]), labels)


def compare_kinds(
    name: str, classifier: Img2ImuClassifier, data: Split, kinds: Sequence[str], seconds: float
) -> list[dict[str, Any]]:
    """A row for each kind of file; one that is not kept says why.

    Parameters
    ----------
    name
        Of the classifier; stands in every row.
    classifier
        Fitted on the training windows.
    data
        Training windows calibrate int8, test windows are labelled.
    kinds
        Among :data:`FILES`, ``"float"`` first.
    seconds
        That each kind is timed, on one thread.
    """
    rows: dict[str, dict[str, Any]] = {}
    answers: dict[str, Answer] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            path = Path(folder) / FILES[kind]
            rows[kind] = {"network": name, "kind": kind}
            try:
                write(classifier, kind, path, data.training.X)
            except ExportError as error:
                rows[kind]["error"] = str(error)
                if kind == "float":
                    break  # the others come from it
                continue
            rows[kind]["size"] = path.stat().st_size
            answers[kind] = open_answer(path)
        logits = {kind: answer_all(answer, data.test.X) for kind, answer in answers.items()}
        for kind, found in logits.items():
            rows[kind] |= score(found, logits["float"], classifier.classes_, data.test.y)
        one = data.test.X[:1]
        calls = {kind: partial(answer, one) for kind, answer in answers.items()}
        for kind, times in time_in_turns(calls, seconds, rounds=5).items():
            rows[kind]["p50_ms"] = float(np.median(times))
    return list(rows.values())


def write(
    classifier: Img2ImuClassifier, kind: str, path: Path, training: NDArray[np.float32]
) -> None:
    """Write one kind of file, the end-to-end form; all but two kinds need ``float.onnx`` beside.

    Raises
    ------
    ExportError
        If it does not answer as it should; it is not kept.
    """
    graph = end_to_end(classifier.network_, classifier.check_windows_)
    plain = path.with_name(FILES["float"])
    match kind:
        case "float":
            export_onnx(graph, path, {})
        case "TorchScript":
            export_torchscript(graph, path, {})
        case "ORT":
            export_ort(graph, plain, path)
        case "int8" | "int8-dynamic" | "fp16":
            quantize_onnx(plain, path, kind, training)


def open_answer(path: Path) -> Answer:
    """A file in its own runtime, on one thread."""
    if path.suffix == ".pt":
        module = torch.jit.load(path)

        def answer(windows: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                return module(torch.from_numpy(windows))[1].numpy()

        return answer
    session = open_session(path, threads=1)
    return lambda windows: session.run(["logits"], {"window": windows})[0]


def answer_all(answer: Answer, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of all windows, shape (n, classes)."""
    starts = range(0, len(windows), BATCH)
    return np.concatenate([answer(windows[start : start + BATCH]) for start in starts])


def score(
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
    classes: NDArray[np.str_],
    truth: NDArray[np.str_],
) -> dict[str, float]:
    """Agreement with the float file's logits, and macro-F1."""
    number = {label: k for k, label in enumerate(classes.tolist())}
    labels = np.array([number[label] for label in truth.tolist()])
    predicted = found.argmax(1)
    return {
        "agreement": float((predicted == expected.argmax(1)).mean()),
        "logits": float(np.abs(found - expected).max()),
        "macro_f1": macro_f1(confusion_matrix(labels, predicted, len(classes))),
    }


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for the eye."""
    lines = [
        f"{'network':<28}{'file':<14}{'MB':>7}{'p50 ms':>9}{'labels as float':>17}"
        f"{'largest logit gap':>19}{'macro-F1':>10}"
    ]
    for row in rows:
        start = f"{row['network']:<28}{row['kind']:<14}"
        if "error" in row:
            lines.append(f"{start}  {row['error']}")
            continue
        lines.append(
            f"{start}{row['size'] / 1e6:>7.2f}{row['p50_ms']:>9.2f}{row['agreement']:>17.1%}"
            f"{row['logits']:>19.2g}{row['macro_f1']:>10.3f}"
        )
    return "\n".join(lines)
