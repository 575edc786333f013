"""The folder of a run: what identifies it, and that nothing else is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist

from ..errors import InputError
from ..files import locked, require_folder
from ..models import checkpoints
from ..settings import read_sealed, write_sealed
from .config import PretrainConfig
from .distributed import World
from .method_config import AIMConfig, SensorMethodConfig, SimCLRConfig
from .sources.pictures import PictureSource
from .sources.sensors import SensorSource
from .sources.sets import WindowSets
from .sources.tokens import TokenSource
from .sources.windows import WindowsSource
from .trainer import AnySource

SETTINGS = "config.json"


def require_readable(config: PretrainConfig, source: AnySource) -> None:
    """Raise :class:`InputError` for windows where images are wanted, or the other way round."""
    if isinstance(source, TokenSource) != isinstance(config.method, AIMConfig):
        raise InputError(
            "aim learns from windows files (.npz)"
            if isinstance(config.method, AIMConfig)
            else f"{config.method_name} learns from complete windows"
        )
    kinds = ("images", "windows")
    signals = isinstance(source, WindowsSource) or (
        isinstance(source, SensorSource) and not source.pictures
    )
    has, wants = kinds[signals], kinds[config.reads_windows]
    if has != wants:
        raise InputError(
            f"{config.method_name} with the encoder {config.encoder} learns from {wants}, "
            f"and the source holds {has}"
        )
    if isinstance(config.method, SensorMethodConfig) and not isinstance(source, SensorSource):
        raise InputError(f"{config.method_name} learns from the sensors of windows: a SensorSource")
    if config.neighbours and not isinstance(source, PictureSource):
        raise InputError("neighbours are windows next in time: they need windows files (.npz)")
    # A picture of a window is drawn anew for each view; an image is read once.
    same = config.policy == "none" and not isinstance(source, WindowsSource | WindowSets)
    if same and isinstance(config.method, SimCLRConfig):
        raise InputError("two views of an image would be the same: simclr wants a policy")


def require_same_run(out: Path, config: PretrainConfig, source: AnySource) -> None:
    """Raise :class:`InputError` if the folder holds something else than this very run."""
    require_folder(out)
    path = out / SETTINGS
    if not path.is_file():
        if out.is_dir() and any(not _passing(each.name) for each in out.iterdir()):
            raise InputError(f"{out} is not empty and holds no run: choose another folder")
        return
    before = read_sealed(path)
    differing = config.differences(PretrainConfig.from_dict(before.get("pretrain"), str(path)))
    if before.get("source") != describe_source(source):
        differing.append("source")
    if differing:
        raise InputError(
            f"{out} holds a run with other settings ({', '.join(differing)}): "
            "repeat it as it was, or choose another folder"
        )


def _passing(name: str) -> bool:
    """Whether a file is what a run leaves that was killed before it began."""
    return name == ".lock" or name.startswith(".partial-")


@contextmanager
def run_folder(
    out: Path, config: PretrainConfig, source: AnySource, world: World
) -> Iterator[None]:
    """The folder of a run, which is its own meanwhile, with the settings in it.

    Made only now that all settings have proved possible.

    Raises
    ------
    InputError
        If another run is at work there, or has been; if the disk is full.
    """
    with ExitStack() as held:
        if world.first:
            held.enter_context(checkpoints.full_disk_told(out))
            out.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(out))
            # Another process may have been quicker.
            require_same_run(out, config, source)
            if not (out / SETTINGS).is_file():
                described = {"pretrain": config.to_dict(), "source": describe_source(source)}
                write_sealed(out / SETTINGS, described)
        if dist.is_initialized():
            dist.barrier()
        yield


def describe_source(source: AnySource) -> dict[str, Any]:
    """What identifies the images or windows of a run."""
    if isinstance(source, WindowsSource | WindowSets):
        return source.describe()
    manifest = getattr(source, "manifest", None)
    if manifest is not None:
        pixels = hashlib.sha256("".join(block["sha256"] for block in manifest["blocks"]).encode())
        shape = {name: manifest[name] for name in ("count", "width", "height", "labels_sha256")}
        return {**shape, "blocks_sha256": pixels.hexdigest()}
    names = ("name", "width", "height")
    return {"count": len(source), **{name: getattr(source, name, None) for name in names}}
