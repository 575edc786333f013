"""What our augmentations share: kornia classes that draw their parameters by typed settings.

Parameters have one entry for each image and are drawn in single precision, by the kornia classes
and by the fused path alike.
"""

from __future__ import annotations

from dataclasses import asdict
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from .config import Range

Parameters = dict[str, Tensor]
Device = torch.device | str | None
Flags = dict[str, Any]

if TYPE_CHECKING:
    from kornia.augmentation import AugmentationBase2D as _Kornia
else:
    _Kornia = object


class Random:
    """Random numbers for `n` images, from a generator or from torch's own."""

    def __init__(self, n: int, device: Device, generator: torch.Generator | None = None) -> None:
        self.n = n
        # torch.compile does not take generator=None together with a batch size that varies.
        given = {} if generator is None else {"generator": generator}
        self._options: dict[str, Any] = {"device": device, **given}

    def uniform(self, limits: Range, *shape: int) -> Tensor:
        """(n, *shape), float32, within `limits`."""
        low, high = limits
        unit = torch.rand((self.n, *shape), dtype=torch.float32, **self._options)
        return low + (high - low) * unit

    def whole(self, low: int, high: int, dtype: torch.dtype = torch.int64) -> Tensor:
        """(n,), from `low` to `high`, both included."""
        return torch.randint(low, high + 1, (self.n,), dtype=dtype, **self._options)

    def gate(self, p: float) -> Tensor:
        """(n,), bool: whether each image is augmented."""
        return torch.rand(self.n, **self._options) < p


class Step(_Kornia):
    """An augmentation by settings; it stands before a class of kornia's among the bases.

    Parameters
    ----------
    *settings, **named
        As the settings class takes them.
    same_on_batch
        Draw once for the whole batch.
    keepdim
        Give an image without batch dimension back without one.

    Attributes
    ----------
    Config
        The settings class; each of its instances has a probability ``p``.
    neutral
        Of each parameter that is drawn, the value that changes nothing; None where it changes
        nothing anyway as long as the others are neutral.

    Raises
    ------
    AugmentationError
        If a setting is out of its range.
    """

    Config: ClassVar[type[Any]]
    neutral: ClassVar[dict[str, float | None]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "Config" in vars(cls):
            # What help() and notebooks show.
            settings = signature(cls.Config).parameters.values()
            own = [Parameter(name, Parameter.KEYWORD_ONLY, default=False) for name in _OPTIONS]
            cls.__signature__ = Signature([*settings, *own])  # type: ignore[attr-defined]

    def __init__(
        self, *settings: Any, same_on_batch: bool = False, keepdim: bool = False, **named: Any
    ) -> None:
        config = self.Config(*settings, **named)
        super().__init__(p=config.p, same_on_batch=same_on_batch, keepdim=keepdim)
        self.config = config
        self.flags = {name: value for name, value in asdict(config).items() if name != "p"}

    @classmethod
    def draw(cls, config: Any, random: Random) -> Parameters:
        """The parameters that `neutral` names, in that order."""
        raise NotImplementedError

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Parameters:
        """Parameters for a batch; one draw shared by all images under ``same_on_batch``."""
        n = batch_shape[0]
        random = Random(1 if self.same_on_batch else n, self.device)
        drawn = self.draw(self.config, random)
        return {name: value.expand(n, *value.shape[1:]) for name, value in drawn.items()}

    @classmethod
    def is_among(cls, params: Parameters) -> bool:
        """Whether the parameters of this augmentation have been drawn."""
        return all(name in params for name in cls.neutral)

    @classmethod
    def own(cls, params: Parameters, images: Tensor) -> tuple[Tensor, ...]:
        """The parameters of this augmentation, in the order of `neutral`, where the images are."""
        return tuple(params[name].to(images.device) for name in cls.neutral)


_OPTIONS = ("same_on_batch", "keepdim")
