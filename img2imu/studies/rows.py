"""The rows of the tables: which methods there are, and with which encoders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..fewshot import READINGS
from ..fewshot.networks import seeded
from ..files import sha256_of
from ..models import DEFAULT_ENCODER, WINDOW_ENCODERS, EncoderConfig, find_weights
from .results import Missing

if TYPE_CHECKING:
    from ..fewshot.config import PresetName
    from .data import DataSet

GROUPS = {
    "sensor": "Sensor-based, 1-D",
    "image": "Image-based, 2-D",
    "usual": "What one would use otherwise",
    "vote": "Averages of methods",
    "ceiling": "All labels of the training subjects",
}

TITLES = {
    "random-1d": ("sensor", "random, 1-D"),
    "simclr-1d": ("sensor", "SimCLR"),
    "multitask-1d": ("sensor", "multi-task"),
    "cpc-1d": ("sensor", "CPC"),
    "random-2d": ("image", "random, 2-D"),
    "supervised": ("image", "ImageNet-supervised"),
    "simsiam": ("image", "SimSiam"),
    "moco-default": ("image", "MoCo, its own augmentations"),
    "moco-all": ("image", "MoCo, all augmentations"),
    "sensor-aware": ("image", "MoCo, sensor-aware"),
    "shipped": ("image", "weights of the toolkit"),
    "left-out": ("image", "weights of the toolkit, the set left out"),
    "finetune": ("image", "fine-tuned"),
    "hand-forest": ("usual", "hand-made features + forest"),
    "quant": ("usual", "QUANT + extra trees"),
    "minirocket": ("usual", "MiniRocket + logistic"),
    "multirocket": ("usual", "MultiRocket + logistic"),
    "vote": ("vote", "vote with forest and MiniRocket"),
    "vote-no-images": ("vote", "vote of forest and MiniRocket alone"),
    "all-labels": ("ceiling", "all labels"),
    "finetune-all": ("ceiling", "fine-tuned on all labels"),
    "supervised-1d": ("ceiling", "1-D network trained from scratch"),
}
"""Group and title of the rows, in their order; other encoders stand at the end of their group."""

BORROWERS = ("finetune", "vote", "all-labels", "finetune-all")
"""Rows that read the reference's encoder."""

ALL_LABELS = ("all-labels", "finetune-all", "supervised-1d")
"""Rows that learn from all labels of the training subjects."""

NETWORKS = 5
"""Random networks, of the seeds 0 to 4, whose mean stands in the rows of :data:`RANDOM`."""

RANDOM = ("random-1d", "random-2d")

SEEN_BY_SHIPPED = ("wisdm-2019", "motionsense", "daphnet", "cow", "cattle", "road")
"""What the names of data sets begin with whose windows and labels the shipped encoder learnt."""

WITHOUT_ENCODER = ("hand-forest", "quant", "minirocket", "multirocket", "vote-no-images")

OWN_METHODS = {
    **{name: name for name in (*WITHOUT_ENCODER, "vote", "finetune", "supervised-1d")},
    "finetune-all": "finetune",
}
"""Methods of the rows that are something else than an encoder's frozen probe."""

SET, SECONDS = "{set}", "{seconds}"
"""Stand in the path of weights for a data set's name, where each set has some of its own, and for
the length of its windows, where each length has."""

