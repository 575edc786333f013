"""How fast images are augmented, beside the same four operations from kornia's and torchvision's
stock.

Everybody starts from bytes in memory and ends with a normalised batch, and applies all four
operations to every image. torchvision draws one set of parameters for the whole batch, which is
less work and less variety. Kornia's pipeline takes part as it is and, where there is a C++
compiler, compiled.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    HueConfig,
    JitterConfig,
    PermuteXConfig,
    SensorAwareConfig,
    TranslateXConfig,
)
from ..convert import SpectrogramConfig, to_images
from ..environment import environment
from ..errors import InputError
from ..files import writing
from .convert import walking
from .timing import Contestant, race, summary

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTH, HEIGHT = 128, 96

FRACTION, CHUNKS, AMPLITUDE = 0.3, 4, 0.1
"""Of translation, permutation and noise, the same for all; the hue turns all the way round."""

OURS, STOCK, COMPILED = "img2imu fused float32", "kornia stock", "kornia stock compiled"

TARGETS = {STOCK: 10.0, COMPILED: 8.0}
"""Images per second we want over each, on two CPU cores."""

COMPILING_CALLS = 3
"""Of a compiled pipeline that are not timed: parameters drawn anew are compiled anew, once."""

Bytes = NDArray[np.uint8]


def run(
    rounds: int = 10, batch: int = 256, threads: int = 2, device: str = "cpu", seed: int = 0
) -> dict[str, Any]:
    """Time the four augmentations and their peers in turn on a batch of 128x96 RGB bytes.

    Parameters
    ----------
    rounds
        Each contestant augments the batch once in each round.
    batch
        Images.
    threads
        CPU threads torch may use.
    device
        ``"cpu"`` or ``"cuda"``, where the images lie and stay.
    seed
        Of the images.

    Returns
    -------
    dict
        ``rates`` in images per second, ``speedup`` of the fused path over each peer within the
        same round, ``agreement`` of the fused path with the kornia classes for equal parameters,
        ``environment``.

    Raises
    ------
    InputError
        If the device is not there, or a number is not positive.
    """
    import torch

    if min(rounds, batch, threads) < 1:
        raise InputError("rounds, batch and threads must be at least 1")
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"there is no device {device!r} here")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(seed)
        shape = (batch, 3, HEIGHT, WIDTH)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)
        rates = race(contestants(images), rounds)
        agreement = disagreement(images)
        facts = environment()
    finally:
        torch.set_num_threads(before)
    peers = [name for name in rates if not name.startswith("img2imu fused")]
    return {
        "benchmark": "augment",
        "settings": {
            "rounds": rounds,
            "batch": batch,
            "threads": threads,
            "device": device,
            "seed": seed,
        },
        "rates": {name: {**summary(each), "each": each} for name, each in rates.items()},
        "speedup": {peer: _speedup(rates, peer) for peer in peers},
        "agreement": agreement,
        "environment": facts,
    }


def contestants(images: Tensor) -> dict[str, Contestant]:
    """Everybody who augments, on the device of the images."""
    import torch

    from ..augment import FusedSensorAware, KorniaPolicy, create_pipeline

    config = every_image()
    entrants: dict[str, nn.Module] = {
        OURS: FusedSensorAware(config),
        "img2imu fused bfloat16": FusedSensorAware(config, dtype=torch.bfloat16),
        "img2imu classes": KorniaPolicy(create_pipeline(config)),
        STOCK: KorniaPolicy(kornia_stock()),
        "torchvision v2": torchvision_stock(),
    }
    if shutil.which(os.environ.get("CXX", "c++")):
        entrants[COMPILED] = compiled(KorniaPolicy(kornia_stock()), images)
    return {
        name: (_on(images, entrant.to(images.device)), len(images))
        for name, entrant in entrants.items()
    }


def every_image() -> SensorAwareConfig:
    """All four augmentations on every image, as near to the peers' as they can be set."""
    return SensorAwareConfig(
        TranslateXConfig((-FRACTION, FRACTION), "zeros", p=1),
        PermuteXConfig((CHUNKS, CHUNKS), p=1),
        HueConfig((-0.5, 0.5), p=1),
        JitterConfig((AMPLITUDE, AMPLITUDE), p=1),
    )


def kornia_stock() -> nn.Module:
    """The four from what kornia has; a puzzle of one row permutes along x."""
    from kornia import augmentation as K  # noqa: N812

    return K.AugmentationSequential(
        K.RandomTranslate((-FRACTION, FRACTION), p=1.0),
        K.RandomJigsaw((1, CHUNKS), p=1.0, ensure_perm=False),
        K.RandomHue((-0.5, 0.5), p=1.0),
        K.RandomGaussianNoise(std=AMPLITUDE, p=1.0),
        data_keys=["input"],
    )


def compiled(augment: nn.Module, images: Tensor) -> nn.Module:
    """The same pipeline by ``torch.compile``, compiled: minutes go by before the first batch."""
    # Kornia asks the tensors themselves what to do, which ends a graph, with a page of warnings.
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    augment.compile()
    work = _on(images, augment.to(images.device))
    for _ in range(COMPILING_CALLS):
        work()
    return augment


