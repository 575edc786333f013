"""Heat maps: Grad-CAM, how two of them agree, and where most of their heat lies."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from ..fewshot import Img2ImuNetwork

BATCH = 16
"""Windows at a time; every map of the network is kept for the gradient."""

GRID = (18, 24)
"""Rows and columns in which heat is kept: as fine as the maps of a first stage."""

PARTS = ("low", "middle", "high", "first", "second", "third")
"""Thirds of the vertical axis from the bottom, then of time."""


def grad_cam(
    network: Img2ImuNetwork,
    windows: NDArray[np.float32],
    labels: NDArray[np.int_],
    stage: int,
) -> NDArray[np.float32]:
    """Where in its pictures the network finds a class: Grad-CAM (Selvaraju et al. 2017).

    The feature maps of `stage` are summed, each weighted by the mean gradient that it gets from
    the class' logit, and the positive part is kept.

    Parameters
    ----------
    network
        From raw windows to logits.
    windows
        Shape (n, 3, samples), in g.
    labels
        Shape (n,), numbers of the classes to look for.
    stage
        One that the encoder reads.

    Returns
    -------
    ndarray of shape (n, views, height, width)
        As large as the pictures, in [0, 1]: 1 where a picture is hottest, 0 everywhere if nothing
        in it speaks for the class.

    Raises
    ------
    InputError
        If the encoder reads no pictures or not at `stage`, or captum is not installed.
    """
    import torch
    from torch.nn.functional import interpolate

    try:
        from captum.attr import LayerGradCam
    except ImportError:
        raise InputError("Grad-CAM needs captum: pip install 'img2imu[studies]'") from None
    method = LayerGradCam(
        lambda images: network.head(network.encoder(images)), _layer(network, stage)
    )
    parts = []
    for start in range(0, len(windows), BATCH):
        drawn = network.drawing(torch.tensor(windows[start : start + BATCH]))
        # The encoder is frozen: without this nothing on the way to the layer has a gradient.
        images = drawn.requires_grad_()
        target = torch.tensor(labels[start : start + BATCH])
        maps = method.attribute(images, target, relu_attributions=True).detach()
        heat = interpolate(maps, images.shape[-2:], mode="bilinear")
        heat = heat.reshape(*images.shape[:2], *images.shape[-2:])
        highest = heat.amax((2, 3), keepdim=True)
        parts.append(torch.where(highest > 0, heat / highest, heat).numpy())
    return np.concatenate(parts)


def _layer(network: Img2ImuNetwork, stage: int) -> nn.Module:
    """The module whose output is the feature map of `stage`."""
    backbone = getattr(network.encoder, "backbone", None)
    info = getattr(backbone, "feature_info", None)
    if backbone is None or info is None:
        raise InputError("Grad-CAM needs an encoder that reads pictures")
    if stage not in info.out_indices:
        raise InputError(f"the encoder reads stages {tuple(info.out_indices)}, not {stage}")
    name = info.module_name()[info.out_indices.index(stage)]
    modules = dict(backbone.named_modules())
    # timm writes the dots of nested names as underscores where it has flattened a network.
    return modules.get(name) or modules[name.replace(".", "_")]


def shares(heat: NDArray[np.floating]) -> NDArray[np.floating]:
    """Shares of the heat (n, rows, columns) by :data:`PARTS`, means over windows; NaN if cold."""
    total = heat.sum((1, 2))
    heat = heat[total > 0] / total[total > 0, None, None]
    if not len(heat):
        return np.full(6, np.nan)
    mean = heat.mean(0)
    # Row 0 is the top.
    vertical = [part.sum() for part in np.array_split(mean[::-1], 3)]
    return np.array([*vertical, *(part.sum() for part in np.array_split(mean, 3, axis=1))])


def agreement(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Mean correlation of maps (n, rows, columns), window by window; NaN if none varies."""
    first, second = (maps.reshape(len(maps), -1) for maps in (one, other))
    first, second = (maps - maps.mean(1, keepdims=True) for maps in (first, second))
    norm = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    if not norm.any():
        return np.nan
    return float(((first * second).sum(1)[norm > 0] / norm[norm > 0]).mean())


def pack(heat: NDArray[np.float32]) -> str:
    """Heat (n, height, width) as text: averaged to :data:`GRID`, in 256 levels."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    coarse = adaptive_avg_pool2d(torch.from_numpy(heat), GRID).numpy()
    levels = (coarse * 255).round().astype(np.uint8)
    return base64.b64encode(zlib.compress(levels.tobytes())).decode()


def unpack(text: str, windows: int) -> NDArray[np.float64]:
    """What :func:`pack` wrote of so many windows, (n, rows, columns) in [0, 1]."""
    levels = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return levels.reshape(windows, *GRID) / 255
