"""``img2imu predict``: labels over time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import appearing, writable, write_json
from .data import add_source_options, source_options
from .options import (
    add_device,
    add_json,
    add_output,
    add_subjects,
    chosen_device,
    chosen_subjects,
    progress_bar,
)

if TYPE_CHECKING:
    from ..fewshot import Img2ImuClassifier

_EXAMPLES = """\
examples:
  img2imu predict out/quickstart/model walk.csv
  img2imu predict model week.csv.gz -o out/week --columns t,ax,ay,az --unit m/s2 --json week.json
  img2imu predict model motionsense -o out/motionsense --overlap 0 --subjects 3 17
"""


def register(subparsers: Any) -> None:
    """Add the command ``predict`` to the parser."""
    parser = subparsers.add_parser(
        "predict",
        help="label recordings over time: CSV, picture, report",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="classifier folder")
    parser.add_argument("recording", help="file, folder, archive, or name of a data set")
    add_output(parser, "folder to write", "out/predict")
    parser.add_argument("--overlap", type=float, default=0.5, help="share that windows share (0.5)")
    parser.add_argument(
        "--smooth", action=argparse.BooleanOptionalAction, default=True,
        help="let neighbouring windows tell each other what they are (on)",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=float, default=0.95, metavar="X",
        help="share of known windows that may not be called unknown; 1 calls none so (0.95)",
    )  # fmt: skip
    add_subjects(parser)
    add_json(parser, "write the summary")
    add_device(parser)
    add_source_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write labels, bouts, picture and report, print the summary."""
    from ..fewshot import Img2ImuClassifier
    from ..recordings import open_source
    from ..recordings.windows import ChosenSource
    from ..report.day import write_day_report
    from ..report.figures import draw_timeline, save_png
    from ..timeline import predict_recordings
    from ..timeline.bouts import write_bouts

    if args.json:
        writable(args.json)
    folder = Path(args.output)
    with appearing(folder) as scratch:
        classifier = Img2ImuClassifier.load(args.model, chosen_device(args))
        options = source_options(args)
        if not args.triads:
            options.setdefault("sensors", list(classifier.sensors))
        source = ChosenSource(open_source(args.recording, **options), chosen_subjects(args))
        labels = scratch / "predictions.csv"
        timeline = predict_recordings(
            classifier, source, labels, args.overlap, progress_bar,
            smooth=args.smooth, keep=args.keep,
        )  # fmt: skip
        save_png(scratch / "predictions.png", draw_timeline(timeline))
        found = write_bouts(scratch / "bouts.csv", timeline)
        write_day_report(scratch / "report.html", timeline, found, _facts(args, classifier))
    summary = timeline.summary()
    if args.json:
        write_json(args.json, {"model": args.model, "recording": args.recording, **summary})
    print(format_summary(summary))
    if timeline.doubt():
        print(timeline.doubt())
    print(f"in {folder}: predictions.csv, predictions.png, bouts.csv, report.html")


def _facts(args: argparse.Namespace, classifier: Img2ImuClassifier) -> dict[str, str]:
    """How the labels were made, in words."""
    samples, rate = classifier.n_samples_, classifier.sampling_rate
    known = "labelled recordings" if classifier.transitions_ is not None else "the recording itself"
    unknown = f"beyond {args.keep:.0%} of known windows"
    if classifier.strangeness_ is None:
        unknown = "not told: the classifier was fitted on fewer than three people"
    return {
        "recordings": args.recording,
        "classifier": args.model,
        "windows": f"{samples / rate:g} s at {rate:g} Hz, {args.overlap:.0%} overlap",
        "smoothed": f"yes; how long labels last is told by {known}" if args.smooth else "no",
        "unknown": unknown if args.keep < 1 else "not asked for",
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Hours by label, and the scores where there are any."""
    hours = dict(summary["hours"])
    if summary["unknown_hours"]:
        hours["unknown"] = summary["unknown_hours"]
    total = sum(hours.values())
    width = max(map(len, hours))
    lines = [
        f"{summary['windows']} windows of {summary['recordings']} recordings, "
        f"mean confidence {summary['confidence']:.2f}",
        *(
            f"  {label:<{width}}{value:>10.3f} h{value / total:>7.1%}"
            for label, value in sorted(hours.items(), key=lambda item: -item[1])
        ),
    ]
    scores = summary["scores"]
    if scores:
        lines.append(
            f"against the labels of the recording ({scores['windows']} windows): "
            f"macro-F1 {scores['macro_f1']:.3f}, accuracy {scores['accuracy']:.3f}"
        )
        if scores["unknown_labels"]:
            names = ", ".join(scores["unknown_labels"])
            lines.append(f"labels the classifier has not learnt, left out of the scores: {names}")
    return "\n".join(lines)
