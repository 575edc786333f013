"""Contestants timed in turn, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Contestant = tuple[Callable[[], Any], int]
"""Something to time, and how many items one call of it handles."""


def race(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Items per second of each contestant in each round; one call of each comes first, untimed."""
    for work, _ in contestants.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (work, items) in contestants.items():
            start = time.perf_counter()
            work()
            rates[name].append(items / (time.perf_counter() - start))
    return rates


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, extremes and interquartile range, to four digits."""
    low, median, high = np.percentile(values, [25, 50, 75])
    numbers = {"median": median, "min": min(values), "max": max(values), "iqr": high - low}
    return {name: float(f"{value:.4g}") for name, value in numbers.items()}
