"""``img2imu data``: which data sets there are, their download, and what a file holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

_EXAMPLES = """\
examples:
  img2imu data list
  img2imu data fetch daphnet
  img2imu data check wisdm-dataset.zip
  img2imu data check walk.csv
  img2imu data check walk.csv --columns t,ax,ay,az --unit m/s2 --label activity
  img2imu data check recordings --labels intervals.csv
  img2imu data check dataset_fog_release --option position=trunk
"""

_READING = (
    *("label", "labels", "subject", "path_pattern", "rate", "unit", "sensors", "require_sensors"),
    *("time_unit", "time_format", "delimiter", "decimal"),
)
"""Options that go to the reader as they are."""


def register(subparsers: Any) -> None:
    """Add the command ``data`` to the parser."""
    parser = subparsers.add_parser(
        "data",
        help="list, fetch and check data sets",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|check")
    listing = actions.add_parser("list", help="data sets and formats known by name")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=run_list)

    fetching = actions.add_parser("fetch", help="download a data set from its official address")
    fetching.add_argument("name", help="a name that 'data list' shows")
    fetching.set_defaults(run=run_fetch)

    checking = actions.add_parser("check", help="tell what a file, folder or archive holds")
    checking.add_argument("path", help="file, folder, archive, or the name of a fetched data set")
    checking.add_argument("--json", action="store_true", help="print JSON")
    add_source_options(checking)
    checking.set_defaults(run=run_check)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that tell how recordings are read."""
    group = parser.add_argument_group("reading")
    group.add_argument("--format", help="format name (default: recognised by the file names)")
    group.add_argument(
        "--columns",
        metavar="T,X,Y,Z",
        help="time, x, y, z, then a gyroscope's; X,Y,Z without time",
    )
    group.add_argument(
        "--sensors",
        nargs="+",
        metavar="S",
        help="accel (the default), gyro, magn, or all there are",
    )
    group.add_argument(
        "--sensor",
        action="append",
        dest="triads",
        metavar="S=X,Y,Z:U",
        help="columns of one: gyro=gx,gy,gz:deg/s (repeatable)",
    )
    group.add_argument(
        "--require-sensors",
        action="store_true",
        default=None,
        help="refuse a recording without one of them (left out)",
    )
    group.add_argument("--label", metavar="COLUMN", help="column with the class")
    group.add_argument(
        "--labels", metavar="FILE", help="intervals with their classes: CSV, Audacity, ELAN"
    )
    group.add_argument("--subject", metavar="COLUMN", help="column with the subject")
    group.add_argument(
        "--path-pattern",
        metavar="TEXT",
        help="parts of paths: '{label}/{subject}_{sensor}.csv'",
    )
    group.add_argument("--rate", type=float, metavar="HZ", help="sampling rate")
    group.add_argument(
        "--unit", metavar="UNIT", help="of the acceleration: g, m/s2, mg, or counts in one g"
    )
    group.add_argument(
        "--time-unit",
        choices=("s", "ms", "us", "ns", "days"),
        metavar="UNIT",
        help="of the timestamps: s, ms, us, ns or days",
    )
    group.add_argument(
        "--time-format", metavar="FORMAT", help="of dates, such as '%%d.%%m.%%Y %%H:%%M:%%S,%%f'"
    )
    group.add_argument("--delimiter", metavar="CHAR", help="between cells, such as ';' or tab")
    group.add_argument(
        "--decimal", choices=("point", "comma"), metavar="SIGN", help="point or comma"
    )
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the format's reader: position=trunk (repeatable)",
    )


def source_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments for `open_source` from the options of `add_source_options`."""
    from ..errors import InputError

    options: dict[str, Any] = {"format": args.format}
    for name in _READING:
        options[name] = getattr(args, name)
    options["columns"] = args.columns.split(",") if args.columns else None
    options["triads"] = dict(map(_triad, args.triads)) if args.triads else None
    for pair in args.option:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--option takes NAME=VALUE, not {pair!r}")
        options[name] = value
    return {name: value for name, value in options.items() if value is not None}


def _triad(text: str) -> tuple[str, list[str]]:
    """Name and columns of ``gyro=gx,gy,gz``, and its unit where one stands behind a colon."""
    from ..errors import InputError

    name, equals, columns = text.partition("=")
    if not equals:
        raise InputError(f"--sensor takes NAME=X,Y,Z or NAME=X,Y,Z:UNIT, not {text!r}")
    columns, *unit = columns.split(":")
    return name, [*columns.split(","), *unit]


def run_list(args: argparse.Namespace) -> None:
    """Print the data sets known by name."""
    from ..recordings.registry import DATASETS

    if args.json:
        fields = ("title", "licence", "citation", "homepage", "url", "sha256")
        entries = {
            name: {field: getattr(entry, field) for field in fields}
            for name, entry in DATASETS.items()
        }
        print(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    for entry in DATASETS.values():
        print(f"{entry.name:<12} {entry.title}")
        if entry.homepage:
            print(f"{'':<12} {entry.licence}; {entry.homepage}")


def run_fetch(args: argparse.Namespace) -> None:
    """Download a data set into the cache."""
    from ..recordings.registry import fetch_dataset

    path, sha256 = fetch_dataset(args.name)
    print(f"{path}\nSHA-256 {sha256}")


def run_check(args: argparse.Namespace) -> None:
    """Print what a file, folder or archive holds."""
    from ..recordings.check import check
    from ..recordings.registry import open_source

    report = check(open_source(args.path, **source_options(args)))
    print(
        json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
        if args.json
        else report.to_text()
    )
    print_doubts(report.doubts)


def print_doubts(doubts: Sequence[str]) -> None:
    """Warn on standard error of what may be wrong with recordings."""
    for doubt in doubts:
        print(f"img2imu: warning: {doubt}", file=sys.stderr)
