"""``img2imu finetune``: train the encoder further on labelled windows."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from .options import add_settings, encoder_config, given
from .probe import PROTOCOL, add_evaluation, run_evaluation

_EXAMPLES = """\
examples:
  img2imu finetune windows.npz --model out/model
  img2imu finetune windows.npz --shots 10 50 all --weights encoder.safetensors --stages 2
  img2imu finetune windows.npz --shots all --encoder conv1d --lr 1e-3 --epochs 60 --patience 20
Repeat the command to go on with an interrupted run.
"""


def register(subparsers: Any) -> None:
    """Add the command ``finetune`` to the parser."""
    from ..fewshot.config import FinetuneConfig, ProbeConfig

    parser = subparsers.add_parser(
        "finetune",
        help="train the encoder further, from the probe on",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_evaluation(parser, replace(ProbeConfig(), seeds=1), PROTOCOL)
    add_settings(parser.add_argument_group("training"), FinetuneConfig)
    parser.set_defaults(run=run, unlabelled=None)


def run(args: argparse.Namespace) -> None:
    """Evaluate beside the frozen probe, print the table, write the JSON and the classifier."""
    from ..fewshot import FinetuneConfig, ProbeConfig

    settings = {"seeds": 1, **given(args, ProbeConfig, PROTOCOL)}
    config = ProbeConfig(args.preset, encoder=encoder_config(args), **settings)
    training = FinetuneConfig(**given(args, FinetuneConfig))
    outcome, classifier = run_evaluation(args, config, ["img2imu", "finetune"], training)
    for record in outcome["results"]:
        if record["method"] == "finetune":
            epochs = ", ".join(str(chosen["epoch"]) for chosen in record["chosen"])
            shots = f"{record['shots']} shots" if record["shots"] else "all labels"
            print(f"{shots}: epochs kept {epochs} (0 is the probe)")
    if classifier is not None:
        print(_told(classifier.trained_on_["finetuned"]))


def _told(tuned: dict[str, Any]) -> str:
    probe, best = tuned["validation_f1"]
    if not tuned["epoch"]:
        return f"the probe was kept: no epoch was better on validation subjects than {probe:.3f}"
    return (
        f"macro-F1 on validation subjects {best:.3f} at epoch {tuned['epoch']}, "
        f"{probe:.3f} of the probe"
    )
