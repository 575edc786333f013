"""What is proposed next, against a plain reading of its definition."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from img2imu.label import Learning, Proposer
from img2imu.label.proposals import REACH, SPREAD, spread


def blobs(sizes=(300, 120, 40), dims=12, seed=0):
    """Features in clusters of these sizes, and which cluster each is of."""
    rng = np.random.default_rng(seed)
    member = np.repeat(np.arange(len(sizes)), sizes)
    centres = rng.normal(scale=8, size=(len(sizes), dims))
    features = centres[member] + rng.normal(size=(len(member), dims))
    return features.astype(np.float32), member


def proposer_of(features, recording=None):
    learning = Learning([features[:200], features[200:]], [features.shape[1]])
    recording = np.zeros(len(features), np.intp) if recording is None else recording
    return Proposer(learning, recording), learning


def plain(learning, recording, count, asked, taken, probability=None):
    """The definition, in loops."""
    numbers, points = learning.candidates, learning.points
    between = cdist(points, points)
    far = REACH * np.median(between)
    chosen = []
    known = np.flatnonzero(asked).tolist()
    for _ in range(count):
        nearest = np.full(len(points), far)
        for each in known:
            away = cdist(points, learning.project(np.array([each])))[:, 0]
            nearest = np.minimum(nearest, away)
        if probability is None:
            unsure = np.ones(len(points))
        else:
            best = np.sort(probability[numbers], axis=1)
            unsure = 1 - best[:, -1] + best[:, -2]
        worth = []
        for place, number in enumerate(numbers):
            known_now = zip(unsure, nearest, between[place], strict=True)
            gain = sum(u * max(0, n - d) for u, n, d in known_now)
            often = sum(recording[each] == recording[number] for each in known)
            open_ = not taken[number] and number not in chosen
            worth.append(gain / (1 + often) ** SPREAD if open_ else -1)
        chosen.append(int(numbers[int(np.argmax(worth))]))
        known.append(chosen[-1])
    return chosen


@pytest.mark.parametrize("informed", [False, True])
def test_proposals_are_the_definition(informed):
    features, _ = blobs((60, 30, 10))
    recording = np.arange(100) % 7
    proposer, learning = proposer_of(features, recording)
    asked, taken = np.zeros(100, bool), np.zeros(100, bool)
    asked[[3, 70]] = taken[[3, 70, 50]] = True
    probability = None
    if informed:
        head = learning.fit(np.array([3, 4, 70, 71]), np.array([0, 0, 1, 1]))
        probability = learning.probabilities(head)
    found = proposer.propose(5, asked, taken, probability)
    assert found == plain(learning, recording, 5, asked, taken, probability)


def test_the_first_ones_are_of_different_clusters():
    features, member = blobs()
    nothing = np.zeros(len(features), bool)
    proposer, _ = proposer_of(features)
    found = proposer.propose(3, nothing, nothing)
    assert set(member[found].tolist()) == {0, 1, 2}
    # And typical: nearer to the centre of theirs than most.
    for number in found:
        own = features[member == member[number]]
        away = np.linalg.norm(own - own.mean(0), axis=1)
        assert np.linalg.norm(features[number] - own.mean(0)) < np.median(away)


def test_what_is_known_well_is_not_asked():
    features, member = blobs((200, 200, 200))
    proposer, _ = proposer_of(features)
    asked = np.zeros(600, bool)
    asked[[0, 250, 450]] = True
    probability = np.full((600, 2), (1.0, 0.0), np.float32)
    probability[member == 2] = 0.5
    found = proposer.propose(4, asked, asked, probability)
    assert (member[found] == 2).all()


def test_recordings_take_turns():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 8)).astype(np.float32)
    recording = np.arange(400) // 40
    nothing = np.zeros(400, bool)
    found = proposer_of(features, recording)[0].propose(10, nothing, nothing)
    assert len(set(recording[found].tolist())) >= 8


def test_what_is_taken_is_never_proposed_and_the_end_is_the_end():
    features, _ = blobs((20, 10, 5))
    taken = np.ones(35, bool)
    taken[[4, 30]] = False
    found = proposer_of(features)[0].propose(5, ~taken & False, taken)
    assert sorted(found) == [4, 30]


def test_a_spread_order_goes_round_people_and_recordings():
    person = np.repeat([0, 0, 1, 2], 50)
    recording = np.repeat([0, 1, 2, 3], 50)
    order = spread(recording, person, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(200))
    assert set(person[order[:3]].tolist()) == {0, 1, 2}
    first_of_0 = order[person[order] == 0][:2]
    assert set(recording[first_of_0].tolist()) == {0, 1}
