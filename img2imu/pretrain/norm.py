"""Batch norm over as many images as meant, whichever processes these lie in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..errors import InputError
from .distributed import World, gather, gather_with_gradient


class GroupedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics are those of each of `splits` equal parts of the joined batch.

    With one part, statistics are of the images of all processes, so that their number changes
    nothing. With more, no part knows of the others: a contrastive loss can be lowered by reading,
    out of shared statistics, which images are in the batch; parts with statistics of their own,
    and keys shuffled over them, prevent it (MoCo, §3.3).

    Running statistics move once for each batch, and are the same in all processes: towards the
    mean over the parts of their means and of their unbiased variances, as if the statistics of
    GPUs were averaged of which each had a part. In evaluation mode this is plain batch norm.
    """

    splits = 1
    world = World(torch.device("cpu"))

    def forward(self, batch: Tensor) -> Tensor:
        """Normalise this process' images, (n, channels, ...)."""
        if not self.training:
            normalised = F.batch_norm(
                batch, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        elif self.splits < self.world.size:
            normalised = self._among_others(batch)
        else:
            normalised = self._in_parts(batch)
        # What timm's BatchNormAct2d does behind its norm.
        for name in ("drop", "act"):
            if name in self._modules:
                normalised = getattr(self, name)(normalised)
        return normalised

    def _in_parts(self, batch: Tensor) -> Tensor:
        """One part or several lie in this process."""
        count = self.splits // self.world.size
        shape = (count, self.num_features)
        mean, var = (torch.zeros(shape, device=batch.device) for _ in range(2))
        # With a momentum of 1, "running" statistics become those of the part.
        normalised = [
            F.batch_norm(part, own_mean, own_var, self.weight, self.bias, True, 1.0, self.eps)
            for part, own_mean, own_var in zip(batch.chunk(count), mean, var, strict=True)
        ]
        self._follow(gather(mean).mean(0), gather(var).mean(0))
        return torch.cat(normalised)

    def _among_others(self, batch: Tensor) -> Tensor:
        """The part lies in this process and in others."""
        size = self.world.size // self.splits
        values = batch.float()
        own_var, own_mean = torch.var_mean(values, [0, *range(2, batch.ndim)], correction=0)
        everyone = gather_with_gradient(torch.stack([own_mean, own_var])[None])
        # Of each part's processes: (splits, size, channels) each.
        means, variances = everyone.unflatten(0, (self.splits, size)).unbind(2)
        mean = means.mean(1)
        var = (variances + (means - mean[:, None]).square()).mean(1)
        count = size * batch.numel() // self.num_features
        self._follow(mean.detach().mean(0), var.detach().mean(0) * (count / (count - 1)))
        part = self.world.rank // size
        scale = (var[part] + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shape = (1, -1, *[1] * (batch.ndim - 2))
        normalised = (values - mean[part].view(shape)) * scale.view(shape)
        if self.bias is not None:
            normalised = normalised + self.bias.view(shape)
        return normalised.to(batch.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if not self.track_running_stats:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, var)):
            assert running is not None
            running.lerp_(now, share)


def group_batch_norm(network: nn.Module, splits: int, world: World) -> nn.Module:
    """Turn every batch norm of `network` into one of `splits` parts of the joined batch, in place.

    Where this is what it does anyway, it is left alone.

    Raises
    ------
    InputError
        If the parts cannot be dealt out to the processes.
    """
    if splits % world.size and world.size % splits:
        raise InputError(
            f"splits ({splits}) must be a multiple or a divisor of the {world.size} processes"
        )
    for module in network.modules():
        norm: Any = module
        alone = splits == world.size == 1
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not alone:
            norm.__class__ = GroupedBatchNorm
            norm.splits, norm.world = splits, world
    return network
