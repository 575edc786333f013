"""``img2imu study``: the paper's studies, on windows files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .options import progress_bar

_EXAMPLES = """\
examples:
  img2imu study {study} exercise.npz daphnet.npz -o out/{study} \\
      --encoders supervised=resnet18.safetensors sensor-aware=runs/moco

A repeated command goes on where the last one stopped. rows.json holds rows by name, each a file
or the fields of an encoder: {{"supervised": {{"name": "resnet18.tv_in1k", "pretrained": true}}}}
"""


def register(subparsers: Any) -> None:
    """Add the command ``study`` to the parser."""
    parser = subparsers.add_parser("study", help="the paper's tables and figures on your data")
    studies = parser.add_subparsers(dest="study", required=True, metavar="STUDY")
    _add_study(studies, "table2", "every method on every data set", [10], ["logistic", "paper"])
    _add_study(studies, "shots", "every method over shots", [1, 2, 5, 10, 20, 50], ["logistic"])
    _add_study(studies, "grid", "the landscape over nfft and noverlap", [10], ["logistic"])
    _add_study(studies, "gradcam", "where in the pictures networks look", [10], ["logistic"])
    table1 = _add_study(
        studies, "table1", "altered signals by augmentation left out", [10], ["logistic"],
        reference="sensor-aware",
    )  # fmt: skip
    made = table1.add_argument_group("encoders that --encoders does not name")
    made.add_argument("--source", metavar="STORE", help="packed store to pre-train them on")
    made.add_argument("--epochs", type=int, help="of each (the recommended recipe's)")


def _add_study(
    studies: Any,
    name: str,
    description: str,
    shots: list[int],
    probes: list[str],
    reference: str = "shipped",
) -> argparse.ArgumentParser:
    parser = studies.add_parser(
        name,
        help=description,
        epilog=_EXAMPLES.format(study=name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("windows_files", nargs="+", metavar="WINDOWS", help="windows files (.npz)")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder of the study")
    many = len(shots) > 1
    shown = " ".join(map(str, shots))
    parser.add_argument(
        "--shots", type=int, nargs="+" if many else 1, default=shots, metavar="K",
        help=f"labelled windows per class ({shown})",
    )  # fmt: skip
    parser.add_argument(
        "--probe", nargs="+", choices=("logistic", "paper"), default=probes, dest="probes",
        help=f"({' '.join(probes)})",
    )  # fmt: skip
    parser.add_argument("--folds", type=int, default=5, help="subject-disjoint folds (5)")
    parser.add_argument("--seeds", type=int, default=5, help="draws in each fold (5)")
    parser.add_argument(
        "--C", type=float, nargs="+", default=[0.1], help="penalties to choose among (0.1)"
    )
    parser.add_argument(
        "--windows", type=int, default=3000, metavar="N",
        help="of a data set at most, evenly over subjects and classes; 0 takes all (3000)",
    )  # fmt: skip
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--encoders", nargs="+", default=[], metavar="NAME=FILE",
        help="weights or folder of a pre-training by row; or a JSON file of such rows",
    )  # fmt: skip
    rows.add_argument("--rows", nargs="+", metavar="NAME", help="only these and the reference")
    rows.add_argument(
        "--reference", default=reference, metavar="NAME", help=f"row compared with ({reference})"
    )
    rows.add_argument("--stages", type=int, nargs="+", help="stages to choose among, or to read")
    # The others draw what they are about.
    if name in ("table1", "table2", "shots"):
        rows.add_argument(
            "--preset", choices=("recommended", "fast"), default="recommended",
            help="views of image encoders (recommended)",
        )  # fmt: skip
    else:
        parser.set_defaults(preset="recommended")
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes (all cores)")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the study and print its tables."""
    from importlib import import_module

    from ..probe import PRESETS, ProbeConfig
    from ..studies.config import StudyConfig
    from ..studies.data import load_sets
    from ..studies.rows import build_rows, read_encoders

    probe = ProbeConfig(
        args.preset,
        probes=args.probes, shots=args.shots, folds=args.folds, seeds=args.seeds, C=args.C,
    )  # fmt: skip
    config = StudyConfig(probe, args.windows or None, args.reference)
    stages = args.stages or PRESETS[args.preset]["stages"]
    encoders = read_encoders(args.encoders, stages)
    if args.study == "table1" and args.source:
        from ..studies.table1 import pretrain_policies

        made = pretrain_policies(
            Path(args.out), args.source, args.epochs, list(encoders), args.jobs, progress_bar
        )
        encoders |= read_encoders(made, stages)
    wanted = args.rows or _default_rows(args.study, list(encoders))
    rows, lacking = build_rows(encoders, wanted, args.reference, stages)
    sets, missing = load_sets(args.windows_files, config)
    study = import_module(f"..studies.{args.study}", __package__)
    text = study.run(
        Path(args.out), sets, rows, config, [*lacking, *missing], jobs=args.jobs,
        progress=progress_bar,
    )  # fmt: skip
    print(text)
    print(f"settings, splits, tables and figures in {args.out}")


def _default_rows(study: str, encoders: list[str]) -> list[str] | None:
    """What is shown beside the reference; None is everything."""
    return {"grid": [], "gradcam": ["random-2d", *encoders], "table1": encoders}.get(study)
