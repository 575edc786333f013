"""How fast windows become pictures, beside the two usual ways of drawing them.

The usual ways take one window after the other: ``matplotlib.mlab.specgram`` or ``librosa.stft``
on its axes, decibels, min-max, flip, ``cv2.resize``, bytes. They give the same picture, which is
verified in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..convert import SpectrogramConfig, View, recommended_views, to_images
from ..environment import environment
from ..errors import InputError
from ..recordings.sensors import UNIT_OF
from .timing import Contestant, race, summary

CONFIG = SpectrogramConfig(sampling_rate=50, nfft=64, noverlap=60)
SAMPLES = 250
PEER_WINDOWS = 256
"""Windows the usual ways draw in a round: a tenth of a second or so."""

TARGETS = {"matplotlib": 20.0, "librosa": 15.0}
"""Windows per second we want over each, as bytes, on two CPU cores."""

ALONE = "img2imu uint8, one sensor"
"""What several sensors are compared with."""

Windows = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def run(
    rounds: int = 15,
    windows: int = 4096,
    threads: int = 2,
    device: str = "cpu",
    seed: int = 0,
    sensors: int = 1,
) -> dict[str, Any]:
    """Time the converter and its peers in turn on 5 s windows at 50 Hz, to 128x96 RGB.

    Of several sensors everybody draws a picture of each; ``cost`` then compares that with what one
    sensor takes.

    Parameters
    ----------
    rounds
        Each contestant draws once in each round.
    windows
        Drawn by us in a round.
    threads
        CPU threads torch may use.
    device
        ``"cuda"`` adds the torch engine on the GPU, windows and pictures resident there.
    seed
        Of the windows.
    sensors
        Triads of a window: an accelerometer, and beside it a gyroscope and a magnetometer.

    Returns
    -------
    dict
        ``rates`` in windows per second, ``speedup`` of the byte pictures over each peer within
        the same round, ``agreement`` in grey levels, ``environment``; of several sensors ``cost``,
        the seconds of a window in those of one with a single sensor.

    Raises
    ------
    InputError
        If the device is not there, or a number is not positive.
    """
    import torch

    if min(rounds, windows, threads) < 1:
        raise InputError("rounds, windows and threads must be at least 1")
    if not 1 <= sensors <= len(UNIT_OF):
        raise InputError(f"sensors must be from 1 to {len(UNIT_OF)}, not {sensors}")
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"there is no device {device!r} here")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        signal = np.concatenate([walking(windows, seed + n) for n in range(sensors)], axis=1)
        rates = race(contestants(signal, device), rounds)
        agreement = disagreement(signal[:PEER_WINDOWS])
        facts = environment()
    finally:
        torch.set_num_threads(before)
    return {
        "benchmark": "convert",
        "settings": {
            "rounds": rounds,
            "windows": windows,
            "threads": threads,
            "device": device,
            "seed": seed,
            "sensors": sensors,
            "seconds": SAMPLES / CONFIG.sampling_rate,
        },
        "rates": {name: {**summary(each), "each": each} for name, each in rates.items()},
        "speedup": {peer: _speedup(rates, peer, goal) for peer, goal in TARGETS.items()},
        "agreement": agreement,
        **({"cost": _cost(rates)} if sensors > 1 else {}),
        "environment": facts,
    }


def walking(count: int, seed: int) -> Windows:
    """Made-up steps: gravity, a gait of 1.5 to 2.5 Hz with harmonics, and sensor noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(SAMPLES) / CONFIG.sampling_rate
    pace = rng.uniform(1.5, 2.5, (count, 1, 1, 1)) * np.arange(1, 6)[:, None]
    phase = rng.uniform(0, 2 * np.pi, (count, 3, 5, 1))
    strength = rng.exponential(0.2, (count, 3, 5, 1)) / np.arange(1, 6)[:, None]
    gait = (strength * np.sin(2 * np.pi * pace * time + phase)).sum(2)
    gravity = rng.normal(size=(count, 3, 1))
    gravity /= np.linalg.norm(gravity, axis=1, keepdims=True)
    noise = rng.normal(scale=0.02, size=(count, 3, SAMPLES))
    return (gravity + gait + noise).astype(np.float32)


