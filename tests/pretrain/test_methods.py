import math
from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from img2imu.pretrain import MoCoConfig, SimSiamConfig, World
from img2imu.pretrain.method_config import SupervisedConfig
from img2imu.pretrain.methods.images import (
    MoCo,
    SimSiam,
    Supervised,
    enqueue,
    follow,
    geometry,
    info_nce_logits,
    shuffled,
)
from img2imu.pretrain.norm import GroupedBatchNorm, group_batch_norm

ALONE = World(torch.device("cpu"))


class SmallEncoder(nn.Module):
    """Two stages of 8 and 6 features."""

    widths = (8, 6)

    def __init__(self, norm: bool = True, stages: int = 1) -> None:
        super().__init__()
        self.widths = SmallEncoder.widths[:stages]
        self.first = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU()
        )
        self.second = nn.Conv2d(8, 6, 3)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        first = self.first(images)
        return [part.mean((2, 3)) for part in (first, self.second(first))][: len(self.widths)]


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 20),
    batches=st.lists(st.integers(1, 20), min_size=1, max_size=8),
)
def test_queue_holds_the_newest_keys(size, batches):
    batches = [min(count, size) for count in batches]
    queue, pointer = torch.full((1, size, 1), -1.0), torch.zeros((), dtype=torch.int64)
    newest = deque([-1.0] * size, maxlen=size)
    number = 0
    for count in batches:
        keys = [float(number + i) for i in range(count)]
        number += count
        enqueue(queue, pointer, torch.tensor(keys)[None, :, None])
        newest.extend(keys)
        assert sorted(queue[0, :, 0].tolist()) == sorted(newest)
        # The next place to write is that of the oldest key.
        assert queue[0, int(pointer), 0] == newest[0]


def test_info_nce_is_its_formula():
    rng = np.random.default_rng(0)
    q, k, queue = (rng.normal(size=(n, 5)) for n in (4, 4, 9))
    q, k, queue = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (q, k, queue))
    expected = []
    for i in range(4):
        positive = math.exp(q[i] @ k[i] / 0.2)
        negatives = sum(math.exp(q[i] @ other / 0.2) for other in queue)
        expected.append(-math.log(positive / (positive + negatives)))
    logits = info_nce_logits(*(torch.from_numpy(v)[None] for v in (q, k, queue)), 0.2)
    loss = F.cross_entropy(logits[0], torch.zeros(4, dtype=torch.long))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-12)


