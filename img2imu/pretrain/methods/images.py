"""What is learnt from two augmented views of each image: MoCo, SimSiam, SimCLR, or the labels."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ...models import AnyBackbone, Backbone
from ..config import PretrainConfig
from ..distributed import World, gather, gather_with_gradient, own_part
from ..method_config import MoCoConfig, SimCLRConfig, SimSiamConfig, SupervisedConfig
from ..norm import group_batch_norm

HIDDEN = 512
"""Units of a head's hidden layer."""

Measures = dict[str, Tensor]
"""Numbers of one step, left on the device: ``loss`` is what is minimised."""


class PerStage(nn.ModuleList):
    """One module for each stage of the encoder."""

    def forward(self, parts: Iterable[Tensor]) -> Tensor:
        """Features (n, ...) of each stage to (stages, n, dim)."""
        return torch.stack([module(part) for module, part in zip(self, parts, strict=True)])


class Method(nn.Module, ABC):
    """A loss on the views of a batch, around the encoder that is kept.

    Attributes
    ----------
    encoder
        The backbone that is trained.
    views
        Augmented views of each image that :meth:`forward` takes.
    chance
        The loss of a guess.
    """

    encoder: AnyBackbone
    views = 2
    chance = 0.0

    @abstractmethod
    def forward(self, views: list[Tensor], labels: Tensor, step: int) -> Measures:
        """The loss, averaged over stages, and its companions, of the last stage.

        Parameters
        ----------
        views
            Of shape (n, 3, height, width) each, normalised: this process' part of a batch. Or
            windows (n, 3, samples) as they are.
        labels
            (n,), -1 where unknown.
        step
            Number of the step since the beginning of training; the same in all processes.
        """

    def after_step(self, progress: float) -> None:
        """What follows the optimiser's step; `progress` is the share of training done."""


class MoCo(Method):
    """Momentum contrast with a queue on the device.

    The keys of a batch enter the queue, and the key encoder follows the query's, after the
    optimiser's step: nothing that the gradient still needs is overwritten, so that the queue is
    never copied.
    """

    queue: Tensor
    pointer: Tensor

    def __init__(self, encoder: Backbone, config: MoCoConfig, world: World) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.head = PerStage(projection(config.head, width, config.dim) for width in encoder.widths)
        self.predictor: nn.Module = nn.Identity()
        if config.head == "mlp-bn":
            self.predictor = PerStage(
                perceptron(config.dim, 4 * config.dim, config.dim, norm=True)
                for _ in encoder.widths
            )
        group_batch_norm(self.encoder, config.splits, world)
        for part in (self.head, self.predictor):
            group_batch_norm(part, 1, world)
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.key_head = copy.deepcopy(self.head).requires_grad_(False)
        queue = torch.randn(len(encoder.widths), config.queue, config.dim)
        self.register_buffer("queue", F.normalize(queue, dim=2))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.chance = math.log(config.queue + 1)
        self._keys: Tensor | None = None

    def forward(self, views: list[Tensor], labels: Tensor, step: int) -> Measures:
        """InfoNCE of the first views against the second ones and the queue."""
        query = F.normalize(self.predictor(self.head(self.encoder(views[0]))).float(), dim=2)
        key = self._key(views[1], step)
        self._keys = gather(key.transpose(0, 1)).transpose(0, 1)
        logits = info_nce_logits(query, key, self.queue, self.config.temperature)
        first = torch.zeros(logits.shape[:2], dtype=torch.int64, device=logits.device)
        loss = F.cross_entropy(logits.flatten(0, 1), first.flatten())
        with torch.no_grad():
            top5 = logits[-1].topk(min(5, logits.shape[2]), dim=1).indices == 0
            measures = {"top1": top5[:, 0].float().mean(), "top5": top5.any(1).float().mean()}
            measures |= geometry(query[-1], key[-1])
        return {"loss": loss, **measures}

    def after_step(self, progress: float) -> None:
        """Let the key encoder follow, then replace the oldest keys."""
        momentum = self.momentum(progress)
        follow(self.key_encoder, self.encoder, momentum)
        follow(self.key_head, self.head, momentum)
        assert self._keys is not None, "after_step follows forward"
        enqueue(self.queue, self.pointer, self._keys)

    def momentum(self, progress: float) -> float:
        """Of the key encoder when a share of `progress` of the training is done."""
        if self.config.momentum_schedule == "constant":
            return self.config.momentum
        return 1 - (1 - self.config.momentum) * (1 + math.cos(math.pi * progress)) / 2

    @torch.no_grad()
    def _key(self, images: Tensor, step: int) -> Tensor:
        """Keys of this process' images, computed among the images of others: ShuffleBN."""
        if self.config.splits == 1:
            return F.normalize(self.key_head(self.key_encoder(images)).float(), dim=2)
        joined = gather(images)
        order = shuffled(len(joined), step).to(images.device)
        key = self.key_head(self.key_encoder(own_part(joined[order])))
        rows = F.normalize(key.float(), dim=2).transpose(0, 1)
        return own_part(gather(rows)[order.argsort()]).transpose(0, 1)


