"""The weights that come with the toolkit."""

from pathlib import Path

import pytest
import torch

from img2imu import models
from img2imu.errors import InputError
from img2imu.models import create_encoder
from img2imu.models.weights import REGISTRY, read_state_dict, write_shipped
from img2imu.pretrain.monitors import knn_accuracy

from ..pretrain.sources import photographs_of

FOLDER = Path(models.__file__).parent


@pytest.mark.parametrize("name", REGISTRY)
def test_each_has_a_file_and_a_card(name):
    file = FOLDER / REGISTRY[name]
    assert file.stat().st_size <= 3e6
    card = file.with_suffix(".md").read_text()
    for section in ("Data", "Recipe", "Scores", "Licence"):
        assert f"## {section}" in card


def test_stages_up_to_the_second_can_be_read():
    encoder = create_encoder("resnet18.img2imu_in1k", pretrained=True, stages=(1, 2), bands=1)
    assert encoder(torch.rand(2, 3, 72, 96)).shape == (2, 64 + 128)
    with pytest.raises(InputError, match="ends at stage 2: to read stage 4 give --weights"):
        create_encoder("resnet18.img2imu_in1k", pretrained=True, stages=(4,))


def test_it_is_not_its_start(reference_weights):
    """What is shipped has learnt: every convolution is another than ImageNet's."""
    start = read_state_dict(reference_weights)
    shipped = read_state_dict(FOLDER / REGISTRY["resnet18.img2imu_in1k"])
    assert shipped.keys() < start.keys()
    for name, value in shipped.items():
        change = (value - start[name]).norm() / start[name].norm()
        assert 0.001 < change < 1, name


def test_shipping_keeps_the_function(tmp_path):
    state = read_state_dict(FOLDER / REGISTRY["resnet18.img2imu_in1k"])
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
    for name, pretrained in (("resnet18", False), ("resnet18.img2imu_in1k", True)):
        encoder = create_encoder(name, pretrained, stages=(2,), bands=1)
        features = torch.cat([encoder(part) for part in images.split(256)])
        accuracy[name] = knn_accuracy(
            features[bank], labels[bank], features[queries], labels[queries]
        )
    assert accuracy["resnet18.img2imu_in1k"] > accuracy["resnet18"] + 0.05
