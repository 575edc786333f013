"""What a study found: scores, what is missing, comparisons with the reference row."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import write_csv
from . import paper

COLUMNS = (
    "dataset", "row", "probe", "shots", "f1_mean", "f1_std", "f1_each", "f1_networks",
    "validation_f1", "seen", "gain", "p", "paper_f1", "paper_std", "missing",
)  # fmt: skip


@dataclass(frozen=True)
class Missing:
    """What a study cannot show, and why in one sentence; an empty name stands for all."""

    dataset: str
    row: str
    reason: str

    def __str__(self) -> str:
        where = ", ".join(filter(None, (self.dataset, self.row)))
        return f"{where}: {self.reason}" if where else self.reason


@dataclass(frozen=True)
class Result:
    """Macro-F1 of one row on one data set.

    Attributes
    ----------
    dataset, row, probe
        Names.
    shots
        Labelled windows per class; None is all of them.
    each
        Macro-F1 on test subjects of every fold, in it every draw.
    validation
        Mean macro-F1 on validation subjects, which choose settings.
    seen
        Whether the encoder has learnt from this data set.
    networks
        Mean of each of several random networks, whose mean :attr:`each` is; empty for others.
    gain, p
        Mean difference to the reference row, and p of Wilcoxon's signed-rank test against it;
        None where there is nothing to compare with.
    """

    dataset: str
    row: str
    probe: str
    shots: int | None
    each: tuple[float, ...]
    validation: float
    seen: bool = False
    networks: tuple[float, ...] = ()
    gain: float | None = None
    p: float | None = None

    @classmethod
    def of(cls, dataset: str, row: str, record: Mapping[str, Any], seen: bool = False) -> Result:
        """From a record of :func:`img2imu.fewshot.evaluate`."""
        return cls(
            dataset,
            row,
            record["probe"],
            record["shots"],
            tuple(record["f1_each"]),
            record["validation_f1"],
            seen,
            tuple(record.get("f1_networks", ())),
        )

    @property
    def mean(self) -> float:
        """Mean of :attr:`each`."""
        return float(np.mean(self.each))

    @property
    def std(self) -> float:
        """Standard deviation of :attr:`each`."""
        return float(np.std(self.each))


@dataclass(frozen=True)
class Overall:
    """A row over all data sets: the mean of their means, its gain, and `p` over all their pairs.

    `networks` are the means of each of several random networks; `seen` is whether the encoder has
    learnt from any of the sets.
    """

    row: str
    probe: str
    shots: int | None
    mean: float
    gain: float | None
    p: float | None
    networks: tuple[float, ...] = ()
    seen: bool = False


@dataclass(frozen=True)
class Opponent:
    """The best of several rows on a data set, and how far the reference is above it."""

    result: Result
    lead: float


def compare(results: Sequence[Result], reference: str) -> list[Result]:
    """The results with `gain` and `p` against the reference row, fold by fold, draw by draw.

    A probe is compared with the reference's same probe; one that the reference does not have,
    such as a forest, with the reference's first. All labels are compared with nothing.
    """
    others = _opponents(results, reference)
    return [
        replace(result, gain=result.mean - other.mean, p=signed_rank(result.each, other.each))
        if other
        else result
        for result, other in zip(results, others, strict=True)
    ]


def over_sets(results: Sequence[Result], reference: str) -> list[Overall]:
    """Every row, probe and number of shots that all data sets have."""
    sets = {result.dataset for result in results}
    groups: dict[tuple[str, str, int | None], list[tuple[Result, Result | None]]] = {}
    for result, other in zip(results, _opponents(results, reference), strict=True):
        key = (result.row, result.probe, result.shots)
        groups.setdefault(key, []).append((result, other))
    overall = []
    for key, pairs in groups.items():
        if len(pairs) == len(sets):
            mean = float(np.mean([result.mean for result, _ in pairs]))
            others = [other for _, other in pairs if other]
            gain = p = None
            if len(others) == len(pairs):
                gain = mean - float(np.mean([other.mean for other in others]))
                p = signed_rank(
                    [value for result, _ in pairs for value in result.each],
                    [value for other in others for value in other.each],
                )
            networks = zip(*(result.networks for result, _ in pairs), strict=True)
            seen = any(result.seen for result, _ in pairs)
            overall.append(
                Overall(*key, mean, gain, p, tuple(float(np.mean(each)) for each in networks), seen)
            )
    return overall


def best_opponents(
    results: Sequence[Result], reference: str, opponents: Collection[str]
) -> dict[str, Opponent]:
    """By data set the best row among `opponents`; none where they or the reference are missing.

    The best is told by test subjects, in the opponents' favour.
    """
    best: dict[str, Opponent] = {}
    for ours in results:
        if ours.row != reference or ours.dataset in best:
            continue
        theirs = [
            result
            for result in results
            if (result.dataset, result.shots) == (ours.dataset, ours.shots)
            and result.row in opponents
            and result.row != reference
        ]
        if theirs:
            top = max(theirs, key=lambda result: result.mean)
            best[ours.dataset] = Opponent(top, ours.mean - top.mean)
    return best


def _opponents(results: Sequence[Result], reference: str) -> list[Result | None]:
    """What each result is compared with; None for the reference itself."""
    theirs: dict[tuple[str, int | None], dict[str, Result]] = {}
    for result in results:
        if result.row == reference:
            theirs.setdefault((result.dataset, result.shots), {})[result.probe] = result
    opponents: list[Result | None] = []
    for result in results:
        probes = theirs.get((result.dataset, result.shots))
        if probes is None or result.row == reference:
            opponents.append(None)
        else:
            opponents.append(probes.get(result.probe) or next(iter(probes.values())))
    return opponents


def require_any(results: Sequence[Any], missing: Sequence[Missing]) -> None:
    """Raise :class:`InputError` with the last reason if there is nothing to show."""
    if not results:
        raise InputError(f"nothing could be computed: {missing[-1] if missing else 'no rows'}")


def signed_rank(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test on pairs; 1 where no pair differs."""
    from scipy.stats import wilcoxon

    if np.array_equal(one, other):
        return 1.0
    return float(wilcoxon(one, other).pvalue)


