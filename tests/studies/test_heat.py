"""Grad-CAM against its formula, on real windows; shares and agreement of made-up heat."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from img2imu.convert import SpectrogramConfig, Views, recommended_views
from img2imu.errors import InputError
from img2imu.fewshot import Img2ImuNetwork
from img2imu.models import create_encoder
from img2imu.studies.heat import GRID, agreement, grad_cam, pack, shares, unpack

pytest.importorskip("captum")


def network_of(views, classes=7, **encoder):
    torch.manual_seed(0)
    module = create_encoder(**encoder)
    pictures = Views(views)
    with torch.no_grad():
        width = module(pictures(torch.randn(1, 3, 250))).shape[1]
    head = nn.Linear(width, classes).requires_grad_(False)
    return Img2ImuNetwork(pictures, module, head).eval()


def by_hand(network, windows, labels, place):
    """Mean gradient per map, weighted sum of the maps, its positive part, as large as the picture.

    The map behind `place` is cut out of the graph and made a leaf of it.
    """
    encoder, images = network.encoder, network.drawing(torch.tensor(windows))
    n, views = images.shape[:2]
    kept = []

    def keep(module, inputs, output):
        kept.append(output.detach().requires_grad_())
        return kept[0]

    handle = encoder.backbone.get_submodule(place).register_forward_hook(keep)
    logits = network.head(encoder(images))
    handle.remove()
    [maps] = kept
    logits[range(n), labels].sum().backward()
    weight = maps.grad.mean((2, 3), keepdim=True)
    heat = torch.relu((weight * maps).sum(1, keepdim=True)).detach()
    heat = interpolate(heat, images.shape[-2:], mode="bilinear")
    heat = heat.reshape(n, views, *images.shape[-2:])
    return (heat / heat.amax((2, 3), keepdim=True).clamp(min=1e-30)).numpy()


@pytest.mark.parametrize(
    ("views", "encoder", "place"),
    [
        (recommended_views(50, 250), {"stages": (2,)}, "layer2"),
        ([SpectrogramConfig()], {"stages": (4,), "bands": 1}, "layer4"),
        # The gradient of the first map goes through the second stage, too.
        (recommended_views(50, 250)[:2], {"stages": (1, 2), "bands": 3}, "layer1"),
    ],
    ids=["recommended", "paper", "two stages"],
)
def test_equals_the_formula(exercise, views, encoder, place):
    windows, labels = exercise.X[:140:7], np.arange(20) % 7
    network = network_of(views, **encoder)
    heat = grad_cam(network, windows, labels, int(place[-1]))
    assert heat.shape == (20, len(views), views[0].height, views[0].width)
    np.testing.assert_allclose(heat, by_hand(network, windows, labels, place), atol=1e-4)
    highest = heat.max((2, 3))
    assert heat.min() == 0 and np.isin(highest, (0, 1)).all() and highest.any()


def test_a_flattened_network_is_read_at_its_stage(exercise):
    network = network_of([SpectrogramConfig()], name="convnext_atto", stages=(1,), bands=1)
    windows, labels = exercise.X[:4], np.arange(4)
    expected = by_hand(network, windows, labels, "stages_1")
    np.testing.assert_allclose(grad_cam(network, windows, labels, 1), expected, atol=1e-4)


def test_nothing_for_the_class_is_no_heat(exercise):
    network = network_of([SpectrogramConfig()], stages=(1,))
    nn.init.zeros_(network.head.weight)
    assert not grad_cam(network, exercise.X[:2], np.array([0, 1]), 1).any()


def test_other_stages_are_refused(exercise):
    network = network_of([SpectrogramConfig()], stages=(2,))
    with pytest.raises(InputError, match=r"reads stages \(2,\), not 4"):
        grad_cam(network, exercise.X[:1], np.array([0]), 4)


def test_one_dimensional_encoders_are_refused(exercise):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(750, 4))
    network = Img2ImuNetwork(nn.Identity(), encoder, nn.Linear(4, 2))
    with pytest.raises(InputError, match="reads pictures"):
        grad_cam(network, exercise.X[:1], np.array([0]), 1)


def test_shares_are_of_thirds():
    heat = np.zeros((3, 6, 9))
    # All heat in the top row, in the last third of time; the second window has none.
    heat[0, 0, 6:] = 0.5
    np.testing.assert_allclose(shares(heat[:2]), [0, 0, 1, 0, 0, 1])
    # Windows weigh the same however hot they are.
    heat[2, 5, 0] = 0.1
    np.testing.assert_allclose(shares(heat), [0.5, 0, 0.5, 0.5, 0, 0.5])
    assert np.isnan(shares(heat[1:2])).all()


def test_agreement_is_the_mean_correlation():
    one, other = np.random.default_rng(0).random((2, 5, 6, 8))
    one[4] = 0.0
    pairs = zip(one[:4], other[:4], strict=True)
    expected = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    assert agreement(one, other) == pytest.approx(expected)
    assert agreement(one, one) == pytest.approx(1)
    assert np.isnan(agreement(one[4:], other[4:]))


def test_packed_heat_is_its_averages():
    heat = np.random.default_rng(0).random((4, 72, 96), dtype=np.float32)
    rows, columns = GRID
    expected = heat.reshape(4, rows, 72 // rows, columns, 96 // columns).mean((2, 4))
    np.testing.assert_allclose(unpack(pack(heat), 4), expected, atol=0.5 / 255 + 1e-6)
