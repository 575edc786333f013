"""Batch norm that a file has folded away, made anew to train on."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from img2imu.errors import InputError
from img2imu.models import create_backbone, create_encoder
from img2imu.models.weights import read_state_dict, write_tensors

from ..pretrain.sources import photographs_of


@pytest.fixture(scope="module")
def photographs(shared_data):
    """Real images, normalised, (256, 3, 48, 64)."""
    shard = shared_data / "tiny_imagenet" / "train_00.bin"
    if not shard.is_file():
        pytest.skip("no Tiny-ImageNet shard")
    pixels = torch.from_numpy(photographs_of(shard, width=64, height=48).images[:256])
    return (pixels.permute(0, 3, 1, 2) / 255 - 0.45) / 0.23


@pytest.fixture
def revived(reference_weights, photographs):
    return create_backbone(
        "resnet18", stages=(1, 2, 3), bands=3, init=str(reference_weights), images=photographs
    )


def test_evaluated_it_is_the_folded_network(revived, reference_weights, photographs):
    folded = create_encoder(checkpoint=reference_weights, stages=(1, 2, 3)).backbone
    noise = torch.rand(4, 3, 72, 96, generator=torch.Generator().manual_seed(1))
    assert revived.training
    for images in (photographs[:8], noise):
        with torch.no_grad():
            pairs = zip(revived.eval().body(images), folded(images), strict=True)
            for ours, expected in pairs:
                error = (ours - expected).abs().max() / expected.abs().max()
                assert error < 1e-4


def test_statistics_are_those_that_torch_measures(revived, photographs):
    """One pass in training mode without memory leaves each norm the batch's own statistics.

    Each pass feeds a norm from its revived predecessors, normalised by the batch they were
    measured on: what it sees is what the folded network shows it, but for the bias of variances.
    """
    measured = {name: value.clone() for name, value in revived.body.state_dict().items()}
    for part in revived.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = 1.0
    with torch.no_grad():
        revived.train()(photographs)
    for name, value in revived.body.state_dict().items():
        if "running" in name:
            scale = value.abs().max()
            assert (value - measured[name]).abs().max() < 2e-3 * scale, name


def test_training_starts_where_the_folded_network_is(revived, reference_weights, photographs):
    folded = create_encoder(checkpoint=reference_weights, stages=(3,)).backbone
    with torch.no_grad():
        trained, [expected] = revived.train().body(photographs)[-1], folded(photographs)
    assert (trained - expected).norm() < 0.02 * expected.norm()


def test_stages_that_the_file_lacks_are_random(reference_weights, photographs):
    init = {"init": str(reference_weights), "images": photographs[:32]}
    body = create_backbone("resnet18", seed=3, **init).body.state_dict()
    fresh = create_backbone("resnet18", seed=3).body.state_dict()
    for name, value in body.items():
        assert torch.equal(value, fresh[name]) == (
            name.startswith("layer4") or "num_batches" in name
        )


def test_live_weights_stay_as_they_are(photographs, tmp_path):
    live = tmp_path / "live.safetensors"
    save_file(create_backbone("resnet18", seed=5).body.state_dict(), live)
    given, plain = (
        create_backbone("resnet18", init=str(live), images=images).body.state_dict()
        for images in (photographs[:8], None)
    )
    assert all(torch.equal(given[key], plain[key]) for key in plain)


def test_what_cannot_be_revived_is_told(tmp_path, reference_weights, photographs):
    with pytest.raises(InputError, match=r"batch norm folded .* needs images"):
        create_backbone("resnet18", init=str(reference_weights))
    bare = read_state_dict(reference_weights)
    del bare["layer1.0.conv1.bias"]
    save_file(bare, tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match="convolutions without their batch norm"):
        create_backbone("resnet18", init=str(tmp_path / "bare.safetensors"), images=photographs)
    bent = read_state_dict(reference_weights) | {"conv1.bias": torch.zeros(1)}
    save_file(bent, tmp_path / "bent.safetensors")
    with pytest.raises(InputError, match=r"conv1\.bias has shape \(1,\)"):
        create_backbone("resnet18", init=str(tmp_path / "bent.safetensors"), images=photographs)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"a": torch.ones(3), "b": torch.tensor([1.0, torch.nan])})
    with pytest.raises(InputError, match="b holds numbers that are not finite"):
        read_state_dict(path)
