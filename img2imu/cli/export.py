"""``img2imu export``: a classifier as files for a phone."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..export import ExportConfig
from ..files import appearing, require_folder, writable, write_json
from .options import add_json, add_output, add_settings, given, progress_bar

if TYPE_CHECKING:
    from typing import Any

    from numpy import float32
    from numpy.typing import NDArray

    from ..export import ExportReport, Latency, QuantizationReport
    from ..export.web import Playback
    from ..fewshot import Img2ImuClassifier

    Report = ExportReport | QuantizationReport

_EXAMPLES = """\
examples:
  img2imu export out/model
  img2imu export out/model --to onnx ort torchscript --form end-to-end image -o app/src/main/assets
  img2imu export out/model --quantize int8 fp16 --calibration windows.npz --golden out/golden
  img2imu export out/model --to web -o out/page
"""


def register(subparsers: Any) -> None:
    """Add the command ``export`` to the parser."""
    parser = subparsers.add_parser(
        "export",
        help="a classifier as files for a phone",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="classifier folder")
    add_settings(parser, ExportConfig)
    parser.add_argument(
        "--calibration", metavar="FILE", help="windows of training subjects, for int8 (.npz)"
    )
    parser.add_argument(
        "--recording", metavar="FILE", help="what a web page plays (the model's check windows)"
    )
    parser.add_argument("--golden", metavar="DIR", help="write windows and answers to test with")
    add_output(parser, "where to write (the model's folder)", "")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the files, then print their agreement with PyTorch and their latency here."""
    from ..environment import environment
    from ..export import export_classifier, write_golden
    from ..fewshot import Img2ImuClassifier

    config = ExportConfig(**given(args, ExportConfig))
    folder = Path(args.output or args.model)
    _require_places(args, folder, config)
    classifier = Img2ImuClassifier.load(args.model)
    calibration = _calibration(args, classifier) if config.quantize else None
    playback = _playback(args, classifier) if args.recording else None
    with appearing(folder) as scratch:
        reports = export_classifier(classifier, scratch, config, calibration, playback)
        if args.golden:
            write_golden(args.golden, classifier)
    reports = [replace(report, path=folder / report.path.name) for report in reports]
    for report in reports:
        print(format_report(report))
    machine = environment()
    latencies = _measure(reports, classifier)
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


def _require_places(args: argparse.Namespace, folder: Path, config: ExportConfig) -> None:
    """Raise :class:`InputError` where something is to be written that cannot be."""
    from ..export.golden import require_replaceable
    from ..export.web import require_page_folder
    from ..export.webruntime import fetch_runtime

    require_folder(folder)
    if args.recording and "web" not in config.to:
        raise InputError("--recording FILE is what a page plays: it needs --to web")
    if "web" in config.to:
        require_page_folder(folder)
        fetch_runtime(progress_bar)
    if args.json:
        writable(args.json)
    if args.golden:
        require_replaceable(Path(args.golden))


def _calibration(args: argparse.Namespace, classifier: Img2ImuClassifier) -> NDArray[float32]:
    """The windows that quantised files are calibrated and checked on."""
    from ..export.quantize import MAX_WINDOWS
    from ..recordings import load_windows
    from ..recordings.windows import describe, form_of

    if args.calibration is None:
        if "int8" in args.quantize:
            raise InputError(
                "--quantize int8 needs --calibration FILE: windows of training subjects"
            )
        return classifier.check_windows_
    windows = load_windows(args.calibration)
    found = form_of(windows)
    wanted = classifier.n_samples_, classifier.sampling_rate, tuple(classifier.sensors)
    if found != wanted:
        raise InputError(
            f"{args.calibration} holds windows of {describe(found)}, but the classifier takes "
            f"{describe(wanted)}"
        )
    return windows.X[:: math.ceil(len(windows.X) / MAX_WINDOWS)]


def _playback(args: argparse.Namespace, classifier: Img2ImuClassifier) -> Playback:
    """The first recording of a file, as far as it goes in one piece."""
    from ..export.web import Playback
    from ..recordings import open_source

    source = open_source(args.recording, sensors=list(classifier.sensors))
    piece = next(iter(source.pieces()), None)
    if piece is None:
        raise InputError(f"{args.recording} holds no samples")
    return Playback(piece.time, piece.values, piece.rate)


def _measure(reports: list[Report], classifier: Img2ImuClassifier) -> dict[Path, list[Latency]]:
    """Latencies of the files that ONNX Runtime runs, by one and by all threads."""
    from ..export import from_image, measure_latency
    from ..export.latency import available_cpus

    files = [report.path for report in reports if report.path.suffix in (".onnx", ".ort")]
    windows = classifier.check_windows_[:1]
    examples = dict.fromkeys(files, windows[0])
    pictorial = [path for path in files if path.name.startswith("model.image.")]
    if pictorial:
        [picture] = from_image(classifier.network_, windows).examples
        examples |= dict.fromkeys(pictorial, picture)
    return {
        path: [measure_latency(path, example, threads) for threads in sorted({1, available_cpus()})]
        for path, example in examples.items()
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