NEEDING_SKTIME = ("minirocket", "multirocket", "vote", "vote-no-images")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    name
        As it is asked for.
    group
        Key of :data:`GROUPS`.
    title
        As a table shows it.
    encoder
        None where the row has none.
    method
        What learns it, of :mod:`img2imu.fewshot`: ``"img2imu"`` is an encoder's frozen probe.
    """

    name: str
    group: str
    title: str
    encoder: EncoderConfig | None
    method: str

    def encoder_for(self, data: DataSet) -> EncoderConfig | None:
        """The encoder that reads a data set, :data:`SET` and :data:`SECONDS` being the set's."""
        if self.encoder is None or not _is_pattern(self.encoder):
            return self.encoder
        path = str(self.encoder.checkpoint).replace(SET, data.name)
        found, architecture = find_weights(path.replace(SECONDS, f"{data.seconds:g}"))
        return replace(self.encoder, name=architecture or self.encoder.name, checkpoint=str(found))

    def has_seen(self, dataset: str) -> bool:
        """Whether the encoder is known to have learnt from a data set of this name."""
        shipped = self.encoder is not None and self.encoder.name == DEFAULT_ENCODER.name
        return shipped and dataset.lower().startswith(SEEN_BY_SHIPPED)

    def networks(self) -> list[Row]:
        """The row itself; or, of random weights, one for each seed."""
        encoder = self.encoder
        if self.name not in RANDOM or encoder is None or encoder.checkpoint or encoder.pretrained:
            return [self]
        return [
            replace(self, name=f"{self.name}.{each.seed}", encoder=each)
            for each in seeded(encoder, NETWORKS)
        ]


def read_encoders(
    entries: Sequence[str],
    stages: Sequence[int] | None = None,
    preset: PresetName = "recommended",
) -> dict[str, EncoderConfig]:
    """Encoders by row, from the command line.

    Parameters
    ----------
    entries
        Each ``NAME=FILE``, the weights or the folder of a pre-training, or a JSON file of such
        pairs. With :data:`SET` or :data:`SECONDS` in its path it is one for each data set, or for
        each length of windows. In JSON a value may also hold fields of :class:`EncoderConfig`; its
        paths start from the JSON file's folder.
    stages
        Read where an entry states none; None takes the preset's.
    preset
        Of the views.

    Raises
    ------
    InputError
        If an entry cannot be understood. A missing file of weights is the row's matter.
    """
    reading = _reading(stages, preset)
    encoders: dict[str, EncoderConfig] = {}
    for entry in entries:
        name, given, path = entry.partition("=")
        pairs = {name: path} if given else _read_pairs(Path(entry))
        for name, value in pairs.items():
            if not re.fullmatch(r"[\w.-]+", name):
                raise InputError(f"{name!r} is no name of a row: letters, digits, . _ and - only")
            if name in (*WITHOUT_ENCODER, *BORROWERS, "supervised-1d"):
                raise InputError(f"row {name} takes no encoder of its own")
            fields = value if isinstance(value, dict) else {"checkpoint": value}
            encoders[name] = _encoder(name, fields, reading)
    return encoders


def build_rows(
    encoders: Mapping[str, EncoderConfig],
    wanted: Sequence[str] | None = None,
    reference: str = "shipped",
    stages: Sequence[int] | None = None,
    preset: PresetName = "recommended",
) -> tuple[list[Row], list[Missing]]:
    """The rows to compute, and those that cannot be, with the reason.

    Parameters
    ----------
    encoders
        From :func:`read_encoders`; names that are not in :data:`TITLES` become rows of their own.
    wanted
        Names; None takes all. The reference is always among them.
    reference
        Row that the others are compared with, and whose encoder :data:`BORROWERS` read.
    stages, preset
        Where the random and the shipped encoder are read, as of :func:`read_encoders`.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    known = {
        "random-1d": EncoderConfig("conv1d"),
        "supervised-1d": EncoderConfig("conv1d"),
        "random-2d": EncoderConfig(**_reading(stages, preset)),
        "shipped": replace(DEFAULT_ENCODER, **_reading(stages, preset)),
        **encoders,
    }
    own = [name for name in encoders if name not in TITLES]
    names = sorted([*TITLES, *own], key=lambda name: list(GROUPS).index(_described(name)[0]))
    unknown = [name for name in (*(wanted or ()), reference) if name not in names]
    if unknown:
        raise InputError(f"unknown row {unknown[0]!r}; known: {', '.join(names)}")
    rows, missing = [], []
    for name in names:
        if wanted is None or name in wanted or name == reference:
            row = _row(name, known, reference)
            reason = _lacks(row, reference)
            if reason:
                missing.append(Missing("", name, reason))
            else:
                rows.append(row)
    return rows, missing


def identity(encoder: EncoderConfig | None) -> dict[str, Any] | None:
    """Settings of an encoder with its weights' SHA-256 in place of their path."""
    from ..models.encoder import shipped_path
    from ..models.weights import REGISTRY

    if encoder is None:
        return None
    path = Path(encoder.checkpoint) if encoder.checkpoint and not _is_pattern(encoder) else None
    if encoder.pretrained and encoder.name in REGISTRY:
        path = shipped_path(encoder.name)
    sha256 = sha256_of(path) if path else None
    return {**asdict(encoder), "checkpoint": None, "sha256": sha256}


