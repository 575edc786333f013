"""Sensor recordings: readers, resampling, windows, subject-disjoint splits."""

from .labels import as_labels, labelled
from .merging import merge_windows, with_unlabelled
from .missing import with_gaps
from .registry import DATASETS, open_source
from .splits import Fold, SplitManifest, few_shot, subject_folds
from .types import UNLABELLED, Piece, RowReport, Source
from .windows import (
    Subjects,
    WindowConfig,
    WindowReport,
    Windows,
    iter_windows,
    make_windows,
    neighbours,
)
from .windows_file import WindowsWriter, load_windows, save_windows

__all__ = [
    "DATASETS",
    "UNLABELLED",
    "Fold",
    "Piece",
    "RowReport",
    "Source",
    "SplitManifest",
    "Subjects",
    "WindowConfig",
    "WindowReport",
    "Windows",
    "WindowsWriter",
    "as_labels",
    "few_shot",
    "iter_windows",
    "labelled",
    "load_windows",
    "make_windows",
    "merge_windows",
    "neighbours",
    "open_source",
    "save_windows",
    "subject_folds",
    "with_gaps",
    "with_unlabelled",
]
