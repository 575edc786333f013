"""The loader gives every image once an epoch, from any step on, to any number of processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pytest
import torch

from img2imu.errors import InputError
from img2imu.images import loader as module
from img2imu.images.loader import Loader
from img2imu.images.procedural import ProceduralImages


@dataclass
class Store:
    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.images)


@pytest.fixture
def store(tmp_path):
    """50 images of noise in a mapped file; an image's label is its number."""
    path = tmp_path / "images.bin"
    noise = np.random.default_rng(0).integers(0, 256, (50, 6, 8, 3), dtype=np.uint8)
    noise.tofile(path)
    images = np.memmap(path, np.uint8, "r", shape=noise.shape)
    return Store(images, np.arange(50, dtype=np.int32))


@pytest.fixture(params=["read ahead", "resident", "cuda read ahead", "cuda resident"])
def device(request, monkeypatch):
    """Every way to the device; the copy to it is also tried on the CPU, in several parts."""
    kind = "cuda" if request.param.startswith("cuda") else "cpu"
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    monkeypatch.setattr(module, "_fits", lambda *_: request.param.endswith("resident"))
    monkeypatch.setattr(module, "COPIED_AT_ONCE", 1000)
    return kind


def numbers(batches):
    return [batch.labels.tolist() for batch in batches]


def joined(parts):
    return list(chain.from_iterable(parts))


def test_images_are_those_of_the_store(store, device):
    for batch in Loader(store, 8, 0, device).epoch(0):
        assert batch.images.dtype == torch.uint8
        assert batch.images.device.type == batch.labels.device.type == device
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.dtype == torch.int64
        rows = batch.labels.cpu().numpy()
        expected = store.images[rows].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(batch.images.cpu().numpy(), expected)


def test_batches_stay_what_they_were(store, device):
    """A batch is no view of a buffer that the next ones overwrite."""
    batches = list(Loader(store, 8, 0, device).epoch(0))
    for batch in batches:
        expected = store.images[batch.labels.cpu().numpy()].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(batch.images.cpu().numpy(), expected)


def test_epoch_has_each_image_once(store, device):
    loader = Loader(store, 10, 3, device)
    assert loader.steps == 5
    drawn = numbers(loader.epoch(0))
    assert sorted(joined(drawn)) == list(range(50))


def test_rows_restrict_what_is_drawn(store, device):
    rows = np.arange(1, 48, 3)
    loader = Loader(store, 4, 0, device, rows=rows)
    assert loader.steps == 4
    assert sorted(joined(numbers(loader.epoch(0)))) == rows.tolist()


def test_incomplete_batch_is_dropped(store, device):
    loader = Loader(store, 8, 0, device)
    drawn = joined(numbers(loader.epoch(0)))
    assert loader.steps == 6
    assert len(drawn) == len(set(drawn)) == 48
    # Not always the same ones.
    assert set(drawn) != set(joined(numbers(loader.epoch(1))))


def test_order_depends_on_seed_and_epoch_alone(store, device):
    first = numbers(Loader(store, 10, 0, device).epoch(4))
    np.random.seed(1)
    torch.manual_seed(1)
    again = Loader(store, 10, 0, device)
    other = numbers(again.epoch(5))
    assert numbers(again.epoch(4)) == first
    assert other != first
    assert numbers(Loader(store, 10, 1, device).epoch(4)) != first


