"""Folds and draws: the properties that make a few-shot score honest."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.recordings.splits import (
    PARTS,
    Draw,
    Fold,
    SplitManifest,
    assert_disjoint,
    few_shot,
    fingerprint,
    missing_classes,
    subject_folds,
)
from img2imu.recordings.windows import Windows


def windows_of(subject, y):
    n = len(y)
    return Windows(
        X=np.zeros((n, 3, 4), np.float32),
        y=np.array(y, dtype=np.str_),
        subject=np.array(subject, dtype=np.str_),
        recording=np.array(subject, dtype=np.str_),
        start=np.arange(n) * 0.5,
        sampling_rate=2.0,
    )


def balanced(subjects=6, classes="abc", each=4):
    pairs = [(f"s{i}", label) for i in range(subjects) for label in classes for _ in range(each)]
    return windows_of(*zip(*pairs, strict=True))


@given(n_subjects=st.integers(3, 40), n_folds=st.integers(3, 12), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_every_subject_is_tested_once_and_never_in_two_parts(n_subjects, n_folds, seed):
    names = {f"subject {i}" for i in range(n_subjects)}
    folds = subject_folds(sorted(names), n_folds=n_folds, seed=seed)
    assert [fold.index for fold in folds] == list(range(min(n_folds, n_subjects)))
    for fold in folds:
        parts = [set(getattr(fold, part)) for part in PARTS]
        assert set.union(*parts) == names
        assert sum(len(part) for part in parts) == n_subjects
        assert all(parts)
    assert sorted(name for fold in folds for name in fold.test) == sorted(names)
    assert sorted(name for fold in folds for name in fold.validation) == sorted(names)
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_five_folds_are_60_20_20():
    for fold in subject_folds([str(i) for i in range(25)]):
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (15, 5, 5)


def test_the_seed_decides_and_the_order_of_windows_does_not():
    windows = balanced(10)
    one = subject_folds(windows.subject, windows.y, seed=1)
    mixed = np.random.default_rng(0).permutation(len(windows))
    assert subject_folds(windows.subject[mixed], windows.y[mixed], seed=1) == one
    assert subject_folds(windows.subject, windows.y, seed=2) != one


def test_classes_are_spread_where_they_can_be():
    """Class c has only two subjects: side by side they would empty a fold's training part."""
    subject, y = zip(
        *[(f"s{i}", label) for i in range(5) for label in ("abc" if i < 2 else "ab")], strict=True
    )
    for seed in range(30):
        folds = subject_folds(subject, np.array(y), seed=seed)
        missing = [missing_classes(fold, np.array(y), np.array(subject)) for fold in folds]
        assert [parts["train"] for parts in missing] == [[]] * 5
        assert sum(parts["test"] == ["c"] for parts in missing) == 3


def test_the_chosen_shuffle_has_the_fewest_absences_of_many():
    rng = np.random.default_rng(0)
    subject = np.array([f"s{i}" for i in range(10) for _ in range(3)])
    y = rng.choice(list("abcdefg"), 30)

    def absences(folds):
        found = [missing_classes(fold, y, subject) for fold in folds]
        return (
            sum(len(parts["train"]) for parts in found),
            sum(len(part) for parts in found for part in parts.values()),
        )

    chosen = absences(subject_folds(subject, y))
    firsts = [absences(subject_folds(subject, seed=seed)) for seed in range(100)]
    assert chosen <= min(firsts)
    assert chosen < max(firsts)


@pytest.mark.parametrize(
    ("subjects", "n_folds", "word"), [(2, 5, "at least 3 subjects"), (9, 2, "n_folds")]
)
def test_too_few_subjects_or_folds(subjects, n_folds, word):
    with pytest.raises(InputError, match=word):
        subject_folds([str(i) for i in range(subjects)] * 4, n_folds=n_folds)


def test_labels_must_match_subjects():
    with pytest.raises(InputError, match="2 labels for the subjects of 3 windows"):
        subject_folds(["a", "b", "c"], np.array(["x", "y"]))


def test_unlabelled_windows_are_no_class():
    windows = windows_of(["a", "b", "c"] * 2, ["x"] * 3 + ["", "", "x"])
    folds = subject_folds(windows.subject, windows.y)
    for fold in folds:
        assert missing_classes(fold, windows.y, windows.subject) == {part: [] for part in PARTS}
    assert set(few_shot(windows.y, np.arange(6), None)) == {0, 1, 2, 5}


@given(
    y=st.lists(st.sampled_from("abc"), min_size=30, max_size=90),
    shots=st.integers(1, 5),
    seed=st.integers(0, 1000),
    data=st.data(),
)
@settings(deadline=None)
def test_draws_are_exact_nested_and_among_the_candidates(y, shots, seed, data):
    y = np.array(y)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(y), max_size=len(y))))
    have = {label: int(np.sum(mask & (y == label))) for label in set(y.tolist())}
    short = sorted(label for label, count in have.items() if count < shots)
    if short:
        with pytest.raises(
            InputError, match=f"'{short[0]}' has {have[short[0]]} windows .* {shots}"
        ):
            few_shot(y, mask, shots, seed)
        return
    drawn = few_shot(y, mask, shots, seed)
    assert mask[drawn].all()
    assert Counter(y[drawn].tolist()) == dict.fromkeys(have, shots)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    np.testing.assert_array_equal(drawn, few_shot(y, np.flatnonzero(mask), shots, seed))
    for fewer in range(1, shots):
        assert set(few_shot(y, mask, fewer, seed)) <= set(drawn)
    np.testing.assert_array_equal(few_shot(y, mask, None, seed), np.flatnonzero(mask))


