"""Few-shot evaluation of a windows file: every method, the same folds and draws."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..convert import dead_axes, view_to_dict
from ..errors import InputError
from ..files import cache_folder
from ..models import EncoderConfig
from ..progress import Progress, silent
from ..recordings import UNLABELLED, SplitManifest, Windows
from ..recordings.plausible import require_testable
from ..recordings.sensors import axis_names
from ..recordings.splits import missing_classes
from .config import FinetuneConfig, ProbeConfig
from .features import FeatureCache
from .finetuning import FineTuning, SearchedTuning
from .learners import ORDERS, Learner, LogisticLearner, NeighboursLearner, PaperLearner
from .methods import (
    UNLABELLED_SAMPLE,
    FeatureMethod,
    encoder_features,
    hand_forest,
    quant,
    rocket,
)
from .networks import averaged, seeded
from .protocol import Method, Outcome, Task, summarize
from .vote import VOTES, Vote

UNLABELLED_WINDOWS = 2 * UNLABELLED_SAMPLE
"""That are read at most: some may be of subjects whom a fold tests."""

NETWORKS = 3
"""Random networks whose mean is the row ``random-2d``: what one scores is a matter of luck."""

FROM_SCRATCH = FinetuneConfig(stages_trained=None, epochs=60, patience=20, policy=None)
"""How a 1-D network learns that starts from random weights, but for its learning rate."""

SCRATCH_RATES = (3e-4, 1e-3, 3e-3)
"""Of these, for which validation subjects choose."""

PAPER_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
PAPER_DECAYS = (0.0, 1e-3, 1e-4)
"""Learning rates and weight decays of the paper's linear layer on 1-D encoders (§IV-A4)."""


@dataclass(frozen=True)
class Setting:
    """What methods are made from: the windows, the settings, and where things are kept and run.

    Unlabelled `windows` stand behind the labelled ones.
    """

    windows: Windows
    config: ProbeConfig
    training: FinetuneConfig
    cache: Path
    device: str
    progress: Progress

    @property
    def labelled(self) -> Windows:
        """The windows with a label."""
        return self.windows.select(self.windows.y != UNLABELLED)


def evaluate(
    windows: Windows,
    config: ProbeConfig,
    methods: Sequence[str] | None = None,
    *,
    training: FinetuneConfig | None = None,
    name: str = "windows",
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = silent,
    jobs: int | None = None,
    folds: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Run the few-shot protocol.

    Parameters
    ----------
    windows
        Labelled windows, and unlabelled ones, of which 2,000 at most tell more about the features;
        in a fold that tests a subject, nothing is learnt from the subject's windows.
    config
        What is drawn, read and tested.
    methods
        Rows wanted, among :data:`METHODS` and :data:`VOTES`; None takes :data:`FROZEN`.
    training
        How networks are fine-tuned; None takes the defaults.
    name
        Of the data set, for the split manifest.
    device
        Where networks run: ``"cpu"`` or ``"cuda"``.
    cache
        Folder in which features and finished trainings are kept; the user's cache when None.
    progress
        Opens a progress bar for each long step.
    jobs
        Worker processes; None takes all cores, 1 stays in this process.
    folds
        Numbers of those that are run; None runs all.

    Returns
    -------
    dict
        ``settings`` and ``results``, one record per method, probe and number of shots (None is
        all labels): macro-F1 mean and standard deviation over folds × seeds, each value, the
        settings chosen in each fold (of a fine-tuned network the epoch kept in each draw, 0 being
        the probe it starts from), and the confusion matrix summed over all draws. A row of several
        random networks is their mean, as of :func:`.networks.averaged`.

    Raises
    ------
    InputError
        If subjects or windows do not suffice or are implausible, or a method is unknown or not
        installed.
    """
    wanted = FROZEN if methods is None else methods
    unknown = [name for name in wanted if name not in METHODS | VOTES]
    if unknown:
        raise InputError(f"unknown method {unknown[0]!r}; known: {', '.join(METHODS | VOTES)}")
    if windows.incomplete.any():
        _require_readable(config, wanted)
    windows = _labelled_first(windows)
    setting = Setting(
        windows, config, training or FinetuneConfig(), cache or cache_folder(), device, progress
    )
    labelled = setting.labelled
    require_testable(labelled)
    require_live_axes(labelled)
    seeds = range(config.seed, config.seed + config.seeds)
    manifest = SplitManifest.create(name, labelled, config.shots, seeds, config.folds, config.seed)
    if folds is not None:
        manifest = manifest.of_folds(folds)
    task = Task.from_manifest(windows, manifest)
    members = dict.fromkeys(member for row in wanted for member in VOTES.get(row, (row,)))
    outcomes: dict[str, Outcome] = {}
    records: dict[str, list[dict[str, Any]]] = {}
    for member in members:
        each = []
        for method in METHODS[member](setting):
            outcome = method.run(task, progress, jobs)
            each += summarize(method, outcome)
            # Of several probes the first votes.
            outcomes.setdefault(member, outcome)
        records[member] = _together(each)
    for row in wanted:
        if row in VOTES:
            vote = Vote(row, [(outcomes[member], weight) for member, weight in VOTES[row].items()])
            records[row] = summarize(vote, vote.run(task, progress))
    results = [record for row in wanted for record in records[row]]
    return {"settings": _describe(setting, task), "results": results}


def _together(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A method's records, those of several random networks as one."""
    groups: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["probe"], record["shots"]), []).append(record)
    return [averaged(group) for group in groups.values()]


