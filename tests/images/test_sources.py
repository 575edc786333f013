"""Sources: what is found where, in which order and with which label."""

from __future__ import annotations

import contextlib
import json
import random
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from img2imu.errors import InputError
from img2imu.images import parquet as parquet_module
from img2imu.images import shards, sources
from img2imu.images.decode import DecodeError
from img2imu.images.registry import open_images
from tests.images.samples import (
    COLORS,
    collection,
    encoded,
    folder,
    scene,
    shard,
    tar,
    tar_of_tars,
)

FILES = collection()
CLASSES = list(COLORS)


def zipped(path, files, mode=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", mode) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def below(prefix, files=FILES):
    return {f"{prefix}/{name}": content for name, content in files.items()}


def contents(source):
    return [source.read(index) for index in range(len(source))]


def tars_of_classes(path):
    path.mkdir()
    for name in COLORS:
        members = {f.split("/")[1]: c for f, c in FILES.items() if f.startswith(f"{name}/")}
        tar(path / f"{name}.tar", members)
    return path


LAYOUTS = {
    "folder": lambda path: folder(path / "root", FILES),
    "folder with train": lambda path: folder(
        path / "root", below("train") | below("val") | {"notes.txt": b"x"}
    ),
    "folder of tars": lambda path: tars_of_classes(path / "root"),
    "tar": lambda path: tar(path / "all.tar", FILES),
    "tar below folders": lambda path: tar(path / "all.tar", below("./data/all")),
    "tar of tars": lambda path: tar_of_tars(path / "all.tar", FILES),
    "zip": lambda path: zipped(path / "all.zip", below("data") | {"data/list.csv": b""}),
    "stored zip": lambda path: zipped(path / "all.zip", FILES, zipfile.ZIP_STORED),
    "zip with splits": lambda path: zipped(
        path / "all.zip", below("set/train") | below("set/test") | {"__MACOSX/._a.jpg": b"x"}
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_the_same_images(layout, tmp_path):
    source = open_images(LAYOUTS[layout](tmp_path))
    assert contents(source) == list(FILES.values())
    assert source.classes == CLASSES
    assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_order_and_labels_are_those_of_image_folder(tmp_path):
    from torchvision.datasets import ImageFolder

    names = ["b/10.jpg", "b/9.JPEG", "b/deep/er/1.png", "B/1.jpg", "a/z.jpg", "a/b/1.jpg"]
    root = folder(tmp_path / "root", {name: name.encode() for name in [*names, "a/x.txt"]})
    expected = ImageFolder(root)
    source = open_images(root)
    assert [str(root / name) for name in source.names] == [path for path, _ in expected.samples]
    assert source.labels.tolist() == expected.targets
    assert source.classes == expected.classes


def test_images_without_folders_have_no_label(tmp_path):
    flat = {f"val_{i}.JPEG": content for i, content in enumerate(FILES.values())}
    for source in (
        open_images(folder(tmp_path / "flat", flat)),
        open_images(tar(tmp_path / "flat.tar", flat)),
    ):
        assert source.labels.tolist() == [-1] * 12
        assert source.classes == []


def test_links_are_followed_to_files_alone(tmp_path):
    outside = folder(tmp_path / "outside", FILES)
    root = folder(tmp_path / "root", {"ash/0.jpg": FILES["ash/0.jpg"]})
    (root / "ash" / "1.jpg").symlink_to(outside / "ash" / "1.jpg")
    (root / "ash" / "2.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "birch").symlink_to(outside / "birch")
    assert open_images(root).names == ["ash/0.jpg", "ash/1.jpg"]


def test_links_in_a_tar_are_left_out(tmp_path):
    import tarfile

    path = tar(tmp_path / "all.tar", FILES)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("ash/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    assert open_images(path).names == list(FILES)


def parquet(path, files, labels, names=None, group=5):
    rows = {"image": [{"bytes": content, "path": None} for content in files]}
    if labels is not None:
        rows["label"] = labels
    table = pa.table(rows)
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, row_group_size=group)


def test_parquet_with_class_names(tmp_path):
    files, labels = list(FILES.values()), [0] * 4 + [1] * 4 + [2] * 4
    for part in range(2):
        rows = slice(6 * part, 6 * part + 6)
        path = tmp_path / "data" / f"train-0000{part}-of-00002.parquet"
        parquet(path, files[rows], labels[rows], CLASSES)
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", files[:2], [-1, -1], CLASSES)
    source = open_images(tmp_path)
    assert contents(source) == files
    assert contents(source) == files  # from the start again
    assert (source.labels.tolist(), source.classes) == (labels, CLASSES)


def test_parquet_with_other_labels(tmp_path):
    path = tmp_path / "one.parquet"
    parquet(path, list(FILES.values())[:3], ["oak", None, "elm"])
    source = open_images(path)
    assert (source.labels.tolist(), source.classes) == ([1, -1, 0], ["elm", "oak"])
    parquet(path, list(FILES.values())[:3], [2, 0, -1])
    source = open_images(path)
    assert (source.labels.tolist(), source.classes) == ([2, 0, -1], ["0", "1", "2"])
    parquet(path, list(FILES.values())[:3], None)
    assert open_images(path).labels.tolist() == [-1] * 3


def test_shards(tmp_path):
    files = list(FILES.values())
    labels = [2, 0, 1] * 4
    root = shard(tmp_path / "shards", files, labels, CLASSES)
    for path in (root, root / "part.bin"):
        source = open_images(path)
        assert contents(source) == files
        assert (source.labels.tolist(), source.classes) == (labels, CLASSES)


def test_real_shards(shared_data):
    if not (shared_data / "tiny_imagenet").is_dir():
        pytest.skip(f"no tiny_imagenet in {shared_data}")
    source = open_images(shared_data / "tiny_imagenet")
    assert np.bincount(source.labels).tolist() == [500] * 200
    assert source.names[25_000:25_001] != source.names[:1]
    # A file's name begins with its class.
    for index in range(0, 100_000, 997):
        assert source.names[index].startswith(source.classes[source.labels[index]] + "_")


def test_fingerprint_tells_sources_apart(tmp_path):
    root = folder(tmp_path / "root", FILES)
    before = open_images(root).fingerprint()
    assert open_images(root).fingerprint() == before
    (root / "ash" / "0.jpg").write_bytes(FILES["ash/0.jpg"] + b"\0")
    assert open_images(root).fingerprint() != before


def damaged_shard(path, **changes):
    shard(path, list(FILES.values()), [0] * 12, CLASSES)
    arrays = dict(np.load(path / "part.npz"))
    np.savez(path / "part.npz", **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


BAD = {
    "does not exist": lambda path: path / "nothing",
    "holds no images": lambda path: folder(path / "root", {"a/notes.txt": b"x"}),
    "compressed as a whole": lambda path: tar(path / "all.tar.gz", FILES, "w:gz"),
    "truncated or damaged, or no source": lambda path: folder(path, {"x.bin": b"1234"}) / "x.bin",
    "truncated or damaged": lambda path: cut(tar(path / "all.tar", FILES), 1200),
    "damaged or not a Parquet": lambda path: folder(path, {"x.parquet": b"1234"}) / "x.parquet",
    "beyond the .* bytes": lambda path: damaged_shard(path / "s", offsets=np.arange(12) + 10**9),
    "lacks an array": lambda path: damaged_shard(path / "s", names=None),
    "differ in length": lambda path: damaged_shard(path / "s", labels=np.zeros(3, np.int16)),
    "labels beyond the 3 classes": lambda path: damaged_shard(
        path / "s", labels=np.full(12, 3, np.int16)
    ),
}


def renamed(path, classes):
    """A sound shard whose ``classes.json`` says `classes`."""
    shard(path, list(FILES.values()), [0] * 12, CLASSES)
    (path / "classes.json").write_text(classes if isinstance(classes, str) else json.dumps(classes))
    return path


@pytest.mark.parametrize(
    "classes",
    [
        *({"classes": 5}, {"classes": "ash"}, {"classes": [1, 2]}, {"classes": {"0": "ash"}}),
        *(7, [], "[" * 9999),
    ],
    ids=["number", "text", "numbers", "object", "no object", "list", "nested"],
)
def test_classes_are_a_list_of_names(classes, tmp_path):
    with pytest.raises(InputError, match=r"classes\.json must be a JSON object with 'classes'"):
        open_images(renamed(tmp_path / "s", classes))


def test_an_index_that_unpacks_to_any_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "LARGEST_INDEX", 1 << 20)
    path = damaged_shard(tmp_path / "s")
    with zipfile.ZipFile(path / "part.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", bytes(1 << 20))
    assert (path / "part.npz").stat().st_size < 10_000
    with pytest.raises(InputError, match=r"unpacks to \d+ bytes"):
        open_images(path)


def test_an_index_with_a_header_that_lies_is_refused(tmp_path):
    path = damaged_shard(tmp_path / "s")
    header = "{'descr': '<i8', 'fortran_order': False, 'shape': (9000000000000000,), }"
    lying = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(path / "part.npz") as archive:
        rest = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path / "part.npz", "w") as archive:
        for name, data in (rest | {"offsets.npy": lying}).items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match="damaged, or not the index"):
        open_images(path)


def test_labels_are_not_cut_to_32_bits(tmp_path):
    path = damaged_shard(tmp_path / "s", labels=np.full(12, 1 << 32, np.int64))
    with pytest.raises(InputError, match="labels beyond the 3 classes"):
        open_images(path)


@pytest.mark.parametrize("label", [10**9, 2**40, 10**6])
def test_a_label_is_no_number_of_any_size(label, tmp_path):
    path = tmp_path / "one.parquet"
    parquet(path, list(FILES.values())[:3], [0, label, 1])
    with pytest.raises(InputError, match=f"label {label} is too large: labels count from 0"):
        open_images(path)


def test_rows_without_images_do_not_fill_memory(tmp_path):
    table = pa.table({"image": pa.nulls(200_000, pa.struct([("bytes", pa.binary())]))})
    pq.write_table(table, tmp_path / "one.parquet")
    with pytest.raises(InputError, match=r"says it has 200000 rows, in \d+ bytes"):
        open_images(tmp_path / "one.parquet")


def test_a_row_group_that_unpacks_to_any_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_module, "LARGEST_GROUP", 10_000)
    path = tmp_path / "one.parquet"
    parquet(path, [bytes(9_000), bytes(2_000)], None)
    with pytest.raises(InputError, match=r"row group 0 of .* unpacks to 1\d+ bytes"):
        open_images(path).read(0)


def test_a_file_of_absurd_size_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_FILE", 50_000)
    absurd = FILES | {"ash/0.jpg": bytes(60_000)}
    for path in (
        zipped(tmp_path / "all.zip", absurd),
        tar(tmp_path / "all.tar", absurd),
        folder(tmp_path / "root", absurd),
    ):
        images = open_images(path)
        with pytest.raises(DecodeError, match="60000 bytes are more than the 50000 of the largest"):
            images.read(0)
        assert images.read(1) == FILES["ash/1.jpg"]


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])
    return path


