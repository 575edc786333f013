"""All files of a classifier that are wanted, each kept only if it answers as PyTorch does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..convert import Views
from .config import ExportConfig
from .executorch import export_executorch, require_executorch
from .graphs import FORMS, converter
from .known import KNOWN, known_answers, known_rows
from .onnx import export_onnx, export_ort
from .parity import ExportReport
from .quantize import QuantizationReport, quantize_onnx, require_enough
from .torchscript import export_torchscript
from .web import Playback, page_report, write_page

if TYPE_CHECKING:
    from ..fewshot import Img2ImuClassifier

STEMS = {"end-to-end": "model", "image": "model.image"}
"""What the files of each form are called."""

PICTURES = "pictures.onnx"
"""What draws in a page."""


def export_classifier(
    classifier: Img2ImuClassifier,
    folder: Path,
    config: ExportConfig,
    calibration: NDArray[np.float32] | None = None,
    playback: Playback | None = None,
) -> list[ExportReport | QuantizationReport]:
    """Write ``model.onnx``, ``model.int8.onnx``, ``model.image.pt`` and so on.

    Parameters
    ----------
    classifier
        A fitted one.
    folder
        Where; it must exist.
    config
        Which files.
    calibration
        Windows (n, 3, samples) in g, of training subjects, for quantised files; None takes those
        that the classifier keeps for checks, too few for ``int8``.
    playback
        What a page plays; None takes those windows.

    Raises
    ------
    InputError
        If the encoder has no such form, or a package or windows are missing.
    ExportError
        If a file's answers differ from the classifier's; it is not kept.
    """
    if "executorch" in config.to:
        require_executorch()
    windows = classifier.check_windows_ if calibration is None else calibration
    for kind in config.quantize:
        require_enough(kind, windows)
    forms = dict.fromkeys(config.form)
    graphs = {form: FORMS[form](classifier.network_, classifier.check_windows_) for form in forms}
    reports: list[ExportReport | QuantizationReport] = []
    for form, graph in graphs.items():
        known = known_answers(classifier.check_windows_, graph)
        metadata = {**classifier.metadata(), KNOWN: known}
        stem = STEMS[form]
        plain = folder / f"{stem}.onnx"
        page = "web" in config.to and form == "end-to-end"
        if config.quantize or {"onnx", "ort", "web"}.intersection(config.to):
            written = export_onnx(graph, plain, metadata, config.opset)
            reports += [written] if "onnx" in config.to else []
        if config.quantize:
            inputs = FORMS[form](classifier.network_, windows).examples
            examples = graph.examples[known_rows(len(graph.examples))]
            for kind in dict.fromkeys(config.quantize):
                target = folder / f"{stem}.{kind}.onnx"
                reports.append(quantize_onnx(plain, target, kind, inputs, examples))
        if "ort" in config.to:
            reports.append(export_ort(graph, plain, folder / f"{stem}.ort"))
        if "torchscript" in config.to:
            reports.append(export_torchscript(graph, folder / f"{stem}.pt", metadata))
        if "executorch" in config.to:
            reports.append(export_executorch(graph, folder / f"{stem}.pte", metadata))
        if page:
            models = {f"{stem}.onnx": "float32"}
            models |= {f"{stem}.{kind}.onnx": kind for kind in config.quantize}
            pictures = _draw(classifier, folder, config.opset)
            size = write_page(folder, graph, models, metadata, pictures, playback)
            reports.append(page_report(folder, size, written))
        elif "onnx" not in config.to:
            plain.unlink(missing_ok=True)
    return reports


def _draw(classifier: Img2ImuClassifier, folder: Path, opset: int) -> str | None:
    """Write the part that draws, for a page to show; None where nothing is drawn."""
    if not isinstance(classifier.network_.drawing, Views):
        return None
    graph = converter(classifier.network_, classifier.check_windows_)
    export_onnx(graph, folder / PICTURES, {}, opset)
    return PICTURES
