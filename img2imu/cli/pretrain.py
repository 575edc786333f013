"""``img2imu pretrain``: an encoder out of images, or out of windows for comparison."""

from __future__ import annotations

import argparse
import inspect
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from ..errors import InputError
from ..files import write_json
from .options import parse_size, progress_bar

if TYPE_CHECKING:
    from ..pretrain import PretrainConfig

_EXAMPLES = """\
examples:
  img2imu pretrain --source imagenet.store -o out/moco
  img2imu pretrain --source imagenet.store --init resnet18.tv_in1k --epochs 5 -o out/adapted
  img2imu pretrain --source dead-leaves --count 100000 --size 64x48 -o out/leaves
  img2imu pretrain --source windows.npz --method simclr -o out/simclr
  torchrun --nproc-per-node 8 -m img2imu pretrain --source imagenet.store --preset paper -o out/p
Repeat the command to go on with an interrupted run.
"""


def register(subparsers: Any) -> None:
    """Add the command ``pretrain`` to the parser."""
    from ..pretrain.config import METHOD_CONFIGS, RECIPES, PretrainConfig

    parser = subparsers.add_parser(
        "pretrain",
        help="train an encoder on images: MoCo, SimSiam, supervised",
        usage="img2imu pretrain --source STORE|NAME|FILE.npz -o DIR [options]",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--source", required=True, metavar="...",
        help="packed store; dead-leaves, color-noise, fractals: images made on the way; or "
        "windows (.npz) for simclr, multitask, cpc",
    )  # fmt: skip
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder of the run")
    parser.add_argument("--preset", choices=tuple(RECIPES), default="recommended")
    parser.add_argument("--method", choices=tuple(METHOD_CONFIGS), default="moco")
    settings = parser.add_argument_group("settings (the preset's where not given)")
    for kind in (PretrainConfig, *METHOD_CONFIGS.values()):
        _add_settings(settings, kind)
    made = parser.add_argument_group("images made on the way")
    made.add_argument("--size", default="128x96", metavar="WxH", help="of each (128x96)")
    made.add_argument("--count", type=int, default=100_000, help="in an epoch (100000)")
    run = parser.add_argument_group("run")
    run.add_argument("--device", choices=("cpu", "cuda"), help="CUDA where there is one")
    run.add_argument("--compile", action="store_true", help="compile; on CUDA with CUDA graphs")
    run.add_argument("--transfer", metavar="FILE.npz", help="windows probed during training")
    run.add_argument("--transfer-every", type=int, default=1, metavar="EPOCHS", help="(1)")
    run.add_argument("--json", metavar="FILE", help="write the last epoch's numbers")
    parser.set_defaults(run=run_pretrain)


def run_pretrain(args: argparse.Namespace) -> None:
    """Train, and say where the encoder lies."""
    from ..pretrain import join_world, pretrain
    from ..pretrain.monitors import read_columns
    from ..report.figures import draw_training, save_png

    config = _config(args)
    source = open_source(args.source, args.size, args.count)
    out, after = Path(args.out), None
    if args.transfer:
        after = _transfer(args.transfer, args.transfer_every, config, out)
    with join_world(args.device) as world:
        last = pretrain(
            config,
            source,
            out,
            world,
            compile=args.compile,
            progress=progress_bar,
            after_epoch=after,
            say=lambda sentence: print(sentence, file=sys.stderr),
        )
        if not world.first:
            return
    if (out / "epochs.csv").is_file():
        save_png(out / "curves.png", draw_training({out.name: read_columns(out / "epochs.csv")}))
    for name, value in last.items():
        print(f"{name:<18}{value:.4g}" if isinstance(value, float) else f"{name:<18}{value}")
    print(f"encoder in {out / 'encoder.safetensors'}")
    if args.json:
        write_json(args.json, last)


