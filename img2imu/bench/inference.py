"""From a window to its label in ONNX Runtime, beside the bare network and the usual way.

The usual way is that of the paper's authors on this machine: ``matplotlib.mlab.specgram`` on each
axis, stacked to a picture, resized, normalised, then ResNet-18 in the same runtime. Of several
sensors it draws the first.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..convert import SpectrogramConfig, to_images
from ..environment import environment
from ..errors import InputError
from ..export import (
    converter,
    end_to_end,
    export_onnx,
    from_image,
    measure_cold_start,
    quantize_onnx,
)
from ..export.graphs import Graph
from ..export.latency import (
    Latency,
    available_cpus,
    open_session,
    runtime_name,
    single_call,
    time_in_turns,
)
from ..fewshot import Img2ImuClassifier
from ..fewshot.config import PresetName
from ..models import EncoderConfig
from ..models.encoder import IMAGENET_MEAN, IMAGENET_STD
from ..models.weights import REGISTRY
from ..progress import Progress, silent
from ..recordings import WindowConfig, Windows, load_windows, make_windows, open_source
from . import peers
from .convert import matplotlib_density, one_by_one
from .quantized import FILES, Split, compare_kinds, fit, format_rows, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARED: tuple[PresetName, ...] = ("paper", "recommended", "fast")
"""Presets whose files are timed."""

BARE, AUTHORS = "bare ResNet-18", "authors' way"


class Entrant(NamedTuple):
    """A file and its input for one window."""

    path: Path
    example: NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """A number of milliseconds, or a ratio of two, that is wanted on one thread.

    Attributes
    ----------
    name
        What is compared.
    above, below
        The ratio's entrants; without `below`, the milliseconds of `above`.
    at_most, at_least
        What is wanted, one of the two.
    """

    name: str
    above: str
    below: str | None = None
    at_most: float | None = None
    at_least: float | None = None

    def judge(self, medians: dict[str, float]) -> dict[str, Any]:
        """The measured number, and whether it is as wanted."""
        value = medians[self.above] / (medians[self.below] if self.below else 1)
        met = value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0)
        return {**asdict(self), "value": value, "met": met}


TARGETS = (
    *(Target(f"{p}: ms of the converter", f"{p}, converter", at_most=0.3) for p in COMPARED),
    Target("paper / bare ResNet-18", "paper", BARE, at_most=1.05),
    Target("fast / bare ResNet-18", "fast", BARE, at_most=0.6),
    *(Target(f"{p}: float / int8", p, f"{p}, int8", at_least=2) for p in COMPARED),
    Target("authors' way / paper", AUTHORS, "paper", at_least=5),
    Target("authors' way / paper, int8", AUTHORS, "paper, int8", at_least=5),
    Target("authors' way / recommended, int8", AUTHORS, "recommended, int8", at_least=4),
    Target("authors' way / fast", AUTHORS, "fast", at_least=5),
    Target("authors' way / fast, int8", AUTHORS, "fast, int8", at_least=8),
)


def run(
    path: str | None = None,
    encoders: Sequence[str] = (),
    weights: str | None = None,
    seconds: float = 5.0,
    rounds: int = 10,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Time single windows, all contestants in turn, on 1, 2 and all threads.

    Parameters
    ----------
    path
        Windows file; every kind of file is then also tested on its test subjects, and what one
        would take otherwise learns the same few windows. Without one the windows are those of the
        exercise recordings.
    encoders
        timm names to compare on that file, with random weights where the toolkit has none.
    weights
        A checkpoint for a single encoder.
    seconds
        That each contestant is timed, and at least 200 times.
    rounds
        In which everybody has a turn.
    progress
        Opens a bar.

    Returns
    -------
    dict
        ``latency`` by threads and contestant, ``targets``, ``cold_start``, a row for each kind of
        file in ``files`` and for each way to classify in ``peers`` (none without a windows file),
        ``environment``.

    Raises
    ------
    InputError
        If file, encoders or numbers do not fit.
    """
    if not 0 <= seconds < math.inf or rounds < 1:
        raise InputError("seconds must not be negative or endless, rounds at least 1")
    if encoders and path is None:
        raise InputError("encoders are compared on a windows file: give one")
    if weights and len(encoders) != 1:
        raise InputError("weights are for exactly one encoder")
    windows, name = load_windows(path) if path else exercise(), Path(path or "exercise").stem
    data = split(windows, name)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        classifiers = {preset: fit(data.training, preset) for preset in COMPARED}
        window = data.test.X[0]
        with tempfile.TemporaryDirectory() as folder:
            entrants = write_entrants(classifiers, data, Path(folder))
            latency = race(entrants, window, seconds, rounds, progress)
            cold = {
                title: measure_cold_start(*entrant).to_dict()
                for title, entrant in entrants.items()
                if title.partition(", ")[2] in ("", "int8")
            }
            bare = entrants[BARE]
            others = {
                BARE: single_call(*bare, threads=1),
                AUTHORS: authors_way(window, bare.path, threads=1),
            }
            trades = peers.compare(windows, others, seconds, rounds, progress) if path else []
        tables = [
            *compare_presets(classifiers if path else {}, data, seconds),
            *compare_encoders(encoders, weights, data, seconds),
        ]
        facts = environment()
    finally:
        torch.set_num_threads(before)
    medians = {name: times.p50_ms for name, times in latency[1].items()}
    return {
        "benchmark": "inference",
        "settings": {"windows": name, "seconds": seconds, "rounds": rounds, **describe(data)},
        "latency": {
            str(threads): {name: times.to_dict() for name, times in row.items()}
            for threads, row in latency.items()
        },
        "targets": [target.judge(medians) for target in TARGETS],
        "cold_start": cold,
        "files": tables,
        "peers": trades,
        "environment": facts,
    }


