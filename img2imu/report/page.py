"""The quickstart's report: results and pictures to one HTML file without external parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..convert import View
from ..files import write_text
from ..models import DEFAULT_ENCODER
from . import figures
from .tables import score

if TYPE_CHECKING:
    from ..recordings import Windows
    from ..timeline import Timeline

Results = Mapping[str, Any]

ELSEWHERE = (
    "In the mean of eight tasks from data sets that such an encoder had not seen, from ten labels "
    "per class, they are worth +.04 (results/default-encoder)."
)
"""What the toolkit's own weights are worth on other data."""


def write_report(
    path: str | Path,
    results: Results,
    windows: Windows,
    views: Sequence[View],
    timeline: Timeline,
) -> None:
    """Write the report, whole or not at all.

    Parameters
    ----------
    path
        Of the HTML file.
    results
        What :func:`img2imu.quickstart.quickstart` writes as ``results.json``.
    windows
        Those that were probed; some are shown.
    views
        What the classifier sees of them.
    timeline
        Labels of the held-out recording.
    """
    write_text(path, render("report.html", **_context(results, windows, views, timeline)))


def render(template: str, **context: Any) -> str:
    """A template of this folder with everything filled in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["number"] = number
    return templates.get_template(template).render(context)


def number(value: float) -> str:
    """Two decimals without the leading zero, as in .76."""
    return f"{value:.2f}".removeprefix("0") if value >= 0 else f"−{number(-value)}"


def duration(seconds: float) -> str:
    """Such as ``0.8 s``, ``12 s`` or ``2 min 40 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _context(
    results: Results, windows: Windows, views: Sequence[View], timeline: Timeline
) -> dict[str, Any]:
    data, shots, probe = results["data"], results["shots"], results["settings"]["probe"]
    at_shots = {r["method"]: r for r in results["results"] if r["shots"] == shots}
    ours, classes = at_shots["img2imu"], windows.classes
    subject, examples = _examples(windows)
    return {
        "title": f"img2imu: macro-F1 {number(ours['f1_mean'])} from {shots} windows per class",
        "version": __version__,
        "data": data,
        "shots": shots,
        "all_shots": probe["shots"],
        "folds": len(results["settings"]["splits"]["folds"]),
        "seeds": probe["seeds"],
        "classes": classes,
        "ours": ours,
        "verdict": _verdict(at_shots),
        "facts": _facts(results, windows, ours),
        "weights": _weights(results["weights"], at_shots),
        "views": views,
        "drawn": len(figures.example_views(views)),
        "seconds": f"{windows.X.shape[-1] / windows.sampling_rate:g}",
        "gallery_subject": subject,
        "table": _table(results["results"]),
        "mistake": _mistake(ours["confusion"], classes),
        "timeline_caption": _timeline_caption(results, timeline),
        "export_caption": _export_caption(
            results["export"], windows.X.shape[-1] / windows.sampling_rate / 2
        ),
        "latency": _latency(results["export"]["latency"]),
        "settings": _settings(results, windows, views),
        "environment": describe_environment(results["environment"]),
        "steps": [(step["name"], duration(step["seconds"])) for step in results["steps"]],
        "total": duration(sum(step["seconds"] for step in results["steps"])),
        "figures": {
            "gallery": figures.svg_uri(figures.draw_gallery(examples, views)),
            "curve": figures.svg_uri(figures.draw_curve(results["results"], 1 / len(classes))),
            "confusion": figures.svg_uri(figures.draw_confusion(ours["confusion"], classes)),
            "timeline": figures.png_uri(figures.draw_timeline(timeline)),
        },
    }


