"""An exported file in Python, without PyTorch: ONNX Runtime and NumPy are enough."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..recordings.plausible import require_g
from ..recordings.sensors import ACCELEROMETER

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FORMAT = 1
"""Of inputs, outputs and metadata; a reader refuses another one."""


class ExportedClassifier:
    """The classifier in an ONNX or ORT file that takes windows.

    Parameters
    ----------
    path
        File of the form ``end-to-end``, float or quantised.

    Attributes
    ----------
    metadata : dict
        What the file says of itself.
    classes_ : ndarray of shape (n_classes,)
        Labels.

    Raises
    ------
    InputError
        If the file cannot be read or is not of this form.

    Examples
    --------
    >>> classifier = ExportedClassifier("out/model/model.onnx")  # doctest: +SKIP
    >>> classifier.predict(windows)  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._session, texts = open_exported(path, ("end-to-end",))
        self.metadata: dict[str, Any] = {name: _value(text) for name, text in texts.items()}
        self.classes_ = np.array(self.metadata["labels"])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probabilities of shape (n, classes), in the order of `classes_`.

        Parameters
        ----------
        X
            Shape (n, 3, samples), in g; with three more axes for each sensor that `metadata` names,
            in its unit.

        Raises
        ------
        InputError
            If the windows have another length, hold NaN, or are in another unit than g.
        """
        windows = self._checked(X)
        probabilities: NDArray[np.float32]
        [probabilities] = self._session.run(["probabilities"], {"window": windows})
        return probabilities

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likeliest label of each window, shape (n,); parameters and errors as above."""
        return self.classes_[self.predict_proba(X).argmax(1)]

    def _checked(self, X: ArrayLike) -> NDArray[np.float32]:
        windows = np.ascontiguousarray(X, dtype=np.float32)
        samples, rate = self.metadata["samples"], self.metadata["sampling_rate"]
        sensors = [sensor["name"] for sensor in self.metadata.get("sensors", [])] or ACCELEROMETER
        axes = 3 * len(sensors)
        if windows.shape[1:] != (axes, samples) or not len(windows):
            raise InputError(
                f"windows must have shape (n, {axes}, {samples}), {samples / rate:g} s at "
                f"{rate:g} Hz, not {windows.shape}"
            )
        finite = np.isfinite(windows).all(axis=(1, 2))
        if not finite.all():
            raise InputError(f"window {int(np.argmin(finite))} holds NaN or infinity")
        require_g(windows, sensors=sensors)
        return windows


def open_exported(
    path: str | os.PathLike[str], forms: Collection[str]
) -> tuple[InferenceSession, dict[str, str]]:
    """A classifier's ONNX or ORT file in ONNX Runtime on the CPU, and its metadata as texts.

    Raises
    ------
    InputError
        If the file cannot be read, or is not of one of these forms.
    """
    from onnxruntime import InferenceSession

    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    try:
        session = InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no other base.
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read by ONNX Runtime: {reason}") from None
    texts = session.get_modelmeta().custom_metadata_map
    if texts.get("format") != str(FORMAT) or texts.get("form") not in forms:
        takes = "windows" if tuple(forms) == ("end-to-end",) else "windows or pictures"
        raise InputError(f"{path} is not a classifier of {takes} exported by img2imu")
    return session, texts


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