def draw(report: dict[str, Any]) -> Figure:
    """Latency against macro-F1 of the ways to classify; the report must have some."""
    return peers.draw(report["peers"], report["settings"]["windows"])


def exercise() -> Windows:
    """Windows of 5 s at 50 Hz of the recordings that come with the toolkit."""
    return make_windows(open_source("exercise"), WindowConfig())


def describe(data: Split) -> dict[str, Any]:
    """Numbers of the windows."""
    return {
        "sampling_rate": data.training.sampling_rate,
        "samples": data.training.X.shape[-1],
        "sensors": list(data.training.sensors),
        "classes": len(data.training.classes),
        "training_windows": len(data.training),
        "test_windows": len(data.test),
    }


def write_entrants(
    classifiers: Mapping[PresetName, Img2ImuClassifier], data: Split, folder: Path
) -> dict[str, Entrant]:
    """All files that are timed, by name: the bare network, and of each preset whole, parts, int8.

    Raises
    ------
    ExportError
        If a file does not answer as it should.
    """
    window = data.test.X[0]
    [picture] = to_images(window[np.newaxis, :3], SpectrogramConfig())
    entrants = {BARE: Entrant(folder / "bare.onnx", normalized(picture))}
    write_bare(len(data.training.classes), entrants[BARE])
    for preset, classifier in classifiers.items():
        for part, form in (("", end_to_end), (", converter", converter), (", network", from_image)):
            graph = form(classifier.network_, classifier.check_windows_)
            example = window if graph.input == "window" else graph.examples[0]
            entrants[preset + part] = Entrant(folder / f"{preset}{part}.onnx", example)
            export_onnx(graph, folder / f"{preset}{part}.onnx", {})
        entrants[f"{preset}, int8"] = Entrant(folder / f"{preset}, int8.onnx", window)
        quantize_onnx(
            entrants[preset].path, folder / f"{preset}, int8.onnx", "int8", data.training.X
        )
    return entrants


def write_bare(classes: int, entrant: Entrant) -> None:
    """The whole ResNet-18, normalised picture to logits, with random weights."""
    import timm

    network = timm.create_model("resnet18", num_classes=classes).requires_grad_(False)
    examples = np.stack([entrant.example] * 2)
    export_onnx(Graph(_Tuple(network).eval(), "image", ("logits",), examples), entrant.path, {})


class _Tuple(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.network(image),)


