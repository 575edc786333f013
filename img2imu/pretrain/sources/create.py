"""What methods learn from: windows files made into the source that each of them takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import InputError
from ...recordings import Windows
from ..config import PretrainConfig
from ..method_config import AIMConfig, SensorMethodConfig
from .pictures import PictureSource
from .sensors import SensorSource
from .sets import WindowSets
from .tokens import TokenSource
from .windows import WindowsSource


def source_of_windows(
    sets: Mapping[str, Windows], config: PretrainConfig
) -> PictureSource | SensorSource | TokenSource | WindowsSource:
    """What a method learns from, out of windows.

    Parameters
    ----------
    sets
        Windows by name. Whose they are is up to the caller. Encoders of windows as they are take
        several sets of one length, rate and sensors as one; pictures are drawn of any.
    config
        Method and encoder, and whether subjects are held out.

    Raises
    ------
    InputError
        If the method cannot read them.
    """
    held, seed = config.held > 0, config.seed
    if isinstance(config.method, SensorMethodConfig):
        return SensorSource(sets, not config.reads_windows, held, seed, config.pairs)
    if isinstance(config.method, AIMConfig):
        return TokenSource(sets, held, seed)
    if not config.reads_windows:
        return PictureSource(sets, held, seed)
    forms = {
        (each.X.shape[2], float(each.sampling_rate), each.sensors): name
        for name, each in sets.items()
    }
    if len(forms) > 1:
        raise InputError(
            f"the encoder {config.encoder} reads windows of one length, rate and sensors, in "
            f"which {' and '.join(list(forms.values())[:2])} differ"
        )
    first = next(iter(sets.values()))
    X = np.concatenate([each.X for each in sets.values()])
    watched = WindowSets(sets, held, seed).watched
    return WindowsSource(X, first.sampling_rate, first.sensors, watched)
