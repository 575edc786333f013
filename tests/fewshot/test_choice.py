"""What is chosen among scores on validation subjects."""

from img2imu.fewshot.methods import MARGIN, _best


def test_the_best_is_chosen_and_the_first_of_equals():
    settings = [{"C": 0.1}, {"C": 1.0}, {"C": 10.0}]
    assert _best({0: 0.5, 1: 0.6, 2: 0.6}, settings) == 1
    assert _best({0: 0.5, 1: 0.5 + MARGIN / 2, 2: 0.4}, settings) == 1


def test_variants_must_be_clearly_better():
    settings = [{"C": 0.1, "order": order} for order in (0.0, 0.2, 0.4)]
    assert _best({0: 0.5, 1: 0.5 + MARGIN / 2, 2: 0.4}, settings) == 0
    assert _best({0: 0.5, 1: 0.5 + 2 * MARGIN, 2: 0.4}, settings) == 1
    other = [*settings, {"C": 1.0, "order": 0.0}]
    assert _best({0: 0.5, 1: 0.5 + MARGIN / 2, 2: 0.4, 3: 0.5 + MARGIN / 4}, other) == 3