def _labelled_first(windows: Windows) -> Windows:
    """The labelled windows, and behind them so many of the others as are of use."""
    known = windows.y != UNLABELLED
    others = np.random.default_rng(0).permutation(np.flatnonzero(~known))[:UNLABELLED_WINDOWS]
    return windows.select(np.concatenate([np.flatnonzero(known), others]))


def _require_readable(config: ProbeConfig, methods: Sequence[str]) -> None:
    """Raise :class:`InputError` unless all methods leave missing samples out."""
    others = [name for name in methods if name not in READ_INCOMPLETE]
    if others or not config.encoder.reads_tokens:
        raise InputError(
            f"{others[0] if others else config.encoder.name} reads complete windows: of incomplete "
            "ones an encoder of 'img2imu pretrain --method aim' reads what is there"
        )


def require_live_axes(windows: Windows) -> None:
    """Raise :class:`InputError` if an axis never changes in any window: a dead sensor."""
    dead = dead_axes(windows.X, axis_names(windows.sensors)) if len(windows) else []
    if dead:
        raise InputError(
            f"axis {dead[0]} is constant in all {len(windows)} windows: "
            "a dead sensor axis or the wrong column"
        )


def _probes(setting: Setting, name: str = "img2imu") -> list[Method]:
    """The frozen encoder under each probe."""
    config = setting.config
    cache = FeatureCache(setting.cache / "features")
    sets = encoder_features(setting.windows, config, cache, setting.progress, setting.device, name)
    orders = ORDERS if any(any(each.trends) for each in sets) else (None,)
    learners: dict[str, list[Learner]] = {
        "logistic": [
            LogisticLearner(C, order, whiten=True)
            for C, order in itertools.product(config.C, orders)
        ],
        "paper": _paper_learners(config.encoder),
        "knn": [NeighboursLearner()],
    }
    return [FeatureMethod(name, probe, sets, learners[probe]) for probe in config.probes]


def _paper_learners(encoder: EncoderConfig) -> list[Learner]:
    """The paper's layer; on 1-D encoders it has searched learning rate and weight decay."""
    if not encoder.reads_windows:
        return [PaperLearner()]
    return [PaperLearner(*each) for each in itertools.product(PAPER_RATES, PAPER_DECAYS)]


def _random_2d(setting: Setting) -> Iterable[Method]:
    """The same network without training, :data:`NETWORKS` times, one after another.

    A plain ResNet-18 where the encoder reads windows.
    """
    encoder = setting.config.encoder
    if encoder.reads_windows:
        encoder = EncoderConfig()
    seed = setting.config.seed
    untrained = replace(encoder, pretrained=False, checkpoint=None, seed=seed)
    for network in seeded(untrained, NETWORKS):
        config = replace(setting.config, encoder=network)
        yield from _probes(replace(setting, config=config), "random-2d")


def _fine_tuned(setting: Setting) -> list[Method]:
    return [_tuning("finetune", setting)]


def _supervised_1d(setting: Setting) -> list[Method]:
    """A 1-D network that learns all it knows from these labels."""
    encoder = EncoderConfig("conv1d", seed=setting.config.seed)
    scratch = replace(setting, config=replace(setting.config, encoder=encoder))
    candidates = [
        _tuning("supervised-1d", replace(scratch, training=replace(FROM_SCRATCH, lr=lr)))
        for lr in SCRATCH_RATES
    ]
    return [SearchedTuning("supervised-1d", candidates)]


def _tuning(name: str, setting: Setting) -> FineTuning:
    folder = setting.cache / "finetune"
    return FineTuning(
        name, setting.labelled, setting.config, setting.training, setting.device, folder
    )


METHODS: dict[str, Callable[[Setting], Iterable[Method]]] = {
    "img2imu": _probes,
    "random-2d": _random_2d,
    "hand-forest": lambda setting: [hand_forest(setting.windows)],
    "quant": lambda setting: [quant(setting.windows)],
    "minirocket": lambda setting: [rocket(setting.windows, "minirocket")],
    "multirocket": lambda setting: [rocket(setting.windows, "multirocket")],
    "finetune": _fine_tuned,
    "supervised-1d": _supervised_1d,
}
"""Rows of the result table by name; some come with several probes."""

READ_INCOMPLETE = ("img2imu", "random-2d")
"""Those that read windows in which samples are missing, with an encoder that does."""

FROZEN = ("img2imu", "random-2d", "hand-forest", "quant", "minirocket")
"""Those taken where none are named: labels change no encoder, and all take seconds."""


def _describe(setting: Setting, task: Task) -> dict[str, Any]:
    """All that the results depend on."""
    windows, config = setting.labelled, setting.config
    drawings = config.drawings(windows.sampling_rate, windows.X.shape[-1], windows.sensors)
    return {
        "img2imu": __version__,
        "probe": asdict(config),
        "finetune": asdict(setting.training),
        "device": setting.device,
        "drawings": [[view_to_dict(view) for view in views] for views in drawings],
        "windows": {
            "count": len(windows),
            "unlabelled": len(setting.windows) - len(windows),
            "samples": windows.X.shape[-1],
            "sensors": list(windows.sensors),
            "sampling_rate": windows.sampling_rate,
            "subjects": len(windows.subjects),
            "classes": task.classes,
            "per_class": np.bincount(task.labels).tolist(),
        },
        "missing_classes": [
            missing_classes(fold, windows.y, windows.subject) for fold in task.manifest.folds
        ],
        "splits": asdict(task.manifest),
    }
