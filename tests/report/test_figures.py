"""What the pictures show, read back from their artists and pixels."""

import base64

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from img2imu.convert import SpectrogramConfig, WaveformConfig, recommended_views, to_images
from img2imu.recordings import Windows
from img2imu.report import figures
from img2imu.timeline.tracks import Envelope, Timeline, Track


def results(**means: list[float]) -> list[dict]:
    return [
        {"method": name.replace("_", "-"), "shots": shots, "f1_mean": mean, "f1_std": 0.05}
        for name, values in means.items()
        for shots, mean in zip((1, 10), values, strict=True)
    ]


def track(start: list[float], code: list[int], truth: list[int], name: str = "a") -> Track:
    envelope = Envelope(10.0)
    X = np.zeros((len(start), 3, 20), np.float32)
    envelope.add(np.array(start), X)
    confidence = np.linspace(0.5, 1, len(start), dtype=np.float32)
    begins, none = np.array(start), np.full(len(start), np.nan)
    return Track(
        "s", name, 2.0, begins, np.array(code), confidence, np.array(truth), envelope, begins, none
    )


def test_curve_has_a_line_for_each_method_in_its_colour():
    figure = figures.draw_curve(results(img2imu=[0.5, 0.8], hand_forest=[0.4, 0.7]), 0.25)
    axis = figure.axes[0]
    lines = {line.get_color(): list(line.get_ydata()) for line in axis.lines}
    assert lines[figures.TITLES["img2imu"][1]] == [0.5, 0.8]
    assert lines[figures.TITLES["hand-forest"][1]] == [0.4, 0.7]
    assert any(set(values) == {0.25} for values in lines.values())


def test_names_at_the_line_ends_keep_apart_and_in_order():
    close = results(img2imu=[0.5, 0.801], hand_forest=[0.4, 0.8], minirocket=[0.4, 0.802])
    axis = figures.draw_curve(close, 0.25).axes[0]
    titles = [figures.TITLES[name][0] for name in ("hand-forest", "img2imu", "minirocket")]
    heights = [next(t.xy[1] for t in axis.texts if t.get_text() == title) for title in titles]
    assert np.diff(heights) == pytest.approx([0.065, 0.065])


def test_confusion_shows_shares_of_the_row_and_counts():
    figure = figures.draw_confusion([[30, 10], [0, 300]], ["a", "b"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["75%", "30", "25%", "10", "100%", "300"]
    image = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(image, [[0.75, 0.25], [0, 1]])


def test_bands_show_labels_in_their_spans_and_white_in_gaps():
    shown = track([0.0, 1.0, 8.0], [0, 1, 1], [0, -1, 1])
    figure = figures.draw_timeline(Timeline(["x", "y"], [shown], {}, {}))
    truth, predicted = (axis.images[0].get_array()[0] for axis in figure.axes[1:3])
    time = (np.arange(len(predicted)) + 0.5) / len(predicted) * 10
    first, second = (np.array(to_rgb(color)) for color in figures.class_colors(2))
    grey, white = np.array(to_rgb(figures.LINE)), np.ones(3)
    for moment, there, wanted in (
        (0.5, predicted, first),
        (1.4, predicted, first),
        (1.6, predicted, second),
        (2.9, predicted, second),
        (5.0, predicted, white),
        (9.0, predicted, second),
        (0.5, truth, first),
        (2.0, truth, grey),
        (5.0, truth, white),
    ):
        np.testing.assert_allclose(there[np.abs(time - moment).argmin()], wanted, err_msg=moment)


def test_confidence_breaks_at_gaps():
    figure = figures.draw_timeline(
        Timeline(["x"], [track([0, 1, 8], [0, 0, 0], [0, 0, 0])], {}, {})
    )
    line = figure.axes[-1].lines[0]
    time, value = line.get_data()
    assert np.isnan(value).sum() == 1
    assert time[np.isnan(value)][0] == 3.0


def test_many_windows_draw_few_corners_with_the_lowest_confidence():
    count = 50_000
    value = np.ones(count, np.float32)
    value[33_333] = 0.1
    begin = np.arange(count, dtype=float)
    time, level = figures._steps(begin, begin + 1, value)
    assert len(time) < 10_000
    assert np.nanmin(level) == np.float32(0.1)
    assert abs(time[level.argmin()] - 33_333) < 50


def test_unlabelled_recordings_have_no_band_of_truth():
    tracks = [track([0, 1], [0, 0], [-1, -1]), track([0, 1], [0, 0], [0, 0], "b")]
    figure = figures.draw_timeline(Timeline(["x"], tracks, {}, {}))
    names = [[tick.get_text() for tick in axis.get_yticklabels()] for axis in figure.axes]
    assert names.count(["labelled"]) == 1
    assert names.count(["predicted"]) == 2


def test_gallery_draws_the_pictures_of_the_views():
    rng = np.random.default_rng(0)
    windows = Windows(
        rng.normal(size=(3, 3, 250)).astype(np.float32),
        np.array(["b", "a", "b"]),
        *(np.array(["s"] * 3),) * 2,
        np.zeros(3),
        50.0,
    )
    views = recommended_views(50.0, 250)
    figure = figures.draw_gallery(windows, views)
    titles = [axis.get_title() for axis in figure.axes[:2]]
    assert titles == ["a", "b"]
    shown = figure.axes[2].images[0].get_array()
    expected = to_images(windows.X[[1]], views[0])[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(shown, expected)
    assert [title for title, _ in figures.example_views(views)] == [
        "spectrogram, fixed range",
        "spectrogram, no gravity",
        "waveform",
        "waveform, no gravity",
    ]


def test_example_views_of_the_papers_single_picture():
    paper = SpectrogramConfig()
    assert figures.example_views([paper, WaveformConfig()])[0] == ("spectrogram", paper)


def test_svg_holds_letters_not_outlines():
    uri = figures.svg_uri(figures.draw_confusion([[1, 0], [0, 1]], ["walking", "sitting"]))
    head, _, data = uri.partition(",")
    assert head == "data:image/svg+xml;base64"
    text = base64.b64decode(data).decode()
    assert ">walking</text>" in text
    assert "system-ui" in text
    assert "DejaVu" not in text


def test_colours_repeat_after_the_last():
    assert len(set(figures.class_colors(12))) == 12
    assert figures.class_colors(13)[12] == figures.class_colors(1)[0]
