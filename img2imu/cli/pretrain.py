"""``img2imu pretrain``: an encoder out of images, or out of windows."""

from __future__ import annotations

import argparse
import math
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import writable, write_json
from ..settings import require
from .options import add_json, add_output, add_settings, given, parse_size, progress_bar

if TYPE_CHECKING:
    from ..models import EncoderConfig
    from ..pretrain import PictureSource, PretrainConfig, SensorSource

_EXAMPLES = """\
examples:
  img2imu pretrain --source imagenet.store -o out/moco
  img2imu pretrain --source imagenet.store --init resnet18.tv_in1k --epochs 5 -o out/adapted
  img2imu pretrain --source mine.npz more.npz --method supervised --init FILE -o out/mine
  img2imu pretrain --source windows.npz --method simclr -o out/simclr
  torchrun --nproc-per-node 8 -m img2imu pretrain --source imagenet.store --preset paper -o out/p
Repeat the command to go on with an interrupted run.
"""


ENCODER = "encoder.safetensors"


def register(subparsers: Any) -> None:
    """Add the command ``pretrain`` to the parser."""
    from ..pretrain.config import PretrainConfig
    from ..pretrain.method_config import METHOD_CONFIGS
    from ..pretrain.recipes import RECIPES

    parser = subparsers.add_parser(
        "pretrain",
        help="train an encoder on images, or on windows",
        usage="img2imu pretrain --source STORE|NAME|FILE.npz... -o DIR [options]",
        epilog=f"{_settings_of_methods()}\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--source", required=True, nargs="+", metavar="...",
        help="packed store; dead-leaves, color-noise, fractals: images made on the way; or "
        "windows (.npz), one file or several",
    )  # fmt: skip
    add_output(parser, "folder of the run")
    parser.add_argument(
        "--preset", choices=tuple(RECIPES), help="(recommended; windows for their pictures)"
    )
    parser.add_argument("--method", choices=tuple(METHOD_CONFIGS), default="moco")
    settings = parser.add_argument_group("settings (the preset's where not given)")
    add_settings(settings, PretrainConfig, shown=False)
    for kind in METHOD_CONFIGS.values():
        hidden = {each.name: argparse.SUPPRESS for each in fields(kind)}
        add_settings(settings, kind, shown=False, helps=hidden)
    made = parser.add_argument_group("images made on the way")
    made.add_argument("--size", default="128x96", metavar="WxH", help="of each (128x96)")
    made.add_argument("--count", type=int, default=100_000, help="in an epoch (100000)")
    run = parser.add_argument_group("run")
    run.add_argument("--device", choices=("cpu", "cuda"), help="CUDA where there is one")
    run.add_argument("--compile", action="store_true", help="compile; on CUDA with CUDA graphs")
    run.add_argument("--transfer", metavar="FILE.npz", help="windows probed during training")
    run.add_argument("--transfer-every", type=int, default=1, metavar="EPOCHS", help="(1)")
    add_json(run, "write the last epoch's numbers")
    parser.set_defaults(run=run_pretrain)


def _settings_of_methods() -> str:
    """Which options each method has beside those of all: too many to be explained in one help."""
    from ..pretrain.method_config import METHOD_CONFIGS

    lines = ["settings of one method, explained in Python: help(img2imu.pretrain.FocalConfig)"]
    for name, kind in METHOD_CONFIGS.items():
        options = " ".join("--" + each.name.replace("_", "-") for each in fields(kind))
        if options:
            lines += textwrap.wrap(
                options,
                98,
                initial_indent=f"  {name:<12}",
                subsequent_indent=" " * 14,
                break_on_hyphens=False,
            )
    return "\n".join(lines) + "\n"


def run_pretrain(args: argparse.Namespace) -> None:
    """Train, and say where the encoder lies."""
    from ..pretrain import PictureSource, SensorSource, join_world, pretrain
    from ..pretrain.monitors import read_columns
    from ..report.figures import draw_training, save_png

    config = _config(args)
    if args.json:
        writable(args.json)
    source = any_source(args.source, config, args.size, args.count)
    out, after = Path(args.output), None
    if args.transfer:
        after = _transfer(args.transfer, args.transfer_every, config, source, out)
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
    print(f"encoder in {out / ENCODER}")
    if isinstance(source, PictureSource | SensorSource):
        last |= _compare(source, config, out)
    if args.json:
        write_json(args.json, last)


