"""The fused path gives what the kornia classes give for the same parameters."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass, replace

import pytest
import torch

from img2imu.augment import (
    POLICIES,
    AugmentationError,
    BandGainConfig,
    ContrastConfig,
    CropXConfig,
    CropYConfig,
    FusedSensorAware,
    HueConfig,
    JitterConfig,
    KorniaPolicy,
    MaskXConfig,
    MaskYConfig,
    PermuteXConfig,
    SensorAwareConfig,
    SensorCropsConfig,
    StepsConfig,
    TranslateXConfig,
    create_pipeline,
    create_policy,
)
from img2imu.augment.kernel import STEPS
from img2imu.augment.levels import unit_range

NEUTRAL = {
    **{"crop_width": 1, "crop_height": 1, "fraction": 0, "chunks": 1},
    **{"mask_width": 0, "mask_height": 0, "gains": 0, "contrast": 1, "brightness": 0},
    **{"turns": 0, "amplitude": 0},
}
BOTH_POLICIES = pytest.mark.parametrize("config", [SensorAwareConfig(), SensorCropsConfig()])


def some_bytes(n=24, height=12, width=40):
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8)


def drawn_by_classes(policy):
    """What the pipeline drew last, with the neutral value for images it passed over."""
    drawn = {}
    for step in policy.augment._params:
        gate = step.data["batch_prob"] > 0.5
        for name, value in step.data.items():
            if name in NEUTRAL:
                value = torch.where(gate.view(-1, *[1] * (value.ndim - 1)), value, NEUTRAL[name])
            drawn[name] = value
    return drawn


def four(fill, p):
    return SensorAwareConfig(
        TranslateXConfig((-0.5, 0.5), fill, p),
        PermuteXConfig((1, 6), p),
        HueConfig((-1, 1), p),
        JitterConfig((0, 0.5), p),
    )


def ten(fill, p):
    return SensorCropsConfig(
        CropXConfig((0.1, 1), p),
        CropYConfig((0.1, 1), p),
        mask_x=MaskXConfig((0, 0.6), p),
        mask_y=MaskYConfig((0, 0.6), p),
        band_gain=BandGainConfig((-0.5, 0.5), 5, p),
        contrast=ContrastConfig((0.3, 3), (-0.5, 0.5), p),
        **vars(four(fill, p)),
    )


@pytest.mark.parametrize("settings", [four, ten])
@pytest.mark.parametrize("fill", ["zeros", "edge", "wrap"])
@pytest.mark.parametrize("p", [0.5, 1])
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_equals_the_classes(device, settings, fill, p, kind):
    images = some_bytes(64).to(device)
    config = settings(fill, p)
    if kind == "floats":
        images = images / 255
    classes = KorniaPolicy(create_pipeline(config)).to(device)
    expected = classes(images)
    fused = FusedSensorAware(config).to(device)
    output = fused(images, drawn_by_classes(classes))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


def policy_of(*steps):
    """A policy of one's own."""
    fields = [(f"step_{i}", type(step), step) for i, step in enumerate(steps)]
    return make_dataclass("Own", fields, bases=(StepsConfig,), frozen=True)()


@pytest.mark.parametrize("kind", ["bytes", "floats"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_each_step_is_applied(certain, step, kind):
    images = some_bytes() if kind == "bytes" else some_bytes() / 255
    fused = FusedSensorAware(policy_of(certain[step]), (0, 0, 0), (1, 1, 1))
    drawn, untouched = fused.sample(len(images)), unit_range(images)
    output = fused(images, drawn)
    (alone,) = create_pipeline(fused.config).children()
    torch.testing.assert_close(output, alone(untouched, params=drawn), rtol=0, atol=1e-5)
    assert ((output - untouched).abs() > 1e-3).flatten(1).any(1).all()


@pytest.mark.parametrize("left_out", STEPS, ids=lambda step: step.__name__)
def test_a_policy_may_lack_any_step(certain, left_out):
    steps = [replace(certain[step], p=0.5) for step in STEPS if step != left_out]
    images, fused = some_bytes(), FusedSensorAware(policy_of(*steps), (0, 0, 0), (1, 1, 1))
    drawn, expected = fused.sample(len(images)), images / 255
    for step in create_pipeline(fused.config).children():
        expected = step(expected, params=dict(drawn))
    torch.testing.assert_close(fused(images, drawn), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(fused(images / 255, drawn), expected, rtol=0, atol=1e-5)


@dataclass(frozen=True)
class TiltConfig:
    """Settings of an augmentation that the fused path does not know."""

    p: float = 0.5


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((HueConfig(), TiltConfig()), "cannot apply Hue, Tilt$"),
        ((JitterConfig(), HueConfig()), "in this order: it cannot apply Jitter, Hue$"),
        ((HueConfig(), HueConfig()), "each once"),
    ],
)
@pytest.mark.parametrize("create", [FusedSensorAware, create_policy, create_pipeline])
def test_a_policy_that_would_not_be_applied_is_refused(create, steps, said):
    with pytest.raises(AugmentationError, match=said):
        create(policy_of(*steps))


@pytest.mark.parametrize("name", ["sensor-aware", "sensor-crops", "sensor-crops-soft"])
def test_classes_replay_what_the_fused_path_drew(name):
    images, fused = some_bytes(64), FusedSensorAware(POLICIES[name], (0, 0, 0), (1, 1, 1))
    drawn, expected = fused.sample(64), images / 255
    for step in create_pipeline(name).children():
        expected = step(expected, params=dict(drawn))
    torch.testing.assert_close(fused(images, drawn), expected, rtol=0, atol=1e-5)


@BOTH_POLICIES
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("source", [torch.uint8, torch.float32, torch.bfloat16])
def test_type_and_memory_order(device, config, channels_last, dtype, source):
    images = some_bytes().to(device)
    if source != torch.uint8:
        images = (images / 255).to(source)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    policy = FusedSensorAware(config, dtype=dtype).to(device)
    drawn = policy.sample(len(images), device)
    output = policy(images, drawn)
    assert output.dtype == dtype
    assert output.device == images.device
    assert output.stride() == images.stride()
    exact = FusedSensorAware(config).to(device)(images, drawn)
    # Both round the same number, up to 1e-5, to the nearest.
    expected = exact.to(dtype).float()
    torch.testing.assert_close(output.float(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)
    if source == torch.uint8:
        assert (output == exact.to(dtype)).float().mean() > 0.99


@BOTH_POLICIES
def test_any_memory_order_is_read(config):
    images = some_bytes(8, 12, 40)
    policy = FusedSensorAware(config)
    drawn = policy.sample(8)
    strided = some_bytes(8, 12, 80)
    strided[..., ::2] = images
    assert torch.equal(policy(strided[..., ::2], drawn), policy(images, drawn))


@BOTH_POLICIES
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_batches_do_not_matter(config, threads):
    images, policy = some_bytes(7), FusedSensorAware(config)
    drawn = policy.sample(7)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = policy(images, drawn)
        single = [
            policy(images[i : i + 1], {name: value[i : i + 1] for name, value in drawn.items()})
            for i in range(7)
        ]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, torch.cat(single))


@BOTH_POLICIES
@pytest.mark.parametrize("shape", [(0, 12, 40), (3, 1, 40), (3, 12, 1), (3, 1, 1)])
def test_any_size_is_augmented(config, shape):
    images, policy = some_bytes(*shape), FusedSensorAware(config)
    drawn = policy.sample(len(images))
    output = policy(images, drawn)
    assert output.shape == images.shape
    torch.testing.assert_close(output, policy(images / 255, drawn), rtol=0, atol=1e-5)


@BOTH_POLICIES
def test_generator_determines_the_parameters(config):
    policy = FusedSensorAware(config)
    draws = [policy.sample(9, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)]
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])
    assert not any(torch.equal(draws[0][name], draws[2][name]) for name in draws[0])


