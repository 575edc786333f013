"""``img2imu convert``: recordings to windows and pictures."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert import SpectrogramConfig
from ..errors import InputError
from ..files import write_json
from ..recordings import WindowConfig, Windows
from .data import add_source_options, source_options
from .options import add_settings, given, parse_size, progress_bar

_EXAMPLES = """\
examples:
  img2imu convert exercise -o out/exercise
  img2imu convert walk.csv -o out/walk --columns t,ax,ay,az --unit m/s2 --label activity
  img2imu convert wisdm-2019 -o out/wisdm --classes walking,jogging,stairs,sitting,standing
"""


def register(subparsers: Any) -> None:
    """Add the command ``convert`` to the parser."""
    parser = subparsers.add_parser(
        "convert",
        help="recordings to labelled windows and spectrogram pictures",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="file, folder, archive, or name of a data set")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--images", action="store_true", help="write every picture too, in images.npz"
    )
    parser.add_argument(
        "--keep-unlabelled", action="store_true", help="keep windows that have no label too"
    )
    picture = parser.add_argument_group("pictures")
    picture.add_argument("--nfft", type=int, default=64, help="samples per frame (64)")
    picture.add_argument("--noverlap", type=int, help="samples that frames share (nfft - 4)")
    picture.add_argument("--normalize", choices=("axis", "window", "fixed"), default="axis")
    picture.add_argument("--detrend", action="store_true", help="remove each axis' mean first")
    picture.add_argument("--size", default="128x96", metavar="WxH", help="in pixels (128x96)")
    windows = parser.add_argument_group("windows")
    add_settings(windows, WindowConfig, ("seconds", "overlap", "sampling_rate"))
    windows.add_argument("--classes", metavar="A,B,...", help="labels to keep (all)")
    add_source_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write ``windows.npz``, ``report.json``, ``gallery.png`` and, if asked, ``images.npz``."""
    from ..convert.gallery import save_gallery
    from ..recordings import WindowReport, WindowsWriter, iter_windows, open_source

    config = WindowConfig(**given(args, WindowConfig))
    view = _view(args, config)
    source = open_source(args.source, **source_options(args))
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"source": Path(args.source).name, "windows": asdict(config)}
    report, sample = WindowReport(), _Sample()
    bar = progress_bar(f"{source.name} (windows)", None)
    with WindowsWriter(folder / "windows.npz", settings) as writer:
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
        sample.require_live_axes(source.name)
    bar.close()
    write_json(folder / "report.json", report.to_dict())
    save_gallery(folder / "gallery.png", *sample.windows(), view)
    written = ["windows.npz", "report.json", "gallery.png"]
    if args.images:
        _write_images(folder, view)
        written.append("images.npz")
    _print_report(report.to_dict())
    print(f"in {folder}: {', '.join(written)}")


class _Sample:
    """A few windows of each class for the gallery, and which axes ever moved."""

    def __init__(self, per_class: int = 3) -> None:
        self._kept: dict[str, list[Any]] = {}
        self._per_class = per_class
        self._alive = np.zeros(3, dtype=bool)
        self._count = 0

    def add(self, batch: Windows) -> None:
        """Look at a batch: at most one window of each class is kept, so that they differ."""
        self._count += len(batch)
        self._alive |= (np.ptp(batch.X, axis=2) > 0).any(axis=0)
        for label in np.unique(batch.y):
            kept = self._kept.setdefault(str(label), [])
            if len(kept) < self._per_class:
                members = np.flatnonzero(batch.y == label)
                kept.append(batch.X[members[len(members) // 2]])

    def require_live_axes(self, source: str) -> None:
        """Raise :class:`InputError` if an axis never changed: a dead sensor or a wrong column."""
        if self._count and not self._alive.all():
            axis = "xyz"[int(np.argmin(self._alive))]
            raise InputError(
                f"axis {axis} of {source} is constant in all {self._count} windows: "
                "a dead sensor axis or the wrong column"
            )

    def windows(self) -> tuple[NDArray[np.float32], list[str]]:
        """The windows kept and their labels."""
        labels = [label or "no label" for label, kept in self._kept.items() for _ in kept]
        return np.stack([window for kept in self._kept.values() for window in kept]), labels


def _write_images(folder: Path, view: SpectrogramConfig) -> None:
    from ..convert import to_images
    from ..convert.gallery import save_npz
    from ..recordings import load_windows

    windows = load_windows(folder / "windows.npz")
    # Drawn into a scratch file: pictures take twelve times the memory of their windows.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        shape = (len(windows), 3, view.height, view.width)
        images = np.lib.format.open_memmap(Path(scratch) / "images.npy", "w+", np.uint8, shape)
        bar = progress_bar("pictures", len(windows))
        for start in range(0, len(windows), 1024):
            part = windows.X[start : start + 1024]
            images[start : start + 1024] = to_images(part, view, dtype="uint8")
            bar.update(len(part))
        bar.close()
        save_npz(folder / "images.npz", images, y=windows.y, subject=windows.subject)


def _print_report(report: dict[str, Any]) -> None:
    kept, dropped = report["windows"]["kept"], report["windows"]["dropped"]
    samples, rows = report["samples"], report["rows"]
    print(f"{rows['rows']:,} rows, {samples['segments']} segments, {samples['gaps']} gaps")
    print(f"{kept:,} windows: " + _counts(report["windows"]["by_label"]))
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
    view = SpectrogramConfig(
        sampling_rate=config.sampling_rate,
        nfft=args.nfft,
        noverlap=args.nfft - 4 if args.noverlap is None else args.noverlap,
        detrend=args.detrend,
        normalize=args.normalize,
        width=width,
        height=height,
    )
    if view.degenerate(config.samples):
        raise InputError(
            f"{view.degenerate(config.samples)}: choose a smaller nfft or longer windows"
        )
    return view
