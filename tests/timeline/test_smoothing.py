"""Smoothing against the sum over all paths, written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.linalg import expm

from img2imu.errors import InputError
from img2imu.fewshot.transitions import transition_rates
from img2imu.recordings import Windows
from img2imu.timeline import smoothing
from img2imu.timeline.smoothing import (
    Chain,
    FixedLagSmoother,
    evidence,
    learn_dwell,
    most_likely_path,
    posterior,
)

STRIDE = 2.5


def random_chain(rng: np.random.Generator, classes: int) -> Chain:
    rates = rng.uniform(0.01, 0.2, (classes, classes))
    np.fill_diagonal(rates, 0)
    return Chain(rates - np.diag(rates.sum(1)))


def all_paths(probability, start, chain, prior):
    """Each path's probability with the evidence, by the definition of the model."""
    classes = len(chain.rates)
    # The left eigenvector of the rates.
    values, vectors = np.linalg.eig(chain.rates.T)
    resting = np.real(vectors[:, np.argmin(abs(values))])
    resting = resting / resting.sum()
    weights = {}
    for path in product(range(classes), repeat=len(start)):
        weight = resting[path[0]]
        for i, state in enumerate(path):
            weight *= probability[i, state] / prior[state]
            if i:
                seconds = start[i] - start[i - 1]
                move = expm(chain.rates * seconds)[path[i - 1]] if seconds > 0 else resting
                weight *= move[state]
        weights[path] = weight
    return weights


CASES = {
    "even": [0, 2.5, 5, 7.5, 10, 12.5],
    "a gap": [0, 2.5, 5, 20, 22.5, 25],
    "the clock steps back": [0, 2.5, 5, -100, -97.5, -70],
    "one window": [7.0],
}


@pytest.mark.parametrize("start", CASES.values(), ids=list(CASES))
def test_posterior_and_best_path_are_those_of_all_paths(start):
    rng = np.random.default_rng(0)
    for classes in (2, 3):
        chain, prior = random_chain(rng, classes), rng.dirichlet(np.ones(classes))
        probability = rng.dirichlet(np.ones(classes), len(start))
        weights = all_paths(probability, start, chain, prior)
        expected = np.zeros((len(start), classes))
        for path, weight in weights.items():
            expected[np.arange(len(start)), path] += weight
        expected /= expected.sum(1, keepdims=True)
        given = evidence(probability, start, STRIDE, prior)
        np.testing.assert_allclose(posterior(given, chain), expected, atol=1e-12)
        assert tuple(most_likely_path(given, chain)) == max(weights, key=weights.__getitem__)


@pytest.mark.parametrize("start", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("lag", [0, 1, 3, 10])
def test_online_answers_are_those_of_the_windows_so_far(start, lag):
    """Each is the posterior given all up to `lag` windows later; a clock set back is an end."""
    rng = np.random.default_rng(1)
    chain, probability = random_chain(rng, 3), rng.dirichlet(np.ones(3), len(start))
    stream = FixedLagSmoother(chain, lag, STRIDE)
    got = [each for row in zip(start, probability, strict=True) for each in stream.push(*row)]
    got += stream.finish()
    assert len(got) == len(start)
    ends = [i for i in range(1, len(start)) if start[i] < start[i - 1]] + [len(start)]
    for i, answer in enumerate(got):
        known = min(i + lag + 1, min(end for end in ends if end > i))
        given = evidence(probability[:known], start[:known], STRIDE)
        np.testing.assert_allclose(answer, posterior(given, chain)[i], atol=1e-12)


def test_online_holds_no_more_than_the_lag():
    rng = np.random.default_rng(2)
    stream = FixedLagSmoother(random_chain(rng, 3), 4, STRIDE)
    for i in range(500):
        due = stream.push(i * STRIDE, rng.dirichlet(np.ones(3)))
        assert len(due) == (i >= 4)
        assert len(stream._waiting) <= 4
    assert len(stream.finish()) == 4


def test_zeros_and_certainties_stay_numbers():
    """Windows that exclude each other, and a chain that hardly ever changes."""
    probability = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] * 500)
    given = evidence(probability, np.arange(1000) * STRIDE, STRIDE)
    for chain in (Chain.sticky(1e12, np.full(3, 1 / 3)), Chain(np.zeros((3, 3)))):
        found = posterior(given, chain)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(1), 1)
        assert set(most_likely_path(given, chain)) <= {0, 1}


