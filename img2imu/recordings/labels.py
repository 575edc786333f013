"""Labels as people have them: text or numbers, with many ways to say that there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, excerpt
from .types import UNLABELLED

Labels = NDArray[Any]


def as_labels(labels: ArrayLike) -> Labels:
    """Labels as an array in which what is unlabelled is ``UNLABELLED``, and nothing else is.

    None, NaN, pandas' NA and NaT, and empty or blank text count as unlabelled. Labels keep their
    values: text stays text and numbers stay numbers, as a classifier gives them back.

    Parameters
    ----------
    labels
        Shape (n,): a list, an array of any type, a pandas column.

    Returns
    -------
    ndarray of shape (n,)
        Of text, or of numbers where none is unlabelled; else of objects, numbers and
        ``UNLABELLED``. :func:`labelled` tells which are which.

    Raises
    ------
    InputError
        If there are not n of them, or they are neither all text nor all numbers.
    """
    array = _one_dimensional(labels)
    if array.dtype.kind in "biu":
        return array
    if array.dtype.kind == "U":
        blank = [text for text in set(array.tolist()) if not text.strip()]
        return np.where(np.isin(array, blank), UNLABELLED, array) if any(blank) else array
    if array.dtype.kind == "f" and not np.isnan(array).any():
        return array
    values = [UNLABELLED if is_missing(value) else _plain(value) for value in array.tolist()]
    known = [value for value in values if value is not UNLABELLED]
    kinds = {isinstance(value, str) for value in known}
    if len(kinds) > 1:
        raise InputError("labels must be all text or all numbers, not some of each")
    if kinds == {False} and len(known) < len(values):
        mixed = np.empty(len(values), object)
        mixed[:] = values
        return mixed
    return np.array(values, dtype=None if kinds == {False} else np.str_)


def labelled(labels: Labels) -> NDArray[np.bool_]:
    """Which of what :func:`as_labels` gave are labels, shape (n,)."""
    if labels.dtype.kind not in "UO":
        return np.ones(len(labels), bool)
    return np.asarray(labels != UNLABELLED, bool)


def label_texts(labels: ArrayLike) -> NDArray[np.str_]:
    """Labels as text, whole numbers without a point; ``UNLABELLED`` as :func:`as_labels` says.

    Raises
    ------
    InputError
        As :func:`as_labels`, or if a number is not whole.
    """
    found = as_labels(labels)
    if found.dtype.kind == "U":
        return found
    if not all(float(value).is_integer() for value in found[labelled(found)].tolist()):
        raise InputError(f"labels must be text or whole numbers, not {found.dtype}")
    return np.array([_spelled(value) for value in found.tolist()], np.str_)


def is_missing(label: object) -> bool:
    """Whether a label says that there is none."""
    if label is None or (isinstance(label, str | bytes) and not label.strip()):
        return True
    try:
        return not bool(label == label)  # NaN and NaT differ from themselves
    except (TypeError, ValueError):  # NA will not be asked
        return True


def _one_dimensional(labels: ArrayLike) -> Labels:
    # As objects first: of a list of text and NaN, NumPy makes the text "nan".
    array = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
    if array.ndim != 1:
        raise InputError(f"labels must have shape (n,), not {array.shape}")
    if array.dtype.kind not in "biufUSO":
        raise InputError(f"labels must be text or numbers, not {excerpt(array.dtype)}")
    return array


def _spelled(label: str | bool | float) -> str:
    return str(label) if isinstance(label, str | bool) else str(int(label))


def _plain(label: object) -> object:
    """Text or a number as Python has it."""
    if isinstance(label, bytes):
        try:
            return label.decode()
        except UnicodeDecodeError:
            raise InputError("labels must be text in UTF-8") from None
    if isinstance(label, np.generic):
        label = label.item()
    if not isinstance(label, str | bool | int | float):
        raise InputError(f"labels must be text or numbers, not {type(label).__name__}")
    return label
