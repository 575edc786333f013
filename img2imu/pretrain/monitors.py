"""What tells whether pre-training goes well: nearest neighbours, collapse, and the logs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..files import write_csv
from ..models import AnyBackbone

NEIGHBOURS = 20
TEMPERATURE = 0.07
COLLAPSED = 0.1
"""Spread of the embeddings, 1 when even, below which they are called collapsed."""

Number = float | int
Row = Mapping[str, Number]


def knn_accuracy(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    labels: Tensor,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> float:
    """Share of queries whose label wins the vote of their nearest neighbours.

    Each neighbour votes with exp(cosine / temperature) (Wu et al. 2018, arXiv 1805.01978).

    Parameters
    ----------
    bank, queries
        Features (n, dim); they are compared by cosine.
    bank_labels, labels
        (n,) whole numbers.
    neighbours
        That vote.
    temperature
        Of the votes.
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    nearest, rows = similarity.topk(min(neighbours, len(bank)), dim=1)
    # Of the labels that there are: others, however large their numbers, take no memory.
    kinds, numbers = bank_labels.unique(return_inverse=True)
    votes = torch.zeros(len(queries), len(kinds)).to(nearest)
    votes.scatter_add_(1, numbers[rows], (nearest / temperature).exp())
    return float((kinds[votes.argmax(1)] == labels).float().mean())


@torch.inference_mode()
def encode(
    encoder: AnyBackbone,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    normalise: nn.Module,
    device: torch.device,
    batch: int = 512,
) -> Tensor:
    """Features (rows, dim) of the last stage, without augmentation and in evaluation mode."""
    training = encoder.training
    encoder.eval()
    parts = []
    for chosen in np.array_split(rows, max(1, -(-len(rows) // batch))):
        pixels = torch.from_numpy(images[chosen]).to(device).permute(0, 3, 1, 2)
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(encoder(normalise(pixels))[-1].float())
    encoder.train(training)
    return torch.cat(parts)


def collapse_warning(measures: Mapping[str, Number]) -> str | None:
    """A sentence if the embeddings of different images have become nearly one."""
    spread = measures.get("spread")
    if spread is None or spread > COLLAPSED:
        return None
    return (
        f"the embeddings collapse: their spread is {spread:.3f} of an even distribution's 1; "
        "lower lr, or use stronger augmentations"
    )


class CsvLog:
    """Rows of numbers, which checkpoints keep, as a CSV file.

    Parameters
    ----------
    path
        Of the file. Whatever is there gives way to `rows`: it may be cut off, or of work that was
        lost.
    rows
        Of the run so far.
    """

    def __init__(self, path: Path, rows: Sequence[Row]) -> None:
        self.path, self.rows = path, [*rows]
        if self.rows:
            self._write_all()
        else:
            path.unlink(missing_ok=True)

    def append(self, row: Row) -> None:
        """Add one row, which has ``step``; a name that none before it had becomes a column."""
        self.rows.append(row)
        if len(self.rows) == 1 or not row.keys() <= set(self._columns):
            self._write_all()
            return
        line = io.StringIO()
        csv.DictWriter(line, self._columns, restval="", lineterminator="\n").writerow(_short(row))
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line.getvalue())

    def _write_all(self) -> None:
        self._columns = list(dict.fromkeys(name for row in self.rows for name in row))
        write_csv(self.path, self._columns, [_short(row) for row in self.rows])


def read_columns(path: Path) -> dict[str, list[float]]:
    """The columns of a log, by name; not a number where a row has nothing."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]} if rows else {}


class TensorBoardLog:
    """The same rows as event files, where the package ``tensorboard`` is installed."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder, self._step = folder, step
        self._writer: Any = None

    def append(self, row: Row) -> None:
        """Add one row; each name but ``step`` becomes a curve."""
        # Only now: a finished run gets no file more.
        self._writer = self._writer or self._open()
        for name, value in row.items():
            if name != "step" and math.isfinite(value):
                self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()

    def _open(self) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return _Nowhere()
        return SummaryWriter(self._folder, purge_step=self._step)


class _Nowhere:
    """A writer for those who have not installed one."""

    def add_scalar(self, name: str, value: Number, step: int) -> None: ...

    def flush(self) -> None: ...


def _short(row: Row) -> dict[str, Any]:
    return {
        name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()
    }
