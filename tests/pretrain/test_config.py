import json

import pytest

from img2imu.errors import InputError
from img2imu.pretrain import METHOD_CONFIGS, RECIPES, MoCoConfig, PretrainConfig, SimSiamConfig


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


def test_differences_are_named():
    ours = PretrainConfig(MoCoConfig(queue=512), epochs=3)
    theirs = PretrainConfig(MoCoConfig(queue=1024), epochs=4)
    assert ours.differences(ours) == []
    assert ours.differences(theirs) == ["epochs", "method.queue"]
    assert "method.name" in ours.differences(PretrainConfig(SimSiamConfig(), epochs=3))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
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
        ({"momentum": 1.5}, "momentum must lie in"),
        ({"head": "resnet"}, "head must be one of linear, mlp, mlp-bn"),
    ],
)
def test_moco_values_out_of_range_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        MoCoConfig(**settings)
