"""Batch norm over parts of a batch, as if each part lay on a GPU of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics are those of each of `splits` equal parts of the batch.

    A contrastive loss can be lowered by reading, out of shared statistics, which images are in
    the batch; parts with statistics of their own, and keys shuffled over them, prevent it (MoCo,
    §3.3). In evaluation mode this is plain batch norm.
    """

    splits = 1

    def forward(self, images: Tensor) -> Tensor:
        """Normalise (n, channels, height, width)."""
        if not self.training or self.splits == 1:
            return super().forward(images)
        norm = super().forward
        return torch.cat([norm(part) for part in images.chunk(self.splits)])


def split_batch_norm(network: nn.Module, splits: int) -> nn.Module:
    """Turn every batch norm of `network` into one of `splits` parts, in place."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SplitBatchNorm2d
            setattr(module, "splits", splits)  # noqa: B010
    return network