def any_source(names: Sequence[str], config: PretrainConfig, size: str, count: int) -> Any:
    """What is learnt from: a packed store, procedural images by name, or windows files."""
    from ..images import ImageStore, ProceduralImages
    from ..images.procedural import PROCEDURES
    from ..pretrain import source_of_windows
    from ..pretrain.method_config import AIMConfig, SensorMethodConfig
    from ..recordings import load_windows

    if _are_windows(names):
        masked = isinstance(config.method, AIMConfig)
        sets = {Path(name).stem: load_windows(name, incomplete=masked) for name in names}
        require(len(sets) == len(names), "two sources have the same name: rename one")
        return source_of_windows(sets, config)
    learns_windows = isinstance(config.method, SensorMethodConfig | AIMConfig)
    require(not learns_windows, f"{config.method_name} learns from windows files (.npz)")
    name = names[0]
    require(len(names) == 1, "several sources can only be windows files")
    if name not in PROCEDURES:
        # One process is enough to compare the pixels with their hashes; it takes seconds.
        return ImageStore.open(name, verify=os.environ.get("RANK", "0") == "0")
    return ProceduralImages(name, count, *parse_size(size))


def _are_windows(names: Sequence[str]) -> bool:
    return all(name.endswith(".npz") for name in names)


def _compare(
    source: PictureSource | SensorSource, config: PretrainConfig, out: Path
) -> dict[str, float]:
    """Whether training helped: few-shot macro-F1 among subjects that it has not seen."""
    from ..fewshot import ProbeConfig, evaluate
    from ..pretrain import SensorSource

    if not source.held:
        print("no subjects were held out: 'img2imu probe' compares encoders on other windows")
    read = _reading(config, max(config.stages))
    scores: dict[str, float] = {}
    with TemporaryDirectory(prefix=".start-", dir=out) as folder:
        initial = _initial(read, source, config, Path(folder))
        encoders = [initial, replace(read, checkpoint=str(out / ENCODER))]
        for name, windows in source.held.items():
            try:
                seen, readers = windows, encoders
                if isinstance(source, SensorSource) and config.reads_windows:
                    own = [each for each in source.sensors if each in windows.sensors]
                    seen = windows.only(own)
                    readers = [
                        _of_sensors(each, source.sensors, own, Path(folder, f"{part}.safetensors"))
                        for part, each in zip(("start", "trained"), encoders, strict=True)
                    ]
                start, trained = (
                    evaluate(seen, ProbeConfig(encoder=each), ["img2imu"])["results"][0]["f1_mean"]
                    for each in readers
                )
            except InputError as error:
                print(f"{name}: not compared, {error}")
                continue
            scores |= {f"{name}, start": start, f"{name}, trained": trained}
            print(
                f"{name}: macro-F1 from 10 labels per class among {len(windows.subjects)} subjects "
                f"held out {trained:.3f}, before training {start:.3f}"
            )
    return scores


def _of_sensors(
    encoder: EncoderConfig, trained: Sequence[str], own: Sequence[str], path: Path
) -> EncoderConfig:
    """Of an encoder that has a network for each sensor `trained` those of a set's `own`.

    They are written to `path` where they are not all.
    """
    from ..models import create_window_encoder
    from ..models.conv1d import LateConv1d
    from ..pretrain.checkpoint import save_encoder

    if len(own) == len(trained):
        return encoder
    whole = create_window_encoder(encoder, 3 * len(trained))
    assert isinstance(whole, LateConv1d)
    save_encoder(path, whole.only([trained.index(name) for name in own]))
    return replace(encoder, checkpoint=str(path))


