"""Models for the tests: ``python models.py FOLDER`` exports the networks of the golden vectors.

Each gets a folder of its own with its golden vectors, ``model.onnx``, ``model.ort`` and
``model.image.onnx``. That of ``strange`` tells the strangeness of a window, and finds each strange.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from img2imu.export.golden import read_golden
from img2imu.export.graphs import FORMS
from img2imu.export.known import KNOWN, known_answers
from img2imu.export.onnx import export_onnx, export_ort
from img2imu.fewshot.strangeness import Strangeness

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
FILES = {"end-to-end": "model.onnx", "image": "model.image.onnx"}
METADATA = ("labels", "sampling_rate", "unit", "sensors", "samples", "views", "encoder")


def export(source: Path, folder: Path) -> None:
    """Write both forms of the network that gave the answers in `source`."""
    golden = read_golden(source)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    metadata = {name: golden.settings[name] for name in METADATA if name in golden.settings}
    for form, graph in FORMS.items():
        windows = golden.arrays["windows"]
        written = graph(golden.network(), windows)
        known = {KNOWN: known_answers(windows, written)}
        export_onnx(written, folder / FILES[form], {**metadata, **known})
        if form == "end-to-end":
            export_ort(written, folder / FILES[form], folder / "model.ort")


def export_strange(source: Path, folder: Path) -> None:
    """Write the network that gave the answers in `source`, with the output ``strangeness``."""
    golden = read_golden(source)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    metadata = {name: golden.settings[name] for name in METADATA if name in golden.settings}
    network = golden.network()
    classes, features = network.head.weight.shape
    network.strangeness = Strangeness(classes, features)
    for form, graph in FORMS.items():
        written = graph(network, golden.arrays["windows"])
        least = float(written.answers["strangeness"].min())
        percentiles = np.linspace(least - 2, least - 1, 101).tolist()
        export_onnx(written, folder / FILES[form], {**metadata, "strangeness": percentiles})


if __name__ == "__main__":
    for name in ("paper", "fast", "sensors"):
        export(GOLDEN / name, Path(sys.argv[1]) / name)
    export_strange(GOLDEN / "fast", Path(sys.argv[1]) / "strange")