class SimSiam(Method):
    """Two views predict each other, the gradient stopped on one side."""

    def __init__(self, encoder: Backbone, config: SimSiamConfig, world: World) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = PerStage(_siamese(width, config.dim) for width in encoder.widths)
        self.predictor = PerStage(
            perceptron(config.dim, config.hidden, config.dim, norm=True) for _ in encoder.widths
        )
        group_batch_norm(self, 1, world)

    def forward(self, views: list[Tensor], labels: Tensor, step: int) -> Measures:
        """The negative cosine of each prediction and the other view's projection."""
        first, second = (self.projector(self.encoder(view)) for view in views)
        similarity = [
            F.cosine_similarity(self.predictor(one).float(), other.detach().float(), dim=2).mean()
            for one, other in ((first, second), (second, first))
        ]
        with torch.no_grad():
            pair = [F.normalize(part[-1].float(), dim=1) for part in (first, second)]
            measures = geometry(*pair)
        return {"loss": -(similarity[0] + similarity[1]) / 2, **measures}


class SimCLR(Method):
    """Each view of a batch finds the other view of its image among all others.

    After Chen et al. 2020 (arXiv 2002.05709). The others are those of all processes.
    """

    def __init__(self, encoder: Backbone, config: SimCLRConfig, batch: int, world: World) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = PerStage(projection("mlp", width, config.dim) for width in encoder.widths)
        self.temperature = config.temperature
        self.chance = math.log(2 * batch - 1)
        group_batch_norm(self, 1, world)

    def forward(self, views: list[Tensor], labels: Tensor, step: int) -> Measures:
        """NT-Xent of the joined batch: the same in every process."""
        first, second = (self._embedded(view) for view in views)
        each = [
            nt_xent_logits(one, other, self.temperature)
            for one, other in zip(first, second, strict=True)
        ]
        loss = torch.stack([F.cross_entropy(logits, target) for logits, target in each]).mean()
        with torch.no_grad():
            logits, target = each[-1]
            measures = {"top1": (logits.argmax(1) == target).float().mean()}
            measures |= geometry(first[-1], second[-1])
        return {"loss": loss, **measures}

    def _embedded(self, view: Tensor) -> Tensor:
        """(stages, n, dim) of unit length, of all processes."""
        rows = F.normalize(self.head(self.encoder(view)).float(), dim=2)
        return gather_with_gradient(rows.transpose(0, 1)).transpose(0, 1)


class Supervised(Method):
    """Cross-entropy on the labels; images without one are left out.

    Classes come in groups, and a label is one among those of its own group: the classes of a data
    set, where there are several.
    """

    views = 1
    group: Tensor

    def __init__(
        self, encoder: Backbone, groups: Sequence[int], config: SupervisedConfig, world: World
    ) -> None:
        super().__init__()
        self.encoder = encoder
        classes = sum(groups)
        numbers = torch.arange(len(groups)).repeat_interleave(torch.tensor(groups))
        self.register_buffer("group", numbers, persistent=False)
        self.classifier = PerStage(
            nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, classes))
            for width in encoder.widths
        )
        self.smoothing = config.smoothing
        self.chance = float(np.mean([math.log(size) for size in groups if size]))
        group_batch_norm(self, 1, world)

    def forward(self, views: list[Tensor], labels: Tensor, step: int) -> Measures:
        """Smoothed cross-entropy, and how often the label is first; 0 where no image has one."""
        logits = self.classifier(self.encoder(views[0])).float()
        known = (labels >= 0).sum()
        # Without a single label the mean would be of nothing: any class will do, it counts for 0.
        target = torch.where(known > 0, labels, 0)
        # Of classes that a label cannot be, the logits take no part in the loss.
        possible = self.group == self.group[target.clamp(min=0)][:, None]
        logits = logits.masked_fill(~possible, -math.inf)
        loss = smoothed_cross_entropy(logits, target, possible, self.smoothing)
        # Processes may have unequal numbers of labels: the mean is over those of the joined batch.
        counts = gather(known[None])
        total = counts.sum().clamp(min=1)
        right = (logits[-1].argmax(1) == labels).sum()
        return {
            "loss": loss * (known * len(counts) / total),
            "top1": right * len(counts) / total,
        }


