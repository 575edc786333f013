"""The converter's benchmark: what its report holds; never how fast it was."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from img2imu.bench import convert
from img2imu.bench.timing import race, summary
from img2imu.environment import environment
from img2imu.errors import InputError


@pytest.fixture(scope="module")
def report():
    return convert.run(rounds=2, windows=40, threads=1)


def test_report_is_json_and_a_table(report):
    again = json.loads(json.dumps(report))
    assert {"matplotlib", "librosa", "img2imu uint8", "img2imu float32"} < set(again["rates"])
    for rate in again["rates"].values():
        assert len(rate["each"]) == 2
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
    assert "matplotlib" in convert.table(report)


def test_peers_draw_the_same_picture(report):
    assert set(report["agreement"]) == {"matplotlib", "librosa"}
    assert max(report["agreement"].values()) <= 1


def test_every_contestant_draws_a_picture_of_each_sensor():
    report = convert.run(rounds=1, windows=20, threads=1, sensors=2)
    assert max(report["agreement"].values()) <= 1
    assert {"img2imu 9 views uint8", "img2imu 5 views uint8", convert.ALONE} < set(report["rates"])
    rates = {name: rate["median"] for name, rate in report["rates"].items()}
    cost = rates["img2imu 5 views uint8"] / rates["img2imu 9 views uint8"]
    assert report["cost"]["recommended views"]["median"] == pytest.approx(cost, rel=0.01)
    assert "2 sensors, a picture each" in convert.table(report)
    signal = np.concatenate([convert.walking(4, 0), convert.walking(4, 1)], axis=1)
    pictures = convert.one_by_one(signal, convert.matplotlib_density)
    second = convert.one_by_one(convert.walking(4, 1), convert.matplotlib_density)
    np.testing.assert_array_equal(pictures[1::2], second)


def test_threads_are_put_back():
    before = torch.get_num_threads()
    convert.run(rounds=1, windows=1, threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("options", [{"rounds": 0}, {"windows": 0}, {"threads": 0}, {"sensors": 4}])
def test_unfit_numbers_are_refused(options):
    with pytest.raises(InputError):
        convert.run(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_device_is_refused():
    with pytest.raises(InputError, match="cuda"):
        convert.run(rounds=1, windows=1, device="cuda")


def test_environment_tells_the_machine_and_not_whose_it_is():
    facts = environment()
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0]
    assert facts["cpu"]["cores"] >= 1
    text = json.dumps(facts)
    for private in (socket.gethostname(), str(Path.home()), str(Path.cwd())):
        assert len(private) < 3 or private not in text
    assert getpass.getuser() not in facts["cpu"]["model"]


def test_race_takes_turns_and_counts_items():
    order = []
    entrants = {name: (lambda name=name: order.append(name), 10) for name in "ab"}
    rates = race(entrants, rounds=2)
    assert order == ["a", "b"] * 3
    assert all(rate > 0 for each in rates.values() for rate in each)


def test_summary_is_order_statistics():
    assert summary([1, 2, 3, 4, 5]) == {"median": 3, "min": 1, "max": 5, "iqr": 2}
