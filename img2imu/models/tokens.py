"""A vision transformer that reads pictures patch by patch, without those that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..errors import InputError
from .config import IMAGENET_MEAN, IMAGENET_STD

EMBEDDING_DEVIATION = 0.02
"""Of what is learnt of each picture, at the start: timm's for positions."""


class TokenBackbone(nn.Module):
    """Several pictures of a window as one sequence of tokens, to be trained.

    A token is a patch of a picture; it is missing where one of its pixels is NaN. Each has the
    embedding of its place in the picture, and one learnt for the picture: its sensor and view.

    Parameters
    ----------
    network
        timm's vision transformer as it is read at some blocks; the tensors keep their names.
    names
        Of the pictures, in their order.

    Attributes
    ----------
    width : int
        Features of a token.
    patch : tuple of int
        Its height and width in pixels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = network
        embedding: Any = network.patch_embed
        self.patch: tuple[int, int] = embedding.patch_size
        self.width = int(network.embed_dim)  # type: ignore[arg-type]
        self.names = tuple(names)
        self.view_embed = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(self.width).normal_(std=EMBEDDING_DEVIATION))
                for name in names
            }
        )
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches in a picture.

        Raises
        ------
        InputError
            If it does not divide into patches.
        """
        rows, columns = height / self.patch[0], width / self.patch[1]
        if rows % 1 or columns % 1:
            raise InputError(
                f"a picture {width} wide and {height} high does not divide into patches of "
                f"{self.patch[1]}x{self.patch[0]}: choose another transformer"
            )
        return int(rows), int(columns)

    def missing(self, images: Tensor) -> Tensor:
        """Which tokens are missing: (n, pictures, 3, height, width) to (n, pictures, tokens)."""
        lost = images.isnan().any(dim=2).to(torch.float32)
        return F.max_pool2d(lost, self.patch).flatten(2) > 0

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (n, pictures, 3, height, width) in [0, 1], NaN where missing, to tokens.

        Returns
        -------
        prefix : Tensor of shape (n, prefix tokens, width)
            The class token and such, which stand for no patch.
        tokens : Tensor of shape (n, pictures * tokens of each, width)
        """
        flat = (images.flatten(0, 1).nan_to_num(0.0) - self.mean) / self.deviation
        network: Any = self.model
        placed = network._pos_embed(network.patch_embed(flat)).unflatten(0, images.shape[:2])
        count = network.num_prefix_tokens
        views = torch.stack([self.view_embed[name] for name in self.names])
        tokens = placed[:, :, count:] + views[:, None]
        return placed[:, 0, :count], tokens.flatten(1, 2)

    def read(self, prefix: Tensor, tokens: Tensor, visible: Tensor) -> list[Tensor]:
        """What each block makes of `tokens` (n, length, width), seeing the `visible` ones alone.

        What it makes of others, `visible` (n, length) being false, is to be left alone.
        """
        count = prefix.shape[1]
        seen = F.pad(visible, (count, 0), value=True)[:, None, None]
        network: Any = self.model
        x = network.norm_pre(torch.cat([prefix, tokens], dim=1))
        states = []
        for block in network.blocks:
            x = block(x, attn_mask=seen)
            states.append(x[:, count:])
        return states


class TokenEncoder(nn.Module):
    """A frozen :class:`TokenBackbone`: the mean over observed tokens in each row of patches.

    Rows are those of all pictures, each sensor's and view's by itself: what a picture shows in a
    row is averaged over time, where it is observed. A picture that is missing from beginning to
    end has the mean over all tokens that are observed in its stead.

    Parameters
    ----------
    backbone
        Reads the tokens.
    stages
        Numbers of the blocks read.
    """

    bands = 1

    def __init__(self, backbone: TokenBackbone, stages: Sequence[int]) -> None:
        super().__init__()
        self.backbone, self.stages = backbone, tuple(stages)

    def extra_repr(self) -> str:
        """What tells this encoder from others with the same network."""
        return f"stages={self.stages}"

    def stage_features(self, images: Tensor) -> list[Tensor]:
        """Pictures (n, pictures, 3, height, width) in [0, 1], NaN where missing, to features.

        Returns
        -------
        list of Tensor, each of shape (n, features)
            One for each stage read.
        """
        visible = ~self.backbone.missing(images)
        prefix, tokens = self.backbone.embed(images)
        states = self.backbone.read(prefix, tokens, visible.flatten(1))
        grid = self.backbone.grid(*images.shape[-2:])
        return [observed_mean(states[stage], visible, grid) for stage in self.stages]

    def forward(self, images: Tensor) -> Tensor:
        """The features of all stages read, one after the other: (n, features)."""
        return torch.cat(self.stage_features(images), dim=1)


def observed_mean(states: Tensor, visible: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean over time of the tokens that are visible, of each picture.

    Parameters
    ----------
    states
        (n, pictures * tokens, width).
    visible
        (n, pictures, tokens).
    grid
        Rows and columns of a picture's tokens.
    """
    states = states.float().unflatten(1, visible.shape[1:]).unflatten(2, grid)
    weight = visible.unflatten(2, grid)[..., None].float()
    sums, counts = (states * weight).sum(3), weight.sum(3)
    overall = sums.sum((1, 2), keepdim=True) / counts.sum((1, 2), keepdim=True).clamp(min=1)
    return torch.where(counts > 0, sums / counts.clamp(min=1), overall).flatten(1)