def test_moco_step_is_the_plain_algorithm():
    torch.manual_seed(0)
    config = MoCoConfig(dim=6, queue=10, momentum=0.9, temperature=0.1, splits=1)
    method = MoCo(SmallEncoder(stages=2), config, ALONE)
    views = [torch.rand(7, 3, 16, 16) for _ in range(2)]
    queue = method.queue.clone()
    parameters = [p.detach().clone() for p in method.key_encoder.parameters()]
    measures = method(views, torch.zeros(7, dtype=torch.long), 0)
    losses, keys = [], []
    for stage in (0, 1):
        q = F.normalize(method.head[stage](method.encoder(views[0])[stage]), dim=1)
        k = F.normalize(method.key_head[stage](method.key_encoder(views[1])[stage]), dim=1)
        similar = torch.cat([(q * k).sum(1)[:, None], q @ queue[stage].T], 1).double() / 0.1
        losses.append((torch.logsumexp(similar, 1) - similar[:, 0]).mean())
        keys.append(k.detach())
    expected = sum(losses) / 2
    assert measures["loss"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert torch.equal(method.queue, queue), "the queue must not change before the optimiser"
    measures["loss"].backward()
    assert all(p.grad is None for p in method.key_encoder.parameters())
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(1.0)
    method.after_step(0.0)
    torch.testing.assert_close(method.queue[:, :7], torch.stack(keys))
    assert torch.equal(method.queue[:, 7:], queue[:, 7:])
    followed = zip(
        method.key_encoder.parameters(), parameters, method.encoder.parameters(), strict=True
    )
    for now, before, leader in followed:
        torch.testing.assert_close(now, 0.9 * before + 0.1 * leader)


def test_loss_of_chance_is_log_of_the_candidates():
    torch.manual_seed(0)
    config = MoCoConfig(dim=128, queue=4096, temperature=1.0, splits=1)
    method = MoCo(SmallEncoder(), config, ALONE)
    with torch.no_grad():
        method.head[0].weight.zero_()
        method.head[0].bias.normal_()
        method.key_head[0].bias.copy_(torch.randn(128))
    views = [torch.rand(16, 3, 16, 16)] * 2
    loss = method(views, torch.zeros(16, dtype=torch.long), 0)["loss"].item()
    assert loss == pytest.approx(math.log(4097), abs=0.2)


def test_cosine_momentum_ends_at_one():
    config = MoCoConfig(momentum=0.99, momentum_schedule="cosine", splits=1, queue=8)
    method = MoCo(SmallEncoder(), config, ALONE)
    assert method.momentum(0.0) == pytest.approx(0.99)
    assert method.momentum(0.5) == pytest.approx(0.995)
    assert method.momentum(1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("head", ["linear", "mlp", "mlp-bn"])
def test_heads_give_the_dimension_and_learn(head):
    torch.manual_seed(0)
    config = MoCoConfig(dim=4, queue=32, head=head, splits=1)
    method = MoCo(SmallEncoder(stages=2), config, ALONE)
    views = [torch.rand(8, 3, 16, 16) for _ in range(2)]
    method(views, torch.zeros(8, dtype=torch.long), 0)["loss"].backward()
    trained = [*method.encoder.parameters(), *method.head.parameters()]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained if p.ndim > 1)
    has_predictor = any(True for _ in method.predictor.parameters())
    assert has_predictor == (head == "mlp-bn")


def test_a_queue_may_be_shorter_than_five():
    torch.manual_seed(0)
    method = MoCo(SmallEncoder(), MoCoConfig(dim=4, queue=2, splits=1), ALONE)
    views = [torch.rand(2, 3, 16, 16) for _ in range(2)]
    assert method(views, torch.zeros(2, dtype=torch.long), 0)["top5"] == 1


def test_follow_is_the_moving_average():
    leader, follower = nn.Linear(2, 2), nn.Linear(2, 2)
    before = follower.weight.detach().clone()
    follow(follower, leader, 0.75)
    torch.testing.assert_close(follower.weight, 0.75 * before + 0.25 * leader.weight)


def test_split_batch_norm_is_batch_norm_of_each_part():
    torch.manual_seed(0)
    images = torch.randn(12, 5, 4, 3).contiguous(memory_format=torch.channels_last)
    split = group_batch_norm(nn.BatchNorm2d(5), 3, ALONE)
    assert isinstance(split, GroupedBatchNorm)
    out = split(images)
    for part in range(3):
        rows = images[4 * part : 4 * part + 4]
        mean, var = rows.mean((0, 2, 3)), rows.var((0, 2, 3), unbiased=False)
        expected = (rows - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        torch.testing.assert_close(out[4 * part : 4 * part + 4], expected, atol=1e-5, rtol=1e-5)
    plain = nn.BatchNorm2d(5).eval()
    plain.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(images), plain(images))


def test_running_statistics_of_split_batch_norm_move_once_a_step():
    """To the mean over the parts, as when the statistics of GPUs are averaged."""
    torch.manual_seed(0)
    images = torch.randn(12, 5, 4, 3) * torch.linspace(1, 4, 12).view(-1, 1, 1, 1) + 2
    split = group_batch_norm(nn.BatchNorm2d(5, momentum=0.25), 3, ALONE)
    split(images)
    gpus = [nn.BatchNorm2d(5, momentum=0.25) for _ in range(3)]
    for gpu, part in zip(gpus, images.chunk(3), strict=True):
        gpu(part)
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(gpu, name) for gpu in gpus]).mean(0)
        torch.testing.assert_close(getattr(split, name), expected)
    assert split.num_batches_tracked == 1


def test_norms_that_carry_their_activation_are_split_too():
    from timm.layers import BatchNormAct2d

    torch.manual_seed(0)
    images = torch.randn(8, 4, 3, 3) * torch.linspace(1, 4, 8).view(-1, 1, 1, 1)
    whole = BatchNormAct2d(4)
    expected = torch.cat([whole(part) for part in images.chunk(2)])
    split = group_batch_norm(BatchNormAct2d(4), 2, ALONE)
    torch.testing.assert_close(split(images), expected)
    assert not torch.allclose(whole(images), expected, atol=1e-2)
    whole.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(images), whole.eval()(images))