def torchvision_stock() -> nn.Module:
    """The four from what torchvision has; the permutation is a user's own line."""
    import torch
    from torchvision.transforms import v2

    def permute(images: Tensor) -> Tensor:
        chunks = images.chunk(CHUNKS, dim=-1)
        return torch.cat([chunks[i] for i in torch.randperm(CHUNKS)], dim=-1)

    return v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomAffine(0, translate=(FRACTION, 0)),
            v2.Lambda(permute),
            v2.ColorJitter(hue=0.5),
            v2.GaussianNoise(sigma=AMPLITUDE),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )


def disagreement(images: Tensor) -> float:
    """Largest difference of the fused path from the kornia classes, normalised, same parameters."""
    import torch

    from ..augment import FusedSensorAware, create_pipeline

    config = every_image()
    fused = FusedSensorAware(config).to(images.device)
    drawn = fused.sample(len(images), images.device)
    expected = images / 255
    with torch.inference_mode():
        for step in create_pipeline(config).children():
            expected = step(expected, params=dict(drawn))
        expected = (expected - fused.mean[:, None, None]) / fused.std[:, None, None]
        return float((fused(images, drawn) - expected).abs().max())


def table(report: dict[str, Any]) -> str:
    """The report for the eye."""
    lines = [f"{'images per second':<24}{'median':>10}{'min':>10}{'max':>10}{'IQR':>10}"]
    for name, rate in report["rates"].items():
        numbers = "".join(f"{rate[key]:>10,.0f}" for key in ("median", "min", "max", "iqr"))
        lines.append(f"{name:<24}{numbers}")
    for peer, faster in report["speedup"].items():
        wanted = f"; wanted {TARGETS[peer]:.0f}" if peer in TARGETS else ""
        lines.append(
            f"fused float32: {faster['median']:.1f} times {peer} (rounds {faster['min']:.1f} to "
            f"{faster['max']:.1f}{wanted})"
        )
    lines.append(f"fused and classes differ by at most {report['agreement']:.1e}, normalised")
    return "\n".join(lines)


def pictures(seed: int = 0) -> Bytes:
    """Four photographs and four spectrograms, (8, 3, 96, 128).

    The photographs are those in ``$IMG2IMU_DATA/photos``, or made-up scenes where there are none.
    """
    spectrograms = to_images(walking(4, seed), SpectrogramConfig(), dtype="uint8")
    return np.concatenate([photographs(4, seed), spectrograms])


def photographs(count: int, seed: int) -> Bytes:
    """Photographs (count, 3, 96, 128), spread over the folder there is."""
    from PIL import Image

    folder = os.environ.get("IMG2IMU_DATA")
    files = sorted(Path(folder, "photos").rglob("*.jpg")) if folder else []
    if len(files) < count:
        return made_up_scenes(count, seed)
    chosen = [files[i * len(files) // count] for i in range(count)]
    read = [Image.open(file).convert("RGB").resize((WIDTH, HEIGHT)) for file in chosen]
    return np.stack([np.asarray(one) for one in read]).transpose(0, 3, 1, 2)


def made_up_scenes(count: int, seed: int) -> Bytes:
    """A gradient and coloured discs, (count, 3, 96, 128)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    scenes = np.empty((count, 3, HEIGHT, WIDTH), np.uint8)
    for scene in scenes:
        tone = rng.uniform(60, 200, (3, 1, 1))
        scene[:] = tone + 50 * (y / HEIGHT - 0.5)
        for _ in range(6):
            radius, row, column = rng.uniform((6, 0, 0), (25, HEIGHT, WIDTH))
            disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
            scene[:, disc] = rng.integers(0, 256, (3, 1))
    return scenes


def show(path: str | os.PathLike[str], images: Bytes, seed: int = 0) -> None:
    """Draw one sheet: each image, each augmentation and each policy of it.

    Parameters
    ----------
    path
        Of the PNG, written whole or not at all.
    images
        (n, 3, height, width); :func:`pictures` has some.
    seed
        Of what is drawn.
    """
    from matplotlib.figure import Figure

    rows = augmented(images, seed)
    figure = Figure(figsize=(1.5 + 1.35 * len(images), 1.1 * len(rows)), dpi=130)
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02)
    cells = figure.subplots(len(rows), len(images), squeeze=False)
    for line, (name, batch) in zip(cells, rows.items(), strict=True):
        for ax, picture in zip(line, batch, strict=True):
            ax.imshow(picture)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    with writing(path) as partial:
        figure.savefig(partial, format="png")


def augmented(images: Bytes, seed: int) -> dict[str, Bytes]:
    """Each row of the sheet, (n, height, width, 3), by the name of what was done."""
    import torch

    from ..augment import POLICIES, create_pipeline
    from ..augment.kernel import STEPS

    source = torch.from_numpy(images).float() / 255
    steps: dict[str, nn.Module] = {
        "original": torch.nn.Identity(),
        **{step.__name__: step(p=1) for step in STEPS.values()},
        **{name: create_pipeline(name) for name in POLICIES},
    }
    rows = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, step in steps.items():
            drawn = (step(source).clamp(0, 1) * 255).round().byte()
            rows[name] = drawn.permute(0, 2, 3, 1).numpy()
    return rows


def _on(images: Tensor, augment: nn.Module) -> Callable[[], None]:
    import torch

    def work() -> None:
        with torch.inference_mode():
            augment(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)

    return work


def _speedup(rates: dict[str, list[float]], peer: str) -> dict[str, float]:
    pairs = zip(rates[OURS], rates[peer], strict=True)
    return summary([ours / theirs for ours, theirs in pairs])
