"""Options that several commands share, and the progress bars they show."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError


def add_window_options(parser: argparse.ArgumentParser) -> None:
    """How recordings are cut: the fields of ``WindowConfig``."""
    group = parser.add_argument_group("windows")
    group.add_argument("--seconds", type=float, default=5.0, help="length of a window (5)")
    group.add_argument("--overlap", type=float, default=0.5, help="share that windows share (0.5)")
    group.add_argument(
        "--sampling-rate", type=float, default=50.0, metavar="HZ", help="resample to (50)"
    )
    group.add_argument(
        "--classes", metavar="A,B,...", help="labels to keep, separated by commas (all)"
    )


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """Which encoder reads the pictures: the fields of ``EncoderConfig``, and the preset."""
    group = parser.add_argument_group("encoder")
    group.add_argument("--preset", choices=("recommended", "fast", "paper"), default="recommended")
    add_weights_options(group)
    group.add_argument("--stages", type=int, nargs="+", help="stages to choose among, or to read")


def encoder_config(args: argparse.Namespace) -> Any:
    """The ``EncoderConfig`` that :func:`add_encoder_options` describes."""
    from dataclasses import replace

    from ..probe.config import PRESETS

    encoder = chosen_encoder(args)
    if encoder.reads_windows:
        if args.stages:
            raise InputError(f"{encoder.name} reads windows: it has no stages to choose among")
        return encoder
    reading = {**PRESETS[args.preset], **({"stages": tuple(args.stages)} if args.stages else {})}
    return replace(encoder, **reading)


def add_weights_options(parser: Any) -> None:
    """Which encoder with which weights; without any of them, the toolkit's own."""
    parser.add_argument("--encoder", metavar="NAME", help="timm name (resnet18.img2imu_tin)")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--weights", metavar="FILE", help="safetensors or torch checkpoint")
    weights.add_argument(
        "--pretrained", action="store_true", help="weights by the encoder's name, downloaded"
    )


def chosen_encoder(args: argparse.Namespace) -> Any:
    """The ``EncoderConfig`` that :func:`add_weights_options` describes."""
    from ..models import DEFAULT_ENCODER, EncoderConfig

    if args.encoder in (None, DEFAULT_ENCODER.name) and not args.weights:
        return DEFAULT_ENCODER
    return EncoderConfig(args.encoder or "resnet18", args.pretrained, args.weights)


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of an option such as ``--size 128x96``."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise InputError(f"--size takes WIDTHxHEIGHT such as 128x96, not {text!r}")
    return int(width), int(height)


def progress_bar(description: str, total: int | None) -> Any:
    """A bar on standard error with time left; silent where nobody watches."""
    from tqdm import tqdm

    return tqdm(
        total=total, desc=description, file=sys.stderr, disable=None, leave=False, delay=0.5
    )


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` whole or not at all."""
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target}: the folder {target.parent} does not exist")
    partial = target.with_name(target.name + ".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(target)