def test_keys_are_normalised_among_other_images():
    """ShuffleBN: a key's batch-norm companions differ from its query's, its place does not."""
    torch.manual_seed(0)
    method = MoCo(SmallEncoder(), MoCoConfig(dim=8, queue=16, splits=4), ALONE)
    images = torch.rand(16, 3, 16, 16) * torch.arange(1, 17).view(-1, 1, 1, 1)
    step = 3
    [key] = method._key(images, step)
    order = shuffled(16, step)
    assert order.tolist() != list(range(16))
    [in_order] = F.normalize(method.key_head(method.key_encoder(images)), dim=2)
    assert not torch.allclose(key, in_order, atol=1e-3)
    [shuffled_rows] = F.normalize(method.key_head(method.key_encoder(images[order])), dim=2)
    for place, row in enumerate(order.tolist()):
        torch.testing.assert_close(key[row], shuffled_rows[place])


def test_without_batch_norm_shuffling_changes_nothing():
    torch.manual_seed(0)
    method = MoCo(SmallEncoder(norm=False), MoCoConfig(dim=8, queue=16, splits=4), ALONE)
    images = torch.rand(16, 3, 16, 16)
    expected = F.normalize(method.key_head(method.key_encoder(images)), dim=2)
    torch.testing.assert_close(method._key(images, 5), expected)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-8)


def test_simsiam_is_its_formula_and_stops_one_side():
    torch.manual_seed(0)
    method = SimSiam(SmallEncoder(), SimSiamConfig(dim=16, hidden=8), ALONE)
    views = [torch.rand(6, 3, 16, 16) for _ in range(2)]
    loss = method(views, torch.zeros(6, dtype=torch.long), 0)["loss"]
    z = [method.projector(method.encoder(view))[0] for view in views]
    p = [method.predictor([one])[0] for one in z]
    expected = -0.5 * (
        (unit(p[0]) * unit(z[1]).detach()).sum(1).mean()
        + (unit(p[1]) * unit(z[0]).detach()).sum(1).mean()
    )
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    weight = method.encoder.first[0].weight
    [ours] = torch.autograd.grad(loss, weight)
    [theirs] = torch.autograd.grad(expected, weight)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


def test_supervision_is_the_mean_of_its_stages():
    torch.manual_seed(0)
    method = Supervised(SmallEncoder(stages=2), [3], SupervisedConfig(0.1), ALONE).eval()
    images, labels = torch.rand(5, 3, 16, 16), torch.tensor([0, 1, 2, 1, 1])
    losses = [
        F.cross_entropy(head(part), labels, label_smoothing=0.1)
        for head, part in zip(method.classifier, method.encoder(images), strict=True)
    ]
    measures = method([images], labels, 0)
    assert measures["loss"].item() == pytest.approx(sum(losses).item() / 2)


def test_supervised_leaves_unlabelled_images_out():
    torch.manual_seed(0)
    method = Supervised(SmallEncoder(), [3], SupervisedConfig(0.0), ALONE).eval()
    images, labels = torch.rand(5, 3, 16, 16), torch.tensor([0, -1, 2, -1, 1])
    known = labels >= 0
    loss = method([images], labels, 0)["loss"]
    assert loss.item() == pytest.approx(method([images[known]], labels[known], 0)["loss"].item())


def test_a_batch_without_a_label_teaches_nothing():
    torch.manual_seed(0)
    method = Supervised(SmallEncoder(), [3], SupervisedConfig(0.1), ALONE)
    measures = method([torch.rand(5, 3, 16, 16)], torch.full((5,), -1), 0)
    assert measures["loss"] == measures["top1"] == 0
    measures["loss"].backward()
    assert all(parameter.grad.abs().sum() == 0 for parameter in method.classifier.parameters())


def test_geometry_is_its_formula():
    rng = np.random.default_rng(0)
    first, second = (v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, 30, 8)))
    measures = geometry(torch.from_numpy(first), torch.from_numpy(second))
    pairs = [math.exp(-2 * np.sum((first[i] - first[j]) ** 2)) for i in range(30) for j in range(i)]
    assert measures["uniformity"].item() == pytest.approx(math.log(np.mean(pairs)))
    aligned = np.mean(np.sum((first - second) ** 2, axis=1))
    assert measures["alignment"].item() == pytest.approx(aligned)
    assert 0.8 < measures["spread"].item() < 1.2
    same = torch.ones(30, 8, dtype=torch.float64) / math.sqrt(8)
    assert geometry(same, same)["spread"].item() == pytest.approx(0, abs=1e-6)