def _reading(stages: Sequence[int] | None, preset: PresetName) -> dict[str, Any]:
    """Where an image encoder is read."""
    return {**READINGS[preset], **({"stages": tuple(stages)} if stages else {})}


def _described(name: str) -> tuple[str, str]:
    return TITLES.get(name, ("sensor" if name.endswith("-1d") else "image", name))


def _row(name: str, encoders: Mapping[str, EncoderConfig], reference: str) -> Row:
    group, title = _described(name)
    method = OWN_METHODS.get(name, "img2imu")
    if name in BORROWERS:
        title = f"{_described(reference)[1]}, {title}"
        return Row(name, group, title, encoders.get(reference), method)
    return Row(name, group, title, encoders.get(name), method)


def _lacks(row: Row, reference: str) -> str:
    """Why a row cannot be computed; empty when nothing is known against it."""
    if row.name in NEEDING_SKTIME and find_spec("sktime") is None:
        return "sktime is not installed: pip install 'img2imu[baselines]'"
    if row.name in WITHOUT_ENCODER:
        return ""
    if row.encoder is None:
        name = reference if row.name in BORROWERS else row.name
        return f"no encoder given (--encoders {name}=FILE)"
    return "" if _is_pattern(row.encoder) else _no_file(row.encoder)


def _is_pattern(encoder: EncoderConfig) -> bool:
    """Whether the path of the weights depends on the data set."""
    return any(part in str(encoder.checkpoint) for part in (SET, SECONDS))


def lacking(row: Row, data: DataSet) -> str:
    """Why a row cannot be computed on a data set; empty when nothing is known against it."""
    encoder = row.encoder_for(data)
    return _no_file(encoder) if encoder else ""


def _no_file(encoder: EncoderConfig) -> str:
    if encoder.checkpoint and not Path(encoder.checkpoint).is_file():
        return f"no weights file at {encoder.checkpoint}"
    return ""


def _read_pairs(path: Path) -> dict[str, Any]:
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"--encoders takes NAME=FILE or a JSON file, not {str(path)!r}") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(pairs, dict) or not all(isinstance(v, str | dict) for v in pairs.values()):
        raise InputError(f"{path} must hold rows by name, each a file or the fields of an encoder")
    for name, value in pairs.items():
        fields = value if isinstance(value, dict) else {"checkpoint": value}
        if fields.get("checkpoint"):
            fields = {**fields, "checkpoint": str(path.parent / str(fields["checkpoint"]))}
        pairs[name] = fields
    return pairs


def _encoder(name: str, fields: Mapping[str, Any], reading: Mapping[str, Any]) -> EncoderConfig:
    fields = dict(fields)
    if fields.get("checkpoint"):
        path, architecture = find_weights(fields["checkpoint"])
        default = "conv1d" if name.endswith("-1d") else "resnet18"
        fields = {"name": architecture or default, **fields, "checkpoint": str(path)}
    # A network of the windows themselves has neither stages nor bands.
    read = {} if fields.get("name") in WINDOW_ENCODERS else reading
    try:
        return EncoderConfig(**{**read, **fields})
    except (InputError, TypeError) as error:
        raise InputError(f"the encoder of row {name}: {error}") from None