def test_parameters_keep_to_their_ranges_and_probabilities():
    config = SensorCropsConfig(
        CropXConfig((0.2, 0.3), p=0.4),
        CropYConfig((0.8, 0.9), p=0.6),
        TranslateXConfig((0.1, 0.2), p=0.25),
        PermuteXConfig((3, 4), p=0.5),
        MaskXConfig((0.1, 0.3), p=0.3),
        MaskYConfig((0.2, 0.4), p=0.7),
        BandGainConfig((0.1, 0.2), 1, p=0.8),
        ContrastConfig((1.1, 1.3), (-0.2, -0.1), p=0.2),
        HueConfig((-0.2, -0.1), p=0.75),
        JitterConfig((0.3, 0.4), p=1),
    )
    drawn = FusedSensorAware(config).sample(4000)
    for name, low, high, p in (
        ("crop_width", 0.2, 0.3, 0.4),
        ("crop_height", 0.8, 0.9, 0.6),
        ("mask_width", 0.1, 0.3, 0.3),
        ("mask_height", 0.2, 0.4, 0.7),
        ("contrast", 1.1, 1.3, 0.2),
        ("brightness", -0.2, -0.1, 0.2),
        ("fraction", 0.1, 0.2, 0.25),
        ("chunks", 3, 4, 0.5),
        ("turns", -0.2, -0.1, 0.75),
        ("amplitude", 0.3, 0.4, 1),
    ):
        applied = drawn[name][drawn[name] != NEUTRAL[name]]
        assert low - 1e-6 <= applied.min() <= applied.max() <= high + 1e-6
        assert len(applied) / 4000 == pytest.approx(p, abs=0.03)
        assert applied.float().mean() == pytest.approx((low + high) / 2, abs=0.05)
    assert torch.equal(drawn["contrast"] == 1, drawn["brightness"] == 0)
    # All channels of an image have a gain or none has.
    assert torch.equal((drawn["gains"] == 0).all((1, 2)), (drawn["gains"] == 0).any((1, 2)))
    assert (drawn["gains"] != 0).float().mean() == pytest.approx(0.8, abs=0.03)


@BOTH_POLICIES
def test_everything_left_out_is_the_normalisation(config):
    config = type(config)(**{name: replace(step, p=0) for name, step in vars(config).items()})
    images = some_bytes()
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    expected = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    output = FusedSensorAware(config, mean, std)(images)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


@BOTH_POLICIES
def test_module_compiles_without_graph_breaks(config):
    policy = FusedSensorAware(config)
    compiled = torch.compile(policy, fullgraph=True, backend="eager")
    for n in (8, 5):
        images = some_bytes(n)
        drawn = policy.sample(n)
        torch.testing.assert_close(
            compiled(images, drawn), policy(images, drawn), rtol=0, atol=1e-5
        )
    assert compiled(images).shape == images.shape


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 4, 4), "shape"),
        (torch.zeros(1, 1, 4, 4), "shape"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "int64"),
    ],
)
def test_unfit_images_are_refused(images, message):
    with pytest.raises(AugmentationError, match=message):
        FusedSensorAware()(images)


def test_unfit_dtype_is_refused():
    with pytest.raises(AugmentationError, match="dtype"):
        FusedSensorAware(dtype=torch.uint8)