def test_a_tar_is_whole_or_refused(tmp_path):
    members = {name: content[:700] for name, content in FILES.items()}  # two blocks and a header
    for size in range(100, 12 * 1536, 512):
        with pytest.raises(InputError, match="truncated"):
            open_images(cut(tar(tmp_path / "all.tar", members), size))


@pytest.mark.parametrize("message", BAD)
def test_bad_sources_are_told_in_one_sentence(message, tmp_path):
    with pytest.raises(InputError, match=message):
        open_images(BAD[message](tmp_path))


@pytest.mark.parametrize("name", ["all.zip", "all.tar", "one.parquet", "s/part.npz"])
def test_any_damage_is_one_sentence_or_one_file(name, tmp_path):
    few = {f"ash/{i}.jpg": encoded(scene(i, 16, 12)) for i in range(3)}
    zipped(tmp_path / "all.zip", few)
    tar(tmp_path / "all.tar", few)
    parquet(tmp_path / "one.parquet", list(few.values()), ["a", None, "b"])
    shard(tmp_path / "s", list(few.values()), [0, 1, 2], CLASSES)
    path, rng, told = tmp_path / name, random.Random(1), 0
    whole = path.read_bytes()
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3, 10))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice((None, None, None, rng.randrange(len(data))))])
        try:
            source = open_images(path.parent if name.startswith("s/") else path)
            source.fingerprint()
            for index in range(len(source)):
                with contextlib.suppress(DecodeError):
                    source.read(index)
        except InputError as error:
            told += 1
            assert len(str(error).splitlines()) == 1
    assert told > 20


def test_pickles_are_refused(tmp_path):
    path = damaged_shard(tmp_path / "s", names=np.array([object()] * 12))
    with pytest.raises(InputError, match="not the index of a shard"):
        open_images(path)
