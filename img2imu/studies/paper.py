"""Numbers of the paper (arXiv 2209.00945), to stand beside ours."""

from __future__ import annotations

DATASETS = {
    "wisdm-v1": "WISDM v1.1",
    "goat": "Goat Movement",
    "pvs": "PVS",
    "daphnet": "Daphnet",
}
"""The paper's data sets: name of the windows file, or what it begins with, and title."""

_TABLE_II = {
    "random-1d": ((0.550, 0.141), (0.270, 0.123), (0.585, 0.065), (0.420, 0.058)),
    "simclr-1d": ((0.645, 0.050), (0.585, 0.061), (0.560, 0.113), (0.438, 0.053)),
    "multitask-1d": ((0.550, 0.170), (0.662, 0.029), (0.583, 0.051), (0.520, 0.073)),
    "cpc-1d": ((0.552, 0.151), (0.650, 0.112), (0.578, 0.084), (0.517, 0.083)),
    "random-2d": ((0.374, 0.105), (0.314, 0.055), (0.483, 0.118), (0.456, 0.090)),
    "supervised": ((0.620, 0.043), (0.756, 0.051), (0.535, 0.069), (0.499, 0.101)),
    "simsiam": ((0.613, 0.099), (0.798, 0.093), (0.518, 0.045), (0.465, 0.058)),
    "moco-default": ((0.689, 0.023), (0.801, 0.057), (0.569, 0.062), (0.502, 0.097)),
    "moco-all": ((0.627, 0.035), (0.756, 0.061), (0.470, 0.071), (0.484, 0.093)),
    "sensor-aware": ((0.739, 0.038), (0.821, 0.024), (0.594, 0.053), (0.547, 0.085)),
}
"""Table II: macro-F1 from 10 windows per class, mean and deviation, by row and data set."""

SHOTS = 10
"""Labelled windows per class of Table II."""


def dataset_of(name: str) -> str | None:
    """The paper's data set that a windows file called `name` holds; None if it is another."""
    return next((known for known in DATASETS if name.lower().startswith(known)), None)


def table_ii(row: str, dataset: str, shots: int | None) -> tuple[float, float] | None:
    """The paper's mean and deviation of a row on the data set of a windows file, if it has them."""
    known = dataset_of(dataset)
    if known is None or row not in _TABLE_II or shots != SHOTS:
        return None
    return _TABLE_II[row][list(DATASETS).index(known)]
