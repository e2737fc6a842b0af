"""Sets larger than the memory: the same images, read when they are asked for."""

import multiprocessing
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from pocketeye.data import ImageSet, UnreadableImage, load_images
from pocketeye.data.classification import parquet
from pocketeye.data.loaders.images import IGNORED, make_loader
from pocketeye.errors import InvalidValue
from tests.data.layouts import encoded, make_image, samples, write_parquet, write_tar


@pytest.mark.parametrize("layout", ["shards", "parquet", "folder"])
def test_lazy_reading_gives_the_same(layout: str, tmp_path: Path) -> None:
    root = tmp_path / layout
    if layout == "shards":
        write_tar(root / "train-0.tar", samples(0, 10))
        write_tar(root / "train-1.tar", samples(10, 6))
        write_tar(root / "val.tar", samples(0, 2))
    elif layout == "parquet":
        rows = [(encoded(i), i % 2) for i in range(16)]
        write_parquet(root / "train-00000-of-00002.parquet", rows[:9], None, row_group_size=4)
        write_parquet(root / "train-00001-of-00002.parquet", rows[9:], None, row_group_size=4)
        write_parquet(root / "test.parquet", rows[:2], None)
    elif layout == "folder":
        for index in range(16):
            make_image(root / "train" / f"c{index % 2}" / f"{index:02}.png", (index, 7, 7))
        make_image(root / "val" / "c0" / "x.png")
    inside, outside = load_images(root), load_images(root, memory_bytes=100)
    assert inside.in_memory
    assert not outside.in_memory
    assert outside.labels.tolist() == inside.labels.tolist()
    for data in (outside, pickle.loads(pickle.dumps(outside)), outside.subset(np.arange(16))):
        for index in (15, 0, 8, 9, 3):
            assert data.read(index).image.tobytes() == inside.read(index).image.tobytes()
            assert data.read(index).targets == inside.read(index).targets
            assert data.name(index) == inside.name(index)
    assert load_images(root, memory_bytes=100).sha256 == outside.sha256 != inside.sha256
    halves = outside.split(0.5, seed=3)
    assert [half.labels.tolist() for half in halves] == [
        half.labels.tolist() for half in inside.split(0.5, seed=3)
    ]


def _read_all(data: ImageSet) -> list[bytes]:
    return [data.read(i).image.tobytes() for i in range(len(data))]


def test_other_processes_read_the_same(tmp_path: Path) -> None:
    write_tar(tmp_path / "shards" / "train.tar", samples(0, 9))
    rows = [(encoded(i), i % 2) for i in range(9)]
    write_parquet(tmp_path / "parquet" / "train.parquet", rows, None)
    sets = [load_images(tmp_path / name, memory_bytes=100) for name in ("shards", "parquet")]
    here = [_read_all(data) for data in sets]  # also fills what is kept
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_read_all, sets) == here


