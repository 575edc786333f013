"""``img2imu study``: the paper's studies, on windows files."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..fewshot.config import READINGS, SHOTS, ProbeConfig
from ..files import claimed
from ..settings import require
from ..studies.config import ScaleConfig, SelfsupConfig, StudyConfig
from .options import (
    add_device,
    add_encoder_options,
    add_output,
    add_settings,
    add_windows,
    chosen_device,
    chosen_subjects,
    encoder_config,
    given,
    progress_bar,
)
from .probe import OPTIONS

PROTOCOL = ("shots", "folds", "seeds", "seed")
"""Fields of ``ProbeConfig`` that are options of a study of recordings."""

_EXAMPLES = """\
examples:
  img2imu study {study} exercise.npz daphnet.npz -o out/{study} \\
      {more}

A repeated command goes on where the last one stopped. rows.json holds rows by name, each a file
or the fields of an encoder: {{"supervised": {{"name": "resnet18.tv_in1k", "pretrained": true}}}}
"""


def register(subparsers: Any) -> None:
    """Add the command ``study`` to the parser."""
    parser = subparsers.add_parser("study", help="the paper's tables and figures on your data")
    studies = parser.add_subparsers(dest="study", required=True, metavar="STUDY")
    for name, (description, _) in STUDIES.items():
        _add_study(studies, name, description)
    table1 = studies.choices["table1"]
    made = table1.add_argument_group("encoders that --encoders does not name")
    made.add_argument("--source", metavar="STORE", help="packed store to pre-train them on")
    made.add_argument("--epochs", type=int, help="of each (the recommended recipe's)")
    for name, (description, _) in OVER_TIME.items():
        _add_over_time(studies, name, description)
    _add_selfsup(studies)
    scale = studies.choices["scale"].add_argument_group("encoders")
    scale.add_argument(
        "--source", nargs="+", required=True, metavar="FILE.npz", help="unlabelled windows"
    )
    add_settings(scale, ScaleConfig)


STUDIES = {
    "table2": ("every method on every data set", ProbeConfig(probes=("logistic", "paper"))),
    "shots": ("every method over shots", ProbeConfig(shots=SHOTS)),
    "grid": ("the landscape over nfft and noverlap", ProbeConfig()),
    "gradcam": ("where in the pictures networks look", ProbeConfig()),
    "table1": ("altered signals by augmentation left out", ProbeConfig()),
    "scale": ("hours of unlabelled windows and size of the encoder", ProbeConfig()),
    "labels": ("what to label: proposals against chance", ProbeConfig(shots=(1, 2, 5, 10))),
}
"""By name, what each shows, and its settings where none are given."""

SELFSUP = ProbeConfig(probes=("logistic", "knn"), shots=SHOTS)
"""How the methods of pre-training are probed where nothing else is said."""

OVER_TIME = {
    "timeline": (
        "whole recordings, smoothed and not",
        ProbeConfig("fast", shots=(10, None), seeds=2),
    ),
    "unknown": ("classes never seen, and calibration", ProbeConfig("fast", seeds=1)),
}
"""Studies of one encoder, without rows, on all windows of a file."""


SEVERAL_SENSORS = ("table2", "shots")
"""Studies that take files of other sensors than the accelerometer alone."""


def _add_study(studies: Any, name: str, description: str) -> None:
    reference = "sensor-aware" if name == "table1" else "shipped"
    shown = STUDIES[name][1]
    more = "--encoders supervised=resnet18.safetensors sensor-aware=runs/moco"
    if name == "labels":
        more = "--shots 1 2 5 10 --preset fast"
    if name == "scale":
        more = "--source unlabelled.npz --hours 0 0.5 2 8"
    parser = studies.add_parser(
        name,
        help=description,
        epilog=_EXAMPLES.format(study=name, more=more),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_windows(parser, "windows_files", nargs="+")
    add_output(parser, "folder of the study")
    protocol = parser.add_argument_group("protocol")
    add_settings(protocol, ProbeConfig, OPTIONS, shown=shown)
    add_settings(
        protocol, StudyConfig, ("windows", "untouched") if name == "table2" else ("windows",)
    )
    rows = parser.add_argument_group("rows")
    if name == "labels":
        # Its rows are ways to choose windows, all read by the toolkit's own encoder.
        parser.set_defaults(encoders=[], rows=None, stages=None)
    else:
        _add_rows(rows, reference)
    # The others draw what they are about.
    if name in ("table1", "table2", "shots", "labels"):
        rows.add_argument(
            "--preset", choices=tuple(READINGS), default="recommended",
            help="views of image encoders (recommended)",
        )  # fmt: skip
    else:
        parser.set_defaults(preset="recommended")
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes (all cores)")
    add_device(parser)
    parser.set_defaults(run=run)


def _add_over_time(studies: Any, name: str, description: str) -> None:
    parser = studies.add_parser(
        name,
        help=description,
        epilog=f"example:\n  img2imu study {name} daphnet.npz wisdm-2019.npz -o out/{name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_windows(parser, "windows_files", nargs="+")
    add_output(parser, "folder of the study")
    protocol = parser.add_argument_group("protocol")
    add_settings(protocol, ProbeConfig, PROTOCOL, shown=OVER_TIME[name][1])
    add_encoder_options(parser)
    if name == "unknown":
        parser.add_argument(
            "--known", nargs="+", default=[], metavar="CLASS",
            help="classes that are learnt, all others unknown (each left out once)",
        )  # fmt: skip
    parser.set_defaults(preset=OVER_TIME[name][1].preset)
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes (all cores)")
    add_device(parser)
    parser.set_defaults(run=run_over_time)


def _add_selfsup(studies: Any) -> None:
    parser = studies.add_parser(
        "selfsup",
        help="methods of pre-training on your recordings",
        epilog="examples:\n  img2imu study selfsup mine.npz other.npz third.npz -o out/selfsup \\\n"
        "      --init resnet18.safetensors --methods moco simclr supervised\n"
        "  img2imu study selfsup mine.npz -o out/selfsup --scheme within --encoder conv1d \\\n"
        "      --methods simclr multitask\n\n"
        "A repeated command goes on where the last one stopped.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_windows(parser, "windows_files", nargs="+")
    add_output(parser, "folder of the study")
    training = parser.add_argument_group("pre-training")
    add_settings(training, SelfsupConfig)
    training.add_argument(
        "--stages", type=int, nargs="+", help="stages to read, and to train up to"
    )
    protocol = parser.add_argument_group("protocol")
    add_settings(protocol, ProbeConfig, OPTIONS, shown=SELFSUP)
    add_settings(protocol, StudyConfig, ("windows",))
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes (all cores)")
    add_device(parser)
    parser.set_defaults(run=run_selfsup)


def run_selfsup(args: argparse.Namespace) -> None:
    """Run the study of pre-training and print its tables."""
    from ..studies import selfsup
    from ..studies.data import load_sets, names_of

    require(args.jobs is None or args.jobs >= 1, f"jobs must be at least 1, not {args.jobs}")
    out, subjects = Path(args.output), chosen_subjects(args)
    with claimed(out):
        plan = SelfsupConfig(**given(args, SelfsupConfig))
        config = StudyConfig(
            replace(SELFSUP, **given(args, ProbeConfig, OPTIONS)),
            device=chosen_device(args),
            **given(args, StudyConfig, ("windows",)),
        )
        paths, rate = args.windows_files, args.sampling_rate
        sets, missing = load_sets(paths, config, rate, subjects, incomplete=True)
        files = selfsup.Files(dict(zip(names_of(paths), paths, strict=True)), rate, subjects)
        text = selfsup.run(
            out, files, sets, plan, config, missing, args.stages,
            jobs=args.jobs, progress=progress_bar,
            say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        )  # fmt: skip
        print(text)
    print(f"settings, splits, tables and figures in {out}")


def run_over_time(args: argparse.Namespace) -> None:
    """Run a study of recordings and print its tables."""
    from importlib import import_module

    from ..studies.data import load_recordings

    require(args.jobs is None or args.jobs >= 1, f"jobs must be at least 1, not {args.jobs}")
    out = Path(args.output)
    with claimed(out):
        probe = replace(
            OVER_TIME[args.study][1],
            preset=args.preset,
            encoder=encoder_config(args),
            **given(args, ProbeConfig, PROTOCOL),
        )
        config = StudyConfig(probe, windows=None, device=chosen_device(args))
        names = args.windows_files
        sets, missing = load_recordings(names, config, args.sampling_rate, chosen_subjects(args))
        study = import_module(f"..studies.{args.study}", __package__)
        more = {"known": args.known} if args.study == "unknown" else {}
        text = study.run(out, sets, config, missing, jobs=args.jobs, progress=progress_bar, **more)
        print(text)
    print(f"settings, splits and tables in {out}")


def _add_rows(rows: Any, reference: str) -> None:
    rows.add_argument(
        "--encoders", nargs="+", default=[], metavar="NAME=FILE",
        help="weights or folder of a pre-training by row; or a JSON file of such rows",
    )  # fmt: skip
    rows.add_argument("--rows", nargs="+", metavar="NAME", help="only these and the reference")
    rows.add_argument(
        "--reference", default=reference, metavar="NAME", help=f"row compared with ({reference})"
    )
    rows.add_argument("--stages", type=int, nargs="+", help="stages to read, side by side")


def run(args: argparse.Namespace) -> None:
    """Run the study and print its tables."""
    require(args.jobs is None or args.jobs >= 1, f"jobs must be at least 1, not {args.jobs}")
    with claimed(Path(args.output)):
        _run(args)


def _run(args: argparse.Namespace) -> None:
    from importlib import import_module

    from ..studies.data import load_sets
    from ..studies.rows import build_rows, read_encoders

    probe = replace(STUDIES[args.study][1], preset=args.preset, **given(args, ProbeConfig, OPTIONS))
    labels = args.study == "labels"
    config = StudyConfig(
        probe,
        balanced=not labels,
        reference="proposed" if labels else args.reference,
        device=chosen_device(args),
        **given(args, StudyConfig, ("windows", "untouched")),
    )
    stages = args.stages or READINGS[args.preset]["stages"]
    out = Path(args.output)
    encoders = read_encoders(args.encoders, stages, args.preset)
    # What cannot take part is better known before a pre-training than after it.
    several = args.study in SEVERAL_SENSORS
    sets, missing = load_sets(
        args.windows_files, config, args.sampling_rate, chosen_subjects(args), several
    )
    if args.study == "table1" and args.source:
        from ..studies.table1 import pretrain_policies

        made = pretrain_policies(
            out, args.source, args.epochs, list(encoders), args.jobs, progress_bar
        )
        encoders |= read_encoders(made, stages, args.preset)
    if args.study == "scale":
        from ..studies.scale import pretrain_sizes

        plan = ScaleConfig(**given(args, ScaleConfig))
        encoders |= pretrain_sizes(out, args.source, plan, args.stages, args.jobs, progress_bar)
        args.rows = [*encoders, *(args.rows or ())]
    if labels:
        from ..studies.labels import rows_of

        rows, lacking = rows_of(args.preset), list[Any]()
    else:
        wanted = args.rows or _default_rows(args.study, list(encoders))
        rows, lacking = build_rows(encoders, wanted, args.reference, stages, args.preset)
    study = import_module(f"..studies.{args.study}", __package__)
    text = study.run(
        out, sets, rows, config, [*lacking, *missing], jobs=args.jobs,
        progress=progress_bar,
    )  # fmt: skip
    print(text)
    print(f"settings, splits, tables and figures in {out}")


def _default_rows(study: str, encoders: list[str]) -> list[str] | None:
    """What is shown beside the reference; None is everything."""
    return {"grid": [], "gradcam": ["random-2d", *encoders], "table1": encoders}.get(study)