def _examples(windows: Windows) -> tuple[str, Windows]:
    """A window of each class, all of one subject where one shows them all."""
    shown = {
        subject: len(set(windows.y[windows.subject == subject].tolist()))
        for subject in windows.subjects
    }
    subject = max(shown, key=lambda name: shown[name])
    of_subject = windows.select(windows.subject == subject)
    middle = [
        members[len(members) // 2]
        for members in (np.flatnonzero(of_subject.y == name) for name in of_subject.classes)
    ]
    return subject, of_subject.select(np.array(middle))


def _verdict(at_shots: Mapping[str, Results]) -> str:
    """How the others do, from the best down, and what the difference to the best is worth."""
    ranking = sorted(at_shots.values(), key=lambda record: -record["f1_mean"])
    others = [
        f"{_title(record)} {number(record['f1_mean'])}"
        for record in ranking
        if record["method"] != "img2imu"
    ]
    if not others:
        return "No baseline was run beside it."
    ours, best = at_shots["img2imu"], ranking[0]
    gap = best["f1_mean"] - ours["f1_mean"]
    place = (
        "img2imu is the best of them"
        if best is ours
        else f"The best is ahead of img2imu by {number(gap)}"
    )
    return (
        f"Beside it, with the same labels and people: {', '.join(others)}. {place}; the standard "
        f"deviation over folds and draws is {number(ours['f1_std'])}."
    )


def _title(record: Results) -> str:
    """Of a method, and of how many networks its score is the mean."""
    title, _ = figures.TITLES[record["method"]]
    networks = record.get("f1_networks")
    return f"{title} (mean of {len(networks)})" if networks else title


def _facts(results: Results, windows: Windows, ours: Results) -> list[tuple[str, str]]:
    held_out = results["held_out"]
    return [
        (f"{len(windows):,}", f"windows of {len(windows.subjects)} people"),
        (f"{number(ours['f1_mean'])} ± {number(ours['f1_std'])}", "macro-F1 over folds and draws"),
        (
            number(held_out["scores"]["macro_f1"]),
            f"macro-F1 on the recording of subject {held_out['subject']}",
        ),
        (
            f"{results['export']['latency'][0]['p50_ms']:.0f} ms",
            "for a window on one core, by ONNX Runtime",
        ),
        (f"{results['export']['size'] / 1e6:.1f} MB", "file for the phone"),
    ]


def _weights(weights: Results, at_shots: Mapping[str, Results]) -> dict[str, str]:
    better = (
        "Better ones: the toolkit's own, its default; or --weights FILE (safetensors or a torch "
        "checkpoint)."
    )
    if weights["kind"] == "random":
        return {
            "title": "random",
            "meaning": f"This {weights['encoder']} has never seen an image: these results show "
            "what the pictures and the architecture give by themselves, not what is carried over "
            "from vision.",
            "advice": better,
        }
    meaning = ""
    if "random-2d" in at_shots:
        random = at_shots["random-2d"]
        gain = at_shots["img2imu"]["f1_mean"] - random["f1_mean"]
        meaning = (
            f"Over the same network with random weights they are worth "
            f"{'+' if gain >= 0 else ''}{number(gain)} macro-F1 here."
        )
        if each := random.get("f1_networks"):
            meaning += (
                f" That network is the mean of {len(each)}, of different seeds, which have "
                f"{score(min(each))} to {score(max(each))}."
            )
        if weights["encoder"] == DEFAULT_ENCODER.name:
            meaning += f" {ELSEWHERE}"
    return {"title": weights["title"], "meaning": meaning, "advice": ""}


def _table(records: Sequence[Results]) -> list[dict[str, Any]]:
    best: dict[int, float] = {}
    for record in records:
        best[record["shots"]] = max(best.get(record["shots"], 0), record["f1_mean"])
    rows: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        cell = {**record, "best": record["f1_mean"] == best[record["shots"]]}
        rows.setdefault(record["method"], []).append(cell)
    return [
        {
            "method": name,
            "title": _title(cells[0]),
            "color": figures.TITLES[name][1],
            "cells": cells,
        }
        for name, cells in rows.items()
    ]


def _mistake(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    counts = np.asarray(confusion, float)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    true, taken = np.unravel_index(share.argmax(), share.shape)
    if not share[true, taken]:
        return ""
    return (
        f"The commonest mistake: {share[true, taken]:.0%} of {classes[true]} "
        f"is taken for {classes[taken]}."
    )


def _timeline_caption(results: Results, timeline: Timeline) -> str:
    held_out, data = results["held_out"], results["data"]
    scores = held_out["scores"]
    return (
        f"The {data['noun']}s of subject {held_out['subject']}, one after another; of this person "
        f"the classifier saw nothing. It labels {scores['accuracy']:.0%} of the "
        f"{scores['windows']} windows as the recording does (macro-F1 "
        f"{number(scores['macro_f1'])}). {_confidence(timeline)}"
    )


def _confidence(timeline: Timeline) -> str:
    """How confident right and wrong labels are, where there are both."""
    confidence = np.concatenate([track.confidence for track in timeline.tracks])
    code = np.concatenate([track.code for track in timeline.tracks])
    truth = np.concatenate([track.truth for track in timeline.tracks])
    right, wrong = code == truth, (code != truth) & (truth >= 0)
    if not (right.any() and wrong.any()):
        return ""
    return (
        "Compare the two bands: where they agree the mean confidence is "
        f"{number(float(confidence[right].mean()))}, where they differ "
        f"{number(float(confidence[wrong].mean()))}."
    )


def _export_caption(export: Results, stride: float) -> str:
    parity, busy = export["parity"], export["latency"][0]["p50_ms"] / 1000 / stride
    return (
        f"{export['path']} takes raw samples in g and holds everything from the pictures to the "
        f"probabilities, in {export['size'] / 1e6:.1f} MB. On {parity['windows']} real windows it "
        f"answers as PyTorch does, within {_power(parity['logits'])} on the logits "
        f"({_power(parity['tolerance'])} is allowed). With a new window every {stride:g} s, one "
        f"core of this processor is busy {busy:.1%} of the time. A phone's processor is another "
        "one: measure there."
    )


def _power(value: float) -> str:
    """Such as 3·10⁻⁶."""
    mantissa, exponent = f"{value:.0e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if mantissa == "1" else f"{mantissa} · 10{raised}"


def _latency(rows: Sequence[Results]) -> dict[str, Any]:
    fields = ("p50_ms", "p90_ms", "p99_ms", "max_ms")
    return {
        "columns": ["one window, in milliseconds", "median", "90 %", "99 %", "longest"],
        "rows": [
            [
                f"{row['runtime']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}",
                *(f"{row[name]:.1f}" for name in fields),
            ]
            for row in rows
        ],
    }


def _settings(results: Results, windows: Windows, views: Sequence[View]) -> list[tuple[str, str]]:
    probe, weights = results["settings"]["probe"], results["weights"]
    encoder, folds = probe["encoder"], results["settings"]["splits"]["folds"]
    length = windows.X.shape[-1] / windows.sampling_rate
    spectrograms = sorted({view.nfft for view in views if hasattr(view, "nfft")})
    stages = " and ".join(map(str, encoder["stages"]))
    train, validation, test = (len(folds[0][part]) for part in ("train", "validation", "test"))
    return [
        ("data", f"{results['data']['name']}: {results['data']['title']}"),
        ("windows", f"{length:g} s at {windows.sampling_rate:g} Hz"),
        (
            "pictures",
            f"{len(views)} of {views[0].width} × {views[0].height} pixels; spectrograms of nfft "
            f"{', '.join(map(str, spectrograms))}",
        ),
        (
            "encoder",
            f"{encoder['name']}, stage {stages}, {encoder['bands']} frequency bands, frozen",
        ),
        ("weights", " ".join(filter(None, [weights["title"], weights.get("sha256", "")[:12]]))),
        ("classifier", f"logistic regression, C = {probe['C'][0]:g}, standardised features"),
        (
            "evaluation",
            f"{len(folds)} folds by person ({train} train, {validation} validate, {test} test), "
            f"{probe['seeds']} draws each",
        ),
        (
            "held-out classifier",
            f"{results['shots']} windows per class of subjects {', '.join(folds[0]['train'])}",
        ),
    ]


def describe_environment(machine: Results) -> list[tuple[str, str]]:
    """Date, commit, machine and versions, in words."""
    versions = machine["versions"]
    packages = ("torch", "timm", "onnxruntime", "numpy", "scikit-learn")
    return [
        ("date", machine["date"]),
        ("commit", machine["commit"] or "none: installed"),
        ("processor", f"{machine['cpu']['model']}, {machine['cpu']['cores']} cores"),
        ("system", machine["system"]),
        ("versions", ", ".join(f"{name} {versions[name]}" for name in packages)),
    ]