def test_parquet_is_not_read_at_the_start(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[tuple[bytes | None, int]] = [
        (encoded(i) + rng.bytes(50_000), i % 2) for i in range(400)
    ]
    write_parquet(tmp_path / "train.parquet", rows, None, row_group_size=20)
    del rows
    tracemalloc.start()
    try:
        train = load_images(tmp_path, memory_bytes=1 << 20)
        train.read(0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(train) == 320
    assert peak < 2 << 20  # of 20 MB


def test_kept_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "CACHE_BYTES", 50_000)
    rows: list[tuple[bytes | None, int]] = [(encoded(i) + bytes(2000), i % 2) for i in range(100)]
    write_parquet(tmp_path / "train.parquet", rows, None, row_group_size=10)
    write_parquet(tmp_path / "val.parquet", rows[:2], None)
    train = load_images(tmp_path, memory_bytes=10)
    source = train.store.source  # type: ignore[attr-defined]
    for index in range(100):
        assert train.read(index).image.getpixel((0, 0))[0] == index  # type: ignore[index]
    assert list(source._kept) == [8, 9]
    assert len(pickle.dumps(source)) < 5000


def test_rows_without_images(tmp_path: Path) -> None:
    rows: list[tuple[bytes | None, int]] = [(encoded(i), i % 2) for i in range(10)]
    rows[4:6] = [(None, 0), (b"", 1)]
    write_parquet(tmp_path / "train.parquet", rows, None, row_group_size=3, path="x/4.jpg")
    write_parquet(tmp_path / "val.parquet", rows[:2], None)
    inside, outside = load_images(tmp_path), load_images(tmp_path, memory_bytes=10)
    assert inside.problems == ("row 4: a path without the image", "row 5: empty file")
    assert outside.problems == inside.problems[:1]  # the other is found when it is asked for
    assert [inside.name(i) for i in range(3, 6)] == ["row 3", "row 6", "row 7"]
    with pytest.raises(UnreadableImage, match="empty file"):
        outside.read(4)
    write_parquet(tmp_path / "train.parquet", [(None, 0), (None, 1)], None, path="x.jpg")
    with pytest.raises(InvalidValue, match="holds paths to images, not their bytes"):
        load_images(tmp_path)


def test_parquet_in_folders_of_splits(tmp_path: Path) -> None:
    rows: list[tuple[bytes | None, int]] = [(encoded(i), i % 3) for i in range(9)]
    write_parquet(tmp_path / "train" / "0.parquet", rows, None)
    write_parquet(tmp_path / "validation" / "0.parquet", rows[:2], None)
    val = load_images(tmp_path, "val")
    assert val.classes == ("0", "1", "2")
    assert val.problems == ("class '2' has no images in the validation split",)
    write_parquet(tmp_path / "validation" / "0.parquet", [(encoded(1), 3)], None)
    with pytest.raises(InvalidValue, match="labels run from 3 to 3, but there are 3 classes"):
        load_images(tmp_path, "val")


def _sized(image: Image.Image) -> torch.Tensor:
    return to_tensor(image.resize((4, 4)))


def test_a_damaged_image_does_not_end_the_judging(tmp_path: Path) -> None:
    whole = encoded(3)
    write_tar(tmp_path / "train.tar", [*samples(0, 10), ("x.png", whole[:50]), ("x.cls", b"1")])
    write_tar(tmp_path / "val.tar", samples(0, 2))
    strict = load_images(tmp_path, memory_bytes=10)
    with pytest.raises(UnreadableImage):
        strict.read(10)
    judged = make_loader(
        strict, _sized, 4, shuffle=False, seed=0, drop_last=False, on_damage="ignore"
    )
    labels = torch.cat([y for _, y in judged]).tolist()
    assert labels == [*strict.labels[:10].tolist(), IGNORED]
    assert strict.problems[-1].startswith("train.tar/x: ")


@pytest.mark.parametrize("odd", [None, 0, 1, 5, 9])
def test_images_of_one_size_become_one_array(tmp_path: Path, odd: int | None) -> None:
    for index in range(10):
        size = (7, 4) if index == odd else (6, 5)
        make_image(tmp_path / f"c{index % 2}" / f"{index}.png", (index, 0, 0), size)
    (tmp_path / "c0" / "5.png").write_bytes(b"")
    train, val = load_images(tmp_path), load_images(tmp_path, "val")
    assert all(
        (data.pixels(np.arange(len(data))) is not None) == data.in_memory for data in (train, val)
    )
    for data in (train, val):
        for index in range(len(data)):
            assert data.read(index).image.getpixel((3, 3))[0] == int(data.name(index)[3])  # type: ignore[index]


def test_many_problems_of_a_kind_are_counted(tmp_path: Path) -> None:
    lone = [(f"lone{i:04}.png", encoded(1)) for i in range(250)]
    write_tar(tmp_path / "train.tar", [*samples(0, 4), *lone])
    problems = load_images(tmp_path).problems
    assert len(problems) == 101
    assert problems[99] == "train.tar/lone0099: no label"
    assert problems[100] == "150 more like these: no label (250 in all)"