def write_scores(
    path: Path,
    results: Sequence[Result],
    missing: Sequence[Missing],
    means: Mapping[str, Sequence[Overall]] | None = None,
) -> None:
    """Write one row for each result, each mean over data sets, and each thing missing.

    `means` are called as the column of their tables.
    """
    rows = [_columns_of(result) for result in results]
    for title, overall in (means or {}).items():
        rows += [
            {"dataset": title, **_shared_columns(entry), "f1_mean": f"{entry.mean:.4f}"}
            for entry in overall
        ]
    for gap in missing:
        rows.append({"dataset": gap.dataset, "row": gap.row, "missing": gap.reason})
    write_csv(path, COLUMNS, rows)


def _columns_of(result: Result) -> dict[str, Any]:
    columns = {
        "dataset": result.dataset,
        **_shared_columns(result),
        "f1_mean": f"{result.mean:.4f}",
        "f1_std": f"{result.std:.4f}",
        "f1_each": " ".join(f"{value:.4f}" for value in result.each),
        "validation_f1": "" if math.isnan(result.validation) else f"{result.validation:.4f}",
    }
    published = paper.table_ii(result.row, result.dataset, result.shots)
    return columns | dict(zip(("paper_f1", "paper_std"), published or (), strict=False))


def _shared_columns(entry: Result | Overall) -> dict[str, Any]:
    return {
        "row": entry.row,
        "probe": entry.probe,
        "shots": entry.shots or "all",
        "f1_networks": " ".join(f"{value:.4f}" for value in entry.networks),
        "seen": "yes" if entry.seen else "",
        "gain": "" if entry.gain is None else f"{entry.gain:.4f}",
        "p": "" if entry.p is None else f"{entry.p:.3g}",
    }
