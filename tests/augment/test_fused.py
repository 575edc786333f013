"""The fused path gives what the kornia classes give for the same parameters."""

from __future__ import annotations

import pytest
import torch

from img2imu.augment import (
    AugmentationError,
    FusedSensorAware,
    HueConfig,
    JitterConfig,
    KorniaPolicy,
    PermuteXConfig,
    SensorAwareConfig,
    TranslateXConfig,
    create_pipeline,
)

NEUTRAL = {"fraction": 0, "chunks": 1, "turns": 0, "amplitude": 0}


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return request.param


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def some_bytes(n=24, height=12, width=40):
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8)


def drawn_by_classes(policy):
    """What the pipeline drew last, with the neutral value for images it passed over."""
    drawn = {}
    for step in policy.augment._params:
        gate = step.data["batch_prob"] > 0.5
        for name, value in step.data.items():
            if name in NEUTRAL:
                value = torch.where(gate, value, NEUTRAL[name])
            drawn[name] = value
    return drawn


@pytest.mark.parametrize("fill", ["zeros", "edge", "wrap"])
@pytest.mark.parametrize("p", [0.5, 1])
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_equals_the_classes(device, fill, p, kind):
    config = SensorAwareConfig(
        TranslateXConfig((-0.5, 0.5), fill, p),
        PermuteXConfig((1, 6), p),
        HueConfig((-1, 1), p),
        JitterConfig((0, 0.5), p),
    )
    images = some_bytes(64).to(device)
    if kind == "floats":
        images = images / 255
    classes = KorniaPolicy(create_pipeline(config)).to(device)
    expected = classes(images)
    fused = FusedSensorAware(config).to(device)
    output = fused(images, drawn_by_classes(classes))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


def test_classes_replay_what_the_fused_path_drew():
    images, fused = some_bytes(64), FusedSensorAware(mean=(0, 0, 0), std=(1, 1, 1))
    drawn, expected = fused.sample(64), images / 255
    for step in create_pipeline("sensor-aware").children():
        expected = step(expected, params=dict(drawn))
    torch.testing.assert_close(fused(images, drawn), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("source", [torch.uint8, torch.float32, torch.bfloat16])
def test_type_and_memory_order(device, channels_last, dtype, source):
    images = some_bytes().to(device)
    if source != torch.uint8:
        images = (images / 255).to(source)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    policy = FusedSensorAware(dtype=dtype).to(device)
    drawn = policy.sample(len(images), device)
    output = policy(images, drawn)
    assert output.dtype == dtype
    assert output.device == images.device
    assert output.stride() == images.stride()
    exact = FusedSensorAware().to(device)(images, drawn)
    # Both round the same number, up to 1e-5, to the nearest.
    expected = exact.to(dtype).float()
    torch.testing.assert_close(output.float(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)
    if source == torch.uint8:
        assert (output == exact.to(dtype)).float().mean() > 0.99


def test_any_memory_order_is_read():
    images = some_bytes(8, 12, 40)
    policy = FusedSensorAware()
    drawn = policy.sample(8)
    strided = some_bytes(8, 12, 80)
    strided[..., ::2] = images
    assert torch.equal(policy(strided[..., ::2], drawn), policy(images, drawn))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_batches_do_not_matter(threads):
    images, policy = some_bytes(7), FusedSensorAware()
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


def test_no_images_give_none():
    assert FusedSensorAware()(some_bytes(0)).shape == (0, 3, 12, 40)


def test_generator_determines_the_parameters():
    policy = FusedSensorAware()
    draws = [policy.sample(9, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)]
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])
    assert not any(torch.equal(draws[0][name], draws[2][name]) for name in draws[0])


def test_parameters_keep_to_their_ranges_and_probabilities():
    config = SensorAwareConfig(
        TranslateXConfig((0.1, 0.2), p=0.25),
        PermuteXConfig((3, 4), p=0.5),
        HueConfig((-0.2, -0.1), p=0.75),
        JitterConfig((0.3, 0.4), p=1),
    )
    drawn = FusedSensorAware(config).sample(4000)
    for name, low, high, p in (
        ("fraction", 0.1, 0.2, 0.25),
        ("chunks", 3, 4, 0.5),
        ("turns", -0.2, -0.1, 0.75),
        ("amplitude", 0.3, 0.4, 1),
    ):
        applied = drawn[name][drawn[name] != NEUTRAL[name]]
        assert low - 1e-6 <= applied.min() <= applied.max() <= high + 1e-6
        assert len(applied) / 4000 == pytest.approx(p, abs=0.03)
        assert applied.float().mean() == pytest.approx((low + high) / 2, abs=0.05)


def test_everything_left_out_is_the_normalisation():
    config = SensorAwareConfig(
        TranslateXConfig(p=0), PermuteXConfig(p=0), HueConfig(p=0), JitterConfig(p=0)
    )
    images = some_bytes()
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    expected = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    output = FusedSensorAware(config, mean, std)(images)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


def test_module_compiles_without_graph_breaks():
    policy = FusedSensorAware()
    compiled = torch.compile(policy, fullgraph=True, backend="aot_eager")
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