def open_source(name: str, size: str, count: int) -> Any:
    """A packed store, procedural images by name, or a windows file."""
    from ..images import ImageStore, ProceduralImages
    from ..images.procedural import PROCEDURES
    from ..pretrain import WindowsSource
    from ..recordings import load_windows

    if name.endswith(".npz"):
        windows = load_windows(name)
        return WindowsSource(windows.X, windows.sampling_rate)
    if name not in PROCEDURES:
        # One process is enough to compare the pixels with their hashes; it takes seconds.
        return ImageStore.open(name, verify=os.environ.get("RANK", "0") == "0")
    return ProceduralImages(name, count, *parse_size(size))


def _add_settings(group: Any, kind: type) -> None:
    """One option for each plain field of a settings class; nothing where it is not given."""
    hints, described = get_type_hints(kind), _descriptions(kind)
    for each in fields(kind):
        hint, option = hints[each.name], "--" + each.name.replace("_", "-")
        known = {option for action in group._group_actions for option in action.option_strings}
        if each.name == "method" or option in known:
            continue
        if hint == tuple[int, ...]:
            group.add_argument(
                option,
                type=int,
                nargs="+",
                default=argparse.SUPPRESS,
                metavar="N",
                help=described[each.name],
            )
            continue
        choices = [value for value in get_args(hint) if isinstance(value, str)]
        plain = next((part for part in (hint, *get_args(hint)) if part in (int, float, str)), str)
        group.add_argument(
            option, type=plain, choices=choices or None, default=argparse.SUPPRESS,
            metavar=None if choices else plain.__name__.upper(), help=described[each.name],
        )  # fmt: skip


def _descriptions(kind: type) -> dict[str, str]:
    """Of each field the first clause that the docstring says about it."""
    described: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if line.startswith("    "):
            for name in names:
                described[name] = f"{described.get(name, '')} {line.strip()}".strip()
        else:
            names = [name.strip() for name in line.split(",")]
    return {name: re.split(r"[.:;](?:\s|$)", text)[0] for name, text in described.items()}


def _config(args: argparse.Namespace) -> Any:
    """The preset's settings, replaced where an option was given."""
    from ..pretrain.config import RECIPES, PretrainConfig

    if args.method not in RECIPES[args.preset]:
        raise InputError(f"preset {args.preset} has no method {args.method}")
    config = RECIPES[args.preset][args.method]
    given = vars(args)
    own = {each.name for each in fields(config.method)}
    shared = {each.name for each in fields(PretrainConfig)} - {"method"}
    foreign = _settings_of_methods() & given.keys() - own - shared
    if foreign:
        raise InputError(f"--{min(foreign).replace('_', '-')} is no setting of {args.method}")
    method = replace(config.method, **{name: given[name] for name in own & given.keys()})
    return replace(config, method=method, **{name: given[name] for name in shared & given.keys()})


def _settings_of_methods() -> set[str]:
    from ..pretrain.config import METHOD_CONFIGS

    return {each.name for kind in METHOD_CONFIGS.values() for each in fields(kind)}


def _transfer(
    path: str, every: int, config: PretrainConfig, out: Path
) -> Callable[[int, Any], dict[str, float]]:
    """Few-shot macro-F1 on the windows' validation subjects, every so many epochs."""
    from ..fewshot import ProbeConfig, evaluate
    from ..models import EncoderConfig
    from ..pretrain.checkpoint import save_encoder
    from ..recordings import load_windows

    windows = load_windows(path)
    read = EncoderConfig(config.encoder)
    if not config.reads_windows:
        # Stage 2 says most, where the encoder goes so far.
        read = replace(read, stages=(min(2, max(config.stages)),))

    def after_epoch(epoch: int, encoder: Any) -> dict[str, float]:
        if epoch % every:
            return {"transfer": math.nan}
        with TemporaryDirectory(dir=out) as folder:
            weights = Path(folder, "encoder.safetensors")
            save_encoder(weights, encoder)
            probe = ProbeConfig(encoder=replace(read, checkpoint=str(weights)))
            [result] = evaluate(windows, probe, ["img2imu"], cache=Path(folder))["results"]
        return {"transfer": result["validation_f1"]}

    return after_epoch
