"""``img2imu probe``: how well a few labelled windows do on unseen subjects."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import write_json
from .options import add_encoder_options, encoder_config, progress_bar

_EXAMPLES = """\
examples:
  img2imu probe windows.npz --model out/model
  img2imu probe windows.npz --shots 1 2 5 10 20 50 --probe logistic paper
  img2imu probe windows.npz --encoder conv1d --weights out/simclr/encoder.safetensors
  img2imu probe windows.npz --preset paper --encoder torchvision/resnet18 --pretrained
"""


def register(subparsers: Any) -> None:
    """Add the command ``probe`` to the parser."""
    parser = subparsers.add_parser(
        "probe",
        help="few-shot evaluation on unseen subjects, beside baselines",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("windows", help="windows file (.npz) or folder with X.npy, Y.npy, pid.npy")
    parser.add_argument("--shots", type=int, nargs="+", default=[10], help="windows per class (10)")
    parser.add_argument(
        "--probe", nargs="+", choices=("logistic", "paper"), default=["logistic"], dest="probes"
    )
    parser.add_argument("--folds", type=int, default=5, help="subject-disjoint folds (5)")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the labelled windows (5)")
    parser.add_argument(
        "--C", type=float, nargs="+", default=[0.1], help="penalties to choose among (0.1)"
    )
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help="rows of the table (all but votes)"
    )
    parser.add_argument("--sampling-rate", type=float, metavar="HZ", help="of a folder of arrays")
    parser.add_argument("--json", metavar="FILE", help="write settings, splits and results")
    parser.add_argument("--splits", metavar="FILE", help="write the split manifest")
    parser.add_argument(
        "--model", metavar="DIR", help="then fit a classifier on all windows of the file"
    )
    add_encoder_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the table, write the JSON."""
    from importlib.util import find_spec

    from ..fitting import fit_classifier
    from ..probe import METHODS, VOTES, ProbeConfig, evaluate
    from ..recordings.windows_file import load_windows

    config = ProbeConfig(
        preset=args.preset,
        encoder=encoder_config(args),
        probes=args.probes,
        shots=args.shots,
        folds=args.folds,
        seeds=args.seeds,
        C=args.C,
    )
    methods = args.methods or [name for name in METHODS if name not in VOTES]
    if args.methods is None and find_spec("sktime") is None:
        methods.remove("minirocket")
        print("minirocket left out: pip install 'img2imu[baselines]' brings it")
    windows = load_windows(args.windows, args.sampling_rate)
    outcome = evaluate(
        windows, config, methods, name=Path(args.windows).stem, progress=progress_bar
    )
    described = outcome["settings"]["windows"]
    print(
        f"{described['count']} windows, {described['subjects']} subjects, "
        f"{len(described['classes'])} classes; encoder {encoder_title(outcome['settings'])}"
    )
    for fold, missing in enumerate(outcome["settings"]["missing_classes"]):
        for part, classes in missing.items():
            if classes:
                print(f"fold {fold}: no {', '.join(classes)} among its {part} subjects")
    print(format_table(outcome["results"]))
    if args.json:
        write_json(args.json, outcome)
    if args.splits:
        write_json(args.splits, outcome["settings"]["splits"])
    if args.model:
        fit_classifier(windows, config, outcome["results"]).save(args.model)
        print(f"classifier in {args.model}")


def encoder_title(settings: dict[str, Any]) -> str:
    """Name and weights of the encoder, in words."""
    encoder = settings["probe"]["encoder"]
    weights = encoder["checkpoint"] or (
        "pre-trained" if encoder["pretrained"] else "random weights (see --weights, --pretrained)"
    )
    return f"{encoder['name']}, {weights}"


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """Macro-F1 by method and shots, mean ± standard deviation over folds and draws."""
    shots = list(dict.fromkeys(record["shots"] for record in results))
    rows = dict.fromkeys((record["method"], record["probe"]) for record in results)
    cells = {
        (record["method"], record["probe"], record["shots"]): (
            f"{record['f1_mean']:.3f} ± {record['f1_std']:.3f}"
        )
        for record in results
    }
    lines = ["macro-F1     probe     " + "".join(f"{f'{k} shots':>15}" for k in shots)]
    for method, probe in rows:
        values = "".join(f"{cells[method, probe, k]:>15}" for k in shots)
        lines.append(f"{method:<13}{probe:<10}{values}")
    return "\n".join(lines)
