"""Presets of views: how they follow a window's rate and length."""

from __future__ import annotations

import pytest

from img2imu.convert import VIEW_PRESETS, fast_views, paper_grid, recommended_views
from img2imu.convert.config import require_one_size


def test_five_seconds_at_50_hz_are_drawn_with_frames_of_32_and_128() -> None:
    views = recommended_views(50.0, 250)
    assert [getattr(view, "nfft", None) for view in views] == [32, 32, 128, None, None]
    assert {(view.width, view.height) for view in views} == {(96, 72)}
    assert {(view.width, view.height) for view in fast_views(50.0, 250)} == {(64, 48)}


@pytest.mark.parametrize("samples", [2, 8, 40, 100, 250, 500, 5000])
def test_no_preset_draws_what_says_little_of_a_window_that_is_long_enough(samples: int) -> None:
    for name, preset in VIEW_PRESETS.items():
        drawings = preset(50.0, samples)
        assert drawings or (name == "paper" and samples < 32)
        for views in drawings:
            require_one_size(views)
            assert not any(view.degenerate(samples) for view in views) or samples < 12


def test_paper_shows_each_cell_of_its_grid_alone() -> None:
    assert VIEW_PRESETS["paper"](50.0, 250) == [(cell,) for cell in paper_grid(50.0, 250)]
