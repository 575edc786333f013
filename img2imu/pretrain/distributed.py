"""One process or many: what torchrun says, and the few exchanges that pre-training needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class World:
    """This process among all; ``World(device)`` is a process alone."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0


@contextmanager
def join_world(device: str | None = None) -> Iterator[World]:
    """Join the processes that torchrun started, or be alone.

    Parameters
    ----------
    device
        ``"cuda"`` or ``"cpu"``; by default CUDA where there is one. Each process of a machine
        takes the GPU of its local rank.

    Raises
    ------
    InputError
        If the device is not there.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if kind == "cuda":
        if local >= torch.cuda.device_count():
            raise InputError(
                f"there is no CUDA device {local} here: {torch.cuda.device_count()} found"
            )
        torch.cuda.set_device(local)
    place = torch.device(kind, local) if kind == "cuda" else torch.device(kind)
    if "WORLD_SIZE" not in os.environ:
        yield World(place)
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield World(place, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


@torch.compiler.disable
def gather(tensor: Tensor) -> Tensor:
    """The tensors of all processes, joined along the first dimension in the order of ranks."""
    if not dist.is_initialized():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


@torch.compiler.disable
def gather_with_gradient(tensor: Tensor) -> Tensor:
    """:func:`gather`, through which gradients find their way back to where a row came from."""
    gathered: Tensor = _Gather.apply(tensor)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return gather(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # What every process made of this one's rows. Each has a gradient, so that all come here.
        summed = gradient.contiguous()
        if dist.is_initialized():
            dist.all_reduce(summed)
        return own_part(summed)


def own_part(joined: Tensor) -> Tensor:
    """This process' equal share of a joined tensor."""
    if not dist.is_initialized():
        return joined
    return joined.chunk(dist.get_world_size())[dist.get_rank()]
