"""Methods that read each sensor of a window by itself, by their settings."""

from __future__ import annotations

from ...models import AnyBackbone
from ..config import PretrainConfig
from ..distributed import World
from ..method_config import FocalConfig, InfoMAEConfig, MMBindConfig, SemiCMTConfig
from ..sources.sensors import SensorSource
from ..sources.windows import whole_batches
from .focal import Focal
from .infomae import InfoMAE
from .mmbind import MMBind
from .semicmt import SemiCMT
from .sensor_base import SensorMethod


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
    if isinstance(config.method, InfoMAEConfig):
        batches = whole_batches(len(source), config.batch_size, world)
        steps = config.steps or config.epochs * batches
        return InfoMAE(encoder, config.method, source, share, steps, world)
    if isinstance(config.method, MMBindConfig):
        return MMBind(encoder, config.method, source, share, world)
    assert isinstance(config.method, SemiCMTConfig)
    return SemiCMT(encoder, config.method, source, share, world)
