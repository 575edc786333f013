"""A run's whole state on disk: written whole or not at all, read without running code."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..models import AnyBackbone, Backbone
from .distributed import World, gather

FILE = "checkpoint.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at `path` by `state`; the old one stays until the new one is complete.

    Raises
    ------
    InputError
        If the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            partial.unlink()
        # torch's writer tells of a full disk only in words of its own.
        full = getattr(error, "errno", None) == errno.ENOSPC or "file write failed" in str(error)
        if not full:
            raise
        raise InputError(
            f"the disk of {path.parent} is full: the last checkpoint is kept, free some space and "
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
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        # zipfile, the unpickler and torch each have exceptions of their own for damage.
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as a checkpoint: {reason}") from None


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
    # A row of a tensor lies at an offset, which torch's setter overlooks: hence the copies.
    torch.set_rng_state(states[0][world.rank].clone())
    if world.device.type == "cuda":
        torch.cuda.set_rng_state(states[1][world.rank].clone(), world.device)


def save_encoder(path: Path, encoder: AnyBackbone) -> None:
    """Write the encoder's tensors as safetensors, a timm one's under timm's names.

    Whole or not at all.
    """
    from safetensors.torch import save_file

    body = encoder.body if isinstance(encoder, Backbone) else encoder
    tensors = {name: value.contiguous().cpu() for name, value in body.state_dict().items()}
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial)
    partial.replace(path)
