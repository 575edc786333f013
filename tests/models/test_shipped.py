"""The weights that come with the toolkit."""

from pathlib import Path

import pytest
import torch

from img2imu import models
from img2imu.models import create_encoder
from img2imu.models.weights import REGISTRY, read_state_dict, write_shipped
from img2imu.pretrain.monitors import knn_accuracy

from ..pretrain.sources import photographs_of

FOLDER = Path(models.__file__).parent


@pytest.mark.parametrize("name", REGISTRY)
def test_each_has_a_file_and_a_card(name):
    file = FOLDER / REGISTRY[name]
    assert file.stat().st_size <= 25e6
    card = file.with_suffix(".md").read_text()
    for section in ("Data", "Recipe", "Scores", "Licence"):
        assert f"## {section}" in card


def test_all_stages_can_be_read():
    encoder = create_encoder("resnet18.img2imu_tin", pretrained=True, stages=(1, 2, 3, 4), bands=1)
    assert encoder(torch.rand(2, 3, 72, 96)).shape == (2, 64 + 128 + 256 + 512)


def test_shipping_keeps_the_function(tmp_path):
    state = read_state_dict(FOLDER / REGISTRY["resnet18.img2imu_tin"])
    noisy = {name: value * 1.2345 for name, value in state.items()}
    write_shipped(tmp_path / "w.safetensors", noisy)
    written = read_state_dict(tmp_path / "w.safetensors")
    for name, value in noisy.items():
        rounded = value.half().float() if value.ndim == 4 else value
        assert torch.equal(written[name], rounded)


def test_photographs_have_better_neighbours_than_by_random_weights(shared_data):
    shard = shared_data / "tiny_imagenet" / "train_00.bin"
    if not shard.is_file():
        pytest.skip("no Tiny-ImageNet shard")
    source = photographs_of(shard, classes=6, width=64, height=48)
    images = torch.from_numpy(source.images).permute(0, 3, 1, 2) / 255
    labels = torch.from_numpy(source.labels).long()
    bank, queries = slice(None, 500), slice(500, None)
    accuracy = {}
    for name, pretrained in (("resnet18", False), ("resnet18.img2imu_tin", True)):
        encoder = create_encoder(name, pretrained, stages=(4,), bands=1)
        features = torch.cat([encoder(part) for part in images.split(256)])
        accuracy[name] = knn_accuracy(
            features[bank], labels[bank], features[queries], labels[queries]
        )
    assert accuracy["resnet18.img2imu_tin"] > accuracy["resnet18"] + 0.1
