"""kornia's own taxonomy of tests, for each class."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from dataclasses import asdict

import numpy as np
import pytest
import torch
from kornia.augmentation import AugmentationSequential

from img2imu.augment import (
    AugmentationError,
    BandGain,
    Contrast,
    CropX,
    CropY,
    Hue,
    Jitter,
    MaskX,
    MaskY,
    PermuteX,
    TranslateX,
)
from img2imu.augment.kernel import STEPS
from img2imu.augment.step import Random

PAPER = [TranslateX, PermuteX, Hue, Jitter]
CLASSES = list(STEPS.values())
EVERY_CLASS = pytest.mark.parametrize("cls", CLASSES)


def images(n=16, height=12, width=32, **options):
    return torch.rand(n, 3, height, width, **options)


@pytest.fixture
def certain(certain):
    """From a class to an instance whose draws change every image."""
    return lambda cls: cls(**asdict(certain[cls.Config]))


def changed(output, image):
    return (output != image).flatten(1).any(1)


@EVERY_CLASS
def test_smoke(cls):
    text = repr(cls(p=0.25))
    assert text.startswith(f"{cls.__name__}(p=0.25")
    assert {TranslateX: "fill=zeros", PermuteX: "chunks=(2, 5)"}.get(cls, "=(") in text


@EVERY_CLASS
def test_signature_is_that_of_the_settings(cls):
    fields = [field.name for field in dataclasses.fields(cls.Config)]
    parameters = inspect.signature(cls).parameters
    assert list(parameters) == [*fields, "same_on_batch", "keepdim"]
    assert parameters["p"].default == cls.Config().p


@EVERY_CLASS
def test_draws_what_it_has_neutral_values_of(cls):
    drawn = cls.draw(cls.Config(), Random(5, "cpu"))
    assert list(drawn) == list(cls.neutral)
    assert all(len(value) == 5 for value in drawn.values())


@EVERY_CLASS
@pytest.mark.parametrize("shape", [(1, 3, 6, 9), (5, 3, 6, 9), (0, 3, 6, 9), (3, 6, 9)])
@pytest.mark.parametrize("same_on_batch", [False, True])
def test_shapes(cls, shape, same_on_batch):
    image = torch.rand(shape)
    batched = shape if len(shape) == 4 else (1, *shape)
    assert cls(same_on_batch=same_on_batch)(image).shape == batched
    assert cls(same_on_batch=same_on_batch, keepdim=True)(image).shape == shape


@EVERY_CLASS
def test_p_0_changes_nothing(cls):
    image = images()
    assert torch.equal(cls(p=0)(image), image)


@EVERY_CLASS
def test_p_1_changes_every_image(cls, certain):
    image = images()
    assert changed(certain(cls)(image), image).all()


@EVERY_CLASS
def test_p_changes_its_part_of_the_images(cls, certain):
    image = images(2000, 4, 16)
    augment = certain(cls)
    augment.p = 0.3
    part = changed(augment(image), image).float().mean()
    assert part == pytest.approx(0.3, abs=0.05)


@EVERY_CLASS
def test_same_on_batch(cls, certain):
    image = images(1).expand(8, -1, -1, -1)
    same = cls(p=1, same_on_batch=True)(image)
    assert torch.equal(same, same[:1].expand(8, -1, -1, -1))
    each = certain(cls)(image)
    assert not torch.equal(each, each[:1].expand(8, -1, -1, -1))


@EVERY_CLASS
def test_seed_determines_the_result(cls):
    image, augment = images(), cls()
    torch.manual_seed(7)
    first = augment(image)
    torch.manual_seed(7)
    assert torch.equal(augment(image), first)


@EVERY_CLASS
def test_replay_from_the_parameters(cls):
    image, augment = images(), cls(p=0.5)
    first = augment(image)
    drawn = copy.deepcopy(augment._params)
    augment(image)
    assert torch.equal(augment(image, params=drawn), first)
    assert torch.equal(cls(p=0.5)(image, params=drawn), first)


@EVERY_CLASS
def test_result_stays_in_the_unit_range(cls, certain):
    output = certain(cls)(images(64).round())
    assert output.min() >= 0
    assert output.max() <= 1


@EVERY_CLASS
def test_gradient(cls, certain):
    # Away from 0, 1 and ties between channels, where clamp and hue bend.
    image = torch.linspace(0.3, 0.7, 3 * 3 * 8, dtype=torch.float64)
    image = image[torch.randperm(len(image))].view(1, 3, 3, 8).requires_grad_()
    augment = certain(cls)
    augment(image)
    drawn = augment._params
    assert torch.autograd.gradcheck(lambda x: augment(x, params=drawn), (image,))


@EVERY_CLASS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_device_and_dtype(cls, device, dtype, certain):
    image = images(device=device).to(dtype)
    augment = certain(cls).to(device)
    output = augment(image)
    assert output.dtype == dtype
    assert output.device == image.device
    assert all(
        value.device == image.device
        for name, value in augment._params.items()
        if name != "forward_input_shape"
    )
    # Half precision: as exact as rounding the exact result.
    exact = augment(image.double(), params=augment._params)
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-6}.get(dtype, torch.finfo(dtype).eps)
    torch.testing.assert_close(output.double(), exact, rtol=0, atol=tolerance)


@EVERY_CLASS
def test_parameters_drawn_on_the_cpu_serve_images_elsewhere(cls, device, certain):
    image, augment = images(), certain(cls)
    output = augment(image)
    moved = augment(image.to(device), params=augment._params)
    torch.testing.assert_close(moved.cpu(), output, rtol=0, atol=1e-6)


@EVERY_CLASS
def test_bytes_are_refused(cls):
    with pytest.raises(TypeError):
        cls()(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


@EVERY_CLASS
def test_compiles_without_graph_breaks(cls):
    augment = cls(p=0.5)
    compiled = torch.compile(augment, fullgraph=True, backend="eager")
    for n in (8, 5, 6):
        image = images(n)
        output = compiled(image)
        again = augment(image, params=augment._params)
        torch.testing.assert_close(output, again, rtol=0, atol=1e-6)


def test_sequential_compiles_without_graph_breaks():
    steps = (cls(same_on_batch=True) for cls in CLASSES)
    augment = AugmentationSequential(*steps, data_keys=["input"])
    image = images()
    compiled = torch.compile(augment, fullgraph=True, backend="aot_eager")
    assert compiled(image).shape == image.shape


def test_replay_in_a_sequence():
    augment = AugmentationSequential(*(cls() for cls in CLASSES), data_keys=["input"])
    image = images()
    first = augment(image)
    assert torch.equal(augment(image, params=augment._params), first)
    assert not torch.equal(augment(image), first)


def test_a_sequence_takes_its_sampling_to_the_device(device):
    augment = AugmentationSequential(*(cls() for cls in CLASSES), data_keys=["input"]).to(device)
    augment(images(device=device))
    for step in augment._params:
        for name in set(step.data) - {"forward_input_shape"}:
            assert step.data[name].device.type == device


def test_masks_move_with_the_image_and_not_with_its_colour(certain):
    augment = AugmentationSequential(*(certain(cls) for cls in PAPER), data_keys=["input", "mask"])
    # A grey image keeps its colour, and the mask tells where its columns went.
    image = images()[:, :1].expand(-1, 3, -1, -1) * 0.5 + 0.25
    output, mask = augment(image, image[:, :1])
    assert torch.equal((mask == 0).any((1, 2)), (mask == 0).all((1, 2)))
    assert (output - mask).abs().max() <= 0.25 + 0.2
    kept = mask != 0
    assert (output - mask).abs()[kept.expand_as(output)].max() <= 0.2


def test_keypoints_and_boxes_follow_the_shift():
    augment = AugmentationSequential(
        TranslateX((0.25, 0.25), p=1), data_keys=["input", "keypoints", "bbox_xyxy"]
    )
    points, boxes = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1.0, 2.0, 5.0, 6.0]]])
    _, moved, box = augment(images(1, 12, 32), points, boxes)
    assert moved.tolist() == [[[11.0, 4.0]]]
    assert box.tolist() == [[[9.0, 2.0, 13.0, 6.0]]]


@pytest.mark.parametrize("cls", [CropX, CropY])
def test_keypoints_follow_the_crop(cls):
    """A point drawn into the image is found where its key point has gone."""
    image, axis = torch.zeros(20, 3, 33, 33), [CropX, CropY].index(cls)
    image[:, :, 16, 16] = 1
    augment = AugmentationSequential(cls((0.5, 0.9), p=1), data_keys=["input", "keypoints"])
    output, points = augment(image, torch.full((20, 1, 2), 16.0))
    line = output[:, 0, 16] if cls is CropX else output[:, 0, :, 16]
    found = (line * torch.arange(33)).sum(1) / line.sum(1)
    assert ((found - points[:, 0, axis]).abs() < 0.5).all()
    assert (points[:, 0, 1 - axis] == 16).all()


@pytest.mark.parametrize("cls", [CropX, CropY])
def test_labels_stay_labels_under_a_crop(cls):
    """Masks are stretched with the image, by whole pixels."""
    labels = torch.randint(0, 5, (8, 1, 24, 24)).float()
    augment = AugmentationSequential(cls((0.3, 0.9), p=1), data_keys=["input", "mask"])
    _, mask = augment(labels.expand(-1, 3, -1, -1) / 4, labels)
    assert set(mask.unique().tolist()) <= {0, 1, 2, 3, 4}
    drawn = augment._params[0].data
    part, place = (drawn[name][:, None] for name in list(drawn) if name.startswith("crop_"))
    position = (place * (1 - part) * 23 + part * torch.arange(24)).numpy()
    source = np.rint(position).astype(int)
    for one, label, columns in zip(mask[:, 0], labels[:, 0], source, strict=True):
        assert torch.equal(one, label[:, columns] if cls is CropX else label[columns])


def test_translation_has_an_inverse():
    image = images()
    wrap = AugmentationSequential(TranslateX(fill="wrap", p=0.5), data_keys=["input"])
    assert torch.equal(wrap.inverse(wrap(image)), image)
    zeros = AugmentationSequential(TranslateX((0.25, 0.25), p=1), data_keys=["input"])
    back = zeros.inverse(zeros(image))
    assert torch.equal(back[..., :24], image[..., :24])
    assert not back[..., 24:].any()


def test_neutral_settings_are_the_identity():
    image = images()
    assert torch.equal(TranslateX((0, 0), p=1)(image), image)
    assert torch.equal(PermuteX((1, 1), p=1)(image), image)
    assert torch.equal(Jitter((0, 0), p=1)(image), image)
    for cls, neutral in ((CropX, 1), (CropY, 1), (MaskX, 0), (MaskY, 0), (BandGain, 0)):
        assert torch.equal(cls((neutral, neutral), p=1)(image), image)
    torch.testing.assert_close(Contrast((1, 1), (0, 0), p=1)(image), image, rtol=0, atol=1e-6)
    torch.testing.assert_close(Hue((0, 0), p=1)(image), image, rtol=0, atol=1e-6)


def test_time_never_runs_backwards():
    """Columns within a chunk keep their order, under any draw."""
    ramp = torch.arange(1.0, 33).expand(64, 3, 4, 32) / 32
    output = PermuteX((2, 4), p=1)(TranslateX(p=1)(ramp))[:, 0, 0]
    step = output.diff(dim=1) * 32
    ahead = (step.round() == 1).sum(1)
    assert (ahead >= 31 - 4 - 10).all()
    assert (step.round() != -1).all()


@pytest.mark.parametrize(("cls", "along"), [(CropX, 3), (CropY, 2)])
def test_crops_stretch_along_their_axis_only(cls, along):
    """A ramp stays a ramp, of the slope that was kept; across it nothing happens."""
    ramp = torch.arange(33.0).view([33 if i == along else 1 for i in range(4)]) / 32
    output = cls((0.25, 0.75), p=1)(ramp.expand(50, 3, 33, 33)).transpose(along, 3)
    assert torch.equal(output, output[:, :1, :1].expand(output.shape))
    slope = output[:, 0, 0].diff(dim=1) * 32
    assert 0.25 - 1e-4 <= slope.min() <= slope.max() <= 0.75 + 1e-4
    torch.testing.assert_close(slope, slope[:, :1].expand(-1, 32), rtol=0, atol=1e-4)


def test_crops_reach_every_place():
    ramp = (torch.arange(101.0) / 100).expand(2000, 3, 2, 101)
    kept = CropX((0.5, 0.5), p=1)(ramp)[:, 0, 0, 0]
    assert kept.min() < 0.01
    assert kept.max() > 0.49
    assert kept.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("cls", "across"), [(MaskX, 2), (MaskY, 3)])
def test_masks_hide_one_stretch_of_their_axis(cls, across):
    shown = cls((0.1, 0.4), p=1)(torch.ones(200, 3, 50, 50))
    assert torch.equal(shown, shown[:, :1].expand(shown.shape))
    assert torch.equal(shown.amax(across), shown.amin(across))
    hidden = 1 - shown[:, 0].amax(across - 1)
    assert 5 <= hidden.sum(1).min() <= hidden.sum(1).max() <= 20
    assert (hidden.diff(dim=1, prepend=torch.zeros(200, 1)) == 1).sum(1).eq(1).all()


def test_band_gain_differs_between_channels_and_not_along_time():
    output = BandGain((-0.3, 0.3), p=1)(torch.full((8, 3, 40, 10), 0.5))
    assert torch.equal(output, output[..., :1].expand(output.shape))
    assert (output[:, 0] - output[:, 1]).abs().amax((1, 2)).min() > 0.01
    # Straight lines between four points bend twice at most; here those are rows 13 and 26.
    bends = output[:, :, :, 0].diff(n=2, dim=2).abs() > 1e-5
    assert set(bends.any(1).any(0).nonzero().flatten().tolist()) == {12, 25}


def test_jitter_has_mean_zero():
    grey = torch.full((64, 3, 96, 128), 0.5)
    noise = Jitter((0.5, 0.5), p=1)(grey) - 0.5
    # Standard error: 0.5 / sqrt(3 * 2.4e6).
    assert abs(noise.mean()) < 4 * 1.9e-4


def test_settings_are_checked():
    with pytest.raises(AugmentationError, match="fill"):
        TranslateX(fill="mirror")
    with pytest.raises(AugmentationError, match="amplitude"):
        Jitter((0, 2))
    for cls in (Hue, BandGain):
        with pytest.raises(AugmentationError, match="shape"):
            cls(p=1)(torch.rand(1, 1, 4, 4))
