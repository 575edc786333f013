"""How long probing takes: features beside the bare network, fits beside scikit-learn's pipeline."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..convert import VIEW_PRESETS, Views, paper_grid
from ..environment import environment
from ..errors import InputError
from ..fewshot import READINGS, SHOTS, FeatureCache, ProbeConfig
from ..fewshot.features import BATCH, fast_precision, iter_features
from ..fewshot.learners import LogisticLearner
from ..fewshot.methods import FeatureMethod, FixedFeatures, encoder_features, learn_fold
from ..fewshot.protocol import Task, summarize
from ..models import DEFAULT_ENCODER, EncoderConfig, build_encoder
from ..progress import Progress, silent
from ..recordings import SplitManifest, WindowConfig, Windows, make_windows, open_source
from .timing import race, summary

WINDOWS = 2000
SEEDS = 5
PENALTY = 0.1
"""Inverse, of the regressions timed."""

BATCHES = 6
"""Of pictures, in a round of extraction."""

EXTRACTED: tuple[str, ...] = ("recommended", "fast")
"""Presets whose features are timed."""


def run(progress: Progress = silent, cache: FeatureCache | None = None) -> dict[str, Any]:
    """Probe 2,000 real windows: 16 grid cells × 5 folds × 6 shot counts × 5 seeds.

    The windows are 10 s long, so that no cell of the grid is degenerate. The encoder's pass is
    timed where it is not cached; the probing part starts from features on disk. The peer fits
    one fold of one cell with ``make_pipeline(StandardScaler(), LogisticRegression())`` and
    ``f1_score``, alternating with ours.

    Extraction of features, pictures included, is timed beside the encoder alone on pictures drawn
    before, in the same batches and precision.

    Returns
    -------
    dict
        Seconds of each part, fits and windows per second, peak memory, environment.
    """
    windows = _windows()
    encoder = EncoderConfig(**READINGS["paper"])
    config = ProbeConfig(preset="paper", encoder=encoder, shots=SHOTS, seeds=SEEDS)
    began = time.perf_counter()
    cache = cache or FeatureCache()
    sets = encoder_features(windows, config, cache, progress, "cpu", "img2imu")
    encoding = time.perf_counter() - began
    manifest = SplitManifest.create("bench", windows, SHOTS, range(SEEDS))
    task = Task.from_manifest(windows, manifest)
    method = FeatureMethod("img2imu", "logistic", sets, [LogisticLearner(PENALTY)])
    began = time.perf_counter()
    results = summarize(method, method.run(task, progress))
    probing = time.perf_counter() - began
    fits = len(sets) * len(manifest.draws)
    return {
        "windows": len(windows),
        "cells": len(paper_grid(50.0, windows.X.shape[-1])),
        "fits": fits,
        "encoding_seconds": round(encoding, 2),
        "probing_seconds": round(probing, 2),
        "fits_per_second": round(fits / probing, 1),
        "peer": _beside_peer(task, sets[0].of_fold(task.training[0])),
        "extraction": {preset: _extraction(windows.X, preset) for preset in EXTRACTED},
        "f1_by_shots": {r["shots"]: r["f1_mean"] for r in results},
        "peak_memory_gib": round(_peak_memory(), 2),
        "environment": environment(),
    }


def table(report: dict[str, Any]) -> str:
    """The report in four lines."""
    peer = report["peer"]
    return (
        f"{report['windows']} windows, {report['cells']} cells, {report['fits']} fits\n"
        f"encoder  {report['encoding_seconds']:8.1f} s (0 where features were on disk)\n"
        f"probing  {report['probing_seconds']:8.1f} s, {report['fits_per_second']:.0f} fits/s, "
        f"peak memory {report['peak_memory_gib']:.2f} GiB\n"
        f"one fold of one cell: {peer['ours_seconds']['median']:.3f} s, "
        f"{peer['name']} {peer['peer_seconds']['median']:.3f} s ({peer['ratio']:.2f} times)"
        + "".join(
            f"\n{preset}: {part['windows_per_second']['median']:.0f} windows/s drawn and read, "
            f"{part['share']:.2f} of the bare forward pass ({part['precision']})"
            for preset, part in report["extraction"].items()
        )
    )


def _windows() -> Windows:
    windows = make_windows(open_source("exercise"), WindowConfig(seconds=10.0, overlap=0.85))
    if len(windows) < WINDOWS:
        raise InputError(f"the exercise set gave {len(windows)} windows, {WINDOWS} are needed")
    return windows.select(np.sort(np.random.default_rng(0).permutation(len(windows))[:WINDOWS]))


def _beside_peer(task: Task, features: NDArray[np.float32], rounds: int = 3) -> dict[str, Any]:
    """Seconds for one fold of one cell, ours and the plain pipeline in turn, one process each."""
    ours, peer = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        learn_fold(task, 0, FixedFeatures({}, features), [LogisticLearner(PENALTY)], 0)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        _plain_fold(task, features)
        peer.append(time.perf_counter() - began)
    return {
        "name": "scikit-learn StandardScaler + LogisticRegression + f1_score",
        "ours_seconds": summary(ours),
        "peer_seconds": summary(peer),
        "ratio": round(float(np.median(peer) / np.median(ours)), 2),
    }


def _extraction(windows: NDArray[np.float32], preset: str, rounds: int = 5) -> dict[str, Any]:
    """Windows per second from samples to features, and of the encoder alone."""
    encoder = build_encoder(replace(DEFAULT_ENCODER, **READINGS[preset]))
    precision = fast_precision()
    [views] = VIEW_PRESETS[preset](50.0, windows.shape[-1])
    step = BATCH // len(views)
    some = windows[: BATCHES * step]
    with torch.inference_mode():
        pictures = Views(views)(torch.from_numpy(some))

    def bare() -> None:
        with torch.inference_mode(), torch.autocast("cpu", precision):
            for batch in pictures.split(step):
                encoder.stage_features(batch)

    def extraction() -> None:
        for _ in iter_features(some, views, encoder, precision=precision):
            pass

    contestants = {
        "extraction": (extraction, len(some)),
        "bare": (bare, len(some)),
    }
    rates = race(contestants, rounds)
    shares = np.array(rates["extraction"]) / np.array(rates["bare"])
    return {
        "views": len(views),
        "precision": str(precision).removeprefix("torch."),
        "windows_per_second": summary(rates["extraction"]),
        "bare_windows_per_second": summary(rates["bare"]),
        "share": round(float(np.median(shares)), 3),
    }


def _plain_fold(task: Task, features: NDArray[np.float32]) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for draw in task.manifest.draws:
        if draw.fold == 0:
            rows = np.array(draw.windows)
            # The tolerance is ours: both are solved to the same accuracy.
            model = LogisticRegression(C=PENALTY, tol=1e-5, max_iter=2000)
            model = make_pipeline(StandardScaler(), model).fit(features[rows], task.labels[rows])
            for part in (task.validation[0], task.test[0]):
                f1_score(task.labels[part], model.predict(features[part]), average="macro")


def _peak_memory() -> float:
    """Largest resident size of this process or of a worker, in GiB."""
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    # Linux counts in KiB, macOS in bytes.
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
