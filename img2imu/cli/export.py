"""``img2imu export``: a classifier as files for a phone."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import appearing, write_json

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from ..export import ExportReport, Latency
    from ..export.quantize import QuantizationReport
    from ..fewshot import Img2ImuClassifier

    Report = ExportReport | QuantizationReport

TARGETS = ("onnx", "ort", "torchscript", "executorch")

_EXAMPLES = """\
examples:
  img2imu export out/model
  img2imu export out/model --to onnx ort torchscript --form end-to-end image -o app/src/main/assets
  img2imu export out/model --quantize int8 fp16 --calibration windows.npz --golden out/golden
"""


def register(subparsers: Any) -> None:
    """Add the command ``export`` to the parser."""
    parser = subparsers.add_parser(
        "export",
        help="a classifier as files for a phone: raw windows in, probabilities out",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="classifier folder")
    parser.add_argument(
        "--to", nargs="+", choices=TARGETS, default=["onnx"], help="kinds of file (onnx)"
    )
    parser.add_argument(
        "--form",
        nargs="+",
        choices=("end-to-end", "image"),
        default=["end-to-end"],
        dest="forms",
        help="what goes in: raw windows, or ready images (end-to-end)",
    )
    parser.add_argument(
        "--quantize",
        nargs="+",
        choices=("int8", "fp16", "int8-dynamic"),
        default=[],
        help="smaller ONNX files beside the float one",
    )
    parser.add_argument(
        "--calibration", metavar="FILE", help="windows of training subjects, for int8 (.npz)"
    )
    parser.add_argument("--golden", metavar="DIR", help="write windows and answers to test with")
    parser.add_argument("-o", "--output", metavar="DIR", help="where to write (the model's folder)")
    parser.add_argument("--opset", type=int, default=18, help="ONNX operator set (18)")
    parser.add_argument("--json", metavar="FILE", help="write the report")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the files, then print their agreement with PyTorch and their latency here."""
    from ..environment import environment
    from ..export.files import writable
    from ..export.golden import write_golden
    from ..fewshot import Img2ImuClassifier

    classifier = Img2ImuClassifier.load(args.model)
    metadata = classifier.metadata()
    calibration = _calibration(args, classifier)
    if args.json:
        writable(args.json)
    folder = Path(args.output or args.model)
    reports: list[Report] = []
    with appearing(folder) as scratch:
        for form in dict.fromkeys(args.forms):
            reports += _export(args, form, classifier, calibration, metadata, scratch)
        if args.golden:
            write_golden(args.golden, classifier)
    reports = [replace(report, path=folder / report.path.name) for report in reports]
    for report in reports:
        print(format_report(report))
    machine = environment()
    latencies = _measure(reports, classifier.check_windows_[0])
    if latencies:
        print(format_latencies(latencies, machine["cpu"]["model"]))
    if args.json:
        files = [
            {
                **report.to_dict(),
                "latency": [row.to_dict() for row in latencies.get(report.path, [])],
            }
            for report in reports
        ]
        write_json(args.json, {"model": args.model, "files": files, "environment": machine})


def _calibration(args: argparse.Namespace, classifier: Img2ImuClassifier) -> NDArray[float32]:
    """The windows that quantised files are calibrated and checked on."""
    from ..export.quantize import MAX_WINDOWS
    from ..recordings.windows_file import load_windows

    if args.calibration is None:
        if "int8" in args.quantize:
            raise InputError(
                "--quantize int8 needs --calibration FILE: windows of training subjects"
            )
        return classifier.check_windows_
    windows = load_windows(args.calibration)
    found = windows.X.shape[-1], windows.sampling_rate
    wanted = classifier.n_samples_, classifier.sampling_rate
    if found != wanted:
        raise InputError(
            f"{args.calibration} holds windows of {found[0]} samples at {found[1]:g} Hz, but the "
            f"classifier takes {wanted[0]} at {wanted[1]:g} Hz"
        )
    return windows.X[:: math.ceil(len(windows.X) / MAX_WINDOWS)]


def _export(
    args: argparse.Namespace,
    form: str,
    classifier: Img2ImuClassifier,
    calibration: NDArray[float32],
    metadata: Mapping[str, Any],
    folder: Path,
) -> list[Report]:
    """All files of one form that were asked for."""
    from ..export import FORMS, export_executorch, export_onnx, export_ort, export_torchscript
    from ..export.quantize import quantize_onnx

    graph = FORMS[form](classifier.network_, classifier.check_windows_)
    stem = "model" if form == "end-to-end" else f"model.{form}"
    onnx = folder / f"{stem}.onnx"
    reports: list[Report] = []
    if args.quantize or {"onnx", "ort"}.intersection(args.to):
        reports.append(export_onnx(graph, onnx, metadata, args.opset))
    if args.quantize:
        inputs = FORMS[form](classifier.network_, calibration).examples
        for kind in dict.fromkeys(args.quantize):
            reports.append(quantize_onnx(onnx, folder / f"{stem}.{kind}.onnx", kind, inputs))
    if "ort" in args.to:
        reports.append(export_ort(graph, onnx, folder / f"{stem}.ort"))
    if "torchscript" in args.to:
        reports.append(export_torchscript(graph, folder / f"{stem}.pt", metadata))
    if "executorch" in args.to:
        reports.append(export_executorch(graph, folder / f"{stem}.pte", metadata))
    if "onnx" not in args.to:
        onnx.unlink(missing_ok=True)
    return [report for report in reports if report.path.is_file()]


def _measure(reports: list[Report], window: NDArray[float32]) -> dict[Path, list[Latency]]:
    """Latencies of the files that ONNX Runtime runs on windows, by one and by all threads."""
    from ..export import measure_latency
    from ..export.latency import available_cpus

    return {
        report.path: [
            measure_latency(report.path, window, threads)
            for threads in sorted({1, available_cpus()})
        ]
        for report in reports
        if report.path.suffix in (".onnx", ".ort")
        and not report.path.name.startswith("model.image.")
    }


def format_report(report: Report) -> str:
    """Size and agreement, in two lines."""
    from ..export import ExportReport

    written = f"{report.path}: {report.size / 1e6:.1f} MB, {report.kind}"
    if not isinstance(report, ExportReport):
        return (
            f"{written}\nsame label as the float file on {report.agreement:.1%} of "
            f"{report.windows} windows, logits within {report.logits:.1e}"
        )
    parity = report.parity
    gaps = ", ".join(f"{name} within {gap:.1e}" for name, gap in parity.differences.items())
    return (
        f"{written}, {report.form}\nsame as PyTorch on {parity.windows} windows: {gaps} "
        f"(allowed: {parity.tolerance:g}, and what rounding the input does)"
    )


def format_latencies(latencies: Mapping[Path, list[Latency]], cpu: str) -> str:
    """A table with one row for each file and number of threads."""
    runtime = next(iter(latencies.values()))[0].runtime
    width = max(len(path.name) for path in latencies)
    lines = [f"milliseconds for one window, {cpu}, {runtime}"]
    lines.append(f"  {'':<{width}}  threads      p50      p90      p95      p99      max")
    for path, rows in latencies.items():
        for row in rows:
            times = (row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms, row.max_ms)
            numbers = "".join(f"{value:>9.2f}" for value in times)
            lines.append(f"  {path.name:<{width}}  {row.threads:>7}{numbers}")
    return "\n".join(lines)
