"""Hours and sizes: what is cut from the source, and what is trained, probed and shown."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.fewshot import ProbeConfig, evaluate
from img2imu.models import EncoderConfig, build_encoder
from img2imu.recordings import Windows, load_windows, neighbours, save_windows
from img2imu.studies.config import ScaleConfig
from img2imu.studies.data import thin
from img2imu.studies.scale import Place, _place, added_seconds, cut, first_seconds

from .samples import windows_file


def overlapping(recordings=4, each=10):
    """Recordings of windows of 4 s, every 1 s."""
    n = recordings * each
    names = np.repeat([f"r{i}" for i in range(recordings)], each)
    start = np.tile(np.arange(each, dtype=float), recordings)
    X = np.random.default_rng(0).normal(size=(n, 3, 40)).astype(np.float32)
    return Windows(X, np.full(n, ""), np.full(n, "s"), names, start, 10.0)


def test_overlap_counts_once():
    windows = overlapping()
    assert added_seconds(windows).sum() == 4 * (9 + 4)
    mixed = windows.select(np.random.default_rng(1).permutation(len(windows)))
    assert added_seconds(mixed).sum() == 4 * (9 + 4)
    assert added_seconds(replace(windows, start=np.zeros(40))).sum() == 40 * 4


def test_fewer_hours_are_a_part_of_more_in_whole_recordings():
    windows = overlapping()
    before: set[tuple[str, float]] = set()
    for seconds in (5, 13, 20, 52):
        some = first_seconds(windows, seconds)
        assert added_seconds(some).sum() == seconds
        told = set(zip(some.recording.tolist(), some.start.tolist(), strict=True))
        assert before <= told
        before = told
        # A recording is begun when the one before it is through.
        counts = sorted(np.unique(some.recording, return_counts=True)[1])
        assert all(count == 10 for count in counts[1:])
        assert len(neighbours(some)) == len(some) - len(counts)


def test_each_source_gives_its_share(tmp_path):
    paths = []
    for name, recordings in (("one", 2), ("other", 6)):
        paths.append(tmp_path / f"{name}.npz")
        save_windows(paths[-1], overlapping(recordings))
    half = cut([str(path) for path in paths], 52 / 3600)
    assert [added_seconds(part).sum() for part in half.values()] == [13, 39]
    with pytest.raises(InputError, match=r"has 0\.03 hours, of which 1 are wanted"):
        cut([str(path) for path in paths], 1)


def test_the_study_probes_what_it_trained(tmp_path, capsys):
    path = windows_file(tmp_path)
    source = windows_file(tmp_path, "source", each=10, seed=1)
    out = tmp_path / "out"
    arguments = ["study", "scale", path, "-o", out, "--source", source, "--hours", 0.12, 0,
                 "--architectures", "resnet18", "resnet10t", "--steps", 1, "--stages", 1,
                 "--rows", "hand-forest", "--reference", "hand-forest",
                 "--methods", "simsiam", "simclr", "--shots", 3,
                 "--seeds", 1, "--windows", 45, "--jobs", 1]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    with (out / "table.csv").open(newline="", encoding="utf-8") as stream:
        found = {r["row"]: r for r in csv.DictReader(stream)}
    sizes, methods = ("resnet10t", "resnet18"), ("simsiam", "simclr")
    places = [f"{name}-{method}-0.12h" for name in sizes for method in methods]
    assert set(found) == {"resnet10t-0h", "resnet18-0h", *places, "hand-forest"}
    learnt = "resnet18-simsiam-0.12h"
    each = [found[name]["f1_each"] for name in ("resnet18-0h", learnt, "resnet18-simclr-0.12h")]
    assert len(set(each)) == 3
    [head] = [line for line in lines if line.startswith("|  |")]
    assert head == "|  | 0 h | 0.12 h |"
    for name in sizes:
        encoder = build_encoder(EncoderConfig(name, stages=(1,)))
        size = sum(parameter.numel() for parameter in encoder.parameters())
        shown = [line for line in lines if line.startswith(f"| {name}")]
        for line, method in zip(shown, methods, strict=True):
            assert line.startswith(f"| {name}, {size / 1e6:.2g} M |")
            for row in (f"{name}-0h", f"{name}-{method}-0.12h"):
                assert f"{float(found[row]['f1_mean']):.3f}"[1:] in line
    assert any(line.startswith("- hand-made features + forest on toy:") for line in lines)
    weights = out / "encoders" / learnt / "encoder.safetensors"
    before = weights.stat().st_mtime_ns
    assert main([str(argument) for argument in arguments]) == 0
    assert weights.stat().st_mtime_ns == before
    read = EncoderConfig("resnet18", checkpoint=str(weights), stages=(1,))
    probe = ProbeConfig(encoder=read, shots=(3,), seeds=1)
    [record] = evaluate(thin(load_windows(path), 45), probe, ["img2imu"], jobs=1)["results"]
    assert [float(v) for v in found[learnt]["f1_each"].split()] == record["f1_each"]


@pytest.mark.parametrize(
    "settings",
    [
        {"hours": ()},
        {"hours": (-1.0,)},
        {"architectures": ("../x",)},
        {"steps": 0},
        {"methods": ()},
        {"methods": ("moco", "moco")},
        {"methods": ("supervised",)},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(InputError):
        ScaleConfig(**settings)


def test_rows_of_other_studies_have_no_place():
    assert _place("resnet18-moco-0.5h") == Place("resnet18", "moco", 0.5)
    assert _place("resnet18-0h") == Place("resnet18", "", 0.0)
    assert _place("shipped") is None and _place("random-2d") is None
