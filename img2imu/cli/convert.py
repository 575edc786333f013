"""``img2imu convert``: recordings to a file of labelled windows; pictures where asked for."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..convert import SpectrogramConfig
from ..errors import InputError
from ..files import appearing, write_json
from ..recordings import WindowConfig, Windows
from ..recordings.sensors import axis_names
from ..settings import require
from .data import add_source_options, print_doubts, source_options
from .options import add_output, add_settings, given, parse_size, progress_bar

if TYPE_CHECKING:
    from ..recordings import Source, WindowReport

_FILES = ("windows.npz", "report.json", "gallery.png", "images.npz")

_DESCRIPTION = """\
Cuts recordings into windows of one length and rate, each with its label and subject.

in    CSV, Parquet, NPZ, the official files of a data set, or an archive of any of them
out   windows.npz   the windows, for probe, study, finetune and export
      report.json   what became of every row, sample and window
      gallery.png   a few windows of each class, and the pictures drawn of them
      images.npz    with --images: every window's picture, for programs of your own;
                    the other commands draw theirs from windows.npz
"""
_HELPS = {
    "noverlap": "samples that neighbouring frames share (nfft - 4)",
    "overlap": "share of a window that the next one repeats",
    "missing": "share of a window that may be missing (0)",
    "detrend": "remove each axis' mean first, and with it gravity",
    "normalize": "decibels to colours by the range of each axis, of the window, or a fixed one",
}

_EXAMPLES = """\
examples:
  img2imu convert exercise -o out/exercise
  img2imu convert recordings -o out/walk --path-pattern '{label}/{subject}_*'
  img2imu convert walk.csv -o out/walk --labels intervals.csv
  img2imu convert walk.csv -o out/walk --sensors accel gyro
"""


def register(subparsers: Any) -> None:
    """Add the command ``convert`` to the parser."""
    parser = subparsers.add_parser(
        "convert",
        help="cut recordings into labelled windows",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="file, folder, archive, or name of a data set")
    add_output(parser, "folder to write")
    windows = parser.add_argument_group("windows")
    add_settings(windows, WindowConfig, ("seconds", "overlap", "sampling_rate"), helps=_HELPS)
    add_settings(windows, WindowConfig, ("missing",), shown=False, helps=_HELPS)
    windows.add_argument("--classes", metavar="A,B,...", help="labels to keep (all)")
    windows.add_argument(
        "--keep-unlabelled", action="store_true", help="keep windows that have no label too"
    )
    add_source_options(parser)
    picture = parser.add_argument_group("pictures, in gallery.png and images.npz")
    picture.add_argument("--images", action="store_true", help="write images.npz too")
    add_settings(picture, SpectrogramConfig, ("nfft",))
    add_settings(picture, SpectrogramConfig, ("noverlap",), shown=False, helps=_HELPS)
    add_settings(picture, SpectrogramConfig, ("normalize", "detrend"), helps=_HELPS)
    picture.add_argument("--size", default="128x96", metavar="WxH", help="in pixels (128x96)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write ``windows.npz``, ``report.json``, ``gallery.png`` and, if asked, ``images.npz``."""
    from ..convert import save_gallery
    from ..recordings import WindowReport, open_source

    config = WindowConfig(**given(args, WindowConfig))
    require(
        not (args.images and config.missing),
        "--images draws complete windows: leave --missing out, or --images",
    )
    view = _view(args, config)
    report, sample = WindowReport(), _Sample()
    options = source_options(args) | ({"incomplete": True} if config.missing else {})
    with appearing(Path(args.output)) as folder:
        source = open_source(args.source, **options)
        _write_windows(args, folder / "windows.npz", source, config, report, sample)
        write_json(folder / "report.json", report.to_dict())
        X, labels = sample.windows()
        first = replace(view, sensor=sample.sensors[0])
        if labels:
            save_gallery(folder / "gallery.png", X[:, :3], labels, first)
        if args.images:
            _write_images(folder, view)
        written = [name for name in _FILES if (folder / name).exists()]
    for reading in report.rows.readings:
        print(reading.to_text())
    _print_report(report.to_dict())
    print_doubts(report.rows.doubts())
    print(f"in {args.output}: {', '.join(written)}")


