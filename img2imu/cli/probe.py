"""``img2imu probe``: how well a few labelled windows do on test subjects."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..environment import environment
from ..files import claimed, writable, write_json
from ..settings import require
from .options import (
    add_device,
    add_encoder_options,
    add_json,
    add_settings,
    add_windows,
    chosen_device,
    chosen_subjects,
    chosen_windows,
    encoder_config,
    given,
    progress_bar,
)

if TYPE_CHECKING:
    from ..fewshot import FinetuneConfig, ProbeConfig
    from ..recordings import Windows

_EXAMPLES = """\
examples:
  img2imu probe windows.npz --model out/model
  img2imu probe windows.npz --exclude-subjects ann --model out/model
  img2imu probe windows.npz --shots 1 2 5 10 20 50 all --probes logistic paper
  img2imu probe windows.npz --encoder conv1d --weights out/simclr
  img2imu probe windows.npz --sensors accel gyro accel+gyro
  img2imu probe windows.npz --preset paper --encoder torchvision/resnet18 --pretrained
"""

PROTOCOL = ("shots", "folds", "seeds", "C", "seed")
"""Settings of a few-shot evaluation that are options, whatever is compared."""

OPTIONS = ("probes", *PROTOCOL)


def register(subparsers: Any) -> None:
    """Add the command ``probe`` to the parser."""
    from ..fewshot.config import ProbeConfig

    parser = subparsers.add_parser(
        "probe",
        help="few-shot evaluation on held-out subjects, beside baselines",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_evaluation(parser, ProbeConfig(), OPTIONS)
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help="rows of the table (those that take seconds)"
    )
    parser.add_argument(
        "--unlabelled", metavar="MORE", help="more windows, without labels: how features vary"
    )
    parser.add_argument(
        "--sensors",
        nargs="+",
        metavar="A+B",
        help="sensors to use; of several choices each is tested (those of the file)",
    )
    parser.add_argument("--splits", metavar="FILE", help="write the split manifest")
    parser.set_defaults(run=run)


def add_evaluation(
    parser: argparse.ArgumentParser, shown: ProbeConfig, names: Sequence[str]
) -> None:
    """What every few-shot evaluation takes: windows, protocol, encoder; and what it may write."""
    add_windows(parser)
    parser.add_argument(
        "--model", metavar="DIR", help="then fit a classifier on all these windows, as chosen"
    )
    add_json(parser, "write settings, splits and results")
    add_settings(parser.add_argument_group("protocol"), type(shown), names, shown=shown)
    add_encoder_options(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the table, write the JSON and the classifier."""
    from importlib.util import find_spec

    from ..fewshot import ProbeConfig, evaluation

    config = ProbeConfig(
        args.preset, encoder=encoder_config(args), **given(args, ProbeConfig, OPTIONS)
    )
    methods = args.methods or list(evaluation.FROZEN)
    if args.methods is None and find_spec("sktime") is None:
        methods.remove("minirocket")
        print("minirocket left out: pip install 'img2imu[baselines]' brings it")
    if args.splits:
        writable(args.splits)
    choices = [tuple(choice.split("+")) for choice in args.sensors or []]
    if len(choices) > 1:
        outcome = _compare(args, config, methods, choices)
    else:
        outcome, _ = run_evaluation(args, config, methods, sensors=choices[0] if choices else None)
    if args.splits:
        write_json(args.splits, outcome["settings"]["splits"])


def _compare(
    args: argparse.Namespace,
    config: ProbeConfig,
    methods: Sequence[str],
    choices: Sequence[tuple[str, ...]],
) -> dict[str, Any]:
    """Evaluate each choice of sensors on the same windows and draws; return the first outcome."""
    from ..fewshot import evaluate

    require(not args.model, "--model fits one classifier: give one choice of --sensors")
    if args.json:
        writable(args.json)
    windows, device = _windows(args, config), chosen_device(args)
    chosen = {"+".join(names): windows.only(names) for names in choices}
    outcomes = {}
    for names, seen in chosen.items():
        outcomes[names] = evaluate(
            seen,
            config,
            methods,
            name=Path(args.windows).stem,
            device=device,
            progress=progress_bar,
        )
        print(f"{names}: {format_outcome(outcomes[names])}\n")
    if args.json:
        write_json(args.json, {"choices": outcomes, "environment": environment()})
    return next(iter(outcomes.values()))


