"""Methods that read each sensor of a window by itself, by their settings."""

from __future__ import annotations

from ..models import AnyBackbone
from .config import FocalConfig, PretrainConfig, SemiCMTConfig
from .distributed import World
from .focal import Focal
from .semicmt import SemiCMT
from .sensor_base import SensorMethod
from .sensors import SensorSource


def create_sensor_method(
    config: PretrainConfig, encoder: AnyBackbone, source: SensorSource, world: World
) -> SensorMethod:
    """The method that `config` names, around an encoder of what `source` draws.

    Raises
    ------
    InputError
        If the method cannot learn from the source, or in such batches.
    """
    share = config.batch_size // world.size
    if isinstance(config.method, FocalConfig):
        return Focal(encoder, config.method, source, share, world)
    assert isinstance(config.method, SemiCMTConfig)
    return SemiCMT(encoder, config.method, source, share, world)
