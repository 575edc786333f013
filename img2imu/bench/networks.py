"""Networks of signals that one would take to a phone otherwise, as their papers give them."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..fewshot import Img2ImuNetwork
from ..fewshot.training import Labelled, score
from ..models import WindowEncoder

EPOCHS = 150
PATIENCE = 15
"""Epochs at most, and so many without a better score on other subjects: TinierHAR's."""

LEARNING_RATE, BATCH = 1e-3, 32
"""Of Adam, as both papers' code has it, and windows in a step."""


class DeepConvLSTM(WindowEncoder):
    """Four convolutions along time and two recurrent layers (Ordóñez & Roggen 2016).

    64 filters of 5 samples in each layer, no pooling, the channels of the sensor apart until the
    LSTM of 128 cells takes them together; its last state is read (doi 10.3390/s16010115).
    """

    width = 128
    shortest = 4 * 4 + 1

    def __init__(self, axes: int = 3) -> None:
        super().__init__(axes)
        layers: list[nn.Module] = []
        for channels in (1, 64, 64, 64):
            layers += [nn.Conv2d(channels, 64, (1, 5)), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(64 * axes, self.width, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, windows: Tensor) -> Tensor:
        """The features of windows."""
        maps = self.layers(self.normalised(windows).unsqueeze(1))
        states: Tensor = self.lstm(self.dropout(maps.flatten(1, 2).mT))[0]
        return states[:, -1]


class TinierHAR(WindowEncoder):
    """Separable convolutions with ways around them, a GRU both ways, attention over time (2025).

    Six blocks of 4, then 8 filters of 5 samples, of which the first two halve the time; 16 cells
    for each direction (arXiv 2507.07949, in the size of its published settings).
    """

    width = 2 * 16
    shortest = 16

    def __init__(self, axes: int = 3) -> None:
        super().__init__(axes)
        channels = (1, 4, 8, 8, 8, 8, 8)
        blocks = (
            SeparableBlock(before, after, pool=number < 2)
            for number, (before, after) in enumerate(pairwise(channels))
        )
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.3)
        self.gru = nn.GRU(8 * axes, self.width // 2, bidirectional=True, batch_first=True)
        self.attention = nn.Linear(self.width, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """The features of windows."""
        maps = self.blocks(self.normalised(windows).unsqueeze(1))
        states: Tensor = self.gru(self.dropout(maps.flatten(1, 2).mT))[0]
        return (states * self.attention(states).softmax(1)).sum(1)


class SeparableBlock(nn.Module):
    """A depthwise and a pointwise convolution along time, with a way around them."""

    def __init__(self, before: int, after: int, pool: bool) -> None:
        super().__init__()
        shorter = [nn.MaxPool2d((1, 2))] if pool else []
        self.main = nn.Sequential(
            nn.Conv2d(before, before, (1, 5), padding=(0, 2), groups=before),
            nn.Conv2d(before, after, 1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            *shorter,
        )
        wider = [nn.Conv2d(before, after, 1), nn.BatchNorm2d(after)] if before != after else []
        self.around = nn.Sequential(*wider, *shorter)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, axes, samples) to as many or half as many samples."""
        changed: Tensor = self.main(maps)
        return changed + self.around(maps)


NETWORKS: dict[str, type[WindowEncoder]] = {"DeepConvLSTM": DeepConvLSTM, "TinierHAR": TinierHAR}
"""By the names of their papers."""


def learn(
    encoder: WindowEncoder, classes: int, training: Labelled, judges: Labelled, seed: int
) -> Img2ImuNetwork:
    """Train a network from scratch, and keep it as it was best on other subjects.

    Parameters
    ----------
    encoder
        With random weights, normalised.
    classes
        How many there are.
    training
        The few labelled windows.
    judges
        Windows of validation subjects.
    seed
        Of the head and of the order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Img2ImuNetwork(nn.Identity(), encoder, nn.Linear(encoder.width, classes))
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        best, kept, since = -1.0, network.state_dict(), 0
        for _ in range(EPOCHS):
            _epoch(network.train(), optimizer, training)
            found = score(network.eval(), judges)
            since += 1
            if found > best:
                best, kept, since = found, deepcopy(network.state_dict()), 0
            if since >= PATIENCE:
                break
    network.load_state_dict(kept)
    return network.eval().requires_grad_(False)


def _epoch(network: nn.Module, optimizer: torch.optim.Optimizer, training: Labelled) -> None:
    order = torch.randperm(len(training.labels)).numpy()
    for rows in np.array_split(order, max(1, len(order) // BATCH)):
        windows, labels = training.windows[rows], training.labels[rows]
        loss = F.cross_entropy(network(torch.from_numpy(windows)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
