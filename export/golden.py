"""Known answers of a classifier in plain files, for the tests of code in other languages."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .. import __version__
from ..convert import Views, traces, view_from_dict, view_to_dict
from ..errors import InputError
from ..fewshot import Img2ImuClassifier, Img2ImuNetwork
from ..fewshot.classifier import as_windows
from ..files import sha256_of
from ..models import DEFAULT_ENCODER, EncoderConfig, build_encoder
from ..models.encoder import shipped_path
from ..models.weights import REGISTRY
from ..recordings.sensors import ACCELEROMETER, sensor_metadata
from .graphs import end_to_end
from .parity import RELATIVE, TOLERANCE

FORMAT = 1
"""Of the folder; a reader refuses another one."""

SETTINGS = "golden.json"

IMAGE_TOLERANCE = 1e-4
"""Largest difference allowed in a picture's level: single precision's share."""


@dataclass(frozen=True)
class Golden:
    """What a folder of golden vectors holds.

    Attributes
    ----------
    settings
        ``golden.json``.
    arrays
        By name; see ``tests/golden/README.md``.
    """

    settings: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    def network(self) -> Img2ImuNetwork:
        """The network that gave the answers, from the toolkit's encoder and the stored head.

        Raises
        ------
        InputError
            If the encoder is not one that comes with the toolkit.
        """
        encoder = dict(self.settings["encoder"])
        expected = encoder.pop("sha256")
        config = EncoderConfig(**encoder)
        if expected is None or config.name not in REGISTRY:
            raise InputError(f"the weights of {config.name} do not come with the toolkit")
        if sha256_of(shipped_path(config.name)) != expected:
            raise InputError(f"the weights of {config.name} have changed since")
        weight, bias = (
            torch.from_numpy(self.arrays[f"head_{part}"]) for part in ("weight", "bias")
        )
        head = nn.Linear(weight.shape[1], weight.shape[0])
        head.load_state_dict({"weight": weight, "bias": bias})
        views = [view_from_dict(view) for view in self.settings["views"]]
        named = self.settings.get("sensors", [{"name": name} for name in ACCELEROMETER])
        sensors = [sensor["name"] for sensor in named]
        ordered = traces(views) if self.settings["order"] else ()
        drawing = Views(views, sensors)
        encoding = build_encoder(config, ordered)
        network = Img2ImuNetwork(drawing, encoding, head, sensors=sensors)
        return network.eval().requires_grad_(False)


def write_golden(
    folder: str | os.PathLike[str], classifier: Img2ImuClassifier, windows: ArrayLike | None = None
) -> None:
    """Write windows, their pictures and a classifier's answers as one folder of plain files.

    The folder appears whole or not at all. One that holds golden vectors is replaced.

    Parameters
    ----------
    folder
        Where; its parent is made if it does not exist.
    classifier
        A fitted one.
    windows
        Shape (n, 3 * sensors, samples); by default those that the classifier keeps for checks.

    Raises
    ------
    InputError
        If the windows do not fit, or `folder` exists and holds something else.
    """
    check_is_fitted(classifier, "network_")
    chosen = classifier.check_windows_
    if windows is not None:
        chosen = as_windows(windows, classifier.sensors)
    logits = classifier.decision_function(chosen)
    network = classifier.network_.cpu()
    arrays = {
        "windows": chosen,
        "logits": logits,
        "logits_rounding": end_to_end(network, chosen).rounding["logits"],
        "probabilities": torch.softmax(torch.from_numpy(logits), dim=1).numpy(),
        "head_weight": network.head.weight.numpy(),
        "head_bias": network.head.bias.numpy(),
    }
    if isinstance(network.drawing, Views):
        arrays["images"] = network.drawing(torch.from_numpy(chosen)).numpy()
    encoder = classifier.encoder or DEFAULT_ENCODER
    settings = {
        "labels": classifier.classes_.tolist(),
        "sampling_rate": classifier.sampling_rate,
        **sensor_metadata(classifier.sensors),
        "samples": classifier.n_samples_,
        "views": [view_to_dict(view) for view in classifier.views_],
        "encoder": {
            **asdict(encoder),
            "checkpoint": Path(encoder.checkpoint).name if encoder.checkpoint else None,
            "sha256": _shipped_sha256(encoder, network.encoder),
        },
        "order": classifier.order_,
        "tolerance": {
            "images": IMAGE_TOLERANCE,
            "logits": TOLERANCE,
            "logits_relative": RELATIVE,
            "probabilities": TOLERANCE,
        },
    }
    with new_folder(Path(folder)) as scratch:
        write_settings(scratch, {**settings, "arrays": write_arrays(scratch, arrays)})


def read_golden(folder: str | os.PathLike[str]) -> Golden:
    """Read what :func:`write_golden` wrote.

    Raises
    ------
    InputError
        If a file is missing, damaged or not the one that was written.
    """
    settings = read_settings(Path(folder))
    return Golden(settings, read_arrays(Path(folder), settings["arrays"]))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A scratch folder that becomes `target`, whole, once all has worked.

    Raises
    ------
    InputError
        If `target` exists and does not hold golden vectors.
    """
    require_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        yield new
        if target.exists():
            target.replace(old)
        new.replace(target)


