"""Models for the tests: ``python models.py FOLDER`` exports the networks of the golden vectors.

Each gets a folder of its own with its golden vectors, ``model.onnx`` and ``model.image.onnx``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from img2imu.export.golden import read_golden
from img2imu.export.graphs import FORMS
from img2imu.export.onnx import export_onnx

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
FILES = {"end-to-end": "model.onnx", "image": "model.image.onnx"}
METADATA = ("labels", "sampling_rate", "unit", "sensors", "samples", "views", "encoder")


def export(source: Path, folder: Path) -> None:
    """Write both forms of the network that gave the answers in `source`."""
    golden = read_golden(source)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    metadata = {name: golden.settings[name] for name in METADATA if name in golden.settings}
    for form, graph in FORMS.items():
        written = graph(golden.network(), golden.arrays["windows"])
        export_onnx(written, folder / FILES[form], metadata)


if __name__ == "__main__":
    for name in ("paper", "fast", "sensors"):
        export(GOLDEN / name, Path(sys.argv[1]) / name)
