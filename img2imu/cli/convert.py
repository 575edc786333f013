"""``img2imu convert``: recordings to windows and pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .data import add_source_options, source_options
from .options import add_window_options, write_json

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
    picture = parser.add_argument_group("pictures")
    picture.add_argument("--nfft", type=int, default=64, help="samples per frame (64)")
    picture.add_argument("--noverlap", type=int, help="samples that frames share (nfft - 4)")
    picture.add_argument("--normalize", choices=("axis", "window", "fixed"), default="axis")
    picture.add_argument("--detrend", action="store_true", help="remove each axis' mean first")
    picture.add_argument("--size", default="128x96", metavar="WxH", help="in pixels (128x96)")
    add_window_options(parser)
    add_source_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write ``windows.npz``, ``report.json`` and ``gallery.png``."""
    from ..recordings import WindowConfig, WindowReport, open_source
    from ..recordings.windows import iter_windows
    from ..recordings.windows_file import WindowsWriter
    from .options import progress_bar

    config = WindowConfig(args.sampling_rate, args.seconds, args.overlap)
    view = _view(args, config.samples)
    source = open_source(args.source, **source_options(args))
    folder = Path(args.output)
    report = WindowReport()
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"source": Path(args.source).name, "seconds": args.seconds, "overlap": args.overlap}
    bar = progress_bar(f"{source.name} (windows)", 0)
    classes = args.classes.split(",") if args.classes else None
    with WindowsWriter(folder / "windows.npz", settings) as writer:
        for batch in iter_windows(source, config, classes=classes, report=report):
            writer.append(batch)
            bar.update(len(batch))
    bar.close()
    write_json(folder / "report.json", report.to_dict())
    _draw(folder, view, args.images)
    print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    print(f"{folder / 'windows.npz'}, {folder / 'gallery.png'}")


def _view(args: argparse.Namespace, samples: int) -> Any:
    from ..convert import SpectrogramConfig
    from ..errors import InputError

    width, _, height = args.size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise InputError(f"--size takes WIDTHxHEIGHT such as 128x96, not {args.size!r}")
    view = SpectrogramConfig(
        sampling_rate=args.sampling_rate,
        nfft=args.nfft,
        noverlap=args.nfft - 4 if args.noverlap is None else args.noverlap,
        detrend=args.detrend,
        normalize=args.normalize,
        width=int(width),
        height=int(height),
    )
    if view.degenerate(samples):
        raise InputError(f"{view.degenerate(samples)}: choose a smaller nfft or longer windows")
    return view
