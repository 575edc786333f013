"""The encoder against torchvision's own network, run stage by stage."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from img2imu.errors import InputError
from img2imu.models import create_encoder
from img2imu.models.encoder import IMAGENET_MEAN, IMAGENET_STD, pool_bands
from img2imu.models.weights import fold_batch_norm


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 72, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def peer():
    """torchvision's ResNet-18 with batch norms that do something."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18().train()
    network(torch.randn(16, 3, 64, 64))
    for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.1)
    return network.eval()


def peer_stage(network, images, stage):
    """Feature map after `stage`, by torchvision's own modules."""
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    x = network.maxpool(network.relu(network.bn1(network.conv1((images - mean) / std))))
    for index in range(1, stage + 1):
        x = getattr(network, f"layer{index}")(x)
    return x


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_stages_equal_torchvision(tmp_path, peer, images, stage, suffix):
    path = tmp_path / f"peer.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in peer.state_dict().items()}}, path)
    else:
        save_file(peer.state_dict(), path)
    encoder = create_encoder(checkpoint=path, stages=(stage,), bands=3)
    with torch.no_grad():
        expected = peer_stage(peer, images, stage)
        expected = nn.functional.adaptive_avg_pool2d(expected, (3, 1)).flatten(1)
        torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-4)


def test_folded_file_equals_live_one(tmp_path, peer, images):
    live = create_encoder("resnet18", stages=(1, 2))
    save_file(peer.state_dict(), tmp_path / "live.safetensors")
    live = create_encoder(checkpoint=tmp_path / "live.safetensors", stages=(1, 2))
    folded_state = {name: value.contiguous() for name, value in live.backbone.state_dict().items()}
    assert not any("running_mean" in name for name in folded_state)
    save_file(folded_state, tmp_path / "folded.safetensors")
    folded = create_encoder(checkpoint=tmp_path / "folded.safetensors", stages=(1, 2))
    torch.testing.assert_close(folded(images), live(images))


def test_reference_weights_see_edges(reference_weights, images):
    encoder = create_encoder(checkpoint=reference_weights, stages=(3,))
    trained = encoder(images)
    assert trained.isfinite().all()
    assert (trained - create_encoder(stages=(3,))(images)).abs().mean() > 0.1
    with pytest.raises(InputError, match="layer4"):
        create_encoder(checkpoint=reference_weights, stages=(4,))


def test_views_are_a_batch(images):
    encoder = create_encoder(stages=(1, 2), bands=2)
    several = encoder.stage_features(images.view(1, 3, 3, 72, 96))
    each = encoder.stage_features(images)
    for joint, single in zip(several, each, strict=True):
        torch.testing.assert_close(joint, single.reshape(1, -1))


def test_later_stages_are_not_built():
    def size(*stages):
        return sum(p.numel() for p in create_encoder(stages=stages).parameters())

    assert size(1) < size(2) < size(3) < size(4)
    assert size(1, 3) == size(3)


@pytest.mark.parametrize(("rows", "bands"), [(9, 6), (12, 6), (3, 6), (5, 1)])
def test_pool_bands_is_adaptive_pooling(rows, bands):
    features = torch.randn(2, 4, rows, 7)
    expected = nn.functional.adaptive_avg_pool2d(features, (bands, 1))[..., 0]
    torch.testing.assert_close(pool_bands(features, bands), expected)


def test_random_weights_follow_the_seed(images):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (create_encoder(seed=s)(images) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


SIZES = [(48, 64), (72, 96), (96, 128)]


def normalised(images):
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    return (images - mean) / torch.tensor(IMAGENET_STD).view(3, 1, 1)


def timm_peer(name, path):
    """timm's whole network with random weights, which are also written to `path`."""
    torch.manual_seed(0)
    network = timm.create_model(name).eval()
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return network


def peer_map(network, images, stage):
    return network.forward_intermediates(
        normalised(images), indices=[stage], intermediates_only=True
    )[0]


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv3_small_100", "mambaout_femto"])
def test_timm_networks_by_name(tmp_path, name):
    network = timm_peer(name, tmp_path / "peer.safetensors")
    encoder = create_encoder(name, checkpoint=tmp_path / "peer.safetensors", stages=(2,), bands=3)
    for size in SIZES:
        images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = nn.functional.adaptive_avg_pool2d(peer_map(network, images, 2), (3, 1))
            torch.testing.assert_close(encoder(images), expected.flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(224, 224), *SIZES], ids=str)
def test_a_vision_transformer_takes_any_size(tmp_path, size):
    name, path = "vit_tiny_patch16_224", tmp_path / "peer.safetensors"
    network = timm_peer(name, path)
    # One made for this very size, whole patches, with the same weights by timm's own conversion.
    whole = [-(-side // 16) * 16 for side in size]
    fitted = timm.create_model(name, img_size=whole).eval()
    convert = timm.models.vision_transformer.checkpoint_filter_fn
    fitted.load_state_dict(convert(network.state_dict(), fitted))
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    padding = (0, whole[1] - size[1], 0, whole[0] - size[0])
    encoder = create_encoder(name, checkpoint=path, stages=(1, 2), bands=3)
    with torch.no_grad():
        padded = nn.functional.pad(normalised(images), padding)
        maps = fitted.forward_intermediates(padded, indices=[1, 2], intermediates_only=True)
        expected = [nn.functional.adaptive_avg_pool2d(m, (3, 1)).flatten(1) for m in maps]
        torch.testing.assert_close(encoder.stage_features(images), expected, rtol=1e-4, atol=1e-5)


def test_one_that_takes_one_size_only_is_refused():
    with pytest.raises(InputError, match="one size only"):
        create_encoder("mixer_s32_224")


def test_folding_keeps_a_network_that_cannot_be_folded(images):
    class NormFirst(nn.Module):
        """Registers a norm after the convolution but applies it before."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.norm.running_mean += torch.tensor([1.0, 2.0, 3.0])

        def forward(self, x):
            return self.conv(self.norm(x))

    network = NormFirst().eval()
    torch.testing.assert_close(fold_batch_norm(network)(images), network(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet9000"}, "unknown encoder"),
        ({"stages": (9,)}, "stages"),
        ({"stages": ()}, "stages"),
        ({"bands": 0}, "bands"),
        ({"checkpoint": "nowhere.safetensors"}, "no weights file"),
        ({"checkpoint": "x", "pretrained": True}, "not both"),
    ],
)
def test_bad_settings_are_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        create_encoder(**arguments)


def test_damaged_and_foreign_files(tmp_path):
    (tmp_path / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(1000))
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(1000))
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    for name in ("noise.safetensors", "noise.pth", "foreign.safetensors"):
        with pytest.raises(InputError, match=name):
            create_encoder(checkpoint=tmp_path / name)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match=r"trap\.pth"):
        create_encoder(checkpoint=tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