def _write_windows(
    args: argparse.Namespace,
    path: Path,
    source: Source,
    config: WindowConfig,
    report: WindowReport,
    sample: _Sample,
) -> None:
    from ..recordings import WindowsWriter, iter_windows
    from ..recordings.windows import nothing_left

    settings = {"source": Path(args.source).name, "windows": asdict(config)}
    with (
        progress_bar(f"{source.name} (windows)", None) as bar,
        WindowsWriter(path, settings) as writer,
    ):
        for batch in iter_windows(
            source,
            config,
            classes=args.classes.split(",") if args.classes else None,
            keep_unlabelled=args.keep_unlabelled,
            report=report,
        ):
            writer.append(batch)
            sample.add(batch)
            bar.update(len(batch))
        if not report.kept:
            raise InputError(nothing_left(source.name, config, report))
        sample.require_live_axes(source.name)


class _Sample:
    """A few windows of each class for the gallery, and which axes ever moved."""

    def __init__(self, per_class: int = 3) -> None:
        self._kept: dict[str, list[Any]] = {}
        self._per_class = per_class
        self._alive: NDArray[np.bool_] | bool = False
        self.sensors: tuple[str, ...] = ()
        self._count = 0

    def add(self, batch: Windows) -> None:
        """Look at a batch: at most one window of each class is kept, so that they differ.

        Windows that lack samples are not kept.
        """
        self._count += len(batch)
        self.sensors = batch.sensors
        # Neighbours of which one is missing do not differ by any number.
        moving = (np.abs(np.diff(batch.X, axis=2)) > 0).any(axis=(0, 2))
        self._alive = np.asarray(self._alive | moving)
        batch = batch.select(~batch.incomplete)
        for label in np.unique(batch.y):
            kept = self._kept.setdefault(str(label), [])
            if len(kept) < self._per_class:
                members = np.flatnonzero(batch.y == label)
                kept.append(batch.X[members[len(members) // 2]])

    def require_live_axes(self, source: str) -> None:
        """Raise :class:`InputError` if an axis never changed: a dead sensor or a wrong column."""
        if self._count and not np.all(self._alive):
            axis = axis_names(self.sensors)[int(np.argmin(self._alive))]
            raise InputError(
                f"axis {axis} of {source} is constant in all {self._count} windows: "
                "a dead sensor axis or the wrong column"
            )

    def windows(self) -> tuple[NDArray[np.float32], list[str]]:
        """The windows kept and their labels."""
        labels = [label or "no label" for label, kept in self._kept.items() for _ in kept]
        kept = [window for kept in self._kept.values() for window in kept]
        return np.stack(kept) if kept else np.empty((0, 3, 0), np.float32), labels


def _write_images(folder: Path, view: SpectrogramConfig) -> None:
    from ..convert import save_npz
    from ..recordings import load_windows

    windows = load_windows(folder / "windows.npz")
    arrays = {"y": windows.y, "subject": windows.subject}
    with progress_bar("pictures", len(windows)) as bar:
        # One picture of a window, or one for each of several sensors.
        views = [replace(view, sensor=name) for name in windows.sensors]
        shown = views[0] if len(views) == 1 else views
        save_npz(folder / "images.npz", windows.X, shown, arrays, bar.update, windows.sensors)


def _print_report(report: dict[str, Any]) -> None:
    kept, dropped = report["windows"]["kept"], report["windows"]["dropped"]
    samples, rows = report["samples"], report["rows"]
    print(f"{rows['rows']:,} rows, {samples['segments']} segments, {samples['gaps']} gaps")
    print(f"{kept:,} windows: " + _counts(report["windows"]["by_label"]))
    if "incomplete" in report["windows"]:
        lacking, share = (report["windows"][name] for name in ("incomplete", "missing_samples"))
        print(f"{lacking:,} of them incomplete: {share:.1%} of all samples missing")
    for what, counts in (
        ("rows", rows["dropped"]),
        ("samples", samples["dropped"]),
        ("windows", dropped),
    ):
        if counts:
            print(f"dropped {what}: {_counts(counts)}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or 'no label'} {count:,}" for name, count in counts.items())


def _view(args: argparse.Namespace, config: WindowConfig) -> SpectrogramConfig:
    width, height = parse_size(args.size)
    chosen = given(args, SpectrogramConfig)
    chosen.setdefault("noverlap", chosen.get("nfft", SpectrogramConfig.nfft) - 4)
    chosen["sampling_rate"] = config.sampling_rate
    view = SpectrogramConfig(**chosen, width=width, height=height)
    reason = view.degenerate(config.samples)
    if reason:
        raise InputError(f"{reason}: choose a smaller nfft or longer windows")
    return view
