"""``img2imu study`` from the command line."""

import json

import pytest

from img2imu.cli import main

from .samples import windows_file


def test_a_study_runs_and_prints(tmp_path, capsys, refused):
    path = windows_file(tmp_path)
    arguments = ["study", "table2", path, "-o", tmp_path / "out", "--rows", "hand-forest",
                 "--reference", "hand-forest", "--shots", 2, "--seeds", 1, "--jobs", 1,
                 "--windows", "all"]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    printed = capsys.readouterr().out
    assert "| **hand-made features + forest** | forest |" in printed
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["settings"]["windows"] is None
    said = refused("study", "shots", path, "-o", tmp_path / "out", "--rows", "hand-forest")
    assert "holds the study 'table2'" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "crystal-ball"], "unknown row"),
        (["--reference", "ours"], "unknown row"),
        (["--encoders", "supervised"], "NAME=FILE"),
        (["--shots", 99], "99 shots"),
        (["--folds", 2], "folds"),
        (["--windows", -5], "windows"),
        (["--stages", 9, "--rows", "random-2d", "--jobs", 1], "nothing could be computed"),
        (["--jobs", 0, "--rows", "hand-forest"], "jobs"),
        (["--shots", "few"], "--help"),
    ],
)
def test_bad_settings_are_refused(tmp_path, refused, options, message):
    path = windows_file(tmp_path)
    assert message in refused("study", "table2", path, "-o", tmp_path / "out", *options)


def test_bad_places_are_refused(tmp_path, refused):
    assert "does not exist" in refused("study", "grid", "gone.npz", "-o", tmp_path / "out")
    path = windows_file(tmp_path)
    said = refused("study", "table2", path, "-o", path, "--rows", "hand-forest")
    assert "is a file" in said


@pytest.mark.parametrize("study", ["table2", "shots", "grid"])
def test_help_fits_a_screen(capsys, study):
    with pytest.raises(SystemExit):
        main(["study", study, "--help"])
    assert len(capsys.readouterr().out.splitlines()) <= 72
