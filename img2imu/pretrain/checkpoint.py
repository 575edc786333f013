"""A run's whole state on disk: written whole or not at all, read without running code."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..files import writing
from ..models import AnyBackbone, Backbone
from ..settings import require
from .distributed import World, gather

FILE = "checkpoint.pt"

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk says that takes no more, or no more of somebody, or of a file."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at `path` by `state`; the old one stays until the new one is complete.

    Raises
    ------
    InputError
        If the disk is full.
    """
    with full_disk_told(path.parent), writing(path) as partial, partial.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Tell in one sentence that `folder` can take no more.

    Raises
    ------
    InputError
        If the disk or somebody's share of it is full, or a file as large as one may be.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        # torch's writer raises an error of its own while it handles that of the disk.
        while cause and getattr(cause, "errno", None) not in FULL:
            cause = cause.__context__
        if cause is None:
            raise
        raise InputError(
            f"the disk of {folder} is full: the last checkpoint is kept, free some space and "
            "repeat the command"
        ) from None


def load(path: Path) -> dict[str, Any]:
    """What :func:`save` wrote, on the CPU; nothing but tensors and plain values is read.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        _require_whole(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        # zipfile, the unpickler and torch each have exceptions of their own for damage.
        reason = (str(error) or repr(error)).splitlines()[0]
        raise InputError(f"{path} cannot be read as a checkpoint: {reason}") from None


def _require_whole(path: Path) -> None:
    """Compare every record with its checksum, which torch does not."""
    with zipfile.ZipFile(path) as archive:
        packed = [info for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        # None of torch's own is, and what a packed one grows to nobody knows.
        require(not packed, "a record is compressed")
        damaged = archive.testzip()
        require(damaged is None, f"{damaged} differs from its checksum")


def require_alike(
    saved: Mapping[str, Any], own: Mapping[str, Any], parameters: Sequence[Tensor], path: Path
) -> None:
    """Raise :class:`InputError` unless a checkpoint could have been written by this very run.

    Parameters
    ----------
    saved
        ``step``, ``method``, ``optimizer``, ``random`` and rows of numbers.
    own
        What this run would save before its first step.
    parameters
        Of the optimiser.
    path
        Of the file.
    """
    fits = {
        "step": lambda value: type(value) is int,
        "method": lambda value: _same_tensors(value, own["method"]),
        "optimizer": lambda value: _fits_optimizer(value, own["optimizer"], parameters),
        "random": _are_states,
    }
    names = sorted({*saved, *own}, key=str)
    wrong = [
        str(name)
        for name in names
        if name not in saved or name not in own or not fits.get(name, _are_rows)(saved[name])
    ]
    require(not wrong, f"{path} is not the checkpoint of this run: {', '.join(wrong)} cannot be")


def _same_tensors(saved: Any, own: Mapping[str, Tensor]) -> bool:
    return (
        isinstance(saved, Mapping)
        and saved.keys() == own.keys()
        and all(_like(saved[name], tensor) for name, tensor in own.items())
    )


def _like(saved: Any, own: Tensor) -> bool:
    return isinstance(saved, Tensor) and (saved.shape, saved.dtype) == (own.shape, own.dtype)


def _fits_optimizer(saved: Any, own: Mapping[str, Any], parameters: Sequence[Tensor]) -> bool:
    """Whether all but the learning rate, which is set in each step, is as it must be."""
    if not isinstance(saved, Mapping) or saved.keys() != own.keys():
        return False
    groups, state = saved["param_groups"], saved["state"]
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        return False
    if [{**group, "lr": 0} for group in groups] != [{**g, "lr": 0} for g in own["param_groups"]]:
        return False
    # What AdamW and SGD remember of a parameter.
    names = {"step", "exp_avg", "exp_avg_sq"} if "betas" in groups[0] else {"momentum_buffer"}
    count = torch.zeros(())
    return isinstance(state, Mapping) and all(
        number in range(len(parameters))
        and isinstance(kept, Mapping)
        and kept.keys() == names
        and all(
            _like(value, count if name == "step" else parameters[number])
            for name, value in kept.items()
        )
        for number, kept in state.items()
    )


def _are_states(saved: Any) -> bool:
    return (
        isinstance(saved, list)
        and len(saved) > 0
        and all(isinstance(each, Tensor) and each.dtype == torch.uint8 for each in saved)
        and all(each.ndim == 2 for each in saved)
    )


def _are_rows(saved: Any) -> bool:
    return isinstance(saved, list) and all(
        isinstance(row, dict)
        and "loss" in row
        and all(isinstance(name, str) for name in row)
        and all(type(value) in (int, float) for value in row.values())
        for row in saved
    )


def random_states(world: World) -> list[Tensor]:
    """The generators of all processes, CPU's and the device's, the same list in each process."""
    states = [gather(torch.get_rng_state()[None].to(world.device)).cpu()]
    if world.device.type == "cuda":
        own = torch.cuda.get_rng_state(world.device)[None].to(world.device)
        states.append(gather(own).cpu())
    return states


def restore_random_states(states: list[Tensor], world: World) -> None:
    """Give this process' generators the state they had.

    Raises
    ------
    InputError
        If the run had another number of processes, or was on another kind of device.
    """
    if len(states[0]) != world.size or (len(states) == 2) != (world.device.type == "cuda"):
        raise InputError(
            f"the checkpoint is of {len(states[0])} processes on "
            f"{'CUDA' if len(states) == 2 else 'the CPU'}, this run has {world.size} on "
            f"{world.device.type}: resume with what was interrupted"
        )
    try:
        # A row of a tensor lies at an offset, which torch's setter overlooks: hence the copies.
        torch.set_rng_state(states[0][world.rank].clone())
        if world.device.type == "cuda":
            torch.cuda.set_rng_state(states[1][world.rank].clone(), world.device)
    except RuntimeError as error:
        raise InputError(f"the checkpoint's random numbers cannot be: {error}") from None


def save_encoder(path: Path, encoder: AnyBackbone) -> None:
    """Write the encoder's tensors as safetensors, a timm one's under timm's names.

    Whole or not at all.

    Raises
    ------
    InputError
        If the disk is full.
    """
    # The library's own writer tells of a full disk in words of its own, and writes for one user.
    from safetensors.torch import save as to_bytes

    body = encoder.body if isinstance(encoder, Backbone) else encoder
    tensors = {name: value.contiguous().cpu() for name, value in body.state_dict().items()}
    with full_disk_told(path.parent), writing(path) as partial:
        partial.write_bytes(to_bytes(tensors))