@pytest.mark.parametrize("start", [0, 1, 3, 6])
def test_resumed_epoch_is_the_rest(store, device, start):
    whole = numbers(Loader(store, 8, 0, device).epoch(2))
    assert numbers(Loader(store, 8, 0, device).epoch(2, start)) == whole[start:]


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_the_steps_of_one(store, device, world_size):
    alone = numbers(Loader(store, 8, 0, device).epoch(1))
    shares = [
        numbers(Loader(store, 8, 0, device, rank, world_size).epoch(1))
        for rank in range(world_size)
    ]
    for step, *parts in zip(alone, *shares, strict=True):
        assert [len(part) for part in parts] == [8 // world_size] * world_size
        assert sorted(joined(parts)) == sorted(step)


def test_residence(store):
    assert not Loader(store, 8, 0, "cpu").resident
    assert Loader(ProceduralImages("dead-leaves", 50, 8, 8), 8, 0, "cpu").resident
    if torch.cuda.is_available():
        assert Loader(store, 8, 0, "cuda").resident


def test_store_larger_than_its_share_of_memory_stays_outside(store, monkeypatch):
    cuda, size = torch.device("cuda"), store.images.nbytes
    for free, fits in ((size / 0.61, True), (size / 0.59, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2 * free))
        assert module._fits(store.images, cuda) is not fits


class Broken(np.ndarray):
    """Fails at the image with number 49."""

    def take(self, rows, *args, **kwargs):
        if 49 in rows:
            raise OSError("bad sector")
        return super().take(rows, *args, **kwargs)


def loader_threads():
    return [one for one in threading.enumerate() if one.name.startswith("img2imu-loader")]


def test_failing_reader_fails_the_consumer(store):
    loader = Loader(Store(store.images.view(Broken), store.labels), 5, 0, "cpu")
    order = module.epoch_order(50, 0, 0).tolist()
    batches = loader.epoch(0)
    for _ in range(order.index(49) // 5):
        next(batches)
    with pytest.raises(OSError, match="bad sector"):
        next(batches)
    assert not loader_threads()


@pytest.mark.parametrize("leave", ["close", "forget", "exhaust"])
def test_no_thread_is_left_behind(store, leave):
    batches = Loader(store, 5, 0, "cpu").epoch(0)
    next(batches)
    assert loader_threads()
    if leave == "close":
        batches.close()
    elif leave == "forget":
        del batches
    else:
        list(batches)
    assert not loader_threads()


def test_waited_counts_the_loader_and_not_its_consumer(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    draw = ProceduralImages.draw

    def slow(*arguments):
        clock[0] += 2
        return draw(*arguments)

    monkeypatch.setattr(ProceduralImages, "draw", slow)
    loader = Loader(ProceduralImages("color-noise", 12, 8, 8), 4, 0, "cpu")
    for _ in loader.epoch(0):
        clock[0] += 5
    assert loader.waited == 6
    loader.waited = 0.0
    for _ in loader.epoch(1, 2):
        clock[0] += 5
    assert loader.waited == 2


def test_procedural_images_are_fresh_and_repeatable():
    source = ProceduralImages("color-noise", 20, 16, 8)

    def drawn(seed=0, epoch=0, start=0, rank=0, world_size=2):
        return list(Loader(source, 8, seed, "cpu", rank, world_size).epoch(epoch, start))

    first = drawn()
    assert [batch.images.shape for batch in first] == [(4, 3, 8, 16)] * 2
    assert all(batch.labels.tolist() == [-1] * 4 for batch in first)
    assert torch.equal(drawn(start=1)[0].images, first[1].images)
    others = [first[1], *drawn(seed=1), *drawn(epoch=1), *drawn(rank=1)]
    assert not any(torch.equal(other.images, first[0].images) for other in others)


def test_step_generator_is_the_documented_formula():
    [state] = np.random.SeedSequence([7, 2, 5, 1]).generate_state(1, np.uint64)
    expected = torch.rand(4, generator=torch.Generator().manual_seed(int(state)))
    torch.testing.assert_close(
        torch.rand(4, generator=module.step_generator(7, 2, 5, 1, "cpu")), expected, rtol=0, atol=0
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ((51, 0), "a batch of 51 is more than the 50 images"),
        ((0, 0), "the batch size must be a multiple"),
        ((9, 0, "cpu", 0, 2), "multiple of the number of processes, 2, not 9"),
        ((8, -1), "seed must lie in"),
    ],
)
def test_sizes_that_do_not_fit(store, settings, message):
    settings = settings if len(settings) > 2 else (*settings, "cpu")
    with pytest.raises(InputError, match=message):
        Loader(store, *settings)


@pytest.mark.parametrize("start", [-1, 7])
def test_checkpoint_of_other_data(store, start):
    with pytest.raises(InputError, match=f"step {start} of an epoch of 6 steps"):
        Loader(store, 8, 0, "cpu").epoch(0, start)
