"""Classes that a classifier has never seen, and whether its confidence means what it says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from ..fewshot import FeatureCache, ProbeConfig
from ..fewshot.calibration import Reliability, hold_out
from ..fewshot.linear import Array, Others, combined, scales, whitened_heads
from ..fewshot.methods import UNLABELLED_SAMPLE, FixedFeatures, encoder_features
from ..fewshot.strangeness import Known
from ..files import cache_folder
from ..progress import Progress, silent
from ..recordings import UNLABELLED, few_shot
from ..recordings.splits import Fold
from ..report.tables import Entry, Line, Table, score
from .cells import FEW_SHOT, Cell
from .config import StudyConfig
from .data import DataSet
from .each import run_each
from .few_shot import cell_settings
from .publishing import protocol
from .results import Missing

NEIGHBOUR = 5
"""Which of the nearest training windows tells a window's distance."""

KEEP = 0.95
"""Share of the known windows of people left out below the threshold."""

OURS = "strangeness"
AMONG = f"{OURS}, unknown classes among the unlabelled windows"

COLUMNS = ("left_out", "row", "auroc", "fpr95")


def run(
    out: Path,
    sets: Sequence[DataSet],
    config: StudyConfig,
    missing: Sequence[Missing] = (),
    *,
    known: Sequence[str] = (),
    jobs: int | None = None,
    progress: Progress = silent,
) -> str:
    """Run the study; the tables as Markdown come back.

    Parameters
    ----------
    out, sets, config, missing, jobs, progress
        As of :func:`.timeline.run`.
    known
        Classes that are learnt, in sets that have them all, where all others are unknown; in other
        sets each class is left out once.
    """
    return run_each(
        out,
        "unknown",
        sets,
        [_cell(data, config, _left_out(data, known)) for data in sets],
        config,
        missing,
        title="What a classifier has never seen",
        lead=f"Windows of test subjects, each class left out once, {protocol(config)}.",
        columns=COLUMNS,
        shown=lambda data, result: (_table(data, result, config), result["scores"]),
        jobs=jobs,
        progress=progress,
    )


def _left_out(data: DataSet, known: Sequence[str]) -> list[list[str]]:
    classes = data.windows.classes
    if known and set(known) < set(classes):
        return [[name for name in classes if name not in known]]
    return [[name] for name in classes]


def _cell(data: DataSet, config: StudyConfig, left_out: list[list[str]]) -> Cell:
    probe = config.probe
    settings = {**cell_settings(data, probe, probe.encoder), "left_out": left_out}
    compute_all = partial(compute, data, left_out, probe, config.device)
    return Cell(data.name, settings, compute_all, (*FEW_SHOT, __name__))


def compute(
    data: DataSet, left_out: list[list[str]], probe: ProbeConfig, device: str
) -> dict[str, Any]:
    """AUROC and FPR95 of each score by classes left out, and calibration with all of them known."""
    cache = FeatureCache(cache_folder() / "features")
    [features, *_] = encoder_features(data.windows, probe, cache, silent, device, data.name)
    assert isinstance(features, FixedFeatures)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    errors: list[tuple[float, float, float]] = []
    for fold in data.manifest.folds:
        errors.append(_Learnt(data, fold, [], features, probe).calibration())
        for names in left_out:
            pairs = _Learnt(data, fold, names, features, probe).told_apart()
            # Other unlabelled windows whiten otherwise: this is another head, of which one row is
            # shown.
            among = _Learnt(data, fold, names, features, probe, among=True)
            pairs[AMONG] = told_apart(among.strange, among.unknown)
            for row, pair in pairs.items():
                found.setdefault((", ".join(names), row), []).append(pair)
    scores = [
        {
            "left_out": unknown,
            "row": row,
            "auroc": round(float(np.nanmean([one for one, _ in pairs])), 4),
            "fpr95": round(float(np.nanmean([other for _, other in pairs])), 4),
        }
        for (unknown, row), pairs in found.items()
    ]
    return {"scores": scores, "calibration": np.mean(errors, axis=0).round(4).tolist()}


