"""How much it counts what came first in a window, from the labelled windows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .learners import ORDERS
from .linear import Array, Scale, combined, view_heads
from .metrics import confusion_matrix, macro_f1

FOLDS = 5


def choose_order(
    features: Array,
    labels: NDArray[np.int_],
    C: float,
    known: Sequence[Scale],
    trends: Sequence[bool],
    groups: NDArray[Any] | None = None,
) -> float:
    """The weight with the best macro-F1 on labelled windows left out, the least of equals.

    Parameters
    ----------
    features, labels, C, known
        As of :func:`~.linear.view_heads`.
    trends
        As of :func:`~.linear.combined`.
    groups
        Whose they are; nobody is learnt from and tested on at once.

    Returns
    -------
    float
        Among :data:`~.learners.ORDERS`; 0 where no fold shows every class on both sides.
    """
    classes = int(labels.max()) + 1
    confusions = [np.zeros((classes, classes), dtype=np.int_) for _ in ORDERS]
    for training, test in left_out(labels, groups):
        heads = view_heads(features[training], labels[training], C, known)
        for order, confusion in zip(ORDERS, confusions, strict=True):
            predicted = combined(heads, trends, order).logits(features[test]).argmax(1)
            confusion += confusion_matrix(labels[test], predicted, classes)
    if not confusions[0].any():
        return 0.0
    return ORDERS[int(np.argmax([macro_f1(confusion) for confusion in confusions]))]


def left_out(
    labels: NDArray[np.int_], groups: NDArray[Any] | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Parts to learn from, with every class in them, and parts to test on."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    count = min(FOLDS, int(np.bincount(labels).min()))
    if groups is not None:
        count = min(count, len(np.unique(groups)))
    if count < 2:
        return []
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    parts = kind(count, shuffle=True, random_state=0).split(labels, labels, groups)
    everything = set(labels.tolist())
    return [(a, b) for a, b in parts if set(labels[a].tolist()) == everything]
