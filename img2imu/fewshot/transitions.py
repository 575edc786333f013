"""How often people change from one class to another, as labelled recordings show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..recordings import UNLABELLED, Windows
from ..recordings.windows import neighbours

LEAST_CHANGES = 10
"""Of the label, from one window to the next, before rates are told from them: files of one class
each, or windows labelled here and there, say nothing of how long a class lasts."""


def transition_rates(windows: Windows, classes: Sequence[str]) -> NDArray[np.float64] | None:
    """Rates of a Markov chain in continuous time, from windows that follow each other.

    A class is left at the rate of its changes over the time it was seen, the maximum of the
    likelihood; that of all classes together counts for one change more, and each class may follow
    as another one does.

    Parameters
    ----------
    windows
        With their recordings and starts; those without a label part what lies on their sides.
    classes
        All that there are.

    Returns
    -------
    ndarray of shape (k, k)
        Changes a second; rows sum to 0. None below :data:`LEAST_CHANGES` changes.
    """
    pairs = neighbours(windows)
    pairs = pairs[(windows.y[pairs] != UNLABELLED).all(1)]
    code = np.searchsorted(classes, windows.y[pairs])
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (code[:, 0], code[:, 1]), 1)
    np.fill_diagonal(counts, 0)
    if counts.sum() < LEAST_CHANGES:
        return None
    seconds = windows.start[pairs[:, 1]] - windows.start[pairs[:, 0]]
    seen = np.bincount(code[:, 0], seconds, len(classes))
    usual = counts.sum() / seen.sum()
    leaving = (counts.sum(1) + 1) / (seen + 1 / usual)
    following = counts + (1 - np.eye(len(classes))) / (len(classes) - 1)
    rates = leaving[:, None] * following / following.sum(1, keepdims=True)
    return np.asarray(rates - np.diag(rates.sum(1)))