def contestants(signal: Windows, device: str) -> dict[str, Contestant]:
    """Everybody who draws, the slow ones with fewer windows."""
    names = sensors_of(signal)
    few = signal[:PEER_WINDOWS]
    entrants: dict[str, Contestant] = {
        "matplotlib": (lambda: one_by_one(few, matplotlib_density), len(few)),
        "librosa": (lambda: one_by_one(few, librosa_density), len(few)),
        "img2imu uint8": _drawing(signal, pictures_of(names), "uint8"),
        "img2imu float32": _drawing(signal, pictures_of(names), "float32"),
    }
    for beside in dict.fromkeys((names, names[:1])):
        views = recommended_views(CONFIG.sampling_rate, SAMPLES, sensors=beside)
        some = signal[: max(1, len(signal) // len(views)), : 3 * len(beside)]
        entrants[f"img2imu {len(views)} views uint8"] = _drawing(some, views, "uint8")
    if len(names) > 1:
        entrants[ALONE] = _drawing(signal[:, :3], pictures_of(names[:1]), "uint8")
    if device != "cpu":
        entrants[f"img2imu {device} uint8"] = on_device(signal, device), len(signal)
    return entrants


def sensors_of(signal: Windows) -> tuple[str, ...]:
    """Names of the sensors of windows: an accelerometer, a gyroscope, a magnetometer."""
    return tuple(UNIT_OF)[: signal.shape[1] // 3]


def pictures_of(names: Sequence[str]) -> tuple[SpectrogramConfig, ...]:
    """One picture of each sensor."""
    return tuple(replace(CONFIG, sensor=name) for name in names)


def _drawing(
    signal: Windows, views: Sequence[View], dtype: Literal["float32", "uint8"]
) -> Contestant:
    signal, names = np.ascontiguousarray(signal), sensors_of(signal)
    return lambda: to_images(signal, views, dtype=dtype, sensors=names), len(signal)


def on_device(signal: Windows, device: str) -> Callable[[], None]:
    """Draw windows that already lie on the device, in bytes, and leave the pictures there."""
    import torch

    from ..convert import Views
    from ..convert.engine import to_bytes
    from ..convert.images import DEVICE_CHUNK

    names = sensors_of(signal)
    module = Views(pictures_of(names), names).to(device)
    parts = torch.from_numpy(signal).to(device).split(DEVICE_CHUNK)

    def work() -> None:
        with torch.inference_mode():
            for part in parts:
                to_bytes(module(part))
        torch.cuda.synchronize(device)

    return work


def one_by_one(signal: Windows, density: Callable[[Windows], NDArray[np.floating]]) -> Bytes:
    """Pictures in bytes, (n * sensors, height, width, 3), one after the other."""
    import cv2

    signal = signal.reshape(-1, 3, SAMPLES)
    pictures = np.empty((len(signal), CONFIG.height, CONFIG.width, 3), np.uint8)
    for picture, window in zip(pictures, signal, strict=True):
        decibels = 10 * np.log10(np.maximum(density(window), CONFIG.floor))
        low = decibels.min((1, 2), keepdims=True)
        levels = (decibels - low) / (decibels.max((1, 2), keepdims=True) - low)
        upright = np.ascontiguousarray(levels[:, ::-1].transpose(1, 2, 0))
        picture[:] = cv2.resize(upright, (CONFIG.width, CONFIG.height)) * 255 + 0.5
    return pictures


def matplotlib_density(window: Windows) -> NDArray[np.floating]:
    """(3, samples) to (3, bins, frames), an axis at a time."""
    from matplotlib.mlab import specgram

    return np.stack(
        [
            specgram(axis, NFFT=CONFIG.nfft, Fs=CONFIG.sampling_rate, noverlap=CONFIG.noverlap)[0]
            for axis in window
        ]
    )


def librosa_density(window: Windows) -> NDArray[np.floating]:
    """(3, samples) to (3, bins, frames), the three axes in one call."""
    import librosa

    taper = np.hanning(CONFIG.nfft)
    spectrum = librosa.stft(
        window, n_fft=CONFIG.nfft, hop_length=CONFIG.hop, window=taper, center=False
    )
    density = np.abs(spectrum) ** 2 * (2 / (CONFIG.sampling_rate * np.sum(taper**2)))
    density[:, [0, -1]] /= 2
    return density


def disagreement(signal: Windows) -> dict[str, int]:
    """Largest difference of our byte pictures from each peer's, in grey levels of 255."""
    names = sensors_of(signal)
    drawn = to_images(signal, pictures_of(names), dtype="uint8", sensors=names).astype(int)
    ours = drawn.reshape(-1, *drawn.shape[2:]).transpose(0, 2, 3, 1)
    peers = {"matplotlib": matplotlib_density, "librosa": librosa_density}
    return {
        name: int(np.abs(ours - one_by_one(signal, density)).max())
        for name, density in peers.items()
    }


def table(report: dict[str, Any]) -> str:
    """The report for the eye."""
    lines = [f"{'windows per second':<24}{'median':>10}{'min':>10}{'max':>10}{'IQR':>10}"]
    for name, rate in report["rates"].items():
        numbers = "".join(f"{rate[key]:>10,.0f}" for key in ("median", "min", "max", "iqr"))
        lines.append(f"{name:<24}{numbers}")
    for peer, faster in report["speedup"].items():
        lines.append(
            f"bytes, {faster['median']:.1f} times {peer} (rounds {faster['min']:.1f} to "
            f"{faster['max']:.1f}; wanted {faster['target']:.0f}); pictures differ by at most "
            f"{report['agreement'][peer]} of 255"
        )
    for what, times in report.get("cost", {}).items():
        lines.append(
            f"{report['settings']['sensors']} sensors, {what}: {times['median']:.2f} times one "
            f"sensor (rounds {times['min']:.2f} to {times['max']:.2f})"
        )
    return "\n".join(lines)


def _cost(rates: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """What several sensors cost in one's, of a picture each and of the recommended views."""
    several, one = [name for name in rates if name.endswith("views uint8")]
    pairs = {"a picture each": ("img2imu uint8", ALONE), "recommended views": (several, one)}
    return {
        name: summary([b / a for a, b in zip(rates[ours], rates[alone], strict=True)])
        for name, (ours, alone) in pairs.items()
    }


def _speedup(rates: dict[str, list[float]], peer: str, target: float) -> dict[str, float]:
    pairs = zip(rates["img2imu uint8"], rates[peer], strict=True)
    return {**summary([ours / theirs for ours, theirs in pairs]), "target": target}
