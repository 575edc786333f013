"""From a probe to a fine-tuned network: one readable loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..augment import FusedSensorAware, create_policy
from ..augment.signals import rotate, scale, shift
from ..convert import Views
from ..convert.engine import to_bytes
from ..errors import InputError
from ..models import checkpoints
from ..recordings.sensors import units_of
from .classifier import Img2ImuNetwork
from .config import GENTLE, WARMUP, FinetuneConfig
from .features import fast_precision
from .metrics import confusion_matrix, macro_f1

CLIP = 1.0
"""Largest norm of the gradient."""


class Labelled(NamedTuple):
    """Windows (n, 3 * sensors, samples), float32, and their class numbers (n,)."""

    windows: NDArray[np.float32]
    labels: NDArray[np.int_]


@dataclass
class History:
    """What happened, epoch by epoch.

    Attributes
    ----------
    validation_f1
        Macro-F1 on validation subjects: of the probe, then after each epoch.
    loss
        Mean cross-entropy of each epoch.
    """

    validation_f1: list[float]
    loss: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The epoch with the best score, the first of equal ones; 0 is the probe."""
        return int(np.argmax(self.validation_f1))

    def ended(self, config: FinetuneConfig) -> bool:
        """Whether nothing more is to be expected."""
        epoch = len(self.loss)
        diverged = bool(self.loss) and not math.isfinite(self.loss[-1])
        return diverged or epoch >= config.epochs or epoch - self.best >= config.patience


def finetune(
    network: Img2ImuNetwork,
    training: Labelled,
    validation: Labelled,
    config: FinetuneConfig,
    *,
    seed: int = 0,
    device: str = "cpu",
    state: Path | None = None,
    on_epoch: Callable[[float], Any] = lambda score: None,
) -> History:
    """Train `network` in place, and leave it as it was best on `validation`.

    Parameters
    ----------
    network
        A probe: where training starts, and what stays if nothing is better.
    training, validation
        Windows of different subjects.
    config
        What is trained and how.
    seed
        Of the order and the augmentations.
    device
        Where the network runs.
    state
        File that holds everything after each epoch; an interrupted run goes on from it, bit for
        bit.
    on_epoch
        Called with the macro-F1 on `validation` after each epoch, also those done before.

    Raises
    ------
    InputError
        If the encoder has fewer stages than are to be trained, or the policy is not for pictures
        of signals.
    """
    trainer = Trainer(network, config, device)
    best = trainer.weights()
    saved = _kept(state)
    if saved is not None:
        trainer.load(saved["weights"])
        trainer.optimizer.load_state_dict(saved["optimizer"])
        history, best = History(**saved["history"]), saved["best"]
    else:
        history = History([score(network, validation, device)])
    for value in history.validation_f1[1:]:
        on_epoch(value)
    while not history.ended(config):
        history.loss.append(trainer.epoch(training, len(history.loss), seed))
        history.validation_f1.append(score(network, validation, device))
        if history.best == len(history.loss):
            best = trainer.weights()
        if state is not None:
            now = {"weights": trainer.weights(), "optimizer": trainer.optimizer.state_dict()}
            checkpoints.save(state, {**now, "best": best, "history": asdict(history)})
        on_epoch(history.validation_f1[-1])
    trainer.load(best)
    network.cpu().requires_grad_(False)
    return history


def _kept(state: Path | None) -> dict[str, Any] | None:
    """The state of an interrupted run; None where there is none, or none that can be read."""
    try:
        return checkpoints.load(state) if state is not None and state.is_file() else None
    except InputError:
        return None


