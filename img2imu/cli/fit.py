"""``img2imu fit``: a classifier from whoever there is, without an evaluation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import claimed
from .merge import describe
from .options import (
    add_device,
    add_encoder_options,
    add_output,
    add_windows,
    chosen_device,
    chosen_windows,
    encoder_config,
)

if TYPE_CHECKING:
    from ..recordings import Windows

_DESCRIPTION = """\
Fits a classifier on labelled windows, of one person or more. Unlabelled ones help to standardise.

probe --model evaluates first, on people held out, and fits with what did best there: take it where
there are three people or more. fit measures nothing, and takes the preset's settings.
"""

_EXAMPLES = """\
examples:
  img2imu fit out/mine/windows.npz -o out/model
  img2imu fit out/mine/windows.npz -o out/model --exclude-subjects ann
"""


def register(subparsers: Any) -> None:
    """Add the command ``fit`` to the parser."""
    parser = subparsers.add_parser(
        "fit",
        help="a classifier from one person or more, without an evaluation",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_windows(parser)
    add_output(parser, "classifier folder to write")
    parser.add_argument(
        "--C", type=float, default=0.1, metavar="X", help="inverse strength of the L2 penalty (0.1)"
    )
    add_encoder_options(parser)
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Fit, write the classifier, and say what is not known of it."""
    from ..fewshot import ProbeConfig, fit_classifier
    from ..fewshot.classifier import require_replaceable

    require_replaceable(args.output)
    config = ProbeConfig(args.preset, encoder=encoder_config(args), C=(args.C,))
    device = chosen_device(args)
    with claimed(Path(args.output)):
        windows = chosen_windows(args)
        fit_classifier(windows, config, device=device).save(args.output)
    print(describe(windows))
    print(f"classifier in {args.output}")
    print(unknown(windows))


def unknown(windows: Windows) -> str:
    """What nobody has measured, and what would."""
    from ..recordings.splits import MIN_FOLDS

    asked = "how well it does on people it has not seen was not measured: "
    if len(windows.subjects) < MIN_FOLDS:
        return f"{asked}'img2imu predict' does, on a labelled recording of somebody else"
    return f"{asked}'img2imu probe' does, on these"