class _Learnt:
    """A head learnt without some classes, and the test windows of a fold.

    Whether windows of these classes are `among` the unlabelled ones, as in a user's recordings.
    """

    def __init__(
        self,
        data: DataSet,
        fold: Fold,
        left_out: Sequence[str],
        features: FixedFeatures,
        probe: ProbeConfig,
        among: bool = False,
    ) -> None:
        windows, array = data.windows, features.array
        widths = list(features.widths or [array.shape[1]])
        known = np.where(np.isin(windows.y, left_out), UNLABELLED, windows.y)
        classes = sorted(set(known.tolist()) - {UNLABELLED})
        everything = fold.windows("train", windows.subject)
        training = everything[known[everything] != UNLABELLED]
        rows = few_shot(known, training, probe.shots[0], probe.seed)
        others = np.setdiff1d(everything if among else training, rows)
        sample = np.sort(np.random.default_rng(0).permutation(others)[:UNLABELLED_SAMPLE])
        labels = np.searchsorted(classes, known[rows])
        few, many = np.asarray(array[rows]), np.asarray(array[sample])
        self.training, C = np.concatenate([few, many]), probe.C[0]
        self.scales = scales(self.training, widths)
        heads = whitened_heads(few, labels, C, Others(self.scales, many, features.trends))
        whose = windows.subject
        unlabelled = many, whose[sample]
        held = hold_out(few, labels, whose[rows], C, unlabelled, widths, features.trends, order=0.0)
        self.temperature = held.temperature if held else 1.0
        test = fold.windows("test", windows.subject)
        test = test[windows.y[test] != UNLABELLED]
        self.tested = np.asarray(array[test])
        self.logits = combined(heads, features.trends).logits(self.tested)
        self.strange, self.threshold = np.full(len(test), np.nan), np.inf
        if held:
            module, percentiles = held.strangeness(
                Known.of(few, labels, many, self.scales, features.trends)
            )
            parts = self.tested, (self.logits / self.temperature).astype(np.float32)
            self.strange = module(*map(torch.from_numpy, parts)).numpy()
            self.threshold = percentiles[round(100 * KEEP)]
        self.unknown = np.isin(windows.y[test], left_out)
        self.labels = np.searchsorted(classes, np.where(self.unknown, classes[0], windows.y[test]))

    def calibration(self) -> tuple[float, float, float]:
        """Expected calibration error before and after, and the share of windows kept."""
        right = self.logits.argmax(1) == self.labels
        before = Reliability.of(softmax(self.logits, axis=1).max(1), right)
        after = Reliability.of(softmax(self.logits / self.temperature, axis=1).max(1), right)
        return before.error, after.error, float((self.strange <= self.threshold).mean())

    def told_apart(self) -> dict[str, tuple[float, float]]:
        """AUROC, and the share of unknown windows that pass where 95 % of the known do."""
        rows = {
            OURS: self.strange,
            "maximum softmax": -softmax(self.logits, axis=1).max(1),
            "energy": -logsumexp(self.logits, axis=1),
            f"distance to the {NEIGHBOUR}th nearest training window": self._distance(),
        }
        return {row: told_apart(each, self.unknown) for row, each in rows.items()}

    def _distance(self) -> Array:
        edges = np.cumsum([len(scale.mean) for scale in self.scales])[:-1]

        def comparable(features: Array) -> Array:
            views = zip(self.scales, np.split(features, edges, 1), strict=True)
            return np.concatenate([scale.apply(view) for scale, view in views], axis=1)

        known = comparable(self.training)
        tested = comparable(self.tested)
        squares = (tested**2).sum(1)[:, None] + (known**2).sum(1) - 2 * tested @ known.T
        return np.partition(squares, NEIGHBOUR - 1, axis=1)[:, NEIGHBOUR - 1]


def told_apart(strange: Array, unknown: NDArray[np.bool_]) -> tuple[float, float]:
    """AUROC of a score that is higher for the unknown, and FPR at 95 % of the known; NaN of one."""
    from sklearn.metrics import roc_auc_score

    if unknown.all() or not unknown.any() or np.isnan(strange).any():
        return np.nan, np.nan
    limit = np.quantile(strange[~unknown], 0.95)
    return float(roc_auc_score(unknown, strange)), float((strange[unknown] <= limit).mean())


def _split(records: Sequence[dict[str, Any]]) -> str:
    left_out = {record["left_out"] for record in records}
    return "Each class left out once" if len(left_out) > 1 else f"Unknown: {left_out.pop()}"


def _table(data: DataSet, result: dict[str, Any], config: StudyConfig) -> Table:
    records = result["scores"]
    names = list(dict.fromkeys(record["row"] for record in records))
    lines = []
    for row in names:
        own = [record for record in records if record["row"] == row]
        mean, passed = (float(np.mean([r[name] for r in own])) for name in ("auroc", "fpr95"))
        worst = min(own, key=lambda record: record["auroc"])
        entries = [Entry(score(mean)), Entry(score(passed))]
        entries.append(Entry(score(worst["auroc"]), worst["left_out"] if len(own) > 1 else ""))
        lines.append(Line(row, entries, row == OURS))
    before, after, kept = result["calibration"]
    caption = (
        f"{_split(records)} of {data.name}, windows of test subjects, {protocol(config)}; FPR95: "
        "unknown windows that pass where 95 % of the known do. "
        f"With all classes known: expected calibration error {score(before)}, {score(after)} with "
        f"the temperature of people left out; their threshold keeps {kept:.1%} of known windows."
    )
    return Table(["score", "AUROC", "FPR95", "worst class"], {"": lines}, caption)
