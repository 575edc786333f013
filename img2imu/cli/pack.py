"""``img2imu pack``: collections of images to a packed store."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from ..files import writable, write_json
from .options import add_json, add_settings, given, parse_size, progress_bar

_EXAMPLES = """\
sources:
  a folder class/image.jpg, a tar of such folders, ImageNet's tar of tars, a zip,
  Parquet files of Hugging Face data sets, shards NAME.bin + NAME.npz

examples:
  img2imu pack photos/ out/photos
  img2imu pack ILSVRC2012_img_train.tar out/imagenet --workers 16

Killed or out of disk space? Repeat the same command: it goes on where it stopped.
"""

_SHOWN = 5


def register(subparsers: Any) -> None:
    """Add the command ``pack`` to the parser."""
    from ..images.config import PackConfig

    parser = subparsers.add_parser(
        "pack",
        help="collections of images to a packed store",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="folder, tar, zip, Parquet file or shard")
    parser.add_argument("store", metavar="STORE", help="folder to make")
    parser.add_argument("--size", default="128x96", metavar="WxH", help="in pixels (128x96)")
    add_settings(parser, PackConfig, ["workers"])
    add_json(parser, "write the report, with all files skipped")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Pack, and say what came of it."""
    from ..images.config import PackConfig
    from ..images.packing import pack

    config = PackConfig(*parse_size(args.size), **given(args, PackConfig))
    if args.json:
        writable(args.json)
    report = pack(args.source, args.store, config, progress_bar)
    for one in report.skipped[:_SHOWN]:
        print(f"skipped {one['name']}: {one['reason']}")
    if len(report.skipped) > _SHOWN:
        print(f"... and {len(report.skipped) - _SHOWN:,} more, listed in {report.store}")
    print(
        f"{report.count:,} images of {report.classes:,} classes at {args.size}, "
        f"{len(report.skipped):,} skipped"
    )
    if report.unlabelled:
        print(f"{report.unlabelled:,} of them in no class: without a label")
    speed = f"{report.rate:,.0f} images/s" if report.packed else "packed before"
    print(f"{speed}; {report.size / 1e6:,.1f} MB in {report.store}")
    if args.json:
        values = {**asdict(report), "store": str(report.store), "images_per_second": report.rate}
        write_json(args.json, values)
