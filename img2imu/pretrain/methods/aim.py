"""What is learnt from windows that lack samples: adaptive and inherited masking (AIM)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...convert import View
from ...models import TokenBackbone
from ..distributed import gather
from ..method_config import AIMConfig
from .images import Measures, Method

EPSILON = 1e-6
"""Added to the variance of a patch's pixels: an even patch has none."""


class AIM(Method):
    """Adaptive and inherited masking (Xu et al. 2025, arXiv 2506.05321).

    What the encoder does not see of a window is what is missing, the inherited mask, joined with
    what is drawn: for each window, with equal probability, random tokens, slices of time over all
    pictures, or whole sensors. A fixed share of all tokens, of those not seen, is left out of the
    sequence, so that all sequences are of one length; others not seen are in it, and masked in the
    attention. A decoder sees what the encoder made of the visible tokens and the places of those
    drawn, and predicts their pixels, of each patch less its mean and over its deviation. What is
    missing it neither sees nor predicts.

    Whole sensors are drawn where there are several, else whole views; of a single picture the
    other two are drawn half and half.

    The loss is the squared error over that of each patch's mean, so that a guess has 1: even
    patches, which the mean tells, count for nothing in the denominator.

    Parameters
    ----------
    encoder
        Reads the tokens.
    config
        Settings.
    views
        What the pictures show.
    """

    views = 1
    chance = 1.0

    def __init__(self, encoder: TokenBackbone, config: AIMConfig, views: Sequence[View]) -> None:
        super().__init__()
        self.encoder: TokenBackbone = encoder
        self.config = config
        self.grid = encoder.grid(views[0].height, views[0].width)
        sensors = [view.sensor for view in views]
        kinds = sensors if len(set(sensors)) > 1 else [str(number) for number in range(len(views))]
        self.units = [list(dict.fromkeys(kinds)).index(kind) for kind in kinds]
        dim, tokens = config.decoder_dim, len(views) * self.grid[0] * self.grid[1]
        self.entrance = nn.Sequential(nn.LayerNorm(encoder.width), nn.Linear(encoder.width, dim))
        self.hidden = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        self.places = nn.Parameter(torch.empty(tokens, dim).normal_(std=0.02))
        self.decoder = nn.ModuleList(_block(dim) for _ in range(config.decoder_depth))
        pixels = 3 * encoder.patch[0] * encoder.patch[1]
        self.exit = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, pixels))

    def forward(self, views: list[Tensor], labels: Tensor, step: int) -> Measures:
        """The loss on pictures (n, pictures, 3, height, width) in [0, 1], NaN where missing."""
        [images] = views
        missing = self.encoder.missing(images)
        drawn = draw_mask(missing, self.grid, self.units, self.config)
        missing, drawn = missing.flatten(1), drawn.flatten(1)
        predicted, pooled = self.predict(images, missing, drawn)
        target = patch_pixels(images, self.encoder.patch)
        wanted = drawn & ~missing
        error = (predicted.float() - target).square().sum(2)[wanted].sum()
        # Processes may have unequal numbers of tokens: the mean is over those of all.
        total = gather(target.square().sum(2)[wanted].sum()[None])
        with torch.no_grad():
            # How far windows differ, over the length of what is said of them: 0 if collapsed.
            variation = pooled.std(0).norm() / pooled.norm(dim=1).mean()
            shares = {"missing": missing.float().mean(), "masked": (missing | drawn).float().mean()}
        return {
            "loss": error * len(total) / total.sum().clamp(min=1),
            **shares,
            "variation": variation,
        }

    def predict(self, images: Tensor, missing: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder makes of every token, and the mean over those visible.

        Parameters
        ----------
        images
            As in :meth:`forward`.
        missing, drawn
            Masks of shape (n, tokens).

        Returns
        -------
        predicted : Tensor of shape (n, tokens, pixels)
        pooled : Tensor of shape (n, width)
        """
        unseen = missing | drawn
        kept = kept_tokens(unseen, self.config.dropped)
        prefix, tokens = self.encoder.embed(images)
        visible = ~unseen.gather(1, kept)
        encoded = self.encoder.read(prefix, _take(tokens, kept), visible)[-1]
        weight = visible[..., None].float()
        pooled = (encoded.detach() * weight).sum(1) / weight.sum(1).clamp(min=1)
        inner = self.entrance(encoded)
        x = self.hidden.to(inner.dtype).expand(*unseen.shape, -1)
        x = x.scatter(1, kept[..., None].expand_as(inner), inner)
        x = torch.where(unseen[..., None], self.hidden.to(inner.dtype), x) + self.places
        # Where nothing is observed there is nothing to predict, but a softmax needs something.
        seen = (~missing | missing.all(1, keepdim=True))[:, None, None]
        for block in self.decoder:
            x = block(x, attn_mask=seen)
        return self.exit(x), pooled


def draw_mask(
    missing: Tensor, grid: tuple[int, int], units: Sequence[int], config: AIMConfig
) -> Tensor:
    """Which tokens are hidden by chance, by the global generator of the device.

    Each window is masked in one of the ways that :class:`AIM` describes. Where that would leave
    nothing to see or, as all of it is missing anyway, nothing to predict, the share of random
    tokens is drawn from those observed, and one at least is left.

    Parameters
    ----------
    missing
        (n, pictures, tokens).
    grid
        Rows and columns of a picture's tokens.
    units
        Of each picture the number of what is hidden together.
    config
        The shares.

    Returns
    -------
    Tensor of the shape of `missing`
    """
    n, pictures, tokens = missing.shape
    device, columns = missing.device, grid[1]
    rank = _ranks(torch.rand(n, pictures * tokens, device=device)).view_as(missing)
    at_random = rank < round(config.mask_random * pictures * tokens)
    slices = _ranks(torch.rand(n, columns, device=device)) < _upwards(config.mask_time * columns)
    in_time = slices[:, None, None].expand(n, pictures, grid[0], columns).flatten(2)
    count = max(units) + 1
    away = _ranks(torch.rand(n, count, device=device)) < _upwards(config.mask_sensors * count)
    of_sensors = away[:, list(units)][..., None].expand_as(missing)
    way = torch.randint(3 if count > 1 else 2, (n, 1, 1), device=device)
    drawn = torch.where(way == 0, at_random, torch.where(way == 1, in_time, of_sensors))
    observed = ~missing
    useful = [(observed & part).flatten(1).any(1) for part in (drawn, ~drawn)]
    among = _ranks(torch.where(observed.flatten(1), rank.flatten(1), pictures * tokens))
    counts = observed.flatten(1).sum(1, keepdim=True)
    some = torch.minimum((config.mask_random * counts).floor(), counts - 1)
    instead = (among < some).view_as(missing)
    return torch.where((useful[0] & useful[1])[:, None, None], drawn, instead)


def kept_tokens(unseen: Tensor, share: float) -> Tensor:
    """Which tokens stay in the sequence: all that are seen, and as many others as make it even.

    Parameters
    ----------
    unseen
        (n, tokens).
    share
        Of the tokens that is dropped, or as many as no window sees.

    Returns
    -------
    Tensor of shape (n, tokens kept)
        Their numbers.
    """
    n, tokens = unseen.shape
    dropped = min(int(share * tokens), int(unseen.sum(1).min()))
    # Those that are seen come first, the others in a random order.
    order = torch.where(unseen, 1 + torch.rand(n, tokens, device=unseen.device), 0.0)
    return order.argsort(dim=1, stable=True)[:, : tokens - dropped]


def patch_pixels(images: Tensor, patch: tuple[int, int]) -> Tensor:
    """The pixels of each patch, less their mean and over their deviation; 0 where missing.

    From (n, pictures, 3, height, width) to (n, tokens, 3 * height * width of a patch), a patch's
    channels outermost.
    """
    height, width = patch
    rows = images.nan_to_num(0.0).unflatten(-1, (-1, width)).unflatten(-3, (-1, height))
    # (n, pictures, 3, rows, height, columns, width)
    pixels = rows.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(1, 3)
    variance, mean = torch.var_mean(pixels, dim=2, keepdim=True, correction=0)
    return (pixels - mean) / (variance + EPSILON).sqrt()


def _take(tokens: Tensor, rows: Tensor) -> Tensor:
    return tokens.gather(1, rows[..., None].expand(-1, -1, tokens.shape[2]))


def _ranks(scores: Tensor) -> Tensor:
    """Of each of (n, k) how many of its row are smaller."""
    return scores.argsort(dim=1).argsort(dim=1)


def _upwards(number: float) -> int:
    return -int(-number // 1)


def _block(dim: int) -> nn.Module:
    from timm.models.vision_transformer import Block

    return Block(dim, num_heads=max(1, dim // 32), qkv_bias=True)