def require_replaceable(target: Path) -> None:
    """Raise :class:`InputError` if `target` exists and does not hold golden vectors."""
    if target.exists() and not (target / SETTINGS).is_file():
        raise InputError(f"{target} exists and holds no golden vectors: nothing written")


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write ``golden.json``, with the format's number and the toolkit's version."""
    text = json.dumps({"format": FORMAT, "img2imu": __version__, **settings}, indent=1)
    (folder / SETTINGS).write_text(text + "\n")


def read_settings(folder: Path) -> dict[str, Any]:
    """``golden.json`` of a folder; raises :class:`InputError` where it is missing or damaged."""
    path = folder / SETTINGS
    if not path.is_file():
        raise InputError(f"{folder} holds no golden vectors: {SETTINGS} is missing")
    try:
        settings: dict[str, Any] = json.loads(path.read_text())
        version, _ = settings["format"], settings["arrays"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if version != FORMAT:
        raise InputError(f"{folder} has format {version}; this version reads format {FORMAT}")
    return settings


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Write each array to a file of its own; return their descriptions by name.

    float64 stays; all else is float32. Little-endian, C order, no header.
    """
    described = {}
    for name, array in arrays.items():
        dtype = "<f8" if array.dtype == np.float64 else "<f4"
        path = folder / f"{name}.bin"
        path.write_bytes(np.ascontiguousarray(array, dtype).tobytes())
        described[name] = {
            "file": path.name,
            "shape": list(array.shape),
            "dtype": dtype,
            "sha256": sha256_of(path),
        }
    return described


def read_arrays(folder: Path, described: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays that :func:`write_arrays` described, after checking each file.

    Raises
    ------
    InputError
        If a file is missing or not the one that was written.
    """
    arrays = {}
    for name, entry in described.items():
        path = folder / Path(entry["file"]).name
        if not path.is_file():
            raise InputError(f"{folder} is not whole: {path.name} is missing")
        if sha256_of(path) != entry["sha256"]:
            raise InputError(f"{path} is not the file that was written: its SHA-256 differs")
        flat = np.fromfile(path, entry["dtype"])
        if flat.size != np.prod(entry["shape"], dtype=int):
            raise InputError(f"{path} has {flat.size} numbers, not those of {entry['shape']}")
        arrays[name] = flat.reshape(entry["shape"])
    return arrays


def _shipped_sha256(config: EncoderConfig, encoder: nn.Module) -> str | None:
    """Of the toolkit's weights file, if `encoder` has those very weights (fine-tuned: not)."""
    if config.name not in REGISTRY or not config.pretrained:
        return None
    own = encoder.state_dict()
    shipped = build_encoder(config).state_dict()
    same = all(torch.equal(own[name], value) for name, value in shipped.items())
    return sha256_of(shipped_path(config.name)) if same else None
