import json

import pytest

from img2imu.errors import InputError
from img2imu.pretrain import (
    METHOD_CONFIGS,
    RECIPES,
    MoCoConfig,
    PretrainConfig,
    SimSiamConfig,
    recipe_of_windows,
)


def test_recommended_settings_exist_for_every_method():
    assert RECIPES["recommended"].keys() == METHOD_CONFIGS.keys()


@pytest.mark.parametrize(
    ("preset", "method"), [(preset, method) for preset in RECIPES for method in RECIPES[preset]]
)
def test_settings_survive_json(preset, method):
    config = RECIPES[preset][method]
    assert config.method_name == method
    assert PretrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_paper_preset_is_the_papers():
    config = RECIPES["paper"]["moco"]
    assert (config.method.dim, config.method.queue, config.method.temperature) == (64, 4096, 0.07)
    assert (config.epochs, config.batch_size, config.lr, config.optimizer) == (
        40,
        256,
        1e-6,
        "adam",
    )
    assert config.policy == "sensor-aware"
    assert config.method.splits == 8


@pytest.mark.parametrize(
    ("method", "encoder", "recipe"),
    [
        ("moco", None, RECIPES["windows"]["moco"]),
        ("simclr", None, RECIPES["recommended"]["simclr"]),
        ("simclr", "conv1d", RECIPES["recommended"]["simclr"]),
        ("simclr", "resnet18", RECIPES["windows"]["simclr"]),
        ("cpc", None, RECIPES["recommended"]["cpc"]),
    ],
)
def test_windows_have_the_recipe_of_what_reads_them(method, encoder, recipe):
    assert recipe_of_windows(method, encoder) == recipe


def test_recipes_of_windows_that_there_are_not():
    with pytest.raises(InputError, match="unknown method 'luck'"):
        recipe_of_windows("luck")
    with pytest.raises(InputError, match="supervised learns from images"):
        recipe_of_windows("supervised", "conv1d")


def test_differences_are_named():
    ours = PretrainConfig(MoCoConfig(queue=512), epochs=3)
    theirs = PretrainConfig(MoCoConfig(queue=1024), epochs=4)
    assert ours.differences(ours) == []
    assert ours.differences(theirs) == ["epochs", "method.queue"]
    assert "method.name" in ours.differences(PretrainConfig(SimSiamConfig(), epochs=3))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "epochs must lie in"),
        ({"epochs": 10**30}, "epochs must lie in"),
        ({"steps": 0}, "steps must lie in"),
        ({"pairs": 0.5}, "moco takes no pairs"),
        ({"batch_size": 10**30}, "batch_size must lie in"),
        ({"bands": 100_000}, "bands must lie in"),
        ({"seed": -1}, "seed must lie in"),
        ({"seed": 2**40}, "seed must lie in"),
        ({"lr": float("inf")}, "lr must be positive"),
        ({"warmup_epochs": float("inf")}, "warmup_epochs must not be negative, and finite"),
        ({"weight_decay": float("nan")}, "weight_decay must not be negative, and finite"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd"),
        ({"method": MoCoConfig(queue=128), "batch_size": 256}, r"queue \(128\) must be at least"),
        ({"batch_size": 100}, "must be a multiple of splits"),
        ({"stages": ()}, "stages must name at least one"),
        ({"held": -1}, "held must not be negative"),
    ],
)
def test_values_out_of_range_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        PretrainConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"temperature": float("inf")}, "temperature must be positive"),
        ({"queue": 10**12}, r"queue must lie in \[1, 4194304\] where dim is 64"),
        ({"dim": 10**6}, "dim must lie in"),
        ({"momentum": 1.5}, "momentum must lie in"),
        ({"head": "resnet"}, "head must be one of linear, mlp, mlp-bn"),
    ],
)
def test_moco_values_out_of_range_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        MoCoConfig(**settings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": "fast"}, "lr"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"epochs": 1.5}, "epochs"),
        ({"colour": "red"}, "'colour' is unknown"),
        ({"stages": "24"}, "stages"),
        ({"method": None}, "names no method"),
        ({"method": {"name": "mocha"}}, "names no method"),
        ({"method": {"name": ["moco"]}}, "names no method"),
        ({"method": {"name": "moco", "dim": 64}}, "queue"),
    ],
)
def test_settings_read_are_of_their_types(change, said):
    values = {**RECIPES["paper"]["moco"].to_dict(), **change}
    with pytest.raises(InputError, match=f"run.json is damaged: .*{said}"):
        PretrainConfig.from_dict(json.loads(json.dumps(values)), "run.json")


@pytest.mark.parametrize("values", [None, [], "moco", {}, {"method": {"name": "random"}}])
def test_settings_read_are_whole(values):
    with pytest.raises(InputError, match="is damaged"):
        PretrainConfig.from_dict(values)