def _initial(
    read: EncoderConfig, source: PictureSource | SensorSource, config: PretrainConfig, folder: Path
) -> EncoderConfig:
    """The encoder that training started from."""
    from ..pretrain.checkpoint import save_encoder
    from ..pretrain.recipes import start_of
    from ..pretrain.trainer import untrained_encoder

    if config.init is None and config.reads_windows:
        # By its name alone it would have neither the statistics nor a network for each sensor.
        save_encoder(folder / ENCODER, untrained_encoder(config, source))
        return replace(read, checkpoint=str(folder / ENCODER))
    return start_of(read, config.init)


def _reading(config: PretrainConfig, stage: int) -> EncoderConfig:
    """How the encoder of a run is read, of image encoders at a stage."""
    from ..models import EncoderConfig
    from ..models.config import TOKENS
    from ..pretrain.method_config import AIMConfig

    if config.reads_windows:
        return EncoderConfig(config.encoder, seed=config.seed)
    masked = isinstance(config.method, AIMConfig)
    name = (TOKENS if masked else "") + config.encoder
    return EncoderConfig(name, seed=config.seed, stages=(max(config.stages) if masked else stage,))


def _config(args: argparse.Namespace) -> PretrainConfig:
    """The preset's settings, replaced where an option was given."""
    from ..pretrain.config import PretrainConfig
    from ..pretrain.method_config import METHOD_CONFIGS
    from ..pretrain.recipes import RECIPES, recipe_of_windows

    if args.preset is None and _are_windows(args.source):
        config = recipe_of_windows(args.method, getattr(args, "encoder", None))
    else:
        preset = args.preset or "recommended"
        if args.method not in RECIPES[preset]:
            raise InputError(f"preset {preset} has no method {args.method}")
        config = RECIPES[preset][args.method]
    kind = type(config.method)
    # The name of the method is an option of its own.
    shared = {
        name: value for name, value in given(args, PretrainConfig).items() if name != "method"
    }
    known = shared.keys() | {each.name for each in fields(kind)}
    foreign = {name for each in METHOD_CONFIGS.values() for name in given(args, each)} - known
    if foreign:
        raise InputError(f"--{min(foreign).replace('_', '-')} is no setting of {args.method}")
    return replace(config, method=replace(config.method, **given(args, kind)), **shared)


def _transfer(
    path: str, every: int, config: PretrainConfig, source: Any, out: Path
) -> Callable[[int, Any], dict[str, float]]:
    """Few-shot macro-F1 on the windows' validation subjects, every so many epochs."""
    from ..fewshot import ProbeConfig, evaluate
    from ..fewshot.evaluation import require_live_axes
    from ..pretrain import SensorSource, TokenSource, WindowsSource
    from ..pretrain.checkpoint import save_encoder
    from ..recordings import UNLABELLED, SplitManifest, load_windows
    from ..recordings.plausible import require_testable

    require(every >= 1, f"--transfer-every must be at least 1, not {every}")
    windows = load_windows(path, incomplete=isinstance(source, TokenSource))
    same = isinstance(source, SensorSource | WindowsSource) and config.reads_windows
    if same or isinstance(source, TokenSource):
        require(
            windows.sensors == source.sensors,
            f"{path} is of {' and '.join(windows.sensors)}, and what is learnt from of "
            f"{' and '.join(source.sensors)}: an encoder of windows reads the same sensors",
        )
    # What cannot be probed is better known before the first epoch than after it.
    labelled = windows.select(windows.y != UNLABELLED)
    require_testable(labelled)
    require_live_axes(labelled)
    SplitManifest.create("transfer", labelled, ProbeConfig().shots, (0,))
    # Stage 2 says most, where the encoder goes so far.
    read = _reading(config, min(2, max(config.stages)))

    def after_epoch(epoch: int, encoder: Any) -> dict[str, float]:
        if epoch % every:
            return {"transfer": math.nan}
        with TemporaryDirectory(prefix=".transfer-", dir=out) as folder:
            weights = Path(folder, "encoder.safetensors")
            save_encoder(weights, encoder)
            probe = ProbeConfig(encoder=replace(read, checkpoint=str(weights)))
            [result] = evaluate(windows, probe, ["img2imu"], cache=Path(folder))["results"]
        return {"transfer": result["validation_f1"]}

    return after_epoch
