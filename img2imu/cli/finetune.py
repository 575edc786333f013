"""``img2imu finetune``: train the encoder further on labelled windows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import write_json
from .options import add_encoder_options, encoder_config, progress_bar
from .probe import format_table

if TYPE_CHECKING:
    from ..finetune import FinetuneConfig

_EXAMPLES = """\
examples:
  img2imu finetune windows.npz --model out/model
  img2imu finetune windows.npz --shots 10 50 all --weights encoder.safetensors --stages 2
  img2imu finetune windows.npz --shots all --encoder conv1d --lr 1e-3 --epochs 60
Repeat the command to go on with an interrupted run.
"""


def register(subparsers: Any) -> None:
    """Add the command ``finetune`` to the parser."""
    from ..finetune import FinetuneConfig

    default = FinetuneConfig()
    parser = subparsers.add_parser(
        "finetune",
        help="train the encoder further, from the probe on",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("windows", help="windows file (.npz) or folder with X.npy, Y.npy, pid.npy")
    parser.add_argument(
        "--model", metavar="DIR", help="then fit a classifier, one fold's subjects validating it"
    )
    parser.add_argument(
        "--shots", nargs="+", default=["10"], metavar="K|all", help="windows per class (10)"
    )
    parser.add_argument("--folds", type=int, help=f"subject-disjoint folds ({default.folds})")
    parser.add_argument("--seeds", type=int, help=f"draws of each fold ({default.seeds})")
    parser.add_argument("--sampling-rate", type=float, metavar="HZ", help="of a folder of arrays")
    parser.add_argument("--json", metavar="FILE", help="write settings, splits and results")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--stages-trained", default="last", metavar="last|all|N", help="how many learn (last)"
    )
    training.add_argument("--lr", type=float, help=f"of the last stage, highest ({default.lr:g})")
    training.add_argument(
        "--decay", type=float, help=f"of lr, from each stage to the one before ({default.decay:g})"
    )
    training.add_argument("--epochs", type=int, help=f"at most ({default.epochs})")
    training.add_argument(
        "--patience", type=int, help=f"epochs without a better score ({default.patience})"
    )
    training.add_argument("--batch-size", type=int, help=f"windows ({default.batch_size})")
    training.add_argument(
        "--policy", help=f"augmentations of the pictures, or none ({default.policy})"
    )
    training.add_argument("--C", type=float, help=f"penalty of the probe ({default.C:g})")
    training.add_argument("--device", choices=("cpu", "cuda"), help="CUDA where there is one")
    add_encoder_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the table, write the JSON and the classifier."""
    import torch

    from ..finetune import evaluate, fit_classifier
    from ..recordings.windows_file import load_windows

    config = _config(args)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here")
    windows = load_windows(args.windows, args.sampling_rate)
    outcome = evaluate(
        windows, config, name=Path(args.windows).stem, device=device, progress=progress_bar
    )
    print(format_table(outcome["results"]))
    for record in outcome["results"]:
        if record["method"] == "finetune":
            epochs = [str(chosen["epoch"]) for chosen in record["chosen"]]
            print(f"{record['shots']} shots: epochs kept {', '.join(epochs)} (0 is the probe)")
    if args.json:
        write_json(args.json, outcome)
    if args.model:
        history = fit_classifier(
            windows,
            config,
            outcome["results"],
            Path(args.model),
            device=device,
            progress=progress_bar,
        )
        probe, best = history.validation_f1[0], history.validation_f1[history.best]
        told = (
            f"macro-F1 on validation subjects {best:.3f} after {history.best} epochs, "
            f"{probe:.3f} of the probe"
            if history.best
            else f"the probe was kept: no epoch was better on validation subjects than {probe:.3f}"
        )
        print(f"{told}\nclassifier in {args.model}")


def _config(args: argparse.Namespace) -> FinetuneConfig:
    from ..finetune import FinetuneConfig

    plain = ("folds", "seeds", "lr", "decay", "epochs", "patience", "batch_size", "policy", "C")
    given: dict[str, Any] = {
        name: getattr(args, name) for name in plain if getattr(args, name) is not None
    }
    if args.policy == "none":
        given["policy"] = None
    return FinetuneConfig(
        preset=args.preset,
        encoder=encoder_config(args),
        shots=tuple(_count(text, "--shots", {"all": None}) for text in args.shots),
        stages_trained=_count(args.stages_trained, "--stages-trained", {"last": 1, "all": None}),
        **given,
    )


def _count(text: str, option: str, words: dict[str, int | None]) -> int | None:
    if text in words:
        return words[text]
    if not text.isdigit():
        raise InputError(f"{option} takes {', '.join(words)} or a number, not {text!r}")
    return int(text)
