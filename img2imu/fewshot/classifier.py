"""A few-shot classifier of IMU windows: one scikit-learn estimator, one folder on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .. import __version__
from ..convert import (
    VIEW_PRESETS,
    SignalError,
    View,
    Views,
    traces,
    view_from_dict,
    view_to_dict,
)
from ..errors import InputError
from ..files import sha256_of
from ..models import DEFAULT_ENCODER, AnyEncoder, EncoderConfig, WindowEncoder, build_encoder
from ..models.weights import read_tensors, write_tensors
from ..recordings import as_labels, labelled
from ..recordings.plausible import require_different, require_g
from ..recordings.sensors import (
    ACCELEROMETER,
    as_sensors,
    sensor_metadata,
)
from ..recordings.windows import require_axes
from ..settings import from_json, read_sealed, require, write_sealed
from .calibration import hold_out
from .features import extract, laid_out
from .linear import LinearHead, Others, combined, scales, whitened_heads
from .methods import UNLABELLED_SAMPLE
from .order import choose_order
from .strangeness import Known, Strangeness

FORMAT = 3
"""Of the classifier folder; a reader refuses any other."""

CHECK_WINDOWS = 2
"""Training windows of each class kept in the folder, on which exports are verified."""

BATCH = 32
"""Windows that are labelled at a time."""


class Img2ImuNetwork(nn.Module):
    """Raw windows to class scores: drawing, encoder and linear head in one module.

    Parameters
    ----------
    drawing
        (n, 3 * sensors, samples) in g (rad/s, uT) to pictures, or the windows themselves.
    encoder
        Pictures, or windows, to features.
    head
        Features to logits.
    strangeness
        Features and logits to how little a window is like the classes; None where nobody was left
        out who could tell.
    sensors
        Of the windows, in the order of their axes.
    """

    def __init__(
        self,
        drawing: Views | nn.Identity,
        encoder: AnyEncoder,
        head: nn.Linear,
        strangeness: Strangeness | None = None,
        sensors: Sequence[str] = ACCELEROMETER,
    ) -> None:
        super().__init__()
        self.drawing, self.encoder, self.head = drawing, encoder, head
        self.strangeness, self.sensors = strangeness, tuple(sensors)

    def forward(self, windows: Tensor) -> Tensor:
        """Windows (n, 3 * sensors, samples) to logits (n, classes)."""
        return self.head(self.encoder(self.drawing(windows)))

    def judge(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """What is drawn to logits (n, classes) and, where it can be told, strangeness (n,)."""
        features = self.encoder(pictures)
        logits = self.head(features)
        return (
            (logits,) if self.strangeness is None else (logits, self.strangeness(features, logits))
        )


class Img2ImuClassifier(ClassifierMixin, BaseEstimator):
    """Classify windows of an accelerometer, or of several sensors, from a handful of labelled ones.

    Each window is drawn as pictures, a frozen image encoder reads them, and logistic regressions
    on standardised features, one for each picture, decide together.

    Parameters
    ----------
    sampling_rate
        Of the windows, in Hz.
    views
        What is drawn; None takes the recommended views for the windows' length.
    encoder
        Which encoder with which weights, read where; None takes the default one.
    C
        Inverse strength of the L2 penalty.
    device
        Where the encoder runs.
    order
        Weight of what came first in a window, as the traces show it; 0 does without, None chooses
        among 0, 0.2, 0.4, 0.7 and 1 by leaving labelled windows out.
    sensors
        Those of the windows, in the order of their channels: ``accel`` in g, ``gyro`` in rad/s,
        ``magn`` in uT, or with a place before as in ``wrist.gyro``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    network_ : Img2ImuNetwork
        The whole way from raw windows to logits, in evaluation mode.
    views_ : tuple of View
        What is drawn.
    n_samples_ : int
        Length of a window.
    order_ : float
        The weight of what came first.
    temperature_ : float
        What the logits were divided by, so that probabilities of people left out are calibrated;
        1 where `groups` were not given or are fewer than three.
    strangeness_ : ndarray of shape (101,) or None
        Percentiles of how strange windows of people left out are; None where nobody was.
    transitions_ : ndarray of shape (n_classes, n_classes) or None
        How often a second each class changes to another, where labelled recordings have shown it:
        what smoothing over time goes by.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(20, 3, 250)).astype("float32")
    >>> X[10:] *= 3
    >>> y = ["calm"] * 10 + ["wild"] * 10
    >>> Img2ImuClassifier().fit(X, y).predict(X[[0, 19]]).tolist()
    ['calm', 'wild']
    """

    def __init__(
        self,
        sampling_rate: float = 50.0,
        views: Sequence[View] | None = None,
        encoder: EncoderConfig | None = None,
        C: float = 0.1,
        device: str = "cpu",
        order: float | None = None,
        sensors: Sequence[str] = ACCELEROMETER,
    ) -> None:
        self.sampling_rate = sampling_rate
        self.views = views
        self.encoder = encoder
        self.C = C
        self.device = device
        self.order = order
        self.sensors = sensors

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
    ) -> Img2ImuClassifier:
        """Learn from a few labelled windows and, where there are some, unlabelled ones.

        Parameters
        ----------
        X
            Shape (n, 3 * sensors, samples), in the sensors' units.
        y
            Shape (n,), labels of at least two classes. Windows labelled ``""`` (or None, or NaN,
            as pandas has it) are unlabelled: up to 1,000 of them tell how features vary, and how
            they do within a class, better than the labelled few.
        groups
            Shape (n,), whose windows they are: nobody's are learnt from and tested on at once where
            `order` is chosen, probabilities are calibrated and it is told what is strange. Without,
            the first takes each window for itself, and the others are left.

        Raises
        ------
        InputError
            If shapes, types or values do not fit.
        """
        sensors = as_sensors(self.sensors)
        windows = as_windows(X, sensors)
        labels = as_labels(y)
        if labels.shape != (len(windows),):
            raise InputError(f"{len(windows)} windows but labels of shape {labels.shape}")
        known = labelled(labels)
        others = windows[~known]
        # An array of objects becomes one of what is left in it: numbers.
        windows, labels = windows[known], np.array(labels[known].tolist())
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"at least two classes are needed, not only {self.classes_.tolist()}")
        require_different(windows)
        self.n_samples_ = windows.shape[-1]
        encoder_config = self.encoder or DEFAULT_ENCODER
        self.views_ = self._drawn(encoder_config, sensors)
        people = None if groups is None else as_labels(groups)
        if people is not None:
            require(people.shape == known.shape, f"groups have shape {people.shape}, not one each")
            whose, people = people[~known], people[known]
        ordered = () if self.order == 0 else traces(self.views_)
        encoder = build_encoder(encoder_config, ordered, windows.shape[1])
        sample = np.sort(np.random.default_rng(0).permutation(len(others))[:UNLABELLED_SAMPLE])
        seen = np.concatenate([windows, others[sample]])
        if isinstance(encoder, WindowEncoder) and not encoder_config.checkpoint:
            encoder.normalise_by_windows(np.concatenate([windows, others]))
        stages = extract(seen, self.views_, encoder, sensors=sensors, device=self.device)
        features, widths, trends = laid_out(stages, len(self.views_), len(ordered))
        shown, unlabelled = np.split(features, [len(numbers)])
        plain = scales(features, widths)
        self.order_ = float(self.order or 0) if ordered else 0.0
        if self.order is None and ordered:
            self.order_ = choose_order(shown, numbers, self.C, plain, trends, people)
        heads = whitened_heads(shown, numbers, self.C, Others(plain, unlabelled, trends))
        held = None
        if people is not None:
            of_others = unlabelled, whose[sample]
            held = hold_out(shown, numbers, people, self.C, of_others, widths, trends, self.order_)
        self.temperature_ = held.temperature if held else 1.0
        if not self.order_:
            # What is not read is not computed.
            encoder = build_encoder(encoder_config) if ordered else encoder
            read = [not trend for trend in trends or [False] * len(heads)]
            shown, unlabelled = (each[:, np.repeat(read, widths)] for each in (shown, unlabelled))
            heads, plain = list(compress(heads, read)), list(compress(plain, read))
            trends = ()
        learnt = combined(heads, trends, self.order_).divided(self.temperature_)
        strange, self.strangeness_ = None, None
        if held:
            strange, self.strangeness_ = held.strangeness(
                Known.of(shown, numbers, unlabelled, plain, trends)
            )
        self.network_ = _assemble(self.views_, encoder, _as_module(learnt), sensors, strange)
        firsts = [np.flatnonzero(numbers == k)[:CHECK_WINDOWS] for k in range(len(self.classes_))]
        self.check_windows_ = windows[np.concatenate(firsts)]
        self.trained_on_: dict[str, Any] = {
            "windows": len(windows),
            "per_class": dict(
                zip(map(str, self.classes_), np.bincount(numbers).tolist(), strict=True)
            ),
        }
        self.scores_: dict[str, Any] = {}
        self.transitions_: NDArray[np.float64] | None = None
        return self

    def _drawn(self, encoder: EncoderConfig, sensors: Sequence[str]) -> tuple[View, ...]:
        """The views given, or the preset's; none for an encoder that reads windows."""
        views = tuple(self.views or ())
        if not views and not encoder.reads_windows:
            [views] = VIEW_PRESETS["recommended"](self.sampling_rate, self.n_samples_, sensors)
        for view in views:
            if view.degenerate(self.n_samples_):
                raise InputError(view.degenerate(self.n_samples_))
        return views

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Logits of shape (n, classes)."""
        return self.judge(X)[0]

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (n, classes), and how strange each window is (n,).

        Strangeness (:mod:`.strangeness`) is compared with :meth:`strangest`; it is 0 of all where
        nobody was left out who could tell.
        """
        check_is_fitted(self, "network_")
        windows = as_windows(X, self.sensors)
        if windows.shape[-1] != self.n_samples_:
            raise InputError(
                f"this classifier takes windows of {self.n_samples_} samples "
                f"({self.n_samples_ / self.sampling_rate:g} s at {self.sampling_rate:g} Hz), "
                f"not {windows.shape[-1]}"
            )
        network = self.network_.to(self.device)
        batches = [
            network.judge(network.drawing(torch.tensor(each, device=self.device)))
            for each in np.split(windows, range(BATCH, len(windows), BATCH))
        ]
        parts = [torch.cat(part).cpu().numpy() for part in zip(*batches, strict=True)]
        return parts[0], parts[1] if len(parts) > 1 else np.zeros(len(windows), np.float32)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probabilities of shape (n, classes), in the order of `classes_`."""
        logits = torch.from_numpy(self.decision_function(X))
        return torch.softmax(logits, dim=1).numpy()

    def strangest(self, keep: float) -> float:
        """The strangeness that a share of the known windows of unknown people stays below.

        Windows above it are unlike what was learnt. Infinite where `keep` is 1, or where fewer than
        three people were learnt from, who tell nothing of others.

        Raises
        ------
        InputError
            If `keep` is not above 0 and at most 1.
        """
        require(0 < keep <= 1, f"keep must be above 0 and at most 1, not {keep}")
        if keep == 1 or self.strangeness_ is None:
            return np.inf
        return float(np.interp(100 * keep, np.arange(101), self.strangeness_))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likeliest label of each window, shape (n,)."""
        return self.classes_[self.decision_function(X).argmax(1)]

    def metadata(self) -> dict[str, Any]:
        """What stands beside the weights, in the folder and in exported files: plain JSON values.

        ``img2imu`` (version), ``labels``, ``sampling_rate`` in Hz, ``unit``, ``samples`` of a
        window, ``views``, ``encoder``, ``trained_on`` and ``scores``. Of others than an only
        accelerometer, ``sensors`` stands for ``unit``: each with its name and unit, in the order of
        the axes. ``temperature`` is what logits were divided by already. ``strangeness`` and
        ``transitions`` are there where they are known: the percentiles 0 to 100 of how strange
        windows of people left out are, and changes of the class a second.
        """
        check_is_fitted(self, "network_")
        encoder = self.encoder or DEFAULT_ENCODER
        return {
            "img2imu": __version__,
            "labels": self.classes_.tolist(),
            "sampling_rate": self.sampling_rate,
            **sensor_metadata(self.sensors),
            "samples": self.n_samples_,
            "views": [view_to_dict(view) for view in self.views_],
            "encoder": {
                **asdict(encoder),
                "checkpoint": Path(encoder.checkpoint).name if encoder.checkpoint else None,
            },
            "trained_on": self.trained_on_,
            "scores": self.scores_,
            "temperature": self.temperature_,
            **{
                name: values.tolist()
                for name, values in (
                    ("strangeness", self.strangeness_),
                    ("transitions", self.transitions_),
                )
                if values is not None
            },
        }

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the classifier as one folder: ``model.safetensors`` and ``config.json``.

        The folder appears whole or not at all. One that holds a classifier is replaced.

        Raises
        ------
        InputError
            If `folder` exists and is not a classifier.
        """
        target = require_replaceable(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            self._write(scratch)
            scratch.chmod(0o755)
            old = scratch.with_name(f"{scratch.name}-old")
            if target.exists():
                # Moved aside first: killed at any point, a whole classifier is left on disk.
                target.replace(old)
            scratch.replace(target)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        tensors = {
            name: value
            for name, value in self.network_.state_dict().items()
            if not name.startswith("drawing.")
        }
        tensors["check_windows"] = torch.from_numpy(np.ascontiguousarray(self.check_windows_))
        weights = folder / "model.safetensors"
        write_tensors(weights, tensors)
        own = {"format": FORMAT, "C": self.C, "order": self.order_, "sha256": sha256_of(weights)}
        write_sealed(folder / "config.json", {**own, **self.metadata()})

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str = "cpu") -> Img2ImuClassifier:
        """Read a classifier folder, with its own drawing and labels.

        Raises
        ------
        InputError
            If a file is missing, damaged or not the one that was saved.
        """
        saved = _read(Path(folder))
        try:
            sensors, rates = saved.sensor_names(), saved.rates()
            views = tuple(view_from_dict(view) for view in saved.views)
        except (SignalError, InputError) as error:
            raise InputError(f"{folder} is damaged: {error}") from None
        tensors = read_tensors(Path(folder) / "model.safetensors")
        # The weights lie in the folder; where they once came from need not exist any more.
        bare = EncoderConfig(
            saved.encoder.name, stages=saved.encoder.stages, bands=saved.encoder.bands
        )
        axes = 3 * len(sensors)
        encoder = build_encoder(bare, traces(views) if saved.order else (), axes)
        try:
            head = nn.Linear(tensors["head.weight"].shape[1], len(saved.labels))
            strange = Strangeness(*head.weight.shape) if saved.strangeness else None
            parts = {"encoder": encoder, "head": head, "strangeness": strange or nn.Identity()}
            for part, module in parts.items():
                own = {k: v for k, v in tensors.items() if k.startswith(f"{part}.")}
                module.load_state_dict({k.removeprefix(f"{part}."): v for k, v in own.items()})
            network = _assemble(views, encoder, head, sensors, strange)
            # Whether the pictures are those that the head was learnt from, one pass tells.
            network(tensors["check_windows"][:1])
            require(tensors["check_windows"].shape[1:] == (axes, saved.samples), "")
        except (InputError, SignalError, RuntimeError, KeyError, IndexError):
            raise InputError(f"{folder} is damaged: its tensors are of another model") from None
        loaded = cls(
            saved.sampling_rate, views, saved.encoder, saved.C, device, saved.order, sensors
        )
        loaded.classes_ = np.array(saved.labels)
        loaded.n_samples_ = saved.samples
        loaded.order_ = saved.order
        loaded.views_ = views
        loaded.network_ = network
        loaded.check_windows_ = tensors["check_windows"].numpy()
        loaded.trained_on_, loaded.scores_ = saved.trained_on, saved.scores
        loaded.temperature_, loaded.transitions_ = saved.temperature, rates
        loaded.strangeness_ = None if saved.strangeness is None else np.array(saved.strangeness)
        return loaded


@dataclass(frozen=True)
class _Sensor:
    name: str
    unit: str


@dataclass(frozen=True)
class _Saved:
    """The schema of ``config.json``."""

    format: int
    img2imu: str
    labels: list[str] | list[int] | list[float] | list[bool]
    sampling_rate: float
    samples: int
    views: list[dict[str, Any]]
    encoder: EncoderConfig
    C: float
    order: float
    trained_on: dict[str, Any]
    scores: dict[str, Any]
    sha256: str
    unit: Literal["g"] | None = None
    sensors: list[_Sensor] | None = None
    temperature: float = 1.0
    strangeness: list[float] | None = None
    transitions: list[list[float]] | None = None

    def rates(self) -> NDArray[np.float64] | None:
        """The transitions; raises :class:`InputError` if they are not of these labels."""
        percents = self.strangeness is None or len(self.strangeness) == 101
        require(percents, "its strangeness is not told in percentiles")
        if self.transitions is None:
            return None
        count = len(self.labels)
        fit = {len(row) for row in self.transitions} == {count} and len(self.transitions) == count
        require(fit, "its transitions are not those of its labels")
        return np.array(self.transitions)

    def sensor_names(self) -> tuple[str, ...]:
        """The sensors of the windows; raises :class:`InputError` if they are not told clearly."""
        if self.sensors is None:
            require(self.unit == "g", "it does not tell its unit")
            return ACCELEROMETER
        names = as_sensors([sensor.name for sensor in self.sensors])
        stated = {"sensors": [asdict(sensor) for sensor in self.sensors]}
        require(stated == sensor_metadata(names), "its sensors and their units do not fit")
        return names


def _read(folder: Path) -> _Saved:
    """The settings in a classifier folder, after checking that the folder is whole."""
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is not a classifier folder: {name} is missing")
    values = read_sealed(folder / "config.json")
    version = values.get("format")
    require(version == FORMAT, f"{folder} has format {version}; this version reads format {FORMAT}")
    saved = from_json(_Saved, values, str(folder / "config.json"))
    actual = sha256_of(folder / "model.safetensors")
    require(
        actual == saved.sha256,
        f"{folder / 'model.safetensors'} is not the file that was saved: its SHA-256 is "
        f"{actual[:12]}…, config.json says {saved.sha256[:12]}…",
    )
    return saved


def require_replaceable(folder: str | os.PathLike[str]) -> Path:
    """`folder`, or :class:`InputError` if it exists and is not a classifier."""
    target = Path(folder)
    if target.exists() and not (target / "config.json").is_file():
        raise InputError(f"{target} exists and is not a classifier folder: nothing written")
    return target


def as_windows(X: ArrayLike, sensors: Sequence[str] = ACCELEROMETER) -> NDArray[np.float32]:
    """`X` as float32 of shape (n, 3 * sensors, samples), or :class:`InputError` in one sentence."""
    windows = np.asarray(X)
    require_axes(windows, sensors, "windows")
    require(len(windows) > 0, "there are no windows")
    if not np.issubdtype(windows.dtype, np.number):
        raise InputError(f"windows must be numbers, not {windows.dtype}")
    windows = windows.astype(np.float32, copy=False)
    finite = np.isfinite(windows).all(axis=(1, 2))
    if not finite.all():
        raise InputError(f"window {int(np.argmin(finite))} holds NaN or infinity")
    require_g(windows, sensors=sensors)
    return windows


def _as_module(learnt: LinearHead) -> nn.Linear:
    head = nn.Linear(learnt.weight.shape[1], len(learnt.bias))
    head.weight.data = torch.from_numpy(learnt.weight).float()
    head.bias.data = torch.from_numpy(learnt.bias).float()
    return head


def _assemble(
    views: Sequence[View],
    encoder: AnyEncoder,
    head: nn.Linear,
    sensors: Sequence[str],
    strangeness: Strangeness | None,
) -> Img2ImuNetwork:
    drawing = Views(views, sensors) if views else nn.Identity()
    network = Img2ImuNetwork(drawing, encoder, head, strangeness, sensors)
    return network.eval().requires_grad_(False)
