"""What a checkpoint of pre-training holds, and whether one can be of this very run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..files import writing
from ..models import AnyBackbone, Backbone
from ..models.checkpoints import full_disk_told
from ..models.weights import write_tensors
from ..settings import require
from .distributed import World, gather

FILE = "checkpoint.pt"


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
    body = encoder.body if isinstance(encoder, Backbone) else encoder
    with full_disk_told(path.parent), writing(path) as partial:
        write_tensors(partial, body.state_dict())
