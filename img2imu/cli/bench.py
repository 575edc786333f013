"""``img2imu bench``: how fast things are here, beside what one would use otherwise."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import writable, write_json
from .options import add_json, parse_size, progress_bar

Measure = Callable[[Any, argparse.Namespace], dict[str, Any]]
"""Runs the benchmark in a module of ``img2imu.bench``, which has a ``table`` of its report, too."""


def register(subparsers: Any) -> None:
    """Add the command ``bench`` to the parser."""
    parser = subparsers.add_parser("bench", help="measure speed beside the usual ways")
    benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
    _add_convert(benches)
    _add_augment(benches)
    _add_pack(benches)
    _add_pretrain(benches)
    _add_bench(benches, "probe", "the paper's grid of few-shot probes", _measure_probe)
    _add_inference(benches)
    _add_android(benches)
    _add_web(benches)


def run(args: argparse.Namespace) -> None:
    """Measure, print the table, write the report."""
    if args.json:
        writable(args.json)
    bench = import_module(f"..bench.{args.bench}", __package__)
    if getattr(args, "show", None):
        writable(args.show)
        bench.show(args.show, bench.pictures())
        return
    figure = getattr(args, "figure", None)
    if figure:
        if args.windows is None:
            raise InputError("--figure draws what is learnt from a windows file: give one")
        writable(figure)
    report = args.measure(bench, args)
    print(bench.table(report))
    if figure:
        from ..report import save_png

        save_png(figure, bench.draw(report))
    if args.json:
        write_json(args.json, report)


def _add_bench(benches: Any, name: str, description: str, measure: Measure) -> Any:
    """A sub-command with the options that every benchmark has."""
    parser = benches.add_parser(name, help=description)
    add_json(parser, "write the report with every round")
    parser.set_defaults(run=run, measure=measure)
    return parser


def _add_device(parser: Any, threads: int | None, of: str = "CPU threads") -> None:
    shown = "torch's" if threads is None else threads
    parser.add_argument("--threads", type=int, default=threads, help=f"{of} ({shown})")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def _add_rounds(parser: Any, rounds: int) -> None:
    text = f"of all contestants in turn ({rounds})"
    parser.add_argument("--rounds", type=int, default=rounds, help=text)


def _add_convert(benches: Any) -> None:
    parser = _add_bench(benches, "convert", "windows to pictures", _measure_convert)
    _add_rounds(parser, 15)
    parser.add_argument("--windows", type=int, default=4096, help="we draw in a round (4096)")
    parser.add_argument(
        "--sensors", type=int, default=1, help="of each window, three axes each (1)"
    )
    _add_device(parser, 2)


def _measure_convert(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    return bench.run(args.rounds, args.windows, args.threads, args.device, sensors=args.sensors)


def _add_augment(benches: Any) -> None:
    parser = _add_bench(benches, "augment", "the sensor-aware augmentations", _measure_augment)
    _add_rounds(parser, 10)
    parser.add_argument("--batch", type=int, default=256, help="images augmented at once (256)")
    _add_device(parser, 2)
    parser.add_argument("--show", metavar="FILE", help="only draw what each operation does")


def _measure_augment(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    return bench.run(args.rounds, args.batch, args.threads, args.device)


def _add_pack(benches: Any) -> None:
    parser = _add_bench(benches, "pack", "photographs to a packed store", _measure_pack)
    _add_rounds(parser, 20)
    parser.add_argument("--photos", metavar="DIR", help="class/image.jpg ($IMG2IMU_DATA/photos)")


def _measure_pack(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    return bench.run(args.photos, args.rounds)


def _add_pretrain(benches: Any) -> None:
    parser = _add_bench(benches, "pretrain", "steps of MoCo, and their parts", _measure_pretrain)
    parser.add_argument("--steps", type=int, help="in a round (64 on CUDA, 2 on the CPU)")
    _add_rounds(parser, 5)
    parser.add_argument("--batch", type=int, default=256, help="images in a step (256)")
    parser.add_argument("--size", default="128x96", metavar="WxH", help="of the images (128x96)")
    _add_device(parser, None, "CPU threads, and lightly's workers")
    parser.add_argument("--compile", action="store_true", help="our encoders")


def _measure_pretrain(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    width, height = parse_size(args.size)
    return bench.run(
        args.steps, args.rounds, args.batch, width, height, args.threads, args.device, args.compile
    )


def _measure_probe(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    return bench.run(progress_bar)


def _add_inference(benches: Any) -> None:
    parser = _add_bench(benches, "inference", "exported files, window to label", _measure_inference)
    parser.add_argument(
        "windows", nargs="?", metavar="WINDOWS", help="also compare files, and peers, on these"
    )
    parser.add_argument(
        "--figure", metavar="FILE", help="draw latency against macro-F1 on WINDOWS (.png)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each contestant (5)")
    _add_rounds(parser, 10)
    parser.add_argument(
        "--encoders", nargs="+", default=[], metavar="NAME", help="compare timm encoders on WINDOWS"
    )
    parser.add_argument("--weights", metavar="FILE", help="of the one encoder named (random)")


def _measure_inference(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    return bench.run(
        args.windows, args.encoders, args.weights, args.seconds, args.rounds, progress_bar
    )


def _add_android(benches: Any) -> None:
    from ..bench.android import MODES, PROVIDERS, VARIANTS

    parser = _add_bench(benches, "android", "exported files on a phone, over adb", _measure_android)
    parser.add_argument("--apk", metavar="FILE", help="install it first (the app that is there)")
    of = parser.add_mutually_exclusive_group()
    of.add_argument(
        "--model", nargs="+", default=[], metavar="FILE", help=".onnx or .ort (the app's own)"
    )
    of.add_argument(
        "--form", choices=VARIANTS, default=VARIANTS[0], help=f"of the app's own ({VARIANTS[0]})"
    )
    parser.add_argument("--mode", choices=tuple(MODES), default="burst", help="(burst)")
    parser.add_argument("--threads", type=int, default=1, help="of the runtime (1)")
    parser.add_argument("--provider", choices=PROVIDERS, default="cpu", help="(cpu)")
    parser.add_argument("--runs", type=int, help="of each stage, at least (200; paced 100)")
    parser.add_argument("--seconds", type=float, help="and so long (5; paced 60; sustained 600)")
    parser.add_argument("--cool-down", type=float, default=0, help="seconds to wait before (0)")
    parser.add_argument("--serial", help="of the phone, where several are attached")
    parser.add_argument("--timeout", type=float, default=600, help="seconds on top (600)")


def _measure_android(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    asked = bench.PhoneRun(
        args.form, args.mode, args.threads, args.provider, args.runs, args.seconds, args.cool_down
    )
    apk = Path(args.apk) if args.apk else None
    models = [Path(name) for name in args.model]
    return bench.run(apk, models, asked, args.serial, args.timeout, progress_bar)


def _add_web(benches: Any) -> None:
    parser = _add_bench(benches, "web", "a model in a phone's browser", _measure_web)
    parser.add_argument("model", help="classifier folder, or a page of export --to web")
    parser.add_argument("--host", help="address to serve at (this computer's in its network)")
    parser.add_argument("--port", type=int, default=0, help="to serve at (one that is free)")
    parser.add_argument("--seconds", type=int, default=10, help="in a burst, and paced (10)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait (600)")


def _measure_web(bench: Any, args: argparse.Namespace) -> dict[str, Any]:
    return bench.run(args.model, args.host, args.port, args.seconds, args.timeout, progress_bar)
