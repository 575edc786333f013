"""``img2imu quickstart``: the whole job on real data, offline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .options import add_output, add_weights_options, chosen_encoder, progress_bar

_EXAMPLES = """\
examples:
  img2imu quickstart
  img2imu quickstart -o out/mine --weights encoder.safetensors
  img2imu quickstart --encoder torchvision/resnet18 --pretrained
"""


def register(subparsers: Any) -> None:
    """Add the command ``quickstart`` to the parser."""
    parser = subparsers.add_parser(
        "quickstart",
        help="the whole job on real data, offline, in minutes",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output(parser, "folder", "out/quickstart")
    add_weights_options(parser)
    parser.add_argument("--seeds", type=int, default=3, help="draws of the labelled windows (3)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run all steps, print where everything lies and the key figures."""
    from ..quickstart import quickstart

    folder = Path(args.output)
    results = quickstart(folder, chosen_encoder(args), seeds=args.seeds, progress=progress_bar)
    print(format_results(results, folder))


def format_results(results: dict[str, Any], folder: Path) -> str:
    """Key figures and paths."""
    shots, weights = results["shots"], results["weights"]["title"]
    ours = next(r for r in results["results"] if r["method"] == "img2imu" and r["shots"] == shots)
    total = sum(step["seconds"] for step in results["steps"])
    return (
        f"\nmacro-F1 {ours['f1_mean']:.3f} ± {ours['f1_std']:.3f} from {shots} windows per class, "
        f"on people held out (weights: {weights}); {total:.0f} s in all\n"
        f"  report      {folder / 'report.html'}\n"
        f"  classifier  {folder / 'model'}, {folder / 'model.onnx'}\n"
        f"  labels      {folder / 'predictions.csv'}, {folder / 'predictions.png'}\n"
        f"  numbers     {folder / 'results.json'}, {folder / 'splits.json'}"
    )