def test_a_million_windows_keep_their_precision():
    """Long after the start the posterior is that of a stretch by itself."""
    rng = np.random.default_rng(3)
    count = 1_000_000
    probability = rng.dirichlet(np.ones(2), count)
    chain = Chain.sticky(5.0, [0.3, 0.7])
    start = np.arange(count) * STRIDE
    whole = posterior(evidence(probability, start, STRIDE), chain)
    middle = slice(700_000, 700_200)
    alone = posterior(evidence(probability[middle], start[middle], STRIDE), chain)
    np.testing.assert_allclose(whole[middle][60:140], alone[60:140], atol=1e-9)
    path = most_likely_path(evidence(probability, start, STRIDE), chain)
    assert (path == whole.argmax(1)).mean() > 0.9


def test_dwell_is_learnt_from_the_recording():
    """Of sequences drawn from sticky chains, seen through a noisy classifier."""
    rng = np.random.default_rng(4)
    for dwell in (15.0, 120.0):
        redrawn = rng.random(20_000) < 1 - np.exp(-STRIDE / dwell)
        state = np.where(redrawn, rng.integers(3, size=20_000), -1)
        state[0] = 0
        state = state[np.maximum.accumulate(np.where(state >= 0, np.arange(len(state)), 0))]
        likelihood = np.full((20_000, 3), 0.1)
        shown = np.where(rng.random(20_000) < 0.8, state, rng.integers(3, size=20_000))
        likelihood[np.arange(20_000), shown] = 0.8
        given = evidence(likelihood, np.arange(20_000) * STRIDE, STRIDE)
        learnt = -1 / (learn_dwell(given).rates.diagonal()[0] * 1.5)
        assert dwell / 1.3 < learnt < dwell * 1.3


def test_a_short_recording_is_smoothed_as_usual():
    given = evidence([[0.9, 0.1]], [0.0], STRIDE)
    learnt = learn_dwell(given)
    np.testing.assert_allclose(
        learnt.rates, Chain.sticky(smoothing.DWELL, [0.5, 0.5]).rates, rtol=0.1
    )


@pytest.mark.parametrize(
    "rates",
    [
        [[0.0, 1.0], [0.0, 0.0]],
        [[1.0, -1.0], [0.0, 0.0]],
        [[0.0]] * 2,
        [[np.nan]],
        np.zeros((0, 0)),
    ],
)
def test_what_is_no_chain_is_refused(rates):
    with pytest.raises(InputError, match="rates of a chain"):
        Chain(rates)


def windows_of(y, start, recording=None):
    n = len(y)
    names = np.full(n, "r") if recording is None else np.array(recording)
    return Windows(
        np.zeros((n, 3, 250), np.float32), np.array(y), names, names, np.array(start, float), 50.0
    )


def test_rates_are_changes_over_time():
    """Against counting by hand: a lasts 20 s, b 5 s, always; one change more for the prior."""
    y = (["a"] * 8 + ["b"] * 2) * 20
    found = transition_rates(windows_of(y, np.arange(200) * STRIDE), ["a", "b"])
    # 39 changes in 199 steps; a: 20 in 160 steps, b: 19 in 39.
    usual = 39 / (199 * STRIDE)
    a, b = (21 / (160 * STRIDE + 1 / usual), 20 / (39 * STRIDE + 1 / usual))
    np.testing.assert_allclose(found, [[-a, a], [b, -b]])


def test_windows_of_one_class_each_tell_no_rates():
    y = np.repeat(["a", "b", "c"] * 5, 10)
    recording = np.repeat([f"r{i}" for i in range(15)], 10)
    start = np.tile(np.arange(10) * STRIDE, 15)
    assert transition_rates(windows_of(y, start, recording), ["a", "b", "c"]) is None
    # Nor do windows far from each other, nor those with unlabelled ones between.
    assert transition_rates(windows_of(y, np.arange(150) * 60.0), ["a", "b", "c"]) is None
    apart = [each for label in y for each in (label, "")]
    assert transition_rates(windows_of(apart, np.arange(300) * STRIDE), ["a", "b", "c"]) is None