def normalized(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Levels (3, height, width) by ImageNet's mean and deviation."""
    mean, deviation = (
        np.array(values, np.float32).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (levels - mean) / deviation


def authors_way(window: NDArray[np.float32], bare: Path, threads: int) -> Callable[[], Any]:
    """A call that draws with matplotlib and OpenCV, then asks the bare network."""
    session = open_session(bare, threads)

    def call() -> Any:
        [picture] = one_by_one(window[np.newaxis, :3], matplotlib_density)
        levels = picture.transpose(2, 0, 1).astype(np.float32) / 255
        return session.run(None, {"image": normalized(levels)[np.newaxis]})

    return call


def race(
    entrants: Mapping[str, Entrant],
    window: NDArray[np.float32],
    seconds: float,
    rounds: int,
    progress: Progress,
) -> dict[int, dict[str, Latency]]:
    """Latency by threads, then by entrant; the authors' way takes part."""
    counts = sorted({1, min(2, available_cpus()), available_cpus()})
    bar = progress("timing", len(counts) * rounds * (len(entrants) + 1))
    latency = {}
    for threads in counts:
        calls = {name: single_call(*entrant, threads) for name, entrant in entrants.items()}
        calls[AUTHORS] = authors_way(window, entrants[BARE].path, threads)
        times = time_in_turns(calls, seconds, rounds, bar.update)
        latency[threads] = {
            name: Latency.of(each, threads, runtime_name()) for name, each in times.items()
        }
    bar.close()
    return latency


def compare_presets(
    classifiers: Mapping[PresetName, Img2ImuClassifier], data: Split, seconds: float
) -> list[dict[str, Any]]:
    """Rows of all kinds of files of each preset."""
    return [
        row
        for preset, classifier in classifiers.items()
        for row in compare_kinds(preset, classifier, data, list(FILES), seconds)
    ]


def compare_encoders(
    names: Sequence[str], weights: str | None, data: Split, seconds: float
) -> list[dict[str, Any]]:
    """Rows of float and int8 files of other encoders, as the recommended preset reads them."""
    rows = []
    for name in names:
        encoder = EncoderConfig(name, pretrained=name in REGISTRY, checkpoint=weights)
        classifier = fit(data.training, "recommended", encoder)
        rows += compare_kinds(name, classifier, data, ("float", "int8"), seconds)
    return rows


def table(report: dict[str, Any]) -> str:
    """The report for the eye."""
    facts = report["environment"]
    lines = [f"{facts['cpu']['model']}, ONNX Runtime {facts['versions']['onnxruntime']}"]
    for threads, row in report["latency"].items():
        lines.append(
            f"\n{'ms for one window, threads: ' + threads:<32}"
            + "".join(f"{name:>8}" for name in ("p50", "p90", "p95", "p99", "max"))
        )
        for name, times in row.items():
            numbers = (times[f"{key}_ms"] for key in ("p50", "p90", "p95", "p99", "max"))
            lines.append(f"{name:<32}" + "".join(f"{number:>8.2f}" for number in numbers))
    lines.append(f"\n{'on one thread':<32}{'measured':>10}{'wanted':>12}")
    for target in report["targets"]:
        at_most = target["at_most"]
        wanted = f"<= {at_most}" if at_most is not None else f">= {target['at_least']}"
        missed = "" if target["met"] else "  missed"
        lines.append(f"{target['name']:<32}{target['value']:>10.2f}{wanted:>12}{missed}")
    lines.append(
        f"\n{'fresh process':<32}{'load ms':>9}{'first ms':>9}{'peak MiB':>10}{'empty':>8}"
    )
    for name, cold in report["cold_start"].items():
        lines.append(
            f"{name:<32}{cold['load_ms']:>9.1f}{cold['first_ms']:>9.1f}"
            f"{cold['peak_mib']:>10.0f}{cold['empty_mib']:>8.0f}"
        )
    if report["files"]:
        lines += ["", format_rows(report["files"])]
    if report.get("peers"):  # reports of 0.1 have none
        lines += ["", peers.format_peers(report["peers"])]
    return "\n".join(lines)