def smoothed_cross_entropy(
    logits: Tensor, target: Tensor, possible: Tensor, smoothing: float
) -> Tensor:
    """Mean cross-entropy with targets smoothed over the classes that are possible.

    Parameters
    ----------
    logits
        (stages, n, classes), minus infinity where a class is not possible.
    target
        (n,), -1 where unknown.
    possible
        (n, classes).
    smoothing
        Probability that is spread over all possible classes.
    """
    logs = F.log_softmax(logits, dim=2)
    known = (target >= 0).float()
    right = logs.gather(2, target.clamp(min=0).expand(len(logs), -1)[..., None])[..., 0]
    even = logs.masked_fill(~possible, 0).sum(2) / possible.sum(1)
    each = -(1 - smoothing) * right - smoothing * even
    return (each * known).sum(1).mean() / known.sum()


def create_method(
    config: PretrainConfig, encoder: Backbone, groups: Sequence[int], world: World
) -> Method:
    """The method that `config` names, around an encoder; `groups` are numbers of classes."""
    if isinstance(config.method, MoCoConfig):
        return MoCo(encoder, config.method, world)
    if isinstance(config.method, SimSiamConfig):
        return SimSiam(encoder, config.method, world)
    if isinstance(config.method, SimCLRConfig):
        return SimCLR(encoder, config.method, config.batch_size, world)
    assert isinstance(config.method, SupervisedConfig)
    return Supervised(encoder, groups, config.method, world)


def projection(head: str, features: int, dim: int) -> nn.Module:
    """MoCo's head, version 1 (``linear``), 2 (``mlp``) or 3 (``mlp-bn``)."""
    if head == "linear":
        return nn.Linear(features, dim)
    if head == "mlp":
        return perceptron(features, HIDDEN, dim)
    projector = perceptron(features, HIDDEN, dim, norm=True)
    return nn.Sequential(projector, nn.BatchNorm1d(dim, affine=False))


def _siamese(features: int, dim: int) -> nn.Module:
    """SimSiam's projector: three layers, batch norm behind each."""
    return nn.Sequential(
        perceptron(features, features, features, norm=True),
        nn.BatchNorm1d(features),
        nn.ReLU(inplace=True),
        nn.Linear(features, dim, bias=False),
        nn.BatchNorm1d(dim, affine=False),
    )


def perceptron(features: int, hidden: int, out: int, norm: bool = False) -> nn.Sequential:
    """One hidden layer, with batch norm where asked."""
    normalise = [nn.BatchNorm1d(hidden)] if norm else []
    return nn.Sequential(
        nn.Linear(features, hidden, bias=not norm),
        *normalise,
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out, bias=not norm),
    )


def info_nce_logits(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Similarities over temperature, (stages, n, 1 + queue): the positive one first.

    All arguments are of unit length: `query` and `key` (stages, n, dim), `queue` (stages, K, dim).
    """
    positive = (query * key).sum(2, keepdim=True)
    return torch.cat([positive, query @ queue.mT], dim=2) / temperature


def nt_xent_logits(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Similarities of all views of a batch, and where each finds its other view.

    Parameters
    ----------
    first, second
        (n, dim), of unit length.
    temperature
        Of the softmax.

    Returns
    -------
    logits
        (2n, 2n); a view is not compared with itself.
    target
        (2n,) int64.
    """
    rows = torch.cat([first, second])
    logits = (rows @ rows.T / temperature).fill_diagonal_(-torch.inf)
    return logits, torch.arange(len(rows), device=rows.device).roll(len(first))


def enqueue(queue: Tensor, pointer: Tensor, keys: Tensor) -> None:
    """Write `keys` over the oldest of `queue`, wrapping around, all on the device.

    Shapes are (stages, n, dim) and (stages, K, dim). Any number of keys up to K goes in; none is
    dropped.
    """
    count, size = keys.shape[1], queue.shape[1]
    rows = (pointer + torch.arange(count, device=queue.device)) % size
    queue.index_copy_(1, rows, keys)
    pointer.add_(count).remainder_(size)


@torch.no_grad()
def follow(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Move the follower's parameters towards the leader's: f ← m f + (1 − m) l."""
    theirs: list[Tensor] = [*leader.parameters()]
    ours: list[Tensor] = [*follower.parameters()]
    if theirs:
        torch._foreach_lerp_(ours, theirs, 1 - momentum)


def shuffled(n: int, step: int) -> Tensor:
    """A permutation of n that depends on the step alone: the same in every process."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(step))


def geometry(first: Tensor, second: Tensor) -> Measures:
    """How near positives lie, how evenly all lie on the sphere, and whether they collapse.

    Alignment is the mean squared distance of positives, uniformity the log of the mean Gaussian
    potential of all pairs (Wang & Isola 2020, arXiv 2005.10242). Spread is the mean standard
    deviation of a coordinate times √dim: about 1 for an even distribution, 0 when collapsed.
    """
    squares = torch.pdist(first).square()
    return {
        "alignment": (first - second).square().sum(1).mean(),
        "uniformity": squares.mul(-2).exp().mean().log(),
        "spread": first.std(0).mean() * math.sqrt(first.shape[1]),
    }


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, object]]:
    """Trainable parameters; biases and norms without weight decay."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
