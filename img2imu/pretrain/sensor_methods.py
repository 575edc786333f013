"""What is learnt from windows of several sensors, each of which is read by itself."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..models import AnyBackbone, Backbone
from ..models.conv1d import LateConv1d
from .config import FocalConfig, PretrainConfig
from .distributed import World
from .methods import Measures, Method
from .sensors import SensorSource

HIDDEN = 512
"""Units of a head's hidden layer."""


class SensorMethod(Method):
    """A method that compares sensors of a window, or windows of a sensor.

    An image encoder reads the pictures of all sensors, with the same weights; ``conv1d`` is a
    network for each.

    Attributes
    ----------
    sequence
        Windows in a row of a batch that follow each other in their recording.
    """

    sequence = 1

    def __init__(self, encoder: AnyBackbone) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def forward(self, views: list[Tensor], trust: Tensor, step: int) -> Measures:
        """The loss and its companions.

        Parameters
        ----------
        views
            Of shape (sensors, n, 3, height, width) each, normalised pictures; or
            (sensors, n, 3, samples), signals as they are.
        trust
            (sensors, n): 1 where the sensor was recorded with the window, 0 where there is none.
        step
            Number of the step since the beginning of training; the same in all processes.
        """

    @property
    def width(self) -> int:
        """Features of one sensor."""
        if isinstance(self.encoder, Backbone):
            return sum(self.encoder.widths)
        assert isinstance(self.encoder, LateConv1d)
        return self.encoder.width // len(self.encoder.parts)

    def features(self, view: Tensor, there: Tensor) -> Tensor:
        """Features of each sensor that is `there`, (sensors, n, width); 0 of the others."""
        if isinstance(self.encoder, Backbone):
            some = torch.cat(self.encoder(view[there]), dim=1)
        else:
            assert isinstance(self.encoder, LateConv1d)
            each = zip(view, there, strict=True)
            some = torch.cat(
                [self.encoder.of_sensor(k)(one[rows]) for k, (one, rows) in enumerate(each)]
            )
        features = some.new_zeros(*there.shape, some.shape[1])
        features[there] = some
        return features


def create_sensor_method(
    config: PretrainConfig, encoder: AnyBackbone, source: SensorSource, world: World
) -> SensorMethod:
    """The method that `config` names, around an encoder of what `source` draws."""
    assert isinstance(config.method, FocalConfig)
    raise NotImplementedError