def test_seeds_draw_different_windows_and_all_of_them_in_time():
    y = np.array(["a"] * 20 + ["b"] * 20)
    counts = Counter(i for seed in range(400) for i in few_shot(y, np.arange(40), 5, seed).tolist())
    assert len(counts) == 40
    assert all(60 < count < 140 for count in counts.values())  # 100 expected, sigma 8.7


def test_a_class_without_training_windows_names_class_and_fold():
    subject = ["s0"] * 4 + ["s1"] * 2 + ["s2"] * 2 + ["s3"] * 2 + ["s4"] * 2
    windows = windows_of(subject, ["a", "a", "rare", "rare"] + ["a"] * 8)
    with pytest.raises(InputError, match=r"class 'rare' has 0 windows in the training .* fold \d"):
        SplitManifest.create("toy", windows, [1], [0])
    with pytest.raises(InputError, match="shots must be at least 1"):
        few_shot(windows.y, np.arange(12), 0)


@pytest.fixture
def manifest():
    return SplitManifest.create("toy", balanced(), [1, 2, None], [0, 1])


def test_a_manifest_holds_every_draw_and_survives_the_disk(manifest, tmp_path):
    windows = balanced()
    manifest.verify(windows)
    manifest.save(tmp_path / "split.json")
    loaded = SplitManifest.load(tmp_path / "split.json")
    assert loaded == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]
    loaded.verify(windows)
    for fold in manifest.folds:
        train = fold.windows("train", windows.subject)
        test = fold.windows("test", windows.subject)
        # One draw of all is every one.
        np.testing.assert_array_equal(loaded.draw(fold.index, 0, None), train)
        for seed in (0, 1):
            np.testing.assert_array_equal(
                loaded.draw(fold.index, seed, 2), few_shot(windows.y, train, 2, seed)
            )
            assert not set(windows.subject[train]) & set(windows.subject[test])
    with pytest.raises(InputError, match="no draw of fold 0, seed 7"):
        loaded.draw(0, 7, 1)


def test_a_manifest_is_bound_to_its_windows(manifest):
    windows = balanced()
    manifest.verify(replace(windows, X=windows.X + 1e-7))
    for changed in (
        balanced(each=5),
        replace(windows, y=windows.y[::-1]),
        replace(windows, start=windows.start + 1),
        replace(windows, sampling_rate=4.0),
        replace(windows, recording=windows.y),
    ):
        assert fingerprint(changed) != manifest.fingerprint
        with pytest.raises(InputError, match="made from other windows"):
            manifest.verify(changed)


def test_a_leaking_draw_is_refused(manifest):
    windows = balanced()
    tested = manifest.folds[0].windows("test", windows.subject)
    for chosen, word in [
        ((*manifest.draws[0].windows[1:], int(tested[0])), "not of its training subjects"),
        (manifest.draws[0].windows[1:], "does not hold 1 windows of each class"),
    ]:
        leaking = Draw(0, 0, 1, chosen)
        with pytest.raises(InputError, match=word):
            replace(manifest, draws=(leaking, *manifest.draws[1:])).verify(windows)


def tampered(change):
    def apply(entries):
        change(entries)
        return json.dumps(entries)

    return apply


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (tampered(lambda e: e["folds"][0]["train"].append(e["folds"][0]["test"][0])), "2 times"),
        (tampered(lambda e: e["folds"][1]["train"].pop()), "0 times in fold 1"),
        (tampered(lambda e: e["folds"].pop()), "tested in 0 folds"),
        (tampered(lambda e: e["folds"][2].update(validation=[])), "no validation subjects"),
        (tampered(lambda e: e["draws"].append(e["draws"][0])), "two draws"),
        (tampered(lambda e: e["draws"][0].update(fold=9)), "a fold that it does not have"),
        (tampered(lambda e: e["draws"][0].update(windows=[1, 1])), "a window twice"),
        (tampered(lambda e: e["draws"][0].update(windows=[0.5])), "not a split manifest"),
        (tampered(lambda e: e["folds"][0].update(train="s0")), "not a split manifest"),
        (tampered(lambda e: e.pop("fingerprint")), "not a split manifest"),
        (tampered(lambda e: e.update(more=1)), "not a split manifest"),
        (lambda e: "[]", "not a split manifest"),
        (lambda e: "{", "not a split manifest"),
        (lambda e: "", "not a split manifest"),
    ],
)
def test_a_tampered_manifest_is_refused(manifest, tmp_path, edit, word):
    path = tmp_path / "split.json"
    manifest.save(path)
    path.write_text(edit(json.loads(path.read_text())))
    with pytest.raises(InputError, match=word) as caught:
        SplitManifest.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_manifest_is_told(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        SplitManifest.load(tmp_path / "none.json")


def test_overlapping_folds_are_refused():
    with pytest.raises(InputError, match="'a' occurs 2 times in fold 0"):
        assert_disjoint([Fold(0, ("a", "b"), ("c",), ("a",))])
