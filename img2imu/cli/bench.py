"""``img2imu bench``: how fast things are here, beside what one would use otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files import write_json
from .options import parse_size, progress_bar


def register(subparsers: Any) -> None:
    """Add the command ``bench`` to the parser."""
    parser = subparsers.add_parser("bench", help="measure speed beside the usual ways")
    benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
    _register_convert(benches)
    _register_augment(benches)
    _register_pack(benches)
    _register_pretrain(benches)
    _add_bench(benches, "probe", "the paper's grid of few-shot probes", run=run_probe)
    _register_inference(benches)
    _register_android(benches)


def _add_bench(benches: Any, name: str, description: str, **defaults: Any) -> Any:
    """A sub-command with the options that every benchmark has."""
    parser = benches.add_parser(name, help=description)
    parser.add_argument("--json", metavar="FILE", help="write the report with every round")
    parser.set_defaults(**defaults)
    return parser


def _register_convert(benches: Any) -> None:
    parser = _add_bench(benches, "convert", "windows to pictures", run=run_convert)
    parser.add_argument("--rounds", type=int, default=15, help="of all contestants in turn (15)")
    parser.add_argument("--windows", type=int, default=4096, help="we draw in a round (4096)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def run_convert(args: argparse.Namespace) -> None:
    """Time the converter beside matplotlib and librosa."""
    from ..bench import convert

    report = convert.run(args.rounds, args.windows, args.threads, args.device)
    print(convert.table(report))
    if args.json:
        write_json(args.json, report)


def _register_augment(benches: Any) -> None:
    parser = _add_bench(benches, "augment", "the sensor-aware augmentations", run=run_augment)
    parser.add_argument("--rounds", type=int, default=10, help="of all contestants in turn (10)")
    parser.add_argument("--batch", type=int, default=256, help="images augmented at once (256)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--show", metavar="FILE", help="only draw what each operation does")


def run_augment(args: argparse.Namespace) -> None:
    """Time the augmentations beside kornia's and torchvision's, or draw them."""
    from ..bench import augment

    if args.show:
        augment.show(args.show, augment.pictures())
        return
    report = augment.run(args.rounds, args.batch, args.threads, args.device)
    print(augment.table(report))
    if args.json:
        write_json(args.json, report)


def _register_pack(benches: Any) -> None:
    parser = _add_bench(benches, "pack", "photographs to a packed store", run=run_pack)
    parser.add_argument("--rounds", type=int, default=20, help="of all contestants in turn (20)")
    parser.add_argument("--photos", metavar="DIR", help="class/image.jpg ($IMG2IMU_DATA/photos)")


def run_pack(args: argparse.Namespace) -> None:
    """Time decoding and resizing beside torchvision and Pillow."""
    from ..bench import pack

    report = pack.run(args.photos, args.rounds)
    print(pack.table(report))
    if args.json:
        write_json(args.json, report)


def _register_pretrain(benches: Any) -> None:
    parser = _add_bench(benches, "pretrain", "steps of MoCo, and their parts", run=run_pretrain)
    parser.add_argument("--steps", type=int, help="in a round (64 on CUDA, 2 on the CPU)")
    parser.add_argument("--rounds", type=int, default=5, help="of all contestants in turn (5)")
    parser.add_argument("--batch", type=int, default=256, help="images in a step (256)")
    parser.add_argument("--size", default="128x96", metavar="WxH", help="of the images (128x96)")
    parser.add_argument("--threads", type=int, help="CPU threads, and lightly's workers (torch's)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true", help="our encoders")


def run_pretrain(args: argparse.Namespace) -> None:
    """Time our MoCo beside lightly's."""
    from ..bench import pretrain

    width, height = parse_size(args.size)
    report = pretrain.run(
        args.steps, args.rounds, args.batch, width, height, args.threads, args.device, args.compile
    )
    print(pretrain.table(report))
    if args.json:
        write_json(args.json, report)


def run_probe(args: argparse.Namespace) -> None:
    """Time the probing part of the paper's grid beside scikit-learn's plain pipeline."""
    from ..bench import probe

    report = probe.run(progress_bar)
    print(probe.table(report))
    if args.json:
        write_json(args.json, report)


def _register_inference(benches: Any) -> None:
    parser = _add_bench(benches, "inference", "exported files, window to label", run=run_inference)
    parser.add_argument(
        "windows", nargs="?", metavar="WINDOWS", help="also compare all kinds of files on these"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each contestant (5)")
    parser.add_argument("--rounds", type=int, default=10, help="of all contestants in turn (10)")
    parser.add_argument(
        "--encoders", nargs="+", default=[], metavar="NAME", help="compare timm encoders on WINDOWS"
    )
    parser.add_argument("--weights", metavar="FILE", help="of the one encoder named (random)")


def run_inference(args: argparse.Namespace) -> None:
    """Time exported files beside the bare network and the paper authors' way."""
    from ..bench import inference

    report = inference.run(
        args.windows, args.encoders, args.weights, args.seconds, args.rounds, progress_bar
    )
    print(inference.table(report))
    if args.json:
        write_json(args.json, report)


def _register_android(benches: Any) -> None:
    from ..bench.android import FORMS

    parser = _add_bench(benches, "android", "the demo on a phone, over adb", run=run_android)
    parser.add_argument("--apk", metavar="FILE", help="install it first (the app that is there)")
    parser.add_argument(
        "--form", choices=FORMS, default=FORMS[0], help=f"of the model ({FORMS[0]})"
    )
    parser.add_argument("--threads", type=int, default=1, help="of the runtime (1)")
    parser.add_argument("--runs", type=int, default=200, help="of each stage, at least (200)")
    parser.add_argument("--serial", help="of the phone, where several are attached")
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait (600)")


def run_android(args: argparse.Namespace) -> None:
    """Time the demo on a phone beside the paper's phones and this computer."""
    from ..bench import android

    apk = Path(args.apk) if args.apk else None
    report = android.run(
        apk, args.form, args.threads, args.runs, args.serial, args.timeout, progress_bar
    )
    print(android.table(report))
    if args.json:
        write_json(args.json, report)