class Trainer:
    """Everything that training changes, and one epoch of it.

    The network stays in evaluation mode: its batch norm is folded into the convolutions, or keeps
    the statistics it has.

    Parameters
    ----------
    network
        What learns.
    config
        What of it is trained and how.
    device
        Where.

    Raises
    ------
    InputError
        As :func:`finetune`.
    """

    def __init__(self, network: Img2ImuNetwork, config: FinetuneConfig, device: str) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.config, self.device = config, device
        self.policy = _policy(config, device)
        self.units = units_of(network.sensors)
        self.groups = parameter_groups(network, config)
        self.optimizer = torch.optim.AdamW([dict(group) for group in self.groups])
        self.trained = {
            name: value for name, value in network.named_parameters() if value.requires_grad
        }

    def epoch(self, training: Labelled, number: int, seed: int) -> float:
        """Go through the windows at least once; returns the mean loss."""
        # All that is random follows from the epoch's number: none of it needs to be saved.
        order = np.random.default_rng([seed, number])
        generator = torch.Generator(self.device).manual_seed(int(order.integers(2**62)))
        batches = self._batches(len(training.labels), order)
        losses = []
        for step, rows in enumerate(batches, start=1):
            part = learning_rate((number + step / len(batches)) / self.config.epochs)
            for own, group in zip(self.groups, self.optimizer.param_groups, strict=True):
                group["lr"] = own["lr"] * part
            windows = torch.tensor(training.windows[rows], device=self.device)
            labels = torch.tensor(training.labels[rows], device=self.device)
            loss = F.cross_entropy(_logits(self.network, self._inputs(windows, generator)), labels)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.trained.values(), CLIP)
            self.optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    def weights(self) -> dict[str, Tensor]:
        """A copy of what is trained."""
        return {name: value.detach().cpu().clone() for name, value in self.trained.items()}

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Take what :meth:`weights` gave."""
        for name, value in self.trained.items():
            value.copy_(weights[name])

    def _batches(self, count: int, order: np.random.Generator) -> list[NDArray[np.int_]]:
        """Full batches out of as many passes as it takes."""
        size = self.config.batch_size
        steps = max(self.config.steps, math.ceil(count / size))
        passes = math.ceil(steps * size / count)
        rows = np.concatenate([order.permutation(count) for _ in range(passes)])
        return list(rows[: steps * size].reshape(steps, size))

    @torch.no_grad()
    def _inputs(self, windows: Tensor, generator: torch.Generator) -> Tensor:
        """What the encoder reads of `windows`: turned, scaled, shifted; drawn, augmented again."""
        windows = rotate(windows, generator, self.config.rotate, self.units)
        windows = scale(windows, generator, self.config.scale)
        windows = shift(windows, generator, self.config.shift)
        drawn: Tensor = self.network.drawing(windows)
        if self.policy is None or not isinstance(self.network.drawing, Views):
            return drawn
        # The views of a window show one movement: what happens to one happens to all.
        params = {
            name: value.repeat_interleave(drawn.shape[1], dim=0)
            for name, value in self.policy.sample(len(drawn), drawn.device, generator).items()
        }
        # Bytes go through compiled code, ten times as fast.
        return self.policy(to_bytes(drawn.flatten(0, 1)), params).view_as(drawn)


def parameter_groups(network: Img2ImuNetwork, config: FinetuneConfig) -> list[dict[str, Any]]:
    """Head and trained stages, last stage first, each with its learning rate; they learn now.

    Raises
    ------
    InputError
        If the encoder has fewer stages.
    """
    body = getattr(network.encoder, "backbone", network.encoder)
    stages = [child for child in body.children() if any(True for _ in child.parameters())]
    if (config.stages_trained or 1) > len(stages):
        raise InputError(
            f"{config.stages_trained} stages cannot be trained: this encoder has {len(stages)}"
        )
    parts: list[tuple[nn.Module, float]] = [(network.head, config.lr)]
    for distance, stage in enumerate(stages[::-1][: config.stages_trained]):
        parts.append((stage, config.lr * config.decay**distance))
    return [{"params": list(part.requires_grad_().parameters()), "lr": lr} for part, lr in parts]


def learning_rate(progress: float) -> float:
    """Part of the highest learning rate at `progress` in [0, 1]: linear warm-up, then cosine."""
    if progress < WARMUP:
        return progress / WARMUP
    return (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP))) / 2


def score(network: Img2ImuNetwork, labelled: Labelled, device: str = "cpu") -> float:
    """Macro-F1 of the network's answers."""
    return macro_f1(confusion(network, labelled, device))


def confusion(network: Img2ImuNetwork, labelled: Labelled, device: str = "cpu") -> NDArray[np.int_]:
    """Counts of shape (classes, classes): rows are the truth, columns the network's answer."""
    network.to(device)
    answers = []
    with torch.inference_mode():
        for start in range(0, len(labelled.windows), 32):
            batch = torch.tensor(labelled.windows[start : start + 32], device=device)
            answers.append(_logits(network, network.drawing(batch)).argmax(1).cpu().numpy())
    return confusion_matrix(labelled.labels, np.concatenate(answers), network.head.out_features)


def _logits(network: Img2ImuNetwork, inputs: Tensor) -> Tensor:
    """Pictures, or windows where nothing is drawn, to logits (n, classes) in float32."""
    device = inputs.device.type
    precision = fast_precision(device)
    with torch.autocast(device, precision, enabled=precision != torch.float32):
        features = network.encoder(inputs)
    logits: Tensor = network.head(features.float())
    return logits


def _policy(config: FinetuneConfig, device: str) -> FusedSensorAware | None:
    if config.policy is None:
        return None
    named = GENTLE if config.policy == "gentle" else config.policy
    # The encoder normalises at its own door.
    policy = create_policy(named, mean=(0, 0, 0), std=(1, 1, 1))
    if not isinstance(policy, FusedSensorAware):
        raise InputError(f"policy {config.policy} is not for pictures of signals")
    return policy.to(device)