def run_evaluation(
    args: argparse.Namespace,
    config: ProbeConfig,
    methods: Sequence[str],
    training: FinetuneConfig | None = None,
    sensors: Sequence[str] | None = None,
) -> tuple[dict[str, Any], Any]:
    """Evaluate and report; then fit the classifier where one is wanted, and return it, too."""
    from ..fewshot.classifier import require_replaceable

    # What cannot be written is better known before the work than after it.
    if args.json:
        writable(args.json)
    if args.model:
        require_replaceable(args.model)
    with claimed(Path(args.model)) if args.model else nullcontext():
        return _run_evaluation(args, config, methods, training, sensors)


def _run_evaluation(
    args: argparse.Namespace,
    config: ProbeConfig,
    methods: Sequence[str],
    training: FinetuneConfig | None,
    sensors: Sequence[str] | None,
) -> tuple[dict[str, Any], Any]:
    from ..fewshot import evaluate, fit_classifier
    from ..fewshot.evaluation import READ_INCOMPLETE

    require(
        not (args.model and config.encoder.reads_tokens),
        "--model: an encoder that leaves missing samples out cannot be fitted so far, only probed",
    )
    device = chosen_device(args)
    windows = _windows(args, config)
    windows = windows if sensors is None else windows.only(sensors)
    if getattr(args, "methods", None) is None and windows.incomplete.any():
        left_out = [name for name in methods if name not in READ_INCOMPLETE]
        methods = [name for name in methods if name in READ_INCOMPLETE]
        print(f"{', '.join(left_out)} left out: of incomplete windows they read nothing")
    outcome = evaluate(
        windows,
        config,
        methods,
        training=training,
        name=Path(args.windows).stem,
        device=device,
        progress=progress_bar,
    )
    print(format_outcome(outcome))
    if args.json:
        write_json(args.json, {**outcome, "environment": environment()})
    classifier = None
    if args.model:
        classifier = fit_classifier(
            windows,
            config,
            outcome["results"],
            training=training,
            device=device,
            progress=progress_bar,
        )
        classifier.save(args.model)
        print(f"classifier in {args.model}")
    return outcome, classifier


def _windows(args: argparse.Namespace, config: ProbeConfig) -> Windows:
    """The windows chosen, and behind them the unlabelled ones of a file of their own."""
    from ..recordings import load_windows, with_unlabelled

    incomplete = config.encoder.reads_tokens
    windows = chosen_windows(args, incomplete)
    if not args.unlabelled:
        return windows
    more = load_windows(args.unlabelled, args.sampling_rate, incomplete=incomplete)
    return with_unlabelled(windows, chosen_subjects(args).of(more))


def format_outcome(outcome: dict[str, Any]) -> str:
    """What was evaluated, which classes some folds cannot test, and the table."""
    settings = outcome["settings"]
    described = settings["windows"]
    beside = f" and {described['unlabelled']} unlabelled ones" if described["unlabelled"] else ""
    lines = [
        f"{described['count']} windows{beside}, {described['subjects']} subjects, "
        f"{len(described['classes'])} classes; encoder {encoder_title(settings)}"
    ]
    for fold, missing in enumerate(settings["missing_classes"]):
        lines += [
            f"fold {fold}: no {', '.join(classes)} among its {part} subjects"
            for part, classes in missing.items()
            if classes
        ]
    return "\n".join([*lines, format_table(outcome["results"])])


def encoder_title(settings: dict[str, Any]) -> str:
    """Name and weights of the encoder, in words."""
    encoder = settings["probe"]["encoder"]
    weights = encoder["checkpoint"] or (
        "pre-trained" if encoder["pretrained"] else "random weights (see --weights, --pretrained)"
    )
    return f"{encoder['name']}, {weights}"


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """Macro-F1 by method and shots, mean ± standard deviation over folds and draws.

    Below a mean of several networks a line tells from where to where their own means lie.
    """
    shots = list(dict.fromkeys(record["shots"] for record in results))
    rows = dict.fromkeys((record["method"], record["probe"]) for record in results)
    found = {(record["method"], record["probe"], record["shots"]): record for record in results}
    titles = [f"{k} shots" if k else "all labels" for k in shots]
    lines = ["macro-F1       probe     " + "".join(f"{title:>15}" for title in titles)]
    for method, probe in rows:
        records = [found[method, probe, k] for k in shots]
        scores = [f"{record['f1_mean']:.3f} ± {record['f1_std']:.3f}" for record in records]
        lines.append(f"{method:<15}{probe:<10}" + "".join(f"{each:>15}" for each in scores))
        networks = [record.get("f1_networks", []) for record in records]
        if all(networks):
            title = f"  {len(networks[0])} networks"
            ranges = [f"{min(each):.3f} – {max(each):.3f}" for each in networks]
            lines.append(f"{title:<25}" + "".join(f"{each:>15}" for each in ranges))
    return "\n".join(lines)
