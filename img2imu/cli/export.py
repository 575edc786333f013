"""``img2imu export``: a classifier as one file for a phone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import write_json

if TYPE_CHECKING:
    from ..export import ExportReport, Latency

_EXAMPLES = """\
examples:
  img2imu export out/model
  img2imu export out/model --to onnx -o app/src/main/assets/model.onnx --json export.json
"""


def register(subparsers: Any) -> None:
    """Add the command ``export`` to the parser."""
    parser = subparsers.add_parser(
        "export",
        help="a classifier as one file: raw windows in, probabilities out",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="classifier folder")
    parser.add_argument("--to", choices=("onnx",), default="onnx", help="kind of file (onnx)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="file to write (model.onnx in the folder)"
    )
    parser.add_argument("--opset", type=int, default=18, help="ONNX operator set (18)")
    parser.add_argument("--json", metavar="FILE", help="write the report")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the file, then print its agreement with PyTorch and its latency here."""
    from ..bench.environment import environment
    from ..classifier import Img2ImuClassifier, export_metadata, read_config
    from ..export import export_onnx, measure_latency
    from ..export.latency import available_cpus

    folder = Path(args.model)
    config = read_config(folder)
    classifier = Img2ImuClassifier.load(folder)
    report = export_onnx(
        classifier.network_,
        args.output or folder / "model.onnx",
        classifier.check_windows_,
        export_metadata(config),
        args.opset,
    )
    print(format_report(report))
    machine = environment()
    latencies = [
        measure_latency(report.path, classifier.check_windows_[0], threads)
        for threads in sorted({1, available_cpus()})
    ]
    print(format_latencies(latencies, machine["cpu"]["model"]))
    if args.json:
        measured = {
            "latency": [latency.to_dict() for latency in latencies],
            "environment": machine,
        }
        write_json(args.json, {"model": args.model, **report.to_dict(), **measured})


def format_report(report: ExportReport) -> str:
    """Size and agreement with PyTorch, in two lines."""
    from ..export.parity import RELATIVE

    parity = report.parity
    return (
        f"{report.path}: {report.size / 1e6:.1f} MB, {sum(report.operators.values())} operators, "
        f"opset {report.opset}\n"
        f"same as PyTorch on {parity.windows} windows: logits within {parity.logits:.1e} "
        f"({parity.tolerance:g} and {RELATIVE:g} of the largest allowed), "
        f"probabilities within {parity.probabilities:.1e}"
    )


def format_latencies(latencies: list[Latency], cpu: str) -> str:
    """A table with one row for each number of threads."""
    lines = [f"milliseconds for one window, {cpu}, {latencies[0].runtime}"]
    lines.append("  threads      p50      p90      p95      p99      max")
    for row in latencies:
        times = (row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms, row.max_ms)
        lines.append(f"  {row.threads:>7}" + "".join(f"{value:>9.2f}" for value in times))
    return "\n".join(lines)
